"""Whoever asks a component of LlamaIndex learns which tier answered, and can report how right it was."""

import asyncio
import gc
from typing import ClassVar

import pytest
from llama_index.core import PromptTemplate, SummaryIndex, set_global_tokenizer
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent, ReActAgent
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.evaluation import BatchEvalRunner, CorrectnessEvaluator, FaithfulnessEvaluator, RelevancyEvaluator
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.query_engine import RouterQueryEngine
from llama_index.core.schema import TextNode
from llama_index.core.selectors import LLMSingleSelector
from llama_index.core.tools import FunctionTool, QueryEngineTool

from llamaindex_tiers import tiers_of
from llamaindex_tiers.results import _kept
from llm_tiers.testing import Reply, ToolCall

pytestmark = pytest.mark.filterwarnings(
    "ignore::pydantic.warnings.PydanticDeprecationWarning", "ignore:is_running called from within a step"
)

ASK = "What is the capital of France?"


@pytest.fixture(autouse=True)
def words():
    """Count words for tokens: the usual tokenizer is downloaded."""
    set_global_tokenizer(str.split)
    yield
    set_global_tokenizer(None)


def remembering():
    """Return a memory that holds no database open."""
    return ChatMemoryBuffer.from_defaults(token_limit=10_000)


@pytest.fixture
def traces():
    return []


@pytest.fixture
def llm(tiered, traces):
    return tiered(judge=lambda question, answer: "Lyon" not in answer, on_trace=traces.append)


@pytest.fixture
def index():
    return SummaryIndex([TextNode(text="Paris is the capital of France.")])


@pytest.fixture
def reports(llm, traces):
    """Check that a result names the last call, and that feedback takes its trace id; return the calls it names."""

    def check(result):
        said = tiers_of(result)
        assert said["trace_id"] == traces[-1].trace_id
        llm.feedback(said["trace_id"], correct=False)
        return said.get("calls")

    return check


@pytest.mark.parametrize("way", ["query", "aquery"])
def test_a_query_engine(llm, index, reports, way):
    engine = index.as_query_engine(llm=llm)
    answer = asyncio.run(engine.aquery(ASK)) if way == "aquery" else engine.query(ASK)

    assert answer.response == "Paris"
    assert answer.metadata["tiers"]["tier"] == "medium"
    assert [call["node"].partition("/")[0] for call in reports(answer)] == ["text_qa"]
    # What it said before is still there.
    assert len(answer.metadata) == 2


def test_a_stream_names_it_when_it_has_ended(llm, index, reports, traces):
    answer = index.as_query_engine(llm=llm, streaming=True).query(ASK)
    # Until 0.14.24 LlamaIndex read a stream to its end before it handed it on.
    assert (tiers_of(answer) is not None) == bool(traces)

    assert "".join(answer.response_gen) == "Paris"

    assert answer.metadata["tiers"]["tier"] == "medium"
    assert len(reports(answer)) == 1


def test_a_stream_in_asyncio_names_it_when_it_has_ended(llm, index, reports):
    async def taken():
        answer = await index.as_query_engine(llm=llm, streaming=True, use_async=True).aquery(ASK)
        async for _ in answer.async_response_gen():
            pass
        return answer

    assert asyncio.run(taken()).metadata["tiers"]["tier"] == "medium"


def test_every_call_of_a_query_is_named(server, llm, index, reports):
    server.scripts["small"] = lambda request: (
        '[{"choice": 1, "reason": "It fits."}]' if "choices" in request.text else "Lyon"
    )
    tool = QueryEngineTool.from_defaults(index.as_query_engine(llm=llm), description="Capitals")
    engine = RouterQueryEngine.from_defaults([tool], llm=llm, selector=LLMSingleSelector.from_defaults(llm=llm))

    calls = reports(engine.query(ASK))

    assert [(call["node"].partition("/")[0], call["tier"]) for call in calls] == [
        ("single_select", "small"),
        ("text_qa", "medium"),
    ]


def test_a_chat_engine(llm, reports):
    memory = ChatMemoryBuffer.from_defaults(token_limit=10_000)
    answer = SimpleChatEngine.from_defaults(llm=llm, memory=memory).chat(ASK)
    assert answer.metadata["tiers"]["tier"] == "medium"
    assert len(reports(answer)) == 1


@pytest.mark.parametrize("mode", ["simple", "context", "condense_plus_context", "condense_question"])
@pytest.mark.parametrize("way", ["stream_chat", "astream_chat"])
def test_a_streaming_chat_engine(llm, index, reports, mode, way):
    engine = index.as_chat_engine(chat_mode=mode, llm=llm, memory=remembering())

    async def read():
        answer = await engine.astream_chat(ASK)
        return answer, [piece async for piece in answer.async_response_gen()]

    if way == "astream_chat":
        answer, pieces = asyncio.run(read())
    else:
        answer = engine.stream_chat(ASK)
        pieces = list(answer.response_gen)

    assert "".join(pieces) == "Paris"
    (call,) = reports(answer)
    # It learns where the same engine learns from whole answers.
    (whole,) = reports(index.as_chat_engine(chat_mode=mode, llm=llm, memory=remembering()).chat(ASK))
    assert call["node"] == whole["node"]


async def test_what_a_tool_returns_directly(server, tiered):
    def look_up(city: str) -> str:
        """Look up a city."""
        return f"{city} has 2 million people."

    server.scripts["small"] = Reply(calls=(ToolCall("look_up", {"city": "Paris"}),))
    llm = tiered(judge=lambda question, answer: True)
    tool = FunctionTool.from_defaults(fn=look_up, return_direct=True)

    output = await FunctionAgent(tools=[tool], llm=llm).run(ASK, memory=remembering())

    assert str(output) == "Paris has 2 million people."
    said = tiers_of(output)
    assert (said["tier"], [call["node"] for call in said["calls"]]) == ("small", ["Agent/first_turn"])
    await llm.afeedback(said["trace_id"], correct=True)


@pytest.mark.parametrize("kind", ["function", "react", "workflow"])
@pytest.mark.parametrize("streaming", [True, False])
async def test_an_agent(server, tiered, look_up, kind, streaming):
    def caller(request):
        if request.messages[-1]["role"] == "tool":
            return "Two million."
        return Reply(calls=(ToolCall("look_up", {"city": "Paris"}),))

    server.scripts["small"] = "Thought: I know.\nAnswer: Two million." if kind == "react" else caller
    traces = []
    llm = tiered(judge=lambda question, answer: True, on_trace=traces.append)
    made = ReActAgent if kind == "react" else FunctionAgent
    agent = made(name="Researcher", tools=[look_up], llm=llm, streaming=streaming)
    if kind == "workflow":
        agent = AgentWorkflow(agents=[agent], root_agent="Researcher")

    output = await agent.run(user_msg=ASK, memory=ChatMemoryBuffer.from_defaults(token_limit=10_000))

    assert str(output) == "Two million."
    assert output["tiers"]["trace_id"] == tiers_of(output)["trace_id"] == traces[-1].trace_id
    assert output["tiers"]["tier"] == "small"
    await llm.afeedback(tiers_of(output)["trace_id"], correct=True)
    # The message goes into the history, and from there to providers that may not know the key.
    assert "tiers" not in output.response.additional_kwargs


class TestEvaluations:
    """Evaluators open no span: their user does."""

    GIVEN: ClassVar = {"query": ASK, "response": "Paris", "contexts": ["Paris is the capital of France."]}

    @pytest.fixture(params=[FaithfulnessEvaluator, CorrectnessEvaluator, RelevancyEvaluator])
    def evaluator(self, request, server, llm):
        says = "4\nRight." if request.param is CorrectnessEvaluator else "YES"
        server.scripts |= {"small": "Lyon", "medium": says}
        return request.param(llm=llm)

    @pytest.mark.parametrize("way", ["evaluate", "aevaluate", "evaluate in a loop"])
    def test_one_in_a_span_names_its_calls(self, evaluator, reports, way):
        evaluate = get_dispatcher().span(getattr(evaluator, way.partition(" ")[0]))

        async def inside():
            return await evaluate(**self.GIVEN) if way == "aevaluate" else evaluate(**self.GIVEN)

        result = evaluate(**self.GIVEN) if way == "evaluate" else asyncio.run(inside())

        assert result.passing
        calls = reports(result)
        assert {call["tier"] for call in calls} == {"medium"}
        assert {call["node"].partition("/")[0] for call in calls} == {type(evaluator).__name__}

    @pytest.mark.filterwarnings("ignore:asyncio_module")
    async def test_those_that_run_side_by_side_each_name_their_own(self, evaluator, traces):
        evaluator.aevaluate = get_dispatcher().span(evaluator.aevaluate)
        runner = BatchEvalRunner({"it": evaluator})
        results = await runner.aevaluate_response_strs(
            queries=[ASK, f"{ASK} Say it."], response_strs=["Paris", "It is Paris"], contexts_list=[["Paris"], ["It"]]
        )

        named = [[call["trace_id"] for call in tiers_of(result)["calls"]] for result in results["it"]]
        assert sorted(trace_id for ids in named for trace_id in ids) == sorted(trace.trace_id for trace in traces)
        assert not {*named[0]} & {*named[1]}

    def test_without_a_span_nothing_is_known(self, evaluator):
        assert tiers_of(evaluator.evaluate(**self.GIVEN)) is None


class TestObjects:
    @pytest.fixture(autouse=True)
    def served(self, server):
        def fits(request):
            return Reply(calls=(ToolCall("City", {"name": "Ulm", "people": 3}),))

        server.scripts |= {"small": "prose", "medium": fits}

    def test_a_structured_prediction(self, llm, take, city, prompt, reports):
        found = take(llm, "structured_predict", city, prompt, country="Germany")[-1]

        assert tiers_of(found)["final"] == "medium"
        assert found.model_dump() == {"name": "Ulm", "people": 3}
        assert found == city(name="Ulm", people=3)
        reports(found)

    def test_a_structured_llm(self, llm, take, city, asked, reports):
        response = take(llm.as_structured_llm(city), "chat", asked)[-1]

        assert response.raw.name == "Ulm"
        assert tiers_of(response)["final"] == "medium"
        reports(response)

    @pytest.mark.parametrize("way", ["", "a"])
    def test_a_structured_llm_s_response_carries_it(self, llm, city, asked, way):
        structured = llm.as_structured_llm(city)
        response = asyncio.run(structured.achat(asked)) if way else structured.chat(asked)
        assert response.additional_kwargs["tiers"]["final"] == "medium"

    def test_a_query_engine_of_objects(self, llm, city, index, reports):
        answer = index.as_query_engine(llm=llm.as_structured_llm(city)).query(ASK)
        assert answer.response.name == "Ulm"
        assert answer.metadata["tiers"]["tier"] == "medium"
        reports(answer)

    def test_nothing_is_kept_of_an_object_that_is_gone(self, llm, city, prompt):
        gc.collect()
        before = len(_kept)
        found = llm.structured_predict(city, prompt, country="Germany")
        assert len(_kept) == before + 1
        del found
        gc.collect()
        assert len(_kept) == before


def test_what_no_tiered_llm_gave_has_none(like, index, city):
    assert tiers_of(index.as_query_engine(llm=like("large")).query(ASK)) is None
    assert tiers_of(city(name="Ulm", people=3)) is None
    assert tiers_of("Paris") is None
    assert tiers_of(None) is None


def test_a_response_of_the_llm_has_its_trace(llm, take, trace_of):
    answer = take(llm, "complete", ASK)[-1]
    assert tiers_of(answer) == trace_of(answer)


def test_predict_returns_a_text_and_no_more(llm):
    assert llm.predict(PromptTemplate("Say {what}"), what="it") == "Paris"

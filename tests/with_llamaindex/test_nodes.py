"""Calls of different components learn apart, each under a name that one can read."""

import asyncio

import pytest
from llama_index.core import SummaryIndex
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.evaluation import (
    AnswerRelevancyEvaluator,
    ContextRelevancyEvaluator,
    CorrectnessEvaluator,
    FaithfulnessEvaluator,
    GuidelineEvaluator,
    PairwiseComparisonEvaluator,
    RelevancyEvaluator,
)
from llama_index.core.extractors import KeywordExtractor, QuestionsAnsweredExtractor, SummaryExtractor, TitleExtractor
from llama_index.core.indices.query.query_transform import HyDEQueryTransform
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.prompts import PromptTemplate
from llama_index.core.query_engine import CitationQueryEngine
from llama_index.core.schema import TextNode
from llama_index.core.workflow import StartEvent, StopEvent, Workflow, step

from llm_tiers import ConfigError
from llm_tiers.testing import Reply, ToolCall

pytestmark = pytest.mark.filterwarnings(
    "ignore::pydantic.warnings.PydanticDeprecationWarning", "ignore:is_running called from within a step"
)

ASK = "What is the capital of France?"
GIVEN = {"query": ASK, "response": "Paris", "contexts": ["Paris."], "reference": "Paris", "second_response": "Lyon"}


@pytest.fixture
def llm(tiered):
    return tiered(judge=lambda question, answer: True)


@pytest.fixture
def index():
    return SummaryIndex([TextNode(text="Paris is the capital of France.")])


@pytest.fixture
def names(nodes):
    """Return the first levels of the nodes."""
    return lambda: {node.partition("/")[0] for node in nodes}


def said(server, text):
    server.scripts |= dict.fromkeys(server.scripts, text)


EVALUATORS = {
    CorrectnessEvaluator: "4\nRight.",
    FaithfulnessEvaluator: "YES",
    RelevancyEvaluator: "YES",
    AnswerRelevancyEvaluator: "Fine. [RESULT] 2",
    ContextRelevancyEvaluator: "Fine. [RESULT] 4",
    PairwiseComparisonEvaluator: "[[A]]",
    GuidelineEvaluator: '{"passing": true, "feedback": "Fine."}',
}
WAYS = pytest.mark.parametrize("way", ["", "a"], ids=["sync", "async"])


@pytest.mark.parametrize("kind", EVALUATORS)
@WAYS
def test_an_evaluator(server, llm, names, kind, way):
    said(server, EVALUATORS[kind])
    evaluator = kind(llm=llm)
    asyncio.run(evaluator.aevaluate(**GIVEN)) if way else evaluator.evaluate(**GIVEN)
    assert names() == {kind.__name__}


@pytest.mark.parametrize("kind", [TitleExtractor, SummaryExtractor, KeywordExtractor, QuestionsAnsweredExtractor])
@WAYS
def test_an_extractor(llm, names, nodes, kind, way):
    extractor = kind(llm=llm, show_progress=False)
    given = [TextNode(text="Paris is the capital of France.")]
    asyncio.run(extractor.aextract(given)) if way else extractor.extract(given)
    assert names() == {kind.__name__}
    # A title is made of candidates by another prompt.
    assert len(set(nodes)) == (2 if kind is TitleExtractor else 1)


@WAYS
def test_a_citation_query_engine(llm, index, names, way):
    engine = CitationQueryEngine.from_args(index, llm=llm)
    asyncio.run(engine.aquery(ASK)) if way else engine.query(ASK)
    assert names() == {"CitationQueryEngine"}


def test_hypothetical_documents(llm, names):
    HyDEQueryTransform(llm=llm)(ASK)
    assert names() == {"HyDEQueryTransform"}


def test_a_prompt_of_nobody_s_is_custom(llm, names):
    llm.predict(PromptTemplate("Say {what}"), what="it")
    assert names() == {"custom"}


async def test_an_evaluator_in_a_step_of_a_workflow(server, llm, nodes):
    said(server, "YES")

    class Checked(Workflow):
        @step
        async def check(self, ev: StartEvent) -> StopEvent:
            await llm.apredict(PromptTemplate("Say {what}"), what="it")
            return StopEvent(result=(await FaithfulnessEvaluator(llm=llm).aevaluate(**GIVEN)).passing)

    assert await Checked(timeout=60).run()
    assert [node.rpartition("/")[0] for node in nodes] == [
        "Checked.check/custom",
        "Checked.check/FaithfulnessEvaluator",
    ]


@pytest.mark.parametrize("streaming", [True, False])
async def test_an_agent_s_tool_step_and_its_closing_text_learn_apart(server, llm, nodes, look_up, streaming):
    def caller(request):
        done = request.messages[-1]["role"] == "tool"
        return "Two million." if done else Reply(calls=(ToolCall("look_up", {"city": "Paris"}),))

    server.scripts["small"] = caller
    memory = ChatMemoryBuffer.from_defaults(token_limit=10_000)
    agent = FunctionAgent(name="Researcher", tools=[look_up], llm=llm, streaming=streaming)
    for _ in range(2):
        await agent.run(user_msg=ASK, memory=memory)
    # The second question's first step has the first one's tools before it.
    assert nodes == ["Researcher/first_turn", "Researcher/after_tools"] * 2


class TestForNode:
    """Two engines of one class over different indices."""

    @pytest.mark.parametrize("way", ["query", "aquery", "stream"])
    def test_they_are_told_apart(self, llm, index, nodes, way):
        for node in ("docs", "tickets"):
            engine = index.as_query_engine(llm=llm.for_node(node), streaming=way == "stream")
            answer = asyncio.run(engine.aquery(ASK)) if way == "aquery" else engine.query(ASK)
            if way == "stream":
                "".join(answer.response_gen)
        assert nodes == ["docs", "tickets"]

    def test_all_else_is_shared(self, llm, nodes):
        view = llm.for_node("docs")
        answer = view.complete(ASK)
        assert view.history is llm.history
        assert view._engine is llm._engine
        assert view.metadata is llm.metadata
        llm.feedback(answer.additional_kwargs["tiers"]["trace_id"], correct=False)
        llm.complete(ASK)
        assert nodes == ["docs", ""]
        assert llm.node is None

    @pytest.mark.parametrize("node", ["", 3, None])
    def test_what_is_no_name_is_refused(self, llm, node):
        with pytest.raises(ConfigError, match=r"^node must be a name"):
            llm.for_node(node)

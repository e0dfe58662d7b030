"""What an LLM must do in LlamaIndex: each check makes a candidate over scripted tiers, and uses it once."""

from __future__ import annotations

import asyncio
import json
import pickle
import threading
from collections.abc import Callable
from typing import Any

import candidates
from llama_index.core import Document, VectorStoreIndex
from llama_index.core.agent.workflow import AgentWorkflow, CodeActAgent, FunctionAgent, ReActAgent
from llama_index.core.base.llms.types import ChatMessage, ToolCallBlock
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.evaluation import CorrectnessEvaluator, FaithfulnessEvaluator
from llama_index.core.indices.property_graph import SimpleLLMPathExtractor
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.postprocessor import LLMRerank
from llama_index.core.prompts import PromptTemplate
from llama_index.core.query_engine import RouterQueryEngine, SubQuestionQueryEngine
from llama_index.core.question_gen import LLMQuestionGenerator
from llama_index.core.response_synthesizers import get_response_synthesizer
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.core.selectors import LLMSingleSelector
from llama_index.core.tools import FunctionTool, QueryEngineTool
from llama_index.core.workflow import StartEvent, StopEvent, Workflow, step
from pydantic import BaseModel

from llm_tiers.testing import Cut, Hang, HttpError, LoopbackRequest, LoopbackServer, Reply, Script, ToolCall, obliging

ASK = "What is the capital of France?"
WRONG, RIGHT = "Lyon, I think.", "Paris, of course."
SMALL, LARGE = candidates.TIERS

Check = Callable[[Any, LoopbackServer], bool]


def judge(_question: str, answer: str) -> bool:
    return "Lyon" not in answer


class City(BaseModel):
    """A city."""

    name: str
    people: int


def look_up(city: str) -> str:
    """Look up a city."""
    return f"{city} is there."


TOOL = FunctionTool.from_defaults(look_up)
PROMPT = PromptTemplate("Name a city in {country} with 3 letters.")


def messages() -> list[ChatMessage]:
    return [ChatMessage(role="user", content=ASK)]


def tokens(server: LoopbackServer) -> int:
    return sum(len(request.text.split()) for request in server.requests)


def run_agent(agent: Any, ask: str = ASK) -> Any:
    async def run() -> Any:
        return await agent.run(user_msg=ask, memory=ChatMemoryBuffer.from_defaults(token_limit=10_000))

    return asyncio.run(run())


async def collected(stream: Any) -> list[Any]:
    return [item async for item in await stream]


def index() -> VectorStoreIndex:
    return VectorStoreIndex.from_documents([Document(text="Paris is it.")], embed_model=MockEmbedding(embed_dim=4))


def answers(llm: Any, _server: LoopbackServer) -> bool:
    return bool(llm.complete(ASK).text and llm.chat(messages()).message.content)


def answers_async(llm: Any, _server: LoopbackServer) -> bool:
    async def both() -> bool:
        return bool((await llm.acomplete(ASK)).text and (await llm.achat(messages())).message.content)

    return asyncio.run(both())


def streams(llm: Any, _server: LoopbackServer) -> bool:
    return all(
        len([chunk for chunk in chunks if chunk.delta]) > 1
        for chunks in (list(llm.stream_complete(ASK)), asyncio.run(collected(llm.astream_chat(messages()))))
    )


def function_agent(streaming: bool) -> Check:  # noqa: FBT001
    def check(llm: Any, _server: LoopbackServer) -> bool:
        answer = run_agent(FunctionAgent(tools=[TOOL], llm=llm, streaming=streaming))
        return [call.tool_kwargs for call in answer.tool_calls] == [{"city": ASK}]

    return check


def two_agents(llm: Any, _server: LoopbackServer) -> bool:
    one = FunctionAgent(name="One", description="one", system_prompt="You are one.", tools=[TOOL], llm=llm)
    two = FunctionAgent(name="Two", description="two", system_prompt="You are two.", tools=[], llm=llm)
    return bool(run_agent(AgentWorkflow(agents=[one, two], root_agent="One")).current_agent_name == "Two")


def react_agent(llm: Any, _server: LoopbackServer) -> bool:
    return "Paris" in str(run_agent(ReActAgent(tools=[TOOL], llm=llm)))


def code_act_agent(llm: Any, _server: LoopbackServer) -> bool:
    executed: list[str] = []

    def execute(code: str) -> str:
        executed.append(code)
        return "Paris"

    run_agent(CodeActAgent(llm=llm, code_execute_fn=execute, tools=[TOOL]))
    return executed == ["print('Paris')"]


def workflow(llm: Any, _server: LoopbackServer) -> bool:
    class Asking(Workflow):
        @step
        async def ask(self, ev: StartEvent) -> StopEvent:
            return StopEvent(result=(await llm.acomplete(ev.ask)).text)

    async def run() -> Any:
        return await Asking(timeout=60).run(ask=ASK)

    return bool(asyncio.run(run()))


def query_engine(llm: Any, _server: LoopbackServer) -> bool:
    whole = index().as_query_engine(llm=llm).query(ASK).response
    return bool(whole and "".join(index().as_query_engine(llm=llm, streaming=True).query(ASK).response_gen))


def synthesizers(llm: Any, _server: LoopbackServer) -> bool:
    found = [NodeWithScore(node=TextNode(text=text), score=1) for text in ("Paris is it.", "Bern is not.")]
    modes = ("refine", "compact", "tree_summarize")
    return all(get_response_synthesizer(llm=llm, response_mode=m).synthesize(ASK, found).response for m in modes)


def router(llm: Any, _server: LoopbackServer) -> bool:
    tools = [QueryEngineTool.from_defaults(index().as_query_engine(llm=llm), name=n, description=n) for n in "ab"]
    selector = LLMSingleSelector.from_defaults(llm=llm)
    engine = RouterQueryEngine(selector=selector, query_engine_tools=tools, summarizer=None, llm=llm)
    return bool(engine.query(ASK).metadata["selector_result"].ind == 1)


def sub_questions(llm: Any, _server: LoopbackServer) -> bool:
    tool = QueryEngineTool.from_defaults(index().as_query_engine(llm=llm), name="cities", description="cities")
    engine = SubQuestionQueryEngine.from_defaults(
        query_engine_tools=[tool],
        question_gen=LLMQuestionGenerator.from_defaults(llm=llm),
        response_synthesizer=get_response_synthesizer(llm=llm),
        llm=llm,
        use_async=False,
        verbose=False,
    )
    return bool(engine.query(ASK).response)


def objects(llm: Any, _server: LoopbackServer) -> bool:
    return bool(llm.structured_predict(City, PROMPT, country="France").people == 2)  # noqa: PLR2004


def structured_llm(llm: Any, _server: LoopbackServer) -> bool:
    return bool(llm.as_structured_llm(City).chat(messages()).raw.people == 2)  # noqa: PLR2004


def output_class(llm: Any, _server: LoopbackServer) -> bool:
    return bool(index().as_query_engine(llm=llm, output_cls=City).query(ASK).response.people == 2)  # noqa: PLR2004


def streamed_objects(llm: Any, _server: LoopbackServer) -> bool:
    return bool(list(llm.stream_structured_predict(City, PROMPT, {}, country="F"))[-1].people == 2)  # noqa: PLR2004


def evaluator(llm: Any, _server: LoopbackServer) -> bool:
    checking = FaithfulnessEvaluator(llm=llm).aevaluate(response="Paris", contexts=["Paris is it."])
    return bool(asyncio.run(checking).passing)


def chat_engine(llm: Any, server: LoopbackServer) -> bool:
    engine = SimpleChatEngine.from_defaults(llm=llm, memory=ChatMemoryBuffer.from_defaults(llm=llm))
    engine.chat(ASK)
    "".join(engine.stream_chat("And of Italy?").response_gen)
    return len(server.requests[-1].messages) == 3  # noqa: PLR2004


def counted_once(llm: Any, server: LoopbackServer) -> bool:
    counter = TokenCountingHandler(tokenizer=str.split)
    llm.callback_manager = CallbackManager([counter])
    llm.complete(ASK)
    return counter.prompt_llm_token_count == tokens(server)


def traced_once(llm: Any, server: LoopbackServer) -> bool:
    from openinference.instrumentation.llama_index import LlamaIndexInstrumentor
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    instrumentor = LlamaIndexInstrumentor()
    instrumentor.instrument(tracer_provider=provider)
    try:
        llm.chat(messages())
    finally:
        instrumentor.uninstrument()
    spans = exporter.get_finished_spans()
    return sum((span.attributes or {}).get("llm.token_count.prompt", 0) for span in spans) == tokens(server)


def no_key_is_shown(llm: Any, _server: LoopbackServer) -> bool:
    return candidates.KEY not in repr(llm) + json.dumps(llm.to_dict()) + json.dumps(llm.to_payload())


def is_pickled(llm: Any, _server: LoopbackServer) -> bool:
    return bool(pickle.loads(pickle.dumps(llm)).complete(ASK).text)  # noqa: S301


def replaced(llm: Any, _server: LoopbackServer) -> bool:
    return bool(llm.complete(ASK).text == RIGHT)


def replaced_in_streams(llm: Any, _server: LoopbackServer) -> bool:
    return "".join(chunk.delta for chunk in llm.stream_chat(messages())) == RIGHT


def has_the_own_chunks(llm: Any, server: LoopbackServer) -> bool:
    own = candidates.client(server.base_url, SMALL)
    return all(
        [chunk.delta for chunk in getattr(llm, way)(asked)] == [chunk.delta for chunk in getattr(own, way)(asked)]
        for way, asked in (("stream_complete", ASK), ("stream_chat", messages()))
    )


def streams_live(llm: Any, server: LoopbackServer) -> bool:
    server.scripts[SMALL] = hang = Hang("course.", after="Paris, of ")
    # For whoever waits for the whole answer.
    late = threading.Timer(2, hang.release)
    late.start()
    words = (chunk.delta for chunk in llm.stream_chat(messages(), model=SMALL))
    live = next(word for word in words if word) == "Paris, " and late.is_alive()
    late.cancel()
    hang.release()
    return live and "".join(words) == "of course."


def streams_count_all_calls(llm: Any, server: LoopbackServer) -> bool:
    last = list(llm.stream_chat(messages()))[-1]
    return bool(last.additional_kwargs.get("prompt_tokens") == tokens(server))


def says_its_cost(llm: Any, _server: LoopbackServer) -> bool:
    trace = llm.complete(ASK).additional_kwargs["tiers"]
    # 10 tokens in, of which the cache had 4, and 20 out, of which 15 were reasoning; at OpenAI's prices.
    return abs(trace["cost_usd"] - (6 * 0.10 + 4 * 0.025 + 20 * 0.40) / 1e6) < 1e-9  # noqa: PLR2004


def reads_another_s_calls(llm: Any, server: LoopbackServer) -> bool:
    """Two calls of one tool as `Ollama` writes them, which has no ids and gives the tool's name for one."""
    called = ToolCallBlock(tool_call_id="look_up", tool_name="look_up", tool_kwargs={"city": "Paris"})
    answer = ChatMessage(role="tool", content="It is there.", additional_kwargs={"tool_call_id": "look_up"})
    history = [*messages(), *[ChatMessage(role="assistant", blocks=[called]), answer] * 2]
    llm.chat_with_tools([TOOL], chat_history=history)
    sent = server.requests[-1].messages
    made = [call["id"] for message in sent for call in message.get("tool_calls") or ()]
    answered = [message["tool_call_id"] for message in sent if message["role"] == "tool"]
    return len(set(made)) == len(made) == 2 and made == answered  # noqa: PLR2004


def bad_call_is_held(llm: Any, _server: LoopbackServer) -> bool:
    answer = llm.chat_with_tools([TOOL], user_msg=ASK)
    return bool(llm.get_tool_calls_from_response(answer)[0].tool_kwargs == {"city": "Paris"})


def able(request: LoopbackRequest) -> Reply | str:  # noqa: PLR0911 -- a list of what is asked
    """Play a model that does all that the checks ask for."""
    text, last = request.text, request.messages[-1]
    after_tools = last["role"] == "tool"
    if "You are one." in text and after_tools:
        return Reply(calls=(ToolCall("handoff", {"to_agent": "Two", "reason": "done"}),))
    if "sub-questions" in text:
        return json.dumps({"items": [{"sub_question": "Which city?", "tool_name": "cities"}]})
    if "choices" in request.ask:
        return json.dumps([{"choice": 2, "reason": "because"}])
    if "## Output Format" in text:  # ReAct's prompt
        seen = "Observation:" in last["content"]
        return (
            "Thought: So.\nAnswer: Paris." if seen else 'Thought: Hm.\nAction: look_up\nAction Input: {"city": "Paris"}'
        )
    if "<execute>" in text:
        return "It is Paris." if "Paris" in text.partition(ASK)[2] else "<execute>print('Paris')</execute>"
    if "YES" in text:
        return "YES"
    if request.settings.get("response_format") or "JSON" in text:
        return json.dumps({"name": "Paris", "people": 2})
    return "It is Paris." if after_tools else obliging(request)


def reranker(llm: Any, _server: LoopbackServer) -> bool:
    found = [NodeWithScore(node=TextNode(text=text), score=1) for text in ("Paris is it.", "Bern is not.")]
    return len(LLMRerank(llm=llm).postprocess_nodes(found, query_str=ASK)) == 1


def triplets(llm: Any, _server: LoopbackServer) -> bool:
    (node,) = SimpleLLMPathExtractor(llm=llm)([TextNode(text="Paris is the capital of France.")])
    return bool(node.metadata["relations"])


def score(llm: Any, _server: LoopbackServer) -> bool:
    evaluated = CorrectnessEvaluator(llm=llm).aevaluate(query=ASK, response="Paris", reference="Paris")
    return bool(asyncio.run(evaluated).score == 4)  # noqa: PLR2004


def names_the_tier(llm: Any, _server: LoopbackServer) -> bool:
    return "tiers" in index().as_query_engine(llm=llm).query(ASK).metadata


_ABLE: dict[str, Script] = {SMALL: able, LARGE: able}
_WRONG: dict[str, Script] = {SMALL: WRONG, LARGE: RIGHT}


_COUNTED = Reply(RIGHT, input_tokens=10, cached_tokens=4, output_tokens=20, reasoning_tokens=15)


def _prose(parsed: str) -> dict[str, Script]:
    return {SMALL: "Paris is the capital of France.", LARGE: parsed}


CHECKS: tuple[tuple[str, Check, dict[str, Script]], ...] = (
    ("complete and chat", answers, _ABLE),
    ("in asyncio", answers_async, _ABLE),
    ("streams in more than one piece", streams, _ABLE),
    ("`FunctionAgent`, streaming", function_agent(True), _ABLE),  # noqa: FBT003
    ("`FunctionAgent`, not streaming", function_agent(False), _ABLE),  # noqa: FBT003
    ("`AgentWorkflow` with two agents", two_agents, _ABLE),
    ("`ReActAgent`", react_agent, _ABLE),
    ("`CodeActAgent`", code_act_agent, _ABLE),
    ("a `Workflow`", workflow, _ABLE),
    ("a query engine, whole and streaming", query_engine, _ABLE),
    ("refine, compact, tree", synthesizers, _ABLE),
    ("`RouterQueryEngine`", router, _ABLE),
    ("`SubQuestionQueryEngine`", sub_questions, _ABLE),
    ("`structured_predict`", objects, _ABLE),
    ("`stream_structured_predict`", streamed_objects, _ABLE),
    ("`as_structured_llm`", structured_llm, _ABLE),
    ("`output_cls`", output_class, _ABLE),
    ("`FaithfulnessEvaluator`", evaluator, _ABLE),
    ("a chat engine with memory", chat_engine, _ABLE),
    ("a token counter set late counts each call once", counted_once, _WRONG),
    ("OpenInference counts each call once", traced_once, _WRONG),
    ("no key in `repr`, `to_dict`, `to_payload`", no_key_is_shown, _ABLE),
    ("can be pickled", is_pickled, _ABLE),
    ("a wrong answer of the cheap tier is replaced", replaced, _WRONG),
    ("in streams, too", replaced_in_streams, _WRONG),
    ("`LLMRerank` keeps nodes though the cheap tier writes prose", reranker, _prose("Doc: 1, Relevance: 9")),
    ("`SimpleLLMPathExtractor` finds triplets, likewise", triplets, _prose("(Paris, is capital of, France)")),
    ("`CorrectnessEvaluator` has a score, likewise", score, _prose("4\nRight.")),
    ("a query engine's response names the tier", names_the_tier, _ABLE),
    ("a stream has the model's own chunks, none more", has_the_own_chunks, {SMALL: RIGHT, LARGE: RIGHT}),
    ("an answer that nobody judges is seen while it comes", streams_live, {LARGE: RIGHT}),
    ("a stream says the tokens of all calls that it took", streams_count_all_calls, _WRONG),
    ("an answer says what it cost, with cached and reasoning tokens", says_its_cost, {SMALL: _COUNTED, LARGE: RIGHT}),
    ("`OpenAI` reads the tool history that `Ollama` made", reads_another_s_calls, _ABLE),
    (
        "a tool call that does not fit is held back",
        bad_call_is_held,
        {
            SMALL: Reply(calls=(ToolCall("look_up", {}),)),
            LARGE: Reply(calls=(ToolCall("look_up", {"city": "Paris"}),)),
        },
    ),
    (
        "an object that does not fit is held back",
        objects,
        {SMALL: json.dumps({"name": "Lyon"}), LARGE: json.dumps({"name": "Paris", "people": 2})},
    ),
    ("the call succeeds although a tier returns status 429", replaced, {SMALL: HttpError(429), LARGE: RIGHT}),
    ("the call succeeds although a tier's stream is cut", replaced_in_streams, {SMALL: Cut("Lyon, I"), LARGE: RIGHT}),
)


def run(candidate: str) -> list[bool]:
    """Run all checks on a candidate; a check that raises has failed."""
    results = []
    for _, check, scripts in CHECKS:
        with LoopbackServer(scripts) as server:
            try:
                mixed = check is reads_another_s_calls
                results.append(check(candidates.make(candidate, server.base_url, judge, mixed=mixed), server))
            except Exception:  # noqa: BLE001 -- whatever a candidate raises
                results.append(False)
    return results

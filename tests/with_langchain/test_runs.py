"""How calls stand in LangChain's and LangGraph's machinery: nodes, callbacks, streams, caches."""

from contextvars import ContextVar
from functools import reduce
from operator import add
from typing import Any, TypedDict

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler, UsageMetadataCallbackHandler, get_usage_metadata_callback
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.runnables import RunnableLambda
from langchain_core.tracers.context import register_configure_hook
from langgraph.errors import GraphInterrupt
from langgraph.graph import END, START, StateGraph

from llm_tiers import Tier

ASK = "What is the capital of France?"


class State(TypedDict, total=False):
    plan: Any
    text: Any


def node(model, key):
    return lambda state: {key: model.invoke(ASK)}


def graph_of(**nodes):
    """Make a graph of nodes that run one after the other."""
    graph = StateGraph(State)
    previous = START
    for name, function in nodes.items():
        graph.add_node(f"{name}_node", function)
        graph.add_edge(previous, f"{name}_node")
        previous = f"{name}_node"
    graph.add_edge(previous, END)
    return graph.compile()


def node_in_trace(answer):
    return answer.response_metadata["tiers"]["node"]


@pytest.fixture
def judging(server, tiered, judged):
    """A model whose tiers below the top are all rejected, by a model that judges."""
    server.scripts["medium"] = judged("Paris?", verdict="no")
    server.scripts["large"] = judged("Paris", verdict="no")
    return tiered()


def test_the_node_of_a_graph_is_in_the_trace(tiered):
    model = tiered()

    state = graph_of(plan=node(model, "plan"), write=node(model, "text")).invoke({})

    assert node_in_trace(state["plan"]) == "plan_node"
    assert node_in_trace(state["text"]) == "write_node"


async def test_the_node_of_a_subgraph_has_its_path(tiered):
    model = tiered()

    async def write(state):
        return {"text": await (RunnableLambda(lambda _: ASK) | model).ainvoke({})}

    inner = graph_of(plan=node(model, "plan"), write=write)
    state = await graph_of(research=inner).ainvoke({})

    assert node_in_trace(state["plan"]) == "research_node/plan_node"
    assert node_in_trace(state["text"]) == "research_node/write_node"


def test_a_graph_called_twice_in_a_node_has_one_path(tiered):
    model = tiered()
    inner = graph_of(plan=node(model, "plan"))

    def twice(state):
        return {"plan": [inner.invoke({})["plan"], inner.invoke({})["plan"]]}

    state = graph_of(research=twice).invoke({})

    assert {node_in_trace(answer) for answer in state["plan"]} == {"research_node/plan_node"}


def test_a_node_that_is_given_wins(tiered):
    model = tiered(node="drafts")

    assert node_in_trace(graph_of(plan=node(model, "plan")).invoke({})["plan"]) == "drafts"


def test_outside_a_graph_there_is_no_node(tiered):
    assert node_in_trace(tiered().invoke(ASK)) == ""


def test_a_graph_streams_the_accepted_answer_only(judging):
    messages = [message for message, _ in graph_of(plan=node(judging, "plan")).stream({}, stream_mode="messages")]

    assert "".join(message.text for message in messages) == "Paris"
    assert len({message.id for message in messages}) == 1
    assert messages[-1].response_metadata["tiers"]["final"] == "large"
    assert messages[-1].usage_metadata["input_tokens"] > 0


async def test_events_tell_of_the_accepted_answer_only(judging):
    events = [event async for event in judging.astream_events(ASK, version="v2")]

    assert [event["event"] for event in events if event["event"].endswith("_start")] == ["on_chat_model_start"]
    texts = {event["data"]["chunk"].content for event in events if event["event"] == "on_chat_model_stream"}
    assert "".join(texts) == "Paris"
    assert events[-1]["data"]["output"].content == "Paris"


class Listener(BaseCallbackHandler):
    """A plain handler of a user."""

    def __init__(self):
        self.heard = []

    def on_chat_model_start(self, serialized, messages, **kwargs):
        self.heard.append("start")

    def on_llm_new_token(self, token, **kwargs):
        self.heard.append(token)

    def on_llm_end(self, response, **kwargs):
        self.heard.append(response.generations[0][0].text)


def test_a_plain_handler_hears_of_one_call(judging):
    listener = Listener()

    judging.invoke(ASK, config={"callbacks": [listener]})

    assert listener.heard == ["start", "Paris"]


def test_in_a_chain_nothing_leaks_either(chat, tiered, judged, server):
    listener = Listener()
    server.scripts["medium"] = judged("Paris?", verdict="no")
    chain = RunnableLambda(lambda text: text) | tiered()

    chain.invoke(ASK, config={"callbacks": [listener]})

    assert listener.heard == ["start", "Paris"]


def test_a_tracer_sees_the_model_calls_as_children(judging, tracer):
    judging.invoke(ASK, config={"callbacks": [tracer], "tags": ["mine"]})

    (root,) = tracer.roots
    metadata = [run.extra["metadata"] for run in root.child_runs]
    assert [(data["llm_tiers_tier"], data["llm_tiers_role"]) for data in metadata] == [
        ("small", "generate"),
        ("medium", "judge"),
        ("medium", "generate"),
        ("medium", "judge"),
        ("large", "generate"),
    ]
    assert {"nostream", "mine"} <= set(root.child_runs[0].tags)
    assert metadata[-1]["ls_model_name"] == "large"


def totals(usage):
    return {name: (tokens["input_tokens"], tokens["output_tokens"]) for name, tokens in usage.items()}


@pytest.mark.parametrize("given", ["in the call", "in the context", "to the model"])
def test_token_counters_count_each_model_call_once(server, tiered, given):
    counter = UsageMetadataCallbackHandler()
    if given == "in the context":
        with get_usage_metadata_callback() as counter:
            answer = tiered().invoke(ASK)
    elif given == "in the call":
        answer = tiered().invoke(ASK, config={"callbacks": [counter]})
    else:
        answer = tiered(callbacks=[counter]).invoke(ASK)

    small, medium = (len(request.text.split()) for request in server.requests)
    assert totals(counter.usage_metadata) == {"small": (small, 1), "medium": (medium, 1)}
    assert answer.usage_metadata["input_tokens"] == small + medium


def test_a_cache_keeps_whole_calls(server, tiered):
    model = tiered(cache=InMemoryCache())

    first, second = model.invoke(ASK), model.invoke(ASK)

    assert len(server.requests) == 2
    assert first.content == second.content
    made, taken = (answer.response_metadata["tiers"] for answer in (first, second))
    assert (taken["trace_id"], taken["final"]) == (made["trace_id"], made["final"])
    assert made["cost_usd"] > 0
    assert not made.get("cached")
    assert (taken["cached"], taken["cost_usd"], taken["seconds"]) == (True, 0, 0)
    assert taken["saved_usd"] == pytest.approx(made["saved_usd"] + made["cost_usd"])


def test_a_cached_answer_of_a_tier_is_not_written_into(chat, tiered):
    cached = chat("small", cache=InMemoryCache())
    model = tiered(tiers=[cached, chat("large")])

    model.invoke(ASK)
    model.invoke(ASK)

    assert "tiers" not in cached.invoke(ASK).response_metadata


def checked_by(checker):
    """A judge of the user's own, which asks a model."""
    return lambda question, answer: checker.invoke(answer).content == "good"


@pytest.fixture
def checker(server, chat):
    server.scripts["checker"] = lambda request: "good" if "Paris" in request.ask else "bad"
    return chat("checker")


@pytest.mark.parametrize("way", ["invoke", "stream"])
def test_a_judge_of_the_users_that_calls_a_model_is_not_heard(checker, tiered, way):
    model, counter = tiered(judge=checked_by(checker)), UsageMetadataCallbackHandler()

    def ask(state):
        return {"plan": model.invoke(ASK) if way == "invoke" else list(model.stream(ASK))[-1]}

    streamed = graph_of(plan=ask).stream({}, config={"callbacks": [counter]}, stream_mode="messages")

    assert "".join(message.text for message, _ in streamed) == "Paris"
    assert set(counter.usage_metadata) == {"small", "medium", "checker"}


async def test_in_asyncio_it_is_not_heard_either(checker, tiered):
    model = tiered(judge=checked_by(checker))

    async def ask(state):
        return {"plan": await model.ainvoke(ASK)}

    streamed = graph_of(plan=ask).astream({}, stream_mode="messages")

    assert "".join([message.text async for message, _ in streamed]) == "Paris"


HOOKED = ContextVar("hooked", default=None)
register_configure_hook(HOOKED, inheritable=True)


class Counter(BaseCallbackHandler):
    """Counts tokens at the end of every run that it hears of."""

    def __init__(self):
        self.tokens = 0

    def on_llm_end(self, response, **kwargs):
        usage = response.generations[0][0].message.usage_metadata
        self.tokens += usage["input_tokens"] if usage else 0


@pytest.mark.parametrize("way", ["invoke", "stream"])
def test_a_counter_from_a_context_counts_once(server, tiered, way):
    counter = Counter()
    token = HOOKED.set(counter)
    try:
        tiered().invoke(ASK) if way == "invoke" else list(tiered().stream(ASK))
    finally:
        HOOKED.reset(token)

    assert counter.tokens == sum(len(request.text.split()) for request in server.requests)


def test_an_interrupt_of_the_graph_is_no_failure_of_the_tier(server, tiered):
    class Interrupting(GenericFakeChatModel):
        def _generate(self, *args, **kwargs):
            raise GraphInterrupt

    tiers = [Tier(Interrupting(messages=iter(())), name=name, price=(1, 1)) for name in ("one", "two")]
    with pytest.raises(GraphInterrupt):
        tiered(tiers=tiers).invoke(ASK)


def test_a_ladder_in_a_ladder_streams(server, chat, tiered):
    inner = tiered(tiers=[chat("small"), chat("medium")])
    outer = tiered(tiers=[Tier(inner, name="inner"), chat("large")], prices={})

    whole = reduce(add, outer.stream(ASK, model="inner"))
    assert whole.content == "Lyon"
    assert whole.response_metadata["tiers"]["final"] == "inner"

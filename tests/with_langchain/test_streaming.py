"""Streaming: live where nobody judges, otherwise held back until an answer stands."""

import asyncio
import contextlib
import threading
import warnings
from functools import reduce
from operator import add

import pytest
from langchain_core.callbacks import BaseCallbackHandler, UsageMetadataCallbackHandler
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.runnables import RunnableGenerator
from langgraph.graph import END, START, MessagesState, StateGraph

from langchain_tiers import TieredChatModel
from llm_tiers import AllTiersFailed, FixedStarter, Policy, Tier, Unjudged
from llm_tiers.policies.menu import FixedRule, RuleJudge
from llm_tiers.policies.menu.rule import Single
from llm_tiers.testing import Cut, Hang, Reply

ASK = "What is the capital of France?"


def collect(model, messages=ASK, config=None, **settings):
    return list(model.stream(messages, config, **settings))


def acollect(model, messages=ASK, config=None, **settings):
    async def chunks():
        return [chunk async for chunk in model.astream(messages, config, **settings)]

    return asyncio.run(chunks())


@pytest.fixture(params=[collect, acollect], ids=["stream", "astream"])
def stream(request):
    """Collect the chunks of a stream, once in sync code and once in asyncio."""
    return request.param


def joined(chunks):
    return reduce(add, chunks)


def texts(chunks):
    return [chunk.content for chunk in chunks if chunk.content]


@pytest.fixture
def rejecting(server, judged):
    """Every tier below the top is wrong, and the judge says so."""
    server.scripts |= {
        "small": "Lyon of course",
        "medium": judged("Marseille I think", verdict="no"),
        "large": judged("Paris it is"),
    }


def test_an_accepted_answer_is_streamed_in_the_chunks_it_came_in(server, tiered, stream):
    server.scripts["small"] = "Lyon of course"

    chunks = stream(tiered())

    assert texts(chunks) == ["Lyon ", "of ", "course"]
    assert all(isinstance(chunk, AIMessageChunk) for chunk in chunks)
    answering, judging = server.requests
    assert answering.settings["stream"]
    assert not judging.settings["stream"]


def test_nothing_of_a_rejected_tier_or_the_judge_is_streamed(rejecting, tiered, stream):
    chunks = stream(tiered())

    assert texts(chunks) == ["Paris ", "it ", "is"]


def test_the_last_chunk_carries_trace_and_usage(rejecting, server, tiered, stream):
    counter = UsageMetadataCallbackHandler()

    *others, last = stream(tiered(), config={"callbacks": [counter]})

    assert last.chunk_position == "last"
    assert last.response_metadata["tiers"]["final"] == "large"
    assert not any(chunk.usage_metadata or "tiers" in chunk.response_metadata for chunk in others)
    sent = sum(len(request.text.split()) for request in server.requests)
    assert joined([*others, last]).usage_metadata["input_tokens"] == sent
    assert sum(usage["input_tokens"] for usage in counter.usage_metadata.values()) == sent
    assert joined([*others, last]).response_metadata["model_name"] == "large"


def test_a_stream_says_what_invoke_says(rejecting, tiered, stream):
    whole = joined(stream(tiered()))
    answer = tiered().invoke(ASK)

    assert whole.content == answer.content
    assert whole.usage_metadata == answer.usage_metadata
    ours, theirs = (message.response_metadata["tiers"] for message in (whole, answer))
    assert [step["verdict"] for step in ours["attempts"]] == [step["verdict"] for step in theirs["attempts"]]


def test_a_model_that_does_not_stream_gives_its_answer_in_one_piece(stream):
    class Whole(GenericFakeChatModel):
        def _stream(self, *args, **kwargs):
            raise NotImplementedError

    reply = AIMessage("", tool_calls=[{"name": "look_up", "args": {"city": "Paris"}, "id": "1"}])
    tiers = [
        Tier(Whole(messages=iter([reply]), disable_streaming=True), name=name, price=(1, 1)) for name in ("one", "two")
    ]
    with TieredChatModel(tiers, judge=lambda question, answer: "Paris" in answer) as model:
        whole = joined(stream(model))

    assert whole.tool_calls[0]["args"] == {"city": "Paris"}


@pytest.mark.parametrize("where", ["at the top", "at a pin"])
def test_an_answer_that_nobody_judges_streams_live(server, tiered, where):
    server.scripts["large"] = hang = Hang("is", after="Paris it ")
    model = tiered(starter=FixedStarter("large"))
    chunks = model.stream(ASK) if where == "at the top" else tiered().stream(ASK, model="large")

    early = [next(chunks).content, next(chunks).content, next(chunks).content]
    assert hang.reached.wait(10)
    hang.release()

    assert early == ["", "Paris ", "it "]
    assert texts(list(chunks)) == ["is"]


async def test_an_answer_that_nobody_judges_streams_live_in_asyncio(server, tiered):
    server.scripts["large"] = hang = Hang("is", after="Paris it ")
    chunks = tiered(starter=FixedStarter("large")).astream(ASK)

    early = [(await anext(chunks)).content for _ in range(3)]
    hang.release()

    assert early == ["", "Paris ", "it "]
    assert texts([chunk async for chunk in chunks]) == ["is"]


@pytest.fixture(params=["menu", "a rule", "nobody judges"])
def settled(request, tiered):
    """A model that gives its calls to the cheapest tier alone, whose answers need no check."""
    match request.param:
        case "a rule":
            rule = FixedRule(lambda names: Single(tuple(names), names[0]))
            return tiered(policy=Policy("rule", rule, RuleJudge()))
        case "nobody judges":
            return tiered(policy=Policy("route", FixedStarter("small"), Unjudged()))
    model = tiered(policy="menu", prices={"small": (1, 2), "medium": (10, 20), "large": (50, 99)}, learning=1.0)
    for _ in range(16):
        trace = model.invoke(ASK).response_metadata["tiers"]
        for tier in {attempt["tier"] for attempt in trace["attempts"]}:
            model.feedback(trace["trace_id"], correct=tier == "small", tier=tier)
    model = model.model_copy(update={"learning": 0.0})
    assert model.invoke(ASK).response_metadata["tiers"]["start"] == "small"
    return model


def test_one_tier_whose_answer_stands_anyway_streams_live(server, settled, stream):
    seen = []
    server.scripts["small"] = hang = Hang("is", after="Paris it ")
    before = len(server.requests)

    if stream is collect:
        for chunk in settled.stream(ASK):
            seen.append(chunk)
            if "it " in texts(seen):
                hang.release()
    else:

        async def take():
            async for chunk in settled.astream(ASK):
                seen.append(chunk)
                if "it " in texts(seen):
                    hang.release()

        asyncio.run(asyncio.wait_for(take(), 20))

    assert texts(seen) == ["Paris ", "it ", "is"]
    trace = joined(seen).response_metadata["tiers"]
    assert (trace["final"], [request.model for request in server.requests[before:]]) == ("small", ["small"])


def test_an_answer_that_streamed_live_is_not_followed_by_another(server, tiered, stream):
    server.scripts["small"] = Reply("I cannot say", finish_reason="length")
    model = tiered(policy=Policy("route", FixedStarter("small"), Unjudged()))

    whole = joined(stream(model))

    assert whole.text == "I cannot say"
    trace = whole.response_metadata["tiers"]
    assert trace["final"] == "small"
    assert any("cut short" in warning for warning in trace["warnings"])
    assert model.invoke(ASK).response_metadata["tiers"]["final"] == "medium"


def test_where_the_form_counts_nothing_is_shown_before_it_is_checked(server, tiered, stream):
    server.scripts |= {"small": "no object", "medium": '{"name": "Paris"}'}
    model = tiered(policy=Policy("route", FixedStarter("small"), Unjudged()))
    shape = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object", "required": ["name"]}}}

    assert joined(stream(model, response_format=shape)).text == '{"name": "Paris"}'


class Tokens(BaseCallbackHandler):
    def __init__(self):
        self.seen = []

    def on_llm_new_token(self, token, **kwargs):
        self.seen.append(token)


@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
def test_tiers_that_stream_by_themselves_give_handlers_tokens(server, chat, tiered, way):
    server.scripts |= {"small": "Lyon of course", "large": "Paris it is"}
    model = tiered(
        tiers=[chat(name, streaming=True) for name in ("small", "large")],
        judge=lambda question, answer: "Paris" in answer,
    )
    plain, ours = Tokens(), Tokens()

    for one, handler in ((chat("large", streaming=True), plain), (model, ours)):
        config = {"callbacks": [handler]}
        answer = one.invoke(ASK, config) if way == "invoke" else asyncio.run(one.ainvoke(ASK, config))
        assert answer.text == "Paris it is"

    assert list(filter(None, ours.seen)) == list(filter(None, plain.seen)) == ["Paris ", "it ", "is"]


def chat_graph(function):
    return StateGraph(MessagesState).add_node("chat", function).add_edge(START, "chat").add_edge("chat", END).compile()


def test_a_node_that_invokes_streams_live_in_a_graph(server, tiered):
    server.scripts["large"] = hang = Hang("is", after="Paris it ")
    model = tiered(starter=FixedStarter("large"))
    graph = chat_graph(lambda state: {"messages": [model.invoke(state["messages"])]})
    messages = (message for message, _ in graph.stream({"messages": [("user", ASK)]}, stream_mode="messages"))

    early = [next(messages).content for _ in range(3)]
    hang.release()
    rest = list(messages)

    assert early == ["", "Paris ", "it "]
    assert texts(rest) == ["is"]
    assert rest[-1].response_metadata["tiers"]["node"] == "chat"


async def test_a_node_that_invokes_streams_live_in_asyncio(server, tiered):
    server.scripts["large"] = hang = Hang("is", after="Paris it ")
    model = tiered(starter=FixedStarter("large"))

    async def chat(state):
        return {"messages": [await model.ainvoke(state["messages"])]}

    stream = chat_graph(chat).astream({"messages": [("user", ASK)]}, stream_mode="messages")
    early = [(await anext(stream))[0].content for _ in range(3)]
    hang.release()

    assert early == ["", "Paris ", "it "]
    assert texts([message async for message, _ in stream]) == ["is"]


def test_the_node_of_a_streamed_call_is_known(tiered):
    model = tiered()
    streamed = []

    def chat(state):
        streamed.extend(model.stream(state["messages"]))
        return {"messages": [joined(streamed)]}

    chat_graph(chat).invoke({"messages": [("user", ASK)]})

    assert streamed[-1].response_metadata["tiers"]["node"] == "chat"


@pytest.mark.parametrize("mode", ["messages", "updates", "values", "debug"])
def test_no_stream_mode_shows_more_than_the_accepted_answer(rejecting, tiered, mode):
    model = tiered()
    graph = chat_graph(lambda state: {"messages": [model.invoke(state["messages"])]})

    shown = repr(list(graph.stream({"messages": [("user", ASK)]}, stream_mode=mode)))

    assert "Paris" in shown
    assert "Lyon" not in shown
    assert "Marseille" not in shown
    assert "Is the answer valid" not in shown


@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_events_show_no_more_either(rejecting, beta, tiered, version):
    shown = repr([event async for event in tiered().astream_events(ASK, version=version)])

    assert "Paris" in shown
    assert "Lyon" not in shown
    assert "Marseille" not in shown


@pytest.fixture
def beta():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def test_the_third_version_of_events(rejecting, beta, tiered):
    stream = tiered().stream_events(ASK, version="v3")

    assert "".join(stream.text) == "Paris it is"
    assert stream.output.response_metadata["tiers"]["final"] == "large"
    assert stream.output.usage_metadata["output_tokens"] == 3 + 1 + 3 + 1 + 3


async def test_the_third_version_of_events_in_asyncio(rejecting, beta, tiered):
    stream = await tiered().astream_events(ASK, version="v3")

    assert "".join([text async for text in stream.text]) == "Paris it is"
    assert (await stream.output).response_metadata["tiers"]["final"] == "large"


def test_the_third_version_counts_once_where_somebody_counts(rejecting, beta, server, tiered):
    counter = UsageMetadataCallbackHandler()
    stream = tiered().stream_events(ASK, version="v3", config={"callbacks": [counter]})
    assert stream.output.text == "Paris it is"

    sent = sum(len(request.text.split()) for request in server.requests)
    assert sum(usage["input_tokens"] for usage in counter.usage_metadata.values()) == sent


def test_a_stream_that_is_cut_before_it_is_shown_goes_one_tier_up(server, tiered, stream):
    server.scripts["small"] = Cut(after="Lyon of ")

    chunks = stream(tiered(judge=lambda question, answer: True))

    assert texts(chunks) == ["Paris"]
    assert "small" in repr(chunks[-1].response_metadata["tiers"]["attempts"][0])


def test_a_stream_that_is_cut_after_it_was_shown_fails(server, tiered, stream):
    server.scripts["large"] = Cut(after="Paris it ")

    with pytest.raises(AllTiersFailed, match="large") as failure:
        stream(tiered(starter=FixedStarter("large")))

    assert failure.value.exceptions[0].broke_off


def test_a_stream_that_is_dropped_leaves_its_trace(server, tiered):
    server.scripts["large"] = Hang("is", after="Paris it ")
    traces = []
    chunks = tiered(starter=FixedStarter("large"), on_trace=traces.append).stream(ASK)
    next(chunks)

    chunks.close()

    (trace,) = traces
    assert (trace.final, trace.attempts[-1].error) == (None, "cancelled")
    # The provider bills what it has written, and nobody has counted that.
    assert (trace.cost_usd, trace.saved_usd) == (None, None)


async def test_a_stream_that_is_cancelled_leaves_its_trace_and_no_task(server, tiered):
    server.scripts["large"] = Hang("is", after="Paris it ")
    traces, shown = [], asyncio.Event()
    before = asyncio.all_tasks()
    async with tiered(starter=FixedStarter("large"), on_trace=traces.append) as model:

        async def take():
            async for chunk in model.astream(ASK):
                if chunk.content == "it ":
                    shown.set()

        taking = asyncio.create_task(take())
        # Not while a chunk arrives: Python 3.11 loses a cancellation that comes at the same moment (wait_for).
        await asyncio.wait_for(shown.wait(), 10)
        taking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await taking

    assert asyncio.all_tasks() == before
    assert [(trace.final, trace.cost_usd) for trace in traces] == [(None, None)]


@pytest.mark.parametrize("start", ["small", "large"])
@pytest.mark.parametrize("in_chain", [False, True])
def test_a_program_that_ends_with_a_stream_half_read_logs_no_error(server, tiered, caplog, start, in_chain):
    """As it does with the plain model: the loop closes what is open, and all generators at once."""
    server.scripts |= dict.fromkeys(("small", "medium", "large"), "Paris it is " * 20)
    model = tiered(starter=FixedStarter(start), judge=lambda question, answer: True)

    async def refuse(chunks):
        async for chunk in chunks:
            raise LookupError(chunk.content)
            yield

    async def take():
        async for _ in (model | RunnableGenerator(refuse) if in_chain else model).astream(ASK):
            break

    with pytest.raises(LookupError) if in_chain else contextlib.nullcontext():
        asyncio.run(take())

    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []


def test_a_refusal_at_the_top_gives_way_to_an_earlier_answer(server, tiered, stream):
    server.scripts["large"] = Reply("")

    chunks = stream(tiered(judge=lambda question, answer: None))

    assert texts(chunks) == ["Paris"]
    assert chunks[-1].response_metadata["tiers"]["final"] == "medium"


def test_streams_at_once_do_not_mix(server, tiered):
    server.scripts["small"] = lambda request: request.ask.upper()
    model = tiered(judge=lambda question, answer: True)
    taken = {}

    def take(number):
        taken[number] = joined(collect(model, f"question {number}")).content

    threads = [threading.Thread(target=take, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert taken == {number: f"QUESTION {number}" for number in range(8)}


def test_streaming_may_be_switched_off(server, tiered, stream):
    chunks = stream(tiered(disable_streaming=True))

    assert texts(chunks) == ["Lyon"]
    assert not server.requests[0].settings["stream"]
    assert chunks[-1].usage_metadata["input_tokens"] > 0

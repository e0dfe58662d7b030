"""How the core's requests become calls of chat models."""

import asyncio

import pytest
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage

from langchain_tiers.performer import ChatPerformer, answer_of
from langchain_tiers.request import Request
from llm_tiers import Answer, Tier, TierError, Usage
from llm_tiers.call.requests import ModelCall

USAGE = {
    "input_tokens": 10,
    "output_tokens": 5,
    "total_tokens": 15,
    "input_token_details": {"cache_read": 4, "cache_creation": 3},
    "output_token_details": {"reasoning": 2},
}


def speaker(*replies):
    """A tier that says these things, word by word where it streams."""
    return Tier(GenericFakeChatModel(messages=iter(replies)), name="speaker")


@pytest.fixture
def performer():
    return ChatPerformer(Request.of([HumanMessage("Speak.")], None, {}))


def test_usage_keeps_cached_and_reasoning_tokens():
    answer = answer_of(speaker(), AIMessage("Paris", usage_metadata=USAGE))

    assert answer.usage == Usage(10, 5, cached_tokens=4, cache_write_tokens=3, reasoning_tokens=2)


def test_unknown_usage_is_none():
    assert answer_of(speaker(), AIMessage("Paris")).usage is None


@pytest.mark.parametrize(
    "message",
    [
        AIMessage(""),
        AIMessage(" \n"),
        AIMessage([]),
        AIMessage("I won't.", additional_kwargs={"refusal": "I won't."}),
        AIMessage([{"type": "refusal", "refusal": "I won't."}]),
        AIMessage("Par", response_metadata={"finish_reason": "content_filter"}),
        AIMessage("I won't.", response_metadata={"stop_reason": "refusal"}),
    ],
)
def test_an_empty_answer_and_a_refusal_are_missing(message):
    assert answer_of(speaker(), message).value is None


def test_a_tool_call_is_an_answer():
    call = {"name": "look_up", "args": {"city": "Paris"}, "id": "1"}
    answer = answer_of(speaker(), AIMessage("", tool_calls=[call]))

    assert answer.value == answer.text == 'look_up({"city": "Paris"})'


def stream_all(performer, call):
    """Collect the chunks and the answer of a stream in sync code."""
    stream, chunks = performer.stream(call), []
    while True:
        try:
            chunks.append(next(stream))
        except StopIteration as stop:
            return [*chunks, stop.value]


async def astream_all(performer, call):
    return [item async for item in performer.astream(call)]


@pytest.fixture(params=["stream", "astream"])
def stream(request):
    if request.param == "stream":
        return stream_all
    return lambda performer, call: asyncio.run(astream_all(performer, call))


def test_a_stream_hands_on_its_chunks_and_ends_with_the_answer(performer, stream):
    *chunks, answer = stream(performer, ModelCall(speaker("Paris of course")))

    assert [chunk.content for chunk in chunks if chunk.content] == ["Paris", " ", "of", " ", "course"]
    assert isinstance(answer, Answer)
    assert answer.value == "Paris of course"
    assert type(answer.message) is AIMessage


def test_a_stream_that_fails_is_a_tier_error(performer, stream):
    with pytest.raises(TierError, match="speaker"):
        stream(performer, ModelCall(speaker()))


async def test_a_stream_that_is_dropped_is_closed(performer):
    stream = performer.astream(ModelCall(speaker("Paris of course")))
    assert (await anext(stream)).content == "Paris"

    await stream.aclose()

    with pytest.raises(StopAsyncIteration):
        await anext(stream)

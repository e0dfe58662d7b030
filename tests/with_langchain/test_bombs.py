"""Answers written to break who reads them: none stops the process, and each goes one tier up."""

import json
import time
from contextlib import contextmanager
from functools import reduce
from operator import add
from typing import Literal

import pytest
from bombs import DEEP, ENDLESS_CODE, ENDLESS_ITEMS, ENDLESS_PATTERN, HUGE, ODD, SECONDS, SLOW
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.exceptions import OutputParserException
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk
from langchain_core.messages.ai import add_ai_message_chunks
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk
from pydantic import BaseModel

from langchain_tiers.received import Received
from llm_tiers import FixedStarter, Tier
from llm_tiers.testing import Reply, ToolCall

pytestmark = pytest.mark.usefixtures("uncollected")

ASK = "What is the capital of France?"


class Sum(BaseModel):
    """A sum."""

    kind: Literal["sum"]
    of: "Sum | Product | int"


class Product(BaseModel):
    """A product."""

    kind: Literal["product"]
    of: "Sum | Product | int"


@contextmanager
def in_time():
    began = time.process_time()
    yield
    assert time.process_time() - began < SECONDS


def look_up(city: object) -> str:
    """Look up a city."""


@pytest.mark.parametrize("policy", ["estimate", "default"])
@pytest.mark.parametrize("text", DEEP.values(), ids=DEEP)
def test_a_deep_text(server, tiered, take, judged, text, policy):
    server.scripts |= {
        "small": judged(text),
        "medium": judged("Paris", lambda asked: "no" if text in asked.text else "yes"),
    }
    traces = []

    answer = reduce(add, take(tiered(policy=policy, on_trace=traces.append), ASK))

    assert answer.content == "Paris"
    assert traces[-1].final != "small"


@pytest.mark.parametrize("text", DEEP.values(), ids=DEEP)
def test_deep_arguments_of_a_tool(server, tiered, take, text):
    good = Reply(calls=(ToolCall("look_up", {"city": "Paris"}),))
    server.scripts |= {"small": Reply(calls=(ToolCall("look_up", f'{{"city": {text}'),)), "medium": good}
    closed = Reply(calls=(ToolCall("look_up", f'{{"city": {text}}}'),))

    for bomb in (server.scripts["small"], closed):
        server.scripts["small"] = bomb
        answer = reduce(add, take(tiered().bind_tools([look_up]), ASK))
        assert answer.tool_calls[0]["args"] == {"city": "Paris"}


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
@pytest.mark.parametrize("text", DEEP.values(), ids=DEEP)
def test_a_deep_object(server, tiered, take, text, method):
    schema = {"title": "City", "description": "A city.", "type": "object", "properties": {"a": {}}}

    def said(text):
        return Reply(calls=(ToolCall("City", text),)) if method == "function_calling" else text

    server.scripts |= {"small": said(text), "medium": said('{"a": 1}')}

    assert take(tiered().with_structured_output(schema, method=method), ASK)[-1] == {"a": 1}


@pytest.mark.parametrize(("text", "read"), ODD.values(), ids=ODD)
def test_odd_characters_keep_nobody_from_judging(server, tiered, take, judged, text, read):
    server.scripts["small"] = judged(text)

    answer = reduce(add, take(tiered(), ASK))

    assert answer.response_metadata["tiers"]["final"] == "small"
    (question,) = [request for request in server.requests if request.judges]
    assert read in question.text


def test_the_judge_reads_beginning_and_end_of_a_megabyte(server, tiered, take, judged):
    server.scripts["small"] = judged(HUGE)

    answer = reduce(add, take(tiered(), ASK))

    (question,) = [request for request in server.requests if request.judges]
    assert len(question.text) < 34_000
    assert "\nLyon" in question.text
    assert "Paris\n" in question.text
    assert answer.response_metadata["tiers"]["warnings"] == [
        "judge: read 32000 of the 1000009 characters of small's answer"
    ]


@pytest.mark.parametrize("policy", ["default", "agree"])
@pytest.mark.parametrize("text", SLOW.values(), ids=SLOW)
def test_a_slow_text(server, tiered, take, judged, text, policy):
    server.scripts |= {"small": judged(text, "no"), "medium": judged(text + "!", "no"), "large": judged("Paris", "no")}

    with in_time():
        answer = reduce(add, take(tiered(policy=policy), ASK))

    # What is boxed is the same in both, and the default may take an answer that nobody contradicts.
    assert answer.content in {text, f"{text}!", "Paris"}


def code_tool(schema):
    return {"type": "function", "function": {"name": "use", "description": "Use it.", "parameters": schema}}


@pytest.mark.parametrize(
    ("schema", "bomb", "fits"),
    [
        (ENDLESS_PATTERN, {"code": ENDLESS_CODE}, {"code": "aaa"}),
        (
            {"type": "object", "patternProperties": {"^(a+)+$": {}}, "additionalProperties": False},
            {ENDLESS_CODE: 1},
            {"aaa": 1},
        ),
        (
            {"type": "object", "properties": {"items": {"type": "array", "uniqueItems": True}}},
            {"items": [*ENDLESS_ITEMS, *ENDLESS_ITEMS]},
            {"items": [1]},
        ),
    ],
    ids=["pattern", "patternProperties", "uniqueItems"],
)
def test_arguments_that_take_long_to_check(server, tiered, take, schema, bomb, fits):
    server.scripts |= {
        "small": Reply(calls=(ToolCall("use", bomb),)),
        "medium": Reply(calls=(ToolCall("use", fits),)),
    }
    model = tiered().bind_tools([code_tool(schema)])

    with in_time():
        answer = reduce(add, take(model, ASK))

    assert answer.tool_calls[0]["args"] == fits


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
def test_an_object_whose_pattern_takes_long(server, tiered, take, method):
    def said(code):
        calls = (ToolCall("Code", {"code": code}),) if method == "function_calling" else ()
        return Reply("" if calls else f'{{"code": "{code}"}}', calls)

    server.scripts |= {"small": said(ENDLESS_CODE), "medium": said("aaa")}
    model = tiered().with_structured_output(ENDLESS_PATTERN, method=method)

    with in_time():
        assert take(model, ASK)[-1] == {"code": "aaa"}


def test_a_class_that_refers_to_itself(server, tiered, take):
    value = '{"kind": "neither", "of": ' * 40 + "1" + "}" * 40
    server.scripts |= {
        "small": Reply(calls=(ToolCall("Sum", value),)),
        "medium": Reply(calls=(ToolCall("Sum", {"kind": "sum", "of": {"kind": "product", "of": 2}}),)),
    }
    traces = []
    model = tiered(on_trace=traces.append).with_structured_output(Sum, method="function_calling")

    with in_time():
        assert take(model, ASK)[-1] == Sum(kind="sum", of=Product(kind="product", of=2))
    assert (traces[-1].attempts[0].verdict, traces[-1].attempts[0].why) == ("invalid", "too much to check")


def test_at_the_top_too_a_class_that_refers_to_itself_is_not_built(server, tiered, take):
    value = '{"kind": "neither", "of": ' * 40 + "1" + "}" * 40
    server.scripts |= dict.fromkeys(("small", "medium", "large"), Reply(calls=(ToolCall("Sum", value),)))

    with in_time(), pytest.raises(OutputParserException, match="too much to check"):
        take(tiered().with_structured_output(Sum, method="function_calling"), ASK)


def test_an_object_that_grows_and_is_followed_by_blanks(server, tiered, take):
    server.scripts |= {"small": '{"a": 1,' + " " * 100_000, "medium": '{"a": 1}'}

    with in_time():
        assert take(tiered().with_structured_output(None, method="json_mode"), ASK)[-1] == {"a": 1}


def test_arguments_without_end_are_charged_to_the_tier_that_wrote_them(server, tiered, take):
    server.scripts |= {
        "small": Reply(calls=(ToolCall("look_up", '{"city": "Paris",' + " " * 2_000),), output_tokens=500),
        "medium": Reply(calls=(ToolCall("look_up", {"city": "Paris"}),)),
    }

    with in_time():
        answer = reduce(add, take(tiered().bind_tools([look_up]), ASK))

    first = answer.response_metadata["tiers"]["attempts"][0]
    assert (first["tier"], first["output_tokens"], first["why"]) == ("small", 500, "look_up: malformed arguments")


class Pieces(BaseChatModel):
    """A model that streams the arguments of a tool call a few characters at a time."""

    arguments: str

    @property
    def _llm_type(self):
        return "pieces"

    def bind_tools(self, tools, **settings):
        return self.bind(tools=tools, **settings)

    def _generate(self, *arguments, **settings):
        raise NotImplementedError

    def _stream(self, *arguments, **settings):
        for place in range(0, len(self.arguments), 16):
            part = tool_call_chunk(
                name="look_up" if place == 0 else None,
                args=self.arguments[place : place + 16],
                id="call" if place == 0 else None,
                index=0,
            )
            yield ChatGenerationChunk(message=AIMessageChunk("", tool_call_chunks=[part]))
        usage = {"input_tokens": 10, "output_tokens": 500, "total_tokens": 510}
        yield ChatGenerationChunk(message=AIMessageChunk("", usage_metadata=usage))


@pytest.mark.parametrize("way", ["stream", "astream"])
async def test_arguments_that_come_in_pieces_and_never_end(server, tiered, chat, way):
    server.scripts |= {"medium": Reply(calls=(ToolCall("look_up", {"city": "Paris"}),))}
    model = tiered(tiers=[Tier(Pieces(arguments='{"city": "Paris",' + " " * 24_000), name="small"), chat("medium")])
    asked = model.bind_tools([look_up])

    with in_time():
        chunks = list(asked.stream(ASK)) if way == "stream" else [chunk async for chunk in asked.astream(ASK)]

    answer = reduce(add, chunks)
    assert answer.tool_calls[0]["args"] == {"city": "Paris"}
    first = answer.response_metadata["tiers"]["attempts"][0]
    assert (first["output_tokens"], first["why"]) == (500, "look_up: malformed arguments")


def test_at_the_top_they_are_a_broken_call_and_whole(tiered, chat):
    text = '{"city": "Paris",' + " " * 24_000
    model = tiered(tiers=[chat("small"), Tier(Pieces(arguments=text), name="top")], starter=FixedStarter("top"))
    ends = []

    with in_time():
        chunks = list(model.bind_tools([look_up]).stream(ASK))
        list(model.bind_tools([look_up]).stream(ASK, config={"callbacks": [Ends(ends)]}))

    answer = add_ai_message_chunks(*chunks)
    assert not answer.tool_calls[0]["args"]
    assert any("malformed arguments" in warning for warning in answer.response_metadata["tiers"]["warnings"])
    assert len(ends) == 1


class Ends(BaseCallbackHandler):
    """Collects what runs end with."""

    def __init__(self, ends):
        self.ends = ends

    def on_llm_end(self, response, **rest):
        self.ends.append(response)


def test_a_long_document_in_pieces_arrives_whole(tiered, chat):
    text = json.dumps({"city": "A line, and more.\n" * 3_000})
    model = tiered(tiers=[Tier(Pieces(arguments=text), name="small"), chat("medium")])

    with in_time():
        chunks = list(model.bind_tools([look_up]).stream(ASK))

    assert add_ai_message_chunks(*chunks).tool_calls[0]["args"] == json.loads(text)


def test_many_calls_and_many_words_take_no_time():
    received = Received()
    with in_time():
        for index in range(2_000):
            part = tool_call_chunk(name="look_up", args='{"city": "' + "x" * 1_000, id=str(index), index=index)
            received.add(AIMessageChunk("", tool_call_chunks=[part]))
        for _ in range(4_000):
            received.add(AIMessageChunk("word "))
        received.end()
    assert not received.taken_out()


def test_arguments_that_end_badly_are_taken_out_with_the_last_chunk():
    received = Received()
    part = tool_call_chunk(name="look_up", args='{"city": "Paris",' + " " * 1_000, id="call", index=0)
    received.add(AIMessageChunk("", tool_call_chunks=[part]))
    assert not received.taken_out()
    received.add(AIMessageChunk("", chunk_position="last"))
    assert received.taken_out() == {0: '{"city": "Paris",' + " " * 1_000}
    assert received.chunks[0].tool_call_chunks[0]["args"] == ""

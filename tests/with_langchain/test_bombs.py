"""Answers written to break who reads them: none stops the process, and each goes one tier up."""

from functools import reduce
from operator import add

import pytest

from llm_tiers.testing import Reply, ToolCall

ASK = "What is the capital of France?"

DEEP = {
    "lists": "[" * 1_500,
    "objects": '{"a":' * 3_000,
    "closed lists": "[" * 1_500 + "]" * 1_500,
    "closed objects": '{"a":' * 3_000 + "1" + "}" * 3_000,
    "hundred": '{"a":' * 200 + "1" + "}" * 200,
}


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


@pytest.mark.parametrize(
    ("text", "read"),
    [("Paris \ud83d", "Paris \ufffd"), ("Paris \x00\x1b[2J", "Paris \x00\x1b[2J")],
    ids=["lone surrogate", "control characters"],
)
def test_odd_characters_keep_nobody_from_judging(server, tiered, take, judged, text, read):
    server.scripts["small"] = judged(text)

    answer = reduce(add, take(tiered(), ASK))

    assert answer.response_metadata["tiers"]["final"] == "small"
    (question,) = [request for request in server.requests if request.judges]
    assert read in question.text


def test_the_judge_reads_beginning_and_end_of_a_megabyte(server, tiered, take, judged):
    server.scripts["small"] = judged("Lyon" + "\u00e4" * 1_000_000 + "Paris")

    answer = reduce(add, take(tiered(), ASK))

    (question,) = [request for request in server.requests if request.judges]
    assert len(question.text) < 34_000
    assert "\nLyon" in question.text
    assert "Paris\n" in question.text
    assert answer.response_metadata["tiers"]["warnings"] == [
        "judge: read 32000 of the 1000009 characters of small's answer"
    ]

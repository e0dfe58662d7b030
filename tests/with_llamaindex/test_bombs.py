"""Answers written to break who reads them: none stops the process, and each goes one tier up."""

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


@pytest.mark.parametrize("policy", ["estimate", "default"])
@pytest.mark.parametrize("text", DEEP.values(), ids=DEEP)
def test_a_deep_text(server, tiered, take, judged, asked, text, policy):
    server.scripts |= {
        "small": judged(text),
        "medium": judged("Paris", lambda asked: "no" if text in asked.text else "yes"),
    }

    assert take(tiered(policy=policy), "chat", asked)[-1].message.content == "Paris"


@pytest.mark.parametrize("text", DEEP.values(), ids=DEEP)
def test_deep_arguments_of_a_tool(server, tiered, take, look_up, trace_of, text):
    server.scripts |= {
        "small": Reply(calls=(ToolCall("look_up", f'{{"city": {text}}}'),)),
        "medium": Reply(calls=(ToolCall("look_up", {"city": "Paris"}),)),
    }

    assert trace_of(take(tiered(), "chat_with_tools", [look_up], ASK)[-1])["final"] == "medium"


@pytest.mark.parametrize("text", DEEP.values(), ids=DEEP)
def test_a_deep_object(server, tiered, take, city, prompt, text):
    server.scripts |= {
        "small": Reply(calls=(ToolCall("City", f'{{"name": {text}, "people": 1}}'),)),
        "medium": Reply(calls=(ToolCall("City", {"name": "Ulm", "people": 128_928}),)),
    }

    assert take(tiered(), "structured_predict", city, prompt, country="Germany")[-1].people == 128_928


@pytest.mark.parametrize(
    ("text", "read"),
    [("Paris \ud83d", "Paris \ufffd"), ("Paris \x00\x1b[2J", "Paris \x00\x1b[2J")],
    ids=["lone surrogate", "control characters"],
)
def test_odd_characters_keep_nobody_from_judging(server, tiered, take, judged, asked, text, read):
    server.scripts["small"] = judged(text)

    answer = take(tiered(), "chat", asked)[-1]

    assert answer.additional_kwargs["tiers"]["final"] == "small"
    (question,) = [request for request in server.requests if request.judges]
    assert read in question.text


def test_the_judge_reads_beginning_and_end_of_a_megabyte(server, tiered, take, judged, asked):
    server.scripts["small"] = judged("Lyon" + "\u00e4" * 1_000_000 + "Paris")

    answer = take(tiered(), "chat", asked)[-1]

    (question,) = [request for request in server.requests if request.judges]
    assert len(question.text) < 34_000
    assert "\nLyon" in question.text
    assert "Paris\n" in question.text
    assert answer.additional_kwargs["tiers"]["warnings"] == [
        "judge: read 32000 of the 1000009 characters of small's answer"
    ]

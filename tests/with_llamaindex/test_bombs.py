"""Answers written to break who reads them: none stops the process, and each goes one tier up."""

import time
from contextlib import contextmanager
from typing import Annotated

import pytest
from bombs import DEEP, ENDLESS_CODE, ENDLESS_ITEMS, ENDLESS_PATTERN, HUGE, ODD, SECONDS, SLOW
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel, Field

from llm_tiers.testing import Reply, ToolCall

pytestmark = pytest.mark.usefixtures("uncollected")

ASK = "What is the capital of France?"


@contextmanager
def in_time():
    began = time.process_time()
    yield
    assert time.process_time() - began < SECONDS


class Code(BaseModel):
    """A code."""

    code: Annotated[str, Field(pattern="^(a+)+$")]


class Items(BaseModel):
    """Items that are unique."""

    items: Annotated[list[dict[str, int]], Field(json_schema_extra={"uniqueItems": True})]


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


@pytest.mark.parametrize(("text", "read"), ODD.values(), ids=ODD)
def test_odd_characters_keep_nobody_from_judging(server, tiered, take, judged, asked, text, read):
    server.scripts["small"] = judged(text)

    answer = take(tiered(), "chat", asked)[-1]

    assert answer.additional_kwargs["tiers"]["final"] == "small"
    (question,) = [request for request in server.requests if request.judges]
    assert read in question.text


def test_the_judge_reads_beginning_and_end_of_a_megabyte(server, tiered, take, judged, asked):
    server.scripts["small"] = judged(HUGE)

    answer = take(tiered(), "chat", asked)[-1]

    (question,) = [request for request in server.requests if request.judges]
    assert len(question.text) < 34_000
    assert "\nLyon" in question.text
    assert "Paris\n" in question.text
    assert answer.additional_kwargs["tiers"]["warnings"] == [
        "judge: read 32000 of the 1000009 characters of small's answer"
    ]


@pytest.mark.parametrize("policy", ["default", "agree"])
@pytest.mark.parametrize("text", SLOW.values(), ids=SLOW)
def test_a_slow_text(server, tiered, take, judged, asked, text, policy):
    server.scripts |= {"small": judged(text, "no"), "medium": judged(text + "!", "no"), "large": judged("Paris", "no")}

    with in_time():
        answer = take(tiered(policy=policy), "chat", asked)[-1].message.content

    # What is boxed is the same in both, and the default may take an answer that nobody contradicts.
    assert answer in {text, f"{text}!", "Paris"}


@pytest.mark.parametrize(
    ("schema", "bomb", "fits"),
    [
        (Code, {"code": ENDLESS_CODE}, {"code": "aaa"}),
        (Items, {"items": [*ENDLESS_ITEMS, *ENDLESS_ITEMS]}, {"items": [{"a": 1}]}),
    ],
    ids=["pattern", "uniqueItems"],
)
def test_arguments_that_take_long_to_check(server, tiered, take, trace_of, schema, bomb, fits):
    def use(**arguments: object) -> str:
        """Use it."""
        return str(arguments)

    tool = FunctionTool.from_defaults(fn=use, fn_schema=schema)
    server.scripts |= {
        "small": Reply(calls=(ToolCall("use", bomb),)),
        "medium": Reply(calls=(ToolCall("use", fits),)),
    }

    with in_time():
        assert trace_of(take(tiered(), "chat_with_tools", [tool], ASK)[-1])["final"] == "medium"


@pytest.mark.parametrize(
    ("response_format", "text"),
    [
        (
            {"type": "json_schema", "json_schema": {"name": "Code", "schema": ENDLESS_PATTERN}},
            f'{{"code": "{ENDLESS_CODE}"}}',
        ),
        *(({"type": "json_object"}, text) for text in DEEP.values()),
    ],
    ids=["pattern", *DEEP],
)  # fmt: skip
def test_an_object_in_a_text(server, tiered, take, asked, response_format, text):
    server.scripts |= {"small": text, "medium": '{"code": "aaa"}'}

    with in_time():
        last = take(tiered(), "chat", asked, response_format=response_format)[-1]

    assert last.message.content == '{"code": "aaa"}'

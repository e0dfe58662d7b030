"""What is read out of a list of messages."""

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from langchain_tiers.messages import needs_of, read_ask, read_text, with_postscript

CALL = {"name": "look_up", "args": {"b": 2, "a": 1}, "id": "1"}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


def test_the_ask_is_the_last_human_message():
    ask = read_ask(
        [
            SystemMessage("Be brief."),
            HumanMessage("What is the capital of France?"),
            AIMessage("Paris."),
            HumanMessage("And how many people live there?"),
        ]
    )

    assert ask.text == ask.query == "And how many people live there?"
    assert ask.context == "system: Be brief.\n\nhuman: What is the capital of France?\n\nai: Paris."


def test_tool_output_after_the_ask_is_not_looked_up():
    messages = [
        HumanMessage("What is the weather in Paris?"),
        AIMessage("", tool_calls=[CALL]),
        ToolMessage("Rain", tool_call_id="1"),
    ]

    ask = read_ask(messages)

    assert ask.text == ask.query == "What is the weather in Paris?"
    assert ask.context == ""


@pytest.mark.parametrize("short", ["yes", "go ahead", "No, the other."])
def test_a_short_ask_takes_the_turn_before_it_along(short):
    ask = read_ask(
        [
            HumanMessage("Clean up my disk."),
            AIMessage("Shall I delete the logs?"),
            ToolMessage("12 GB", tool_call_id="1"),
            SystemMessage("Be careful."),
            HumanMessage(short),
        ]
    )

    assert ask.text == short
    assert ask.query == f"Shall I delete the logs?\n{short}"


def test_a_short_first_ask_stands_alone():
    assert read_ask([SystemMessage("Be brief."), HumanMessage("2 + 2?")]).query == "2 + 2?"


def test_where_no_human_speaks_the_last_message_asks():
    assert read_ask([AIMessage("Hello."), SystemMessage("Sum up the talk so far.")]).text == "Sum up the talk so far."


def test_only_the_text_of_an_image_message_is_read():
    message = HumanMessage([{"type": "text", "text": "What is in this picture?"}, IMAGE])

    assert read_ask([message]).query == "What is in this picture?"
    assert needs_of([message], tools=False) == {"images"}
    assert needs_of([HumanMessage("What?")], tools=True) == {"tools"}
    assert needs_of([HumanMessage([{"type": "text", "text": "What?"}])], tools=False) == set()


@pytest.mark.parametrize("kind", ["image", "image_url", "input_image"])
def test_images_of_every_kind_are_seen(kind):
    assert needs_of([HumanMessage([{"type": kind}]), AIMessage("A cat.")], tools=False) == {"images"}


def test_equal_tool_calls_read_the_same():
    one = AIMessage("", tool_calls=[CALL])
    other = AIMessage("", tool_calls=[{"name": "look_up", "args": {"a": 1, "b": 2}, "id": "2"}])

    assert read_text(one) == read_text(other) == 'look_up({"a": 1, "b": 2})'


def test_the_postscript_is_added_to_a_copy_of_the_ask():
    image = [{"type": "text", "text": "What is this?"}, IMAGE]
    messages = [HumanMessage(image), AIMessage("", tool_calls=[CALL]), ToolMessage("A cat", tool_call_id="1")]

    changed = with_postscript(messages, "Or say Abstain.")

    assert changed[0].content == [*image, {"type": "text", "text": "Or say Abstain."}]
    assert messages[0].content == image
    assert changed[1:] == messages[1:]


def test_arguments_that_are_wide_and_deep_are_left_out_of_the_text():
    deep = 1
    for _ in range(5_000):
        deep = [deep]
    args = {"wide": [0] * 20_000, "deep": deep}

    assert read_text(AIMessage("", tool_calls=[{"name": "look_up", "args": args, "id": "1"}])) == "look_up()"

"""What reads objects and arguments of LangChain's messages takes no time over a megabyte; see core/test_readers.py."""

import runpy
import time
from pathlib import Path

import pytest
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage
from pydantic import BaseModel

from langchain_tiers.performer import answer_of
from langchain_tiers.structured import Shape
from llm_tiers import Tier

PIECES = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "bombs.py"))["PIECES"]
MEGABYTE = 1_000_000
SECONDS = 0.5
WORST = {
    "an object and blanks": '{"a": 1,' + " " * MEGABYTE,
    "an object and letters": '{"a": 1,' + "x" * MEGABYTE,
    "a field of LangChain's agents": '"action_input":"' * (MEGABYTE // 16),
    "that field and blanks": '"action_input":' + " " * MEGABYTE,
    "blocks of code": "```json" * (MEGABYTE // 7),
    "a block and marks": '```json\n{"a": 1}' + "`" * MEGABYTE,
    "a text that ends nowhere": '{"a": "' + "\\" * MEGABYTE,
    "names": "{" + ",".join(f'"{number}": 1' for number in range(60_000)),
    "numbers": "[" + "9" * MEGABYTE,
}


class City(BaseModel):
    name: str


def in_time(read):
    began = time.process_time()
    try:
        return read()
    except OutputParserException:
        return None
    finally:
        assert time.process_time() - began < SECONDS


@pytest.mark.parametrize("partial", [False, True], ids=["whole", "growing"])
@pytest.mark.parametrize("text", WORST.values(), ids=WORST)
@pytest.mark.parametrize("schema", [None, City], ids=["any", "class"])
def test_reading_an_object(text, partial, schema):
    shape = Shape(schema)
    in_time(lambda: shape.build(shape.read(AIMessage(text), partial=partial)))
    in_time(lambda: answer_of(Tier(object(), name="small"), AIMessage(text), shape))


@pytest.mark.parametrize("piece", PIECES[::4])
def test_reading_what_repeats(piece):
    text = piece * (MEGABYTE // len(piece))
    for partial in (False, True):
        in_time(lambda: Shape().read(AIMessage(text), partial=partial))  # noqa: B023 -- called at once


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1}', {"a": 1}),
        ('```json\n{"a": 1}\n```', {"a": 1}),
        ('```\n{"a": "```"}\n```', {"a": "```"}),
        ('Here it is:\n```json\n{"a": 1}\n```\nDone.', {"a": 1}),
        ('```json\n{"a": 1}', {"a": 1}),
    ],
)
def test_an_object_is_found_in_a_block_of_code(text, value):
    assert Shape().read(AIMessage(text)) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1, "b": "Par', {"a": 1, "b": "Par"}),
        ('{"a": [1, {"b":', {"a": [1, {}]}),
        ('```json\n{"a": 12', {"a": 12}),
        ('{"a": "\ud83d', {"a": "?"}),
    ],
)
def test_an_object_is_shown_while_it_grows(text, value):
    assert Shape().read(AIMessage(text), partial=True) == value


def test_a_long_object_is_shown_at_its_end():
    text = '{"a": "' + "x" * 30_000 + '"}'
    assert Shape().read(AIMessage(text))["a"] == "x" * 30_000
    with pytest.raises(OutputParserException):
        Shape().read(AIMessage(text), partial=True)

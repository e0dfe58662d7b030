"""Arguments that stream: what can no longer become JSON is given up, and nothing else is."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_tiers.call.growing_json import GrowingJson

LONG = 20_000
SECONDS = 2.0

HOPELESS = {
    "blanks after a comma": '{"a": 1,' + " " * LONG,
    "line breaks in an object": "{" + "\n" * LONG,
    "a word": "x" * LONG,
    "text after the value": '{"a": 1} ' + "and so on " * 2_000,
    "commas": '{"a": 1' + "," * LONG,
    "a name without end": '{"a": 1, "' + "b" * LONG,
    "a first name without end": '{"' + "b" * LONG,
    "a name with quotes": '{"a": "b", "' + '\\"' * LONG,
    "lists without end": "[" * LONG,
    "a name after a document": json.dumps({"a": "b" * LONG})[:-1] + ', "' + "c" * LONG,
    "numbers in a row": "[1" + " 1" * LONG,
}
FINE = {
    "a document": json.dumps({"path": "a.txt", "text": "A line.\n" * LONG}),
    "a document of blanks": json.dumps({"text": " " * LONG}),
    "a document of quotes": json.dumps({"text": '"\\' * LONG}),
    "a document in a list": json.dumps(["x", "y" * LONG]),
    "a long number": json.dumps({"n": 0}).replace("0", "1" * LONG),
    "many values": json.dumps({"rows": [{"a": n, "b": str(n)} for n in range(3_000)]}),
    "blanks at the end": '{"a": 1}' + " " * LONG,
    "other scripts": json.dumps({"text": "東京 \ud83d\ude00 " * 4_000}, ensure_ascii=False),
}


def gave_up(text, size):
    growing = GrowingJson()
    return any(growing.add(text[place : place + size]) for place in range(0, len(text), size)) or growing.end()


@pytest.mark.parametrize("text", HOPELESS.values(), ids=HOPELESS)
@pytest.mark.parametrize("size", [1, 1_000, 1 << 20])
def test_what_cannot_become_json_is_given_up(text, size):
    assert gave_up(text, size)


@pytest.mark.parametrize(("name", "text"), HOPELESS.items(), ids=HOPELESS)
def test_it_is_given_up_before_it_is_long(name, text):
    growing, bad = GrowingJson(), 0
    for place in range(0, len(text), 100):
        if growing.add(text[place : place + 100]):
            break
        bad = place
    # A document of 20,000 characters comes first in one of them.
    assert bad <= 13_000 + (LONG if "document" in name else 0)


@pytest.mark.parametrize("text", ['{"a": 1' + " " * 600, '{"a": 1, ' + " " * 600, '{"a": 1, "' + "b" * 600])
def test_a_shorter_tail_counts_at_the_end(text):
    growing = GrowingJson()
    assert not growing.add(text)
    assert growing.end()


@pytest.mark.parametrize("text", ["", "{", '{"a": 1, "b', '{"city": "Par', '{"a": tru', '{"text": "' + "x" * 3_000])
def test_what_was_merely_cut_is_not_hopeless(text):
    growing = GrowingJson()
    assert not growing.add(text)
    assert not growing.end()


@pytest.mark.parametrize("text", FINE.values(), ids=FINE)
@pytest.mark.parametrize("size", [7, 1_000, 1 << 20])
def test_what_is_json_at_last_is_never_given_up(text, size):
    assert not gave_up(text, size)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=20),
        lambda inside: st.lists(inside, max_size=4) | st.dictionaries(st.text(max_size=10), inside, max_size=4),
    ),
    st.integers(1, 4_000),
)
def test_no_json_is_given_up_however_it_is_cut(value, size):
    assert not gave_up(json.dumps([value, "x" * 9_000, value]), size)


def test_a_megabyte_takes_no_time():
    for text in ('{"a": "' + "x" * 1_000_000, '{"a": "' + '\\"' * 500_000, "[" + "1," * 500_000):
        began = time.process_time()
        gave_up(text, 4)
        assert time.process_time() - began < SECONDS

"""Reading JSON that a stranger wrote."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_tiers.call.form import schema_flaw
from llm_tiers.call.json_text import DEPTH, VALUES, bound_flaw, is_shallow, is_too_deep, read_json

MEGABYTE = 1_000_000
BOMBS = {
    "open lists": "[" * MEGABYTE,
    "closed lists": "[" * (MEGABYTE // 2) + "]" * (MEGABYTE // 2),
    "objects": '{"a":' * (MEGABYTE // 5),
    "a digit string": "9" * MEGABYTE,
    "brackets in a string": '["' + "[" * MEGABYTE,
    "escaped quotes": '["' + '\\"[' * (MEGABYTE // 3),
    "backslashes": '["' + "\\" * MEGABYTE,
    "quotes": '"' * MEGABYTE,
    "lone surrogates": '["' + "\ud800[" * (MEGABYTE // 2),
    "control characters": "[" * DEPTH + "\x00" * MEGABYTE,
}


@pytest.mark.parametrize("text", BOMBS.values(), ids=BOMBS)
def test_a_megabyte_is_refused_at_once(text):
    started = time.process_time()
    with pytest.raises(ValueError, match=r".*"):
        read_json(text)
    assert time.process_time() - started < 0.5  # ten times what it takes, for a machine that is busy


@pytest.mark.parametrize("depth", [1, DEPTH - 1, DEPTH])
def test_up_to_the_bound_it_is_read(depth):
    text = "[" * depth + "]" * depth
    assert json.dumps(read_json(text)) == text
    assert bound_flaw(read_json(text)) is None


def test_beyond_the_bound_it_is_not():
    with pytest.raises(ValueError, match="nested too deeply"):
        read_json("[" * (DEPTH + 1) + "]" * (DEPTH + 1))


@given(st.recursive(st.text() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_what_is_shallow_is_read_as_it_is(value):
    wide = [value, *[[]] * DEPTH, '[[{\\"' * DEPTH]
    assert read_json(json.dumps(wide)) == wide


@given(st.lists(st.sampled_from(["[", "]", "{", "}", '"', "\\", "a", ",", ":", "\ud800"]), max_size=400).map("".join))
def test_it_reads_or_raises_a_value_error(text):
    is_shallow(text)
    try:
        read_json(text)
    except ValueError:
        return


def nested(depth):
    value = 1
    for _ in range(depth):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("value", "flaw"),
    [
        (nested(5_000), "nested too deeply"),
        ([1] * VALUES, "too many values"),
        ({"a": float("inf")}, "a number out of range"),
        ({"a": float("nan")}, "a number out of range"),
        ({"a": 10**4_000}, "a number out of range"),
        ({"a": 10**300, "b": [True, None, "x"]}, None),
    ],
)
def test_what_cannot_be_checked_does_not_fit(value, flaw):
    assert bound_flaw(value) == flaw
    schema = {"properties": {"a": {"multipleOf": 0.01}}}
    assert flaw is None or schema_flaw(value, schema) == flaw


@pytest.mark.parametrize(("depth", "too_deep"), [(0, False), (DEPTH, False), (DEPTH + 1, True), (5_000, True)])
@pytest.mark.parametrize("width", [0, 2 * VALUES])
def test_depth_is_told_however_many_values_there_are(depth, too_deep, width):
    assert is_too_deep({"wide": [1] * width, "deep": nested(depth - 1)} if depth else 1) is too_deep

"""Checking against a user's schema what a stranger wrote: as jsonschema does, in bounded time."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema.validators import Draft202012Validator, validator_for

from llm_tiers.call.bounded_schema import STEPS, first_error, is_recursive
from llm_tiers.call.form import schema_flaw, work_flaw
from llm_tiers.call.json_text import VALUES
from llm_tiers.call.patterns import LONGEST_MATCHED, matches

SECONDS = 0.5
"""Ten times what it takes at most, for a machine that is busy; what is not bounded takes minutes."""

EXPONENTIAL = ("^(a+)+$", "^(a|a)*$", "^(a|aa)+$", "(a*)*b", "^([a-z]+)*[0-9]$", "(.*a){25}b", "^(?:a?){40}a{40}$")
EXPRESSION = {
    "$ref": "#/$defs/expression",
    "$defs": {
        "expression": {"anyOf": [{"$ref": "#/$defs/sum"}, {"$ref": "#/$defs/product"}]},
        "sum": {"properties": {"of": {"$ref": "#/$defs/expression"}, "kind": {"const": "sum"}}},
        "product": {"properties": {"of": {"$ref": "#/$defs/expression"}, "kind": {"const": "product"}}},
    },
}


def nested(depth, kind="neither"):
    value = {"kind": kind}
    for _ in range(depth):
        value = {"of": value, "kind": kind}
    return value


def in_time(value, schema):
    schema_flaw(None, schema)  # whether it is a schema is told once
    began = time.process_time()
    flaw = schema_flaw(value, schema)
    assert time.process_time() - began < SECONDS
    return flaw


@pytest.mark.parametrize("text", ["a" * 60 + "!", "a" * 5_000 + "!", "a" * 1_000_000])
@pytest.mark.parametrize("pattern", EXPONENTIAL)
def test_no_pattern_takes_long(pattern, text):
    assert in_time(text, {"pattern": pattern}) in (None, "$ fails 'pattern'", "too much to check")
    in_time({text: 1}, {"patternProperties": {pattern: {"type": "string"}}, "additionalProperties": False})
    in_time({text: 1}, {"patternProperties": {pattern: True}, "unevaluatedProperties": False})
    in_time({text: 1}, {"propertyNames": {"pattern": pattern}})


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        (r"^\d{3}-\d{4}$", "555-1234", True),
        (r"^\d{3}-\d{4}$", "555-12345", False),
        ("b+", "abc", True),  # found anywhere, as the language of schemas has it
        ("^b$", "b\n", False),
        ("^\\p{L}+$", "\u00c5ngstr\u00f6m", True),
        ("^.$", "\ud800", True),
        (r"^(?=.*[A-Z]).+$", "lower", None),
        (r"(a)\1", "ab", None),
        ("(", "(", None),
        ("a", "a" * LONGEST_MATCHED, True),
        ("a", "a" * (LONGEST_MATCHED + 1), None),
    ],
)
def test_what_a_pattern_finds(pattern, text, found):
    assert matches(pattern, text) is found


def test_a_pattern_that_no_linear_engine_takes_is_taken_on_trust():
    assert schema_flaw("lower", {"pattern": "^(?=.*[A-Z]).+$"}) is None
    schema = {"patternProperties": {"^(?!x)": {"type": "string"}}, "additionalProperties": False}
    assert schema_flaw({"x": 1}, schema) is None
    assert schema_flaw({"x": 1}, {**schema, "required": ["y"]}) == "$ fails 'required'"


def test_a_text_too_long_for_its_pattern_does_not_fit():
    assert schema_flaw("a" * (LONGEST_MATCHED + 1), {"pattern": "a"}) == "$ fails 'pattern'"


@pytest.mark.parametrize(
    ("value", "schema"),
    [
        (nested(60), EXPRESSION),
        (nested(60), {"oneOf": [{"properties": {"of": {"$ref": "#"}}, "required": ["none"]}] * 3}),
        (nested(60), {"additionalProperties": {"$ref": "#"}, "unevaluatedProperties": {"$ref": "#"}}),
        (nested(60), {"allOf": [{"properties": {"of": {"$ref": "#"}}}] * 3}),
        (nested(60), {"$ref": "#"}),
        ([{"a": number} for number in range(VALUES // 2)], {"uniqueItems": True}),
        ([number * (2**61 - 1) for number in range(VALUES - 1)], {"uniqueItems": True}),
        ([[[["x" * 100] * 50] * 50]] * 2, {"uniqueItems": True, "items": {"$ref": "#"}}),
        ([*range(VALUES - 1)], {"contains": {"const": "x"}}),
        ([[*range(60)]] * 60, {"items": {"contains": {"const": "x"}}, "contains": {"contains": {"const": "x"}}}),
        ([*range(VALUES - 1)], {"items": {"anyOf": [{"type": "string"}] * 50}}),
        (["x" * 1_000_000], {"items": {"anyOf": [{"type": "integer"}] * 200}}),
        ({str(number): 1 for number in range(VALUES - 1)}, {"unevaluatedProperties": False}),
        ([*range(VALUES - 1)], {"unevaluatedItems": False, "prefixItems": [{}]}),
        ([10**300] * (VALUES - 1), {"items": {"multipleOf": 0.01}}),
        ([1e308] * (VALUES - 1), {"items": {"multipleOf": 1e-300}}),
        (["a" * 9_000 + "!"] * 100, {"items": {"pattern": "(a|b)*a(a|b){200}c"}}),
    ],
    ids=range(17),
)  # fmt: skip
def test_no_keyword_takes_long(value, schema):
    in_time(value, schema)


def test_what_takes_too_many_steps_does_not_fit():
    schema = {"items": {"allOf": [True, {}, {"type": "integer"}] * 4}}
    assert schema_flaw([1] * 100, schema) is None
    assert schema_flaw([1] * (VALUES - 1), schema) == "too much to check"
    assert STEPS >= 2 * VALUES


def test_alternatives_that_name_themselves_first_are_told_at_any_depth():
    definitions = {
        name: definition
        if name == "expression"
        else {"properties": {"kind": definition["properties"]["kind"], "of": definition["properties"]["of"]}}
        for name, definition in EXPRESSION["$defs"].items()
    }
    schema = {**EXPRESSION, "$defs": definitions}
    assert schema_flaw(nested(60, "product"), schema) is None
    assert schema_flaw(nested(60), schema) == "$ fails 'anyOf'"


def test_a_discriminator_chooses_the_alternative():
    mapping = {"sum": "#/$defs/sum", "product": "#/$defs/product"}
    alternatives = {
        "discriminator": {"propertyName": "kind", "mapping": mapping},
        "oneOf": [{"$ref": reference} for reference in mapping.values()],
    }
    schema = {**EXPRESSION, "$defs": {**EXPRESSION["$defs"], "expression": alternatives}}
    assert schema_flaw(nested(60, "product"), schema) is None
    assert work_flaw(nested(60, "product"), schema) is None
    assert schema_flaw({"kind": "product", "of": {"kind": "neither"}}, schema) is not None


def test_work_is_told_for_what_refers_to_itself_only():
    assert is_recursive(EXPRESSION)
    assert is_recursive({"properties": {"inner": {"$ref": "#"}}})
    assert not is_recursive({"$ref": "#/$defs/one", "$defs": {"one": {"items": {"$ref": "#/$defs/two"}}, "two": {}}})
    assert work_flaw(nested(4), EXPRESSION) is None
    assert work_flaw(nested(40), EXPRESSION) == "too much to check"
    assert work_flaw([1] * 2 * VALUES, {"items": {"type": "integer"}}) is None


LEAF = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([1.0, 0.5]) | st.text("abA1", max_size=3)
VALUE = st.recursive(
    LEAF, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=3)
)
PATTERN = st.sampled_from(["^a", "b$", "^[ab]+$", "A|1", "^$"])


def schemas(inner):
    some = st.lists(inner, min_size=1, max_size=3)
    by_name = st.dictionaries(st.sampled_from(["a", "b", "ab"]), inner, max_size=2)
    return st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(["object", "array", "string", "integer", "number", "boolean", "null"]),
            "pattern": PATTERN,
            "patternProperties": st.dictionaries(PATTERN, inner, max_size=2),
            "additionalProperties": inner | st.booleans(),
            "properties": by_name,
            "required": st.lists(st.sampled_from(["a", "b"]), unique=True),
            "items": inner,
            "uniqueItems": st.booleans(),
            "anyOf": some,
            "oneOf": some,
            "allOf": some,
            "not": inner,
            "contains": inner,
            "enum": st.lists(LEAF, min_size=1, max_size=3),
        },
    )


@settings(max_examples=300)
@given(value=VALUE, schema=st.recursive(schemas(st.just({})), schemas, max_leaves=4))
def test_it_finds_what_jsonschema_finds(value, schema):
    assert (first_error(value, schema) is None) is Draft202012Validator(schema).is_valid(value)
    assert (first_error(value, schema, tries_all=True) is None) is Draft202012Validator(schema).is_valid(value)


@pytest.mark.parametrize("draft", ["draft-03", "draft-04", "draft-06", "draft-07"])
@pytest.mark.parametrize("value", [[1, 1], [{"a": 1}, {"a": 1.0}], [True, 1], "ab", {"ab": "x"}])
def test_older_drafts_too(draft, value):
    schema = {
        "$schema": f"http://json-schema.org/{draft}/schema#",
        "uniqueItems": True,
        "pattern": "^b",
        "patternProperties": {"^a": {"type": "integer"}},
    }
    assert (first_error(value, schema) is None) is validator_for(schema)(schema).is_valid(value)

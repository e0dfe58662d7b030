"""Functions of the user's that compare: `equal=`, `compare=`, and what happens where one of them fails."""

import pytest

from llm_tiers import Answer, ConfigError, FinalAnswers, ToolCall
from llm_tiers.agreement.equality import InCall
from llm_tiers.call.form import Form
from llm_tiers.policies.named import as_policy


def said(text, *calls):
    return Answer("small", text, text or "called", tool_calls=calls)


def call(name="look_up", **arguments):
    return ToolCall(name, arguments)


def raising(one, other):
    raise LookupError("no such thing")


def test_equal_decides_over_texts_and_tools():
    equality = as_policy(equal=lambda one, other: len(one.text) == len(other.text)).equality
    assert equality.same(said("ab"), said("cd")) is True
    assert equality.same(said("", call(a=1)), said("x", call(a=1))) is False
    assert equality.same(said("I don't know."), said("I don't know.")) is False


def test_compare_decides_over_a_field_of_objects_and_of_one_tool():
    equality = as_policy(compare={"reason": lambda one, other: True, "add.a": lambda one, other: None}).equality
    one, other = said('{"label": "a", "reason": "x y"}'), said('{"label": "a", "reason": "z"}')
    assert equality.same(one, other) is True
    assert equality.same(said("", call("add", a=1)), said("", call("add", a=2))) is None
    assert equality.same(said("", call("subtract", a=1)), said("", call("subtract", a=2))) is False


@pytest.mark.parametrize(
    ("arguments", "warning"),
    [
        ({"equal": raising}, "equal raised LookupError"),
        ({"equal": lambda one, other: "yes"}, "equal returned str"),
        ({"extract": lambda text: raising(text, text)}, "extract raised LookupError"),
        ({"extract": lambda text: 5}, "extract returned int"),
    ],
)
def test_a_function_that_fails_leaves_it_open_and_warns(arguments, warning):
    warnings = []
    assert InCall(FinalAnswers(**arguments), None, warnings.append).same(said("a"), said("b")) is None
    assert warnings[0].startswith(warning)
    assert "no such thing" not in warnings[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"equal": "same"}, "equal must be a function of two answers"),
        ({"compare": {"city": 3}}, "compare.'city'. must be a function"),
        ({"compare": raising}, "compare must map names of fields"),
        ({"equal": raising, "extract": str.strip}, "equal= decides alone"),
    ],
)
def test_a_wrong_argument_is_refused_at_once(arguments, message):
    with pytest.raises(ConfigError, match=message):
        as_policy(**arguments)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ([call(city="Paris"), call(city="Lyon")], [call(city="Lyon"), call(city="Paris")], True),
        ([call(city="lyon")], [call(city="Lyon ")], True),
        ([call(city="Lyon", unit=None)], [call(city="Lyon")], True),
        ([call(id="ab")], [call(id="AB")], None),
        ([call(code="ab")], [call(code="AB")], None),
        ([call(n=1)], [call(n=True)], False),
        ([call(n=1)], [call(n=1.0)], True),
        ([call(city="Lyon")], [call(city="Lyon"), call(city="Paris")], False),
        ([call(note="Call Ann back soon.")], [call(note="Ann wants to be called.")], None),
    ],
)
def test_tool_calls(one, other, same):
    assert FinalAnswers().same(said("", *one), said("", *other)) is same
    assert FinalAnswers().same(said("", *other), said("", *one)) is same


def test_a_null_is_not_a_default_that_is_known_to_be_another():
    schema = {"properties": {"city": {"type": "string"}, "unit": {"default": "celsius"}}}
    in_call = InCall(FinalAnswers(), Form(tools={"look_up": schema}), lambda warning: None)
    plain = said("", call(city="Lyon"))
    assert in_call.same(plain, said("", call(city="Lyon", unit=None))) is not True
    assert in_call.same(plain, said("", call(city="Lyon", unit="celsius"))) is True

"""When two answers say the same: final answers found in texts, numbers as numbers, refusals equal to nothing."""

import json
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_tiers import Answer, ConfigError
from llm_tiers.agreement.equality import ExactEquality, FinalAnswers
from llm_tiers.agreement.final_answer import final_answer
from llm_tiers.call.answer import ToolCall


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Half of it, so the answer is 0.5.", "1/2"),
        (r"Therefore \boxed{\frac{1}{2}}.", "1/2"),
        (r"It is \boxed{1} at first, then \boxed{\text{Paris}}", "paris"),
        ("The answer is 1,234.0", "1234"),
        ("Final answer: $1,234", "1234 USD"),
        ("Thus the answer is \u22127", "-7"),
        ("The answer is 50%.", "50%"),
        ("**Answer:** (C) dogs and cats", "C"),
        ("The correct answer is: (B).", "B"),
        ("The best choice is B because it floats.", "B"),
        ("The correct option is D (both A and C).", "D"),
        ("Therefore, the correct answer is:\n\nThe correct answer is: (B)", "B"),
        ("The correct choice is air. The correct answer is: (C).", "C"),
        ("The answer is March 5, 2024.", "2024-03-05"),
        ("The answer is 2024-03-05", "2024-03-05"),
        ("Yes.", "yes"),
        ("False.", "false"),
        ("After some thought:\n**Paris**", "paris"),
        ("The final answer is:\n**New York City**", "new york city"),
        ("Result:\n```\n42\n```", "42"),
        ("(c)", "C"),
        ("42", "42"),
        ("The answer is A dog", "a dog"),
    ],
)
def test_a_final_answer_is_found(text, found):
    assert final_answer(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "",
        "answer = 5",
        "def solve():\n    return 5\nanswer = solve()",
        "```python\nx = 1\nprint(x)\n```",
        "Yes, they are.",
        "No problem! Here is a poem about the sea.",
        "The options are many, and none is cheap.",
        "Water expands when it freezes. That is why ice floats.",
        "The answer is " + "very " * 40 + "long",
        r"An open \boxed{12",
    ],
)
def test_where_there_is_none_none_is_found(text):
    assert final_answer(text) is None


@given(number=st.fractions(max_denominator=999))
def test_a_number_is_known_in_every_dress(number):
    over, under = number.numerator, number.denominator
    dresses = [
        f"The answer is {over}/{under}.",
        rf"so \boxed{{{over}/{under}}}",
        f"**Answer: {over} / {under}**",
    ]
    if over >= 0:
        dresses.append(rf"The answer is $\frac{{{over}}}{{{under}}}$.")
    assert {final_answer(text) for text in dresses} == {str(Fraction(over, under))}


@given(text=st.text(max_size=200))
def test_any_text_is_read_without_an_error_and_reads_the_same_twice(text):
    found = final_answer(text)
    assert found == final_answer(text)
    assert found is None or (found and found == found.strip())


def said(text, *calls, value=...):
    return Answer("small", text, (text or "called") if value is ... else value, tool_calls=calls)


def call(name="look_up", **arguments):
    return ToolCall(name, arguments)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (said("So the answer is 1/2."), said("It must be:\n**0.5**"), True),
        (said("So the answer is 1/2."), said("The answer is 0.6"), False),
        (said("Paris"), said(" paris. "), True),
        (said("Paris lies on the Seine."), said("paris lies on the seine"), True),
        (said("Paris lies on the Seine."), said("The Seine flows through Paris."), None),
        (said("The answer is Paris."), said("Paris lies on the Seine."), None),
        (said("", call(city="Paris")), said("", call(city="Paris")), True),
        (said("", call(city="Paris")), said("", call(city="Lyon")), False),
        (said("", call(city="Paris")), said("", call("other", city="Paris")), False),
        (said("", call(city="Paris")), said("Paris"), False),
        (said('{"a": 1, "b": 2}'), said('{"b": 2.0, "a": 1}'), True),
        (said('{"a": 1}'), said('{"a": 2}'), False),
        (said("[1, 2]"), said("[2, 1]"), False),
        (said("", value=None), said("", value=None), False),
        (said("I am sorry, I cannot say."), said("I am sorry, I cannot say."), False),
        (said("I don't know."), said("I don't know."), False),
        (said("Abstain"), said("Abstain."), False),
        (said("None"), said("None"), False),
        (said("N/A"), said("n/a."), False),
        (said("Unknown"), said("unknown"), False),
        (said("The correct answer is: Abstain."), said("So the answer is Abstain."), False),
        (said("The correct answer is: Abstain."), said("The correct answer is: Abstain."), False),
        (said("None of the choices fits.\n\nAbstain"), said("None of the choices fits.\n\nAbstain"), False),
        (said("It is A or B: I will abstain."), said("It is A or B: I will abstain."), False),
        (said("I abstain from wine\nThe answer is A."), said("The answer is A."), True),
        (said("I\u2019ll abstain.  \n"), said("I\u2019ll abstain.  \n"), False),
        (said("**Abstain**"), said("**Abstain**"), False),
        (said("The senators voted to abstain."), said("the senators voted to abstain"), True),
        (said("They may\n- vote\n- abstain"), said("They may\n- vote\n- abstain"), True),
        (said("Yes, no, or:\nabstain"), said("Yes, no, or:\nabstain"), True),
        (said("\n" * 50_000), said("\n" * 50_000 + "x"), None),
        (said("I can't tell yet.", call(city="Paris")), said("", call(city="Paris")), True),
        (said("None of the above"), said("none of the above"), True),
    ],
)
def test_when_answers_are_the_same(one, other, same):
    assert FinalAnswers().same(one, other) is same
    assert FinalAnswers().same(other, one) is same


@given(value=st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=4))
def test_objects_are_the_same_in_any_order_of_their_fields(value):
    turned = dict(reversed(value.items()))
    assert FinalAnswers().same(said(json.dumps(value)), said(json.dumps(turned, indent=2))) is True


def test_an_extraction_of_the_users_own_may_abstain_in_any_case():
    equality = FinalAnswers(lambda text: "Abstain" if "pass" in text else text)
    assert equality.same(said("I pass"), said("I pass")) is False


def test_the_users_own_extraction():
    def last_line(text):
        return text.splitlines()[-1] if "\n" in text else None

    equality = FinalAnswers(last_line)
    assert equality.same(said("a\nresult 1"), said("b\nresult 1")) is True
    assert equality.same(said("a\nresult 1"), said("b\nresult 2")) is False
    assert equality.same(said("a\nresult 1"), said("one line")) is None
    with pytest.raises(ConfigError, match="extract must be a function"):
        FinalAnswers("last line")


@pytest.mark.parametrize(
    ("one", "other", "by_default", "by_the_paper"),
    [("4", "4", True, True), ("4", "5", False, False), ("4", None, False, False), (None, None, False, True)],
)
def test_exactly_the_same(one, other, by_default, by_the_paper):
    for left, right in ((one, other), (other, one)):
        assert ExactEquality().same(said("x", value=left), said("y", value=right)) is by_default
        paper = ExactEquality(missing_counts=True)
        assert paper.same(said("x", value=left), said("y", value=right)) is by_the_paper

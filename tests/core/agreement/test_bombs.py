"""Answers written to stop the process: every expression and parser that reads an answer, with its worst input."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_tiers import Answer
from llm_tiers.agreement import final_answer, objects, refusals, texts
from llm_tiers.agreement.equality import FinalAnswers
from llm_tiers.call.answer import ToolCall

MEGABYTE = 1_000_000
SECONDS = 0.5
"""Generous: 0.05 is the aim on a machine of its own; what is not linear takes minutes."""

REPEATED = {
    "blanks and bold": ("a ", "**a ", "**a", "__", "* ", "- ", "a - ", "a*"),
    "code and fences": ("```\n", "`", "x = 1\n", "\t", "{ ", "# "),
    "quotes and SQL": ("'", '"', "'a ", "select '", 'a."', '."'),
    "numbers": ("9", "1,", "1.", "1/", " 1", "1 000", "1_", "1'", "1e", "\u0663", "\u00bd", "seven "),
    "dates and times": ("1:", "1-", "may ", "12.12.", "1/1/"),
    "formulas": (r"\boxed{", r"\text{", r"\frac{", "^{", "{", "}", r"\boxed{1}"),
    "announcements": ("the answer is ", "answer: ", "the ", "the answer is a. ", "final ", "because "),
    "refusals": ("i ", "i will ", "i'm sorry ", "as an ai ", "no information ", "the context ", "abstain ", "but is "),
    "JSON": ("[", "{", '{"a":', "[]", "[1,", '"\\"', "[[],"),
    "letters": ("A", "(A) ", "A. ", "A) "),
    "characters": ("\ud800", "\x00", "\u200b", "\ufb01", "\u1112\u1161\u11ab", "e\u0301", "\u0301", "\r", "\u2028"),
}
WRITTEN = (
    "1e3000000",
    "1e-3000000",
    r"\boxed{1e999999999}",
    "10^999999999",
    "3 x 10^99999999",
    "9" * 20_000 + "x",
    "a" + " " * 20_000 + "b",
    "i will" + " " * 20_000,
    '["' + '\\"' * 20_000,
    "[" + "9" * 20_000 + "]",
    "[1e999999999]",
    "1/0",
    r"\frac{1}{0}",
    "9999-99-99",
    '{"a": NaN}',
)


def said(text, *calls):
    return Answer("small", text, text or "called", tool_calls=calls)


def compare_in_time(one, other):
    began = time.process_time()
    same = FinalAnswers().same(said(one), said(other))
    assert time.process_time() - began < SECONDS
    return same


@pytest.mark.parametrize("size", [3_999, 19_999, 49_999, MEGABYTE])
@pytest.mark.parametrize(("kind", "piece"), [(kind, piece) for kind, pieces in REPEATED.items() for piece in pieces])
def test_no_repeated_piece_takes_long(kind, piece, size):
    text = piece * (size // len(piece))
    assert compare_in_time(text, text + "!") is not False


@pytest.mark.parametrize("text", WRITTEN)
@pytest.mark.parametrize("form", ["{}", "The answer is {}.", r"So \boxed{{{}}}", "**{}**"])
def test_nothing_written_by_hand_takes_long_or_fails(text, form):
    compare_in_time(form.format(text), form.format(text + "1"))


@settings(max_examples=60)
@given(
    pieces=st.lists(st.sampled_from([piece for group in REPEATED.values() for piece in group]), min_size=1, max_size=4),
    times=st.integers(1, 6_000),
)
def test_no_mixture_of_few_pieces_takes_long(pieces, times):
    text = "".join(pieces) * times
    compare_in_time(text, text + "x")


def test_what_is_parsed_is_bounded_first():
    assert texts.LONGEST_TEXT <= 20_000
    assert final_answer.found_in("x" * MEGABYTE + "\nThe answer is 7.") == final_answer.found_in("The answer is 7.")
    assert objects.object_in("[" + "1," * MEGABYTE + "1]") is None
    assert objects.object_in("[" * 61 + "]" * 61) is None
    assert objects.object_in("[" * 60 + "]" * 60) is not None
    assert refusals.finds_none("the context does not say" + "." * MEGABYTE) is None


def test_arguments_nested_too_deep_cannot_be_told():
    def nested():
        value = {}
        for _ in range(5_000):
            value = {"a": value}
        return ToolCall("look_up", value)

    assert FinalAnswers().same(said("", nested()), said("", nested())) is None

"""How right the answers of a profile are."""

import asyncio

import pytest

from llm_tiers import Answer, FinalAnswers
from llm_tiers.profile.checks import CHECKS
from llm_tiers.profile.grade import INCOMPARABLE, grade, numbered


def answers(*texts):
    return [Answer(f"tier-{place}", text or "", text) for place, text in enumerate(texts)]


@pytest.mark.parametrize(
    ("texts", "said", "equal"),
    [
        (("4", "The answer is 4.", "5"), (0, 0, 1), (0, 0, 1)),
        ((None, "4", None), (-1, 0, -1), (-1, 0, -1)),
        (("refund", "complaint", "complaint"), (0, INCOMPARABLE, INCOMPARABLE), (0, 1, 1)),
        (("complaint", "refund", "complaint"), (0, INCOMPARABLE, 0), (0, 1, 0)),
    ],
)
def test_equal_answers_have_equal_numbers_and_undecided_ones_are_unlike(texts, said, equal):
    assert numbered(answers(*texts), FinalAnswers()) == (said, equal)


def graded(*texts, key=None, check=None):
    return asyncio.run(grade("What?", key, answers(*texts), FinalAnswers(), check))


def test_any_of_several_keys_will_do():
    assert graded("4", "four", "5", None, key=[4, "four"]).grades == (1, 1, 0, 0)


def test_without_the_top_tiers_answer_nothing_is_known():
    assert not graded("4", None).is_whole
    assert graded("4", "5", "4").grades == (1, 0, 1)


def test_a_check_is_shown_question_answer_and_key_and_may_be_async():
    async def check(question, answer, key):
        return 0.5 if (question, answer, key) == ("What?", "4", 4) else None

    found = graded("4", "5", None, key=4, check=check)
    assert found.grades == (0.5, None, 0)
    assert found.problems == ("the check returned None",)


@pytest.mark.parametrize("key", [None, "Paris", ["Paris"], ["Paris", "Lutetia"]])
def test_a_check_is_given_the_key_as_the_line_has_it(key):
    given = []
    graded("Paris", key=key, check=lambda question, answer, key: given.append(key))
    assert given == [key]


def test_the_error_of_a_check_is_told_in_one_line():
    def check(question, answer, key):
        raise ValueError("no dice\nnor cards")

    assert graded("4", check=check).problems == ("the check raised ValueError: no dice",)


@pytest.mark.parametrize("said", ["yes", 2, float("nan")])
def test_nonsense_of_a_check_is_named(said):
    found = graded("4", check=lambda question, answer, key: said)
    assert found.grades == (None,)
    assert found.problems[0].startswith("nonsense: ")


@pytest.mark.parametrize(
    ("answer", "key", "exact", "contains"),
    [
        ("Paris!", "paris", True, True),
        ("The capital is Paris.", ["Lutetia", "Paris"], False, True),
        ("Parisian", "Paris", False, False),
        ("New  York", "new york", True, True),
        ("12", 12, True, True),
        ("anything", None, None, None),
        ("5", "-5", False, False),
        ("-5", "-5", True, True),
        ("It is \u22125.", -5, False, True),
        ("pages 3-5", 5, False, True),
        ("About 3.5", 5, False, False),
        ("About 3.5.", 3.5, False, True),
        ("1,000", 1000, True, True),
        ("In 12.05.2020", 2020, False, True),
        ("-", "+", False, False),
        ("+", "+", True, True),
        ("The operator is +", "+", False, True),
    ],
)
def test_checks_known_by_name(answer, key, exact, contains):
    assert CHECKS["exact"]("", answer, key) is exact
    assert CHECKS["contains"]("", answer, key) is contains

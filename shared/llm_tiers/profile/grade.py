"""How right the answers of a profile are: by the user's function, by keys, else by the top tier's answer."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from llm_tiers.agreement.equality import FinalAnswers
from llm_tiers.arguments import grade_of
from llm_tiers.call.answer import Answer
from llm_tiers.errors import ConfigError
from llm_tiers.profile.checks import CHECKS
from llm_tiers.profile.questions import keys_of

if TYPE_CHECKING:
    from llm_tiers.agreement.equality import Equality
    from llm_tiers.profile.questions import Key, Question

__all__ = ["INCOMPARABLE", "MISSING", "Check", "Graded", "check_keys", "grade", "numbered", "problems_of"]

Check: TypeAlias = Callable[[str, str, Any], Any]
"""Takes question, answer and key (None where there is none); returns True, False, a number in [0, 1] or None."""

_NOT_COMPARABLE_TO_KEY = (
    "an answer in words that are not its key's counts as wrong; --check contains, or your function, may differ"
)
"""The problem reported for an answer such as "The capital is Paris" where the key is "Paris"."""

# Replay files hold both numbers, so they cannot change.
MISSING = -1
"""Stands for a missing answer, a refusal or an abstention in `Graded.said` and `Graded.equal`."""

INCOMPARABLE = -2
"""Stands for an answer that cannot be compared with others in `Graded.said`."""


@dataclass(frozen=True, slots=True)
class Graded:
    """What is known of the answers to one question.

    Attributes:
        said: A number for each answer, cheapest tier first. Equal answers have equal numbers; -1 is a missing answer,
            -2 one that cannot be compared.
        equal: The same, except that an answer that cannot be compared has a number of its own, as if it were unlike
            every other one.
        grades: How right each answer is, in [0, 1]; None where that is not known.
        problems: Why a grade is missing or doubtful, in one line each.
    """

    said: tuple[int, ...]
    equal: tuple[int, ...]
    grades: tuple[float | None, ...]
    problems: tuple[str, ...] = field(default=())

    @property
    def is_whole(self) -> bool:
        """Whether every answer has a grade."""
        return None not in self.grades

    @property
    def undecided(self) -> int:
        """How many answers cannot be compared."""
        return self.said.count(INCOMPARABLE)


def check_keys(path: object, questions: Sequence[Question], equality: Equality, check: Check | None) -> bool:
    """Check before anything is paid for that answers can be graded, and say whether the truth is known.

    Raises:
        ConfigError: Some lines have keys and others do not, a key is free text that no answer can be compared with, or
            the check is one that compares with keys and there are none.
    """
    if check is not None:
        name = next((name for name, known in CHECKS.items() if known is check), None)
        # Such a check grades nothing without a key, which would show only when every answer has been paid for.
        if name is not None and not any(question.keys for question in questions):
            raise ConfigError(
                f"--check {name} compares answers with keys, and no line of {path} has one; give each line a 'key', or "
                "leave --check out to compare with the top tier's answers"
            )
        return True
    with_key = [question for question in questions if question.keys]
    if not with_key:
        return False
    for question in questions:
        where = f"{path}, line {question.line}"
        if not question.keys:
            raise ConfigError(
                f"{where}: no key, while line {with_key[0].line} has one; give all lines a key, or none, or --check"
            )
        for key in question.keys:
            if _is_free_text(key, equality):
                raise ConfigError(
                    f"{where}: the key is free text, which answers cannot be compared with; give --check contains, or "
                    "a function of question, answer and key"
                )
    return True


async def grade(
    question: str, key: Key | list[Key] | None, answers: Sequence[Answer], equality: Equality, check: Check | None
) -> Graded:
    """Grade the answers of all tiers to one question.

    Args:
        question: The question as the check receives it.
        key: The right answer as the user wrote it, or None.
        answers: One for each tier, the top tier's last.
        equality: When two answers are the same.
        check: The user's function, or None: then the key decides, and without a key equality to the top tier's answer.
    """
    said, equal = numbered(answers, equality)
    if check is not None:
        found = [await _checked(check, question, answer, key) for answer in answers]
        return Graded(
            said, equal, tuple(grade for grade, _ in found), tuple(why for _, why in found if why is not None)
        )
    if keys := keys_of(key):
        same = [_equals_a_key(answer, keys, equality) for answer in answers]
        return Graded(
            said, equal, tuple(float(one is True) for one in same), (_NOT_COMPARABLE_TO_KEY,) * same.count(None)
        )
    # Nothing equals a missing answer of the top tier, so without it nothing is known, not even that others are wrong.
    return Graded(said, equal, tuple(None if equal[-1] < 0 else float(number == equal[-1]) for number in equal))


def numbered(answers: Sequence[Answer], equality: Equality) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Number answers such that equal ones have equal numbers, as `Graded.said` and `Graded.equal` have them."""
    said: list[int] = []
    equal: list[int] = []
    # The first of each group of equal answers, and whether it can be compared. Later answers are compared with it only,
    # so that each gets one number even where equality is not transitive.
    firsts: list[tuple[Answer, bool]] = []
    for answer in answers:
        # A refusal or an abstention equals nothing, itself included.
        if answer.value is None or equality.same(answer, answer) is False:
            said.append(MISSING)
            equal.append(MISSING)
            continue
        same = [equality.same(answer, first) for first, _ in firsts]
        if True in same:
            number = same.index(True)
            comparable = firsts[number][1]
        else:
            # Of two answers that cannot be compared with each other, the cheaper tier's counts as the comparable one.
            comparable = not any(
                one is None and is_comparable for one, (_, is_comparable) in zip(same, firsts, strict=True)
            )
            number = len(firsts)
            firsts.append((answer, comparable))
        equal.append(number)
        said.append(number if comparable else INCOMPARABLE)
    return tuple(said), tuple(equal)


def _equals_a_key(answer: Answer, keys: Sequence[Key], equality: Equality) -> bool | None:
    """Say whether an answer equals one of the keys, or None where it cannot be told."""
    if answer.value is None:
        return False
    same = [equality.same(answer, _as_answer(key)) for key in keys]
    return True if True in same else None if None in same else False


async def _checked(check: Check, question: str, answer: Answer, key: Any) -> tuple[float | None, str | None]:
    # Not shown to the check: a text that was cut or filtered may still contain the key, but nobody would get it.
    if answer.value is None:
        return 0.0, None
    try:
        said = check(question, answer.text, key)
        if inspect.isawaitable(said):
            said = await said
    except Exception as error:  # noqa: BLE001 -- the boundary to the user's function: the error becomes the outcome
        return None, f"the check raised {type(error).__name__}: {str(error).partition(chr(10))[0][:160]}"
    if said is None:
        return None, "the check returned None"
    try:
        return grade_of(said, "check"), None
    except ConfigError as error:
        return None, f"nonsense: {error}"


def _is_free_text(key: Key, equality: Equality) -> bool:
    """Say whether a key is neither a number nor a few words, so that no answer could be compared with it."""
    # The user's own functions may be able to compare what the built-in reading takes for free text.
    if not isinstance(equality, FinalAnswers) or equality.extract is not None or equality.equal is not None:
        return False
    # A comparable key equals itself inside the plainest sentence that gives it as the answer.
    return equality.same(_as_answer(key), _as_answer(f"The answer is {key}")) is None


def _as_answer(key: Key) -> Answer:
    return Answer("key", str(key), str(key))


def problems_of(graded: Iterable[Graded]) -> Counter[str]:
    """Count why grades are missing or doubtful."""
    return Counter(problem for one in graded for problem in one.problems)

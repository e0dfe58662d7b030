"""How right the answers of a profile are: by the user's function, by keys, else by the top tier's answer."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from llm_tiers.agreement.equality import FinalAnswers
from llm_tiers.arguments import grade_of
from llm_tiers.call.answer import Answer
from llm_tiers.errors import ConfigError

if TYPE_CHECKING:
    from llm_tiers.agreement.equality import Equality
    from llm_tiers.profile.questions import Key, Question

__all__ = ["INCOMPARABLE", "Check", "Graded", "check_keys", "grade", "numbered", "problems_of"]

Check: TypeAlias = Callable[[str, str, Any], Any]
"""Takes question, answer and key (None where there is none); returns True, False, a number in [0, 1] or None."""

UNLIKE_KEY = "an answer that could not be compared with its key for certain counts as wrong; --check decides otherwise"
"""What is told of an answer such as "the capital, Paris" where the key is "Paris"."""

INCOMPARABLE = -2
"""Stands for an answer of which it cannot be told whether it equals another one."""


@dataclass(frozen=True, slots=True)
class Graded:
    """What is known of the answers to one question.

    Attributes:
        said: A number for each answer, in the order of the tiers: equal numbers are equal answers, -1 is none, -2 one
            that cannot be compared.
        grades: How right each answer is, in [0, 1]; None where that is not known.
        problems: Why a grade is missing or doubtful, one line for each such answer.
    """

    said: tuple[int, ...]
    grades: tuple[float | None, ...]
    problems: tuple[str, ...] = field(default=())

    @property
    def is_whole(self) -> bool:
        """Whether every answer is graded."""
        return None not in self.grades


def check_keys(path: object, questions: Sequence[Question], equality: Equality, check: Check | None) -> bool:
    """Check before anything is paid for that answers can be graded, and say whether the truth is known.

    Raises:
        ConfigError: Some lines have keys and others do not, or a key is free text that no answer can be compared with.
    """
    if check is not None:
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
                    f"{where}: the key is free text, which answers cannot be compared with; give --check, a function "
                    "of question, answer and key"
                )
    return True


async def grade(
    question: str, keys: Sequence[Key], answers: Sequence[Answer], equality: Equality, check: Check | None
) -> Graded:
    """Grade the answers of all tiers to one question; the top tier's comes last."""
    said = numbered(answers, equality)
    if check is not None:
        found = [await _checked(check, question, answer, _key(keys)) for answer in answers]
        return Graded(said, tuple(grade for grade, _ in found), tuple(why for _, why in found if why is not None))
    if keys:
        same = [_equals_key(answer, keys, equality) for answer in answers]
        unlike = tuple(UNLIKE_KEY for one in same if one is None)
        return Graded(said, tuple(float(one is True) for one in same), unlike)
    return Graded(said, tuple(_by_top(number, said[-1]) for number in said))


def numbered(answers: Sequence[Answer], equality: Equality) -> tuple[int, ...]:
    """Number answers such that equal ones have equal numbers."""
    numbers: list[int] = []
    leaders: list[Answer] = []
    for answer in answers:
        # A refusal or an abstention equals nothing, itself included.
        if answer.value is None or equality.same(answer, answer) is False:
            numbers.append(-1)
            continue
        same = [equality.same(answer, leader) for leader in leaders]
        if True in same:
            numbers.append(same.index(True))
        elif None in same:
            numbers.append(INCOMPARABLE)
        else:
            numbers.append(len(leaders))
            leaders.append(answer)
    return tuple(numbers)


def _by_top(number: int, top: int) -> float | None:
    if top < 0 or number == INCOMPARABLE:
        return None
    return float(number == top)


def _equals_key(answer: Answer, keys: Sequence[Key], equality: Equality) -> bool | None:
    """Say whether an answer equals one of the keys, or None where it cannot be told."""
    if answer.value is None:
        return False
    same = [equality.same(answer, _as_answer(key)) for key in keys]
    return True if True in same else None if None in same else False


async def _checked(check: Check, question: str, answer: Answer, key: Any) -> tuple[float | None, str | None]:
    if answer.value is None:
        return 0.0, None
    try:
        said = check(question, answer.text, key)
        if inspect.isawaitable(said):
            said = await _awaited(said)
    except Exception as error:  # noqa: BLE001 -- the boundary to the user's function: the error becomes the outcome
        return None, f"the check raised {type(error).__name__}: {str(error)[:160]}"
    if said is None:
        return None, "the check returned None"
    try:
        return grade_of(said, "check"), None
    except ConfigError as error:
        return None, f"nonsense: {error}"


async def _awaited(said: Awaitable[Any]) -> Any:
    return await said


def _is_free_text(key: Key, equality: Equality) -> bool:
    """Say whether a key is neither a number nor a few words, so that no answer could be compared with it."""
    # The user's own functions may read keys that the ordinary reading takes for free text.
    if not isinstance(equality, FinalAnswers) or equality.extract is not None or equality.equal is not None:
        return False
    return equality.same(_as_answer(key), _as_answer(key, "The answer is ")) is None


def _key(keys: Sequence[Key]) -> Any:
    """Return the key as the user wrote it: one, a list, or None."""
    return keys[0] if len(keys) == 1 else list(keys) or None


def _as_answer(key: Key, before: str = "") -> Answer:
    text = f"{before}{key}"
    return Answer("key", text, text)


def problems_of(graded: Iterable[Graded]) -> Counter[str]:
    """Count why grades are missing or doubtful."""
    return Counter(problem for one in graded for problem in one.problems)

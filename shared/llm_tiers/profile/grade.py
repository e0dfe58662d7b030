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

_UNLIKE = "an answer in words that are not its key's counts as wrong; --check contains, or your function, may differ"
"""The problem named for an answer such as "The capital is Paris" where the key is "Paris"."""

INCOMPARABLE = -2
"""Stands for an answer that cannot be compared with others."""


@dataclass(frozen=True, slots=True)
class Graded:
    """What is known of the answers to one question.

    Attributes:
        said: A number for each answer, in the order of the tiers: equal numbers are equal answers, -1 is none, -2 one
            that cannot be compared.
        equal: The same, but an answer that cannot be compared is unlike every other one.
        grades: How right each answer is, in [0, 1]; None where that is not known.
        problems: Why a grade is missing or doubtful, in one line each.
    """

    said: tuple[int, ...]
    equal: tuple[int, ...]
    grades: tuple[float | None, ...]
    problems: tuple[str, ...] = field(default=())

    @property
    def is_whole(self) -> bool:
        """Whether every answer is graded."""
        return None not in self.grades

    @property
    def undecided(self) -> int:
        """How many answers cannot be compared."""
        return self.said.count(INCOMPARABLE)


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
                    f"{where}: the key is free text, which answers cannot be compared with; give --check contains, or "
                    "a function of question, answer and key"
                )
    return True


async def grade(
    question: str, keys: Sequence[Key], answers: Sequence[Answer], equality: Equality, check: Check | None
) -> Graded:
    """Grade the answers of all tiers to one question; the top tier's comes last."""
    said, equal = numbered(answers, equality)
    if check is not None:
        found = [await _checked(check, question, answer, _key(keys)) for answer in answers]
        return Graded(
            said, equal, tuple(grade for grade, _ in found), tuple(why for _, why in found if why is not None)
        )
    if keys:
        same = [_equals_a_key(answer, keys, equality) for answer in answers]
        return Graded(said, equal, tuple(float(one is True) for one in same), (_UNLIKE,) * same.count(None))
    return Graded(said, equal, tuple(None if equal[-1] < 0 else float(number == equal[-1]) for number in equal))


def numbered(answers: Sequence[Answer], equality: Equality) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Number answers such that equal ones have equal numbers, as `Graded.said` and `Graded.equal` have them."""
    said: list[int] = []
    equal: list[int] = []
    leaders: list[tuple[Answer, bool]] = []
    for answer in answers:
        # A refusal or an abstention equals nothing, itself included.
        if answer.value is None or equality.same(answer, answer) is False:
            said.append(-1)
            equal.append(-1)
            continue
        same = [equality.same(answer, leader) for leader, _ in leaders]
        if True in same:
            number, comparable = same.index(True), leaders[same.index(True)][1]
        else:
            comparable = not any(one is None and leads for one, (_, leads) in zip(same, leaders, strict=True))
            number = len(leaders)
            leaders.append((answer, comparable))
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
    # The user's own functions may compare what the ordinary reading takes for free text.
    if not isinstance(equality, FinalAnswers) or equality.extract is not None or equality.equal is not None:
        return False
    return equality.same(_as_answer(key), _as_answer(f"The answer is {key}")) is None


def _key(keys: Sequence[Key]) -> Any:
    """Return the key as the user wrote it: one, a list, or None."""
    return keys[0] if len(keys) == 1 else list(keys) or None


def _as_answer(key: Key) -> Answer:
    return Answer("key", str(key), str(key))


def problems_of(graded: Iterable[Graded]) -> Counter[str]:
    """Count why grades are missing or doubtful."""
    return Counter(problem for one in graded for problem in one.problems)

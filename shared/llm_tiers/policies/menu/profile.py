"""What a node's past calls show of all tiers: its profile, learned record by record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from llm_tiers.agreement.imagined import imagined_ladders
from llm_tiers.history.grades import best_grades

if TYPE_CHECKING:
    from llm_tiers.history.record import GradeSource, Record

__all__ = ["NO_PROFILE", "Profile", "ProfiledCall", "profiled_call"]

_KEPT = 1_000
"""The newest so many profiled calls are kept."""

_FEW = 8
"""From so many graded calls on, those without grades are left out."""

_MANY, _STANDARD_ERRORS = 20, 1.0
"""A tier is said to be better than the top from so many graded calls on, and by so many standard errors."""

_TRUST_IN_TOP = 0.5
"""Half of what is taken for true is "the top tier is right", half is what the tiers' agreement shows."""


@dataclass(frozen=True, slots=True)
class ProfiledCall:
    """A call that all tiers answered.

    Attributes:
        id: Its trace id.
        said: By tier, cheapest first, a number: equal numbers are equal answers, -1 is none.
        costs: By tier, what its answer cost in US$, or what one usually costs where that is not known.
        grades: By tier, how right its answer is, in [0, 1]; empty where not every answer is graded.
        source: Who graded it.
    """

    id: str
    said: tuple[int, ...]
    costs: tuple[float, ...]
    grades: tuple[float, ...] = ()
    source: GradeSource | None = None


def profiled_call(record: Record, usual: Mapping[str, float]) -> ProfiledCall | None:
    """Return what a record says of all tiers; None where it is no profiled call, or not all of them answered.

    Args:
        record: The past call.
        usual: By tier, cheapest first, what an answer usually costs.
    """
    if not record.audited or any(name not in record.answered for name in usual):
        return None
    # An answer that cannot be compared has no number in the record. It differs from all others.
    unlike = len(usual)
    said = [record.said.get(name, unlike + place) for place, name in enumerate(usual)]
    costs = tuple(record.costs.get(name, cost) for name, cost in usual.items())
    grades, source = _grades(record, tuple(usual), said)
    return ProfiledCall(record.id, _in_order(said), costs, grades, source)


def _grades(record: Record, names: tuple[str, ...], said: list[int]) -> tuple[tuple[float, ...], GradeSource | None]:
    known, source = best_grades(record, names[-1])
    if source is None or source == "equality":
        return (), None
    by_answer = {number: known[name] for name, number in zip(names, said, strict=True) if name in known}
    # A missing answer is wrong, however it was graded, and the same answer is as right from another tier.
    grades = [
        0.0 if number < 0 else known.get(name, by_answer.get(number)) for name, number in zip(names, said, strict=True)
    ]
    complete = tuple(grade for grade in grades if grade is not None)
    return (complete, source) if len(complete) == len(names) else ((), None)


def _in_order(said: list[int]) -> tuple[int, ...]:
    """Number answers by their first appearance, so that the same pattern always has the same numbers."""
    numbers: dict[int, int] = {}
    return tuple(number if number < 0 else numbers.setdefault(number, len(numbers)) for number in said)


@dataclass(frozen=True)
class Profile:
    """What is known of a node. It is never changed, only replaced.

    Attributes:
        calls: The profiled calls, oldest first.
        count: Number of all calls of the node, profiled or not.
        spent: What these cost in US$.
        learning: What profiling cost in US$ beyond what the calls would have cost without it.
    """

    calls: tuple[ProfiledCall, ...] = ()
    count: int = 0
    spent: float = 0.0
    learning: float = 0.0

    def after(self, cost: float, call: ProfiledCall | None, instead: float) -> Profile:
        """Return the profile after one more call.

        Args:
            cost: What the call cost in US$.
            call: What it says of all tiers, or None.
            instead: What it would have cost without profiling it.
        """
        known = replace(self, count=self.count + 1, spent=self.spent + cost)
        if call is None:
            return known
        calls = (*self.calls, call)[-_KEPT:]
        return Profile(calls, known.count, known.spent, self.learning + max(cost - instead, 0.0))

    def revised(self, call: ProfiledCall) -> Profile:
        """Return the profile after what is known of one of its calls changed."""
        calls = tuple(call if old.id == call.id else old for old in self.calls)
        return Profile(calls, self.count, self.spent, self.learning)

    @cached_property
    def counted(self) -> tuple[ProfiledCall, ...]:
        """The profiled calls that count: the graded ones, where there are a few, else all."""
        graded = tuple(call for call in self.calls if call.grades)
        return graded if len(graded) >= _FEW else self.calls

    @property
    def source(self) -> GradeSource | None:
        """By whose grades the tiers are known; None: by their agreement alone."""
        sources = Counter(call.source for call in self.counted if call.source is not None)
        return sources.most_common(1)[0][0] if sources else None

    @cached_property
    def ladder_weights(self) -> NDArray[np.float64] | None:
        """How much each imagined ladder resembles the node's; None without profiled calls."""
        if not self.calls:
            return None
        ladders = imagined_ladders(len(self.calls[0].said))
        return ladders.weights(Counter(call.said for call in self.calls))

    @cached_property
    def better_than_top(self) -> int | None:
        """The position of a tier that seems to be right more often than the top tier, or None.

        By grades alone: without them a top tier that errs looks like hard queries.
        """
        # Until a few are graded, those that are stand among others that are not.
        if not self.counted or not all(call.grades for call in self.counted):
            return None
        right = np.array([call.grades for call in self.counted])
        ahead = right[:, :-1] - right[:, -1:]
        surely = ahead.mean(axis=0) - _STANDARD_ERRORS * ahead.std(axis=0) / np.sqrt(len(ahead))
        best = int(surely.argmax())
        return best if len(ahead) >= _MANY and surely[best] > 0 else None

    def right(self, tiers: int) -> NDArray[np.float64]:
        """Return how right each tier was on each call that counts, calls x tiers, in [0, 1]."""
        weights = self.ladder_weights
        if weights is None:
            return np.empty((0, tiers))
        ladders = imagined_ladders(tiers)
        ungraded = {call.said for call in self.counted if not call.grades}
        # Where right answers rarely coincide, as in free text, an answer unlike the top's may be as right as that.
        patterns = {
            said: _TRUST_IN_TOP * ladders.right_with_top(said, weights)
            + (1 - _TRUST_IN_TOP) * ladders.right(said, weights)
            for said in ungraded
        }
        return np.array([call.grades or patterns[call.said] for call in self.counted])


NO_PROFILE = Profile()

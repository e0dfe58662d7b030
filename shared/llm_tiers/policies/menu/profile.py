"""A node's profile: what its past calls show of all tiers, learned record by record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from llm_tiers.history.grades import SOURCES
from llm_tiers.policies.menu.pattern import in_order
from llm_tiers.policies.menu.weighing import RIGHT

if TYPE_CHECKING:
    from llm_tiers.agreement.imagined import ImaginedLadders, Told
    from llm_tiers.embedding.vector import Vector
    from llm_tiers.history.record import GradeSource, Record
    from llm_tiers.policies.menu.weighing import Stratum

__all__ = ["FIRST_CALLS", "NO_PROFILE", "UNASKED", "Profile", "ProfiledCall", "profiled_call"]

UNASKED = -2
"""Stands for the top tier's answer if the tier was not asked, because its answer was foreseen, or if it failed."""

_KEPT = 1_000
"""The number of profiled calls that are kept, newest first. Models and queries change, so older ones mislead; and they
bound the memory of a node."""

FIRST_CALLS = 100
"""Only so many calls of a node may draw on the credit for learning."""

_FEW, _FEW_COMPLETE = 8, 3
"""From this many graded calls on, of them so many that all tiers answered, calls without grades are left out: the two
kinds of evidence are not mixed, and grades are better."""

_TRUST_IN_BEST = 0.5
"""Without grades, the weight of "the best tier is right" in how right an answer is taken to be; the rest is what the
tiers' agreement shows. The first alone never doubts that tier; the second alone doubts a good one too often. The best
is the top tier, unless the user's `Tier(prior=)` says otherwise."""


@dataclass(frozen=True, slots=True)
class ProfiledCall:
    """A call that all tiers answered, or all but a top tier whose answer was foreseen.

    Attributes:
        id: Its trace id.
        said: A number for each tier, cheapest first: equal numbers are equal answers, -1 is no answer. The last is
            `UNASKED` if the top tier was not asked.
        costs: What each tier's answer cost in US$, or what one usually costs if that is not known.
        grades: How right the answer of each tier that was asked is, in [0, 1], None if it is not known; empty if
            nothing is.
        source: Who graded them.
        verdicts: What a judge said of each tier's answer, None where it left that open; empty if it was not asked about
            all answers below the top. Of the top tier's and of missing answers there is none.
        verdict_costs: What asking it cost, in US$; empty if it was not asked.
        partly: Whether answers are graded in part, or only because others that equal them are. Such calls are no sample
            of all: feedback on the returned answer grades all tiers exactly where they agree.
        vector: The query's embedding, or None.
    """

    id: str
    said: tuple[int, ...]
    costs: tuple[float, ...]
    grades: tuple[float | None, ...] = ()
    source: GradeSource | None = None
    partly: bool = False
    verdicts: tuple[bool | None, ...] = ()
    verdict_costs: tuple[float, ...] = ()
    vector: Vector | None = field(default=None, repr=False, compare=False)

    @property
    def is_complete(self) -> bool:
        """Whether the top tier was asked too."""
        return self.said[-1] != UNASKED

    @property
    def is_graded(self) -> bool:
        """Whether every answer is graded for itself."""
        return bool(self.grades) and not self.partly

    @property
    def told(self) -> Told:
        """What is known of each tier's answer, as the imagined ladders take it."""
        known = tuple(None if grade is None else grade >= RIGHT for grade in self.grades)
        return known and known + (None,) * (len(self.said) - len(known))


def profiled_call(record: Record, usual: Mapping[str, float]) -> ProfiledCall | None:
    """Return what a record says of all tiers; None unless it is a profiled call that all tiers below the top answered.

    Args:
        record: The past call.
        usual: Tier name, cheapest first, to what an answer usually costs.
    """
    *below, top = usual
    if not record.is_drawn or any(name not in record.answered for name in below):
        return None
    # An answer that cannot be compared has no number in the record. It differs from all others.
    unlike = len(usual)
    said = [record.said.get(name, unlike + place) for place, name in enumerate(usual)]
    costs = tuple(record.costs.get(name, cost) for name, cost in usual.items())
    # A top tier that failed counts as one that was not asked: what it would have said is as unknown.
    if top not in record.answered:
        grades, source, partly = _grades(record, tuple(below), said[:-1])
        pattern = (*in_order(said[:-1]), UNASKED)
    else:
        grades, source, partly = _grades(record, tuple(usual), said)
        pattern = in_order(said)
    verdicts, verdict_costs = _verdicts(record, tuple(usual))
    return ProfiledCall(record.id, pattern, costs, grades, source, partly, verdicts, verdict_costs, record.vector)


def _verdicts(record: Record, names: tuple[str, ...]) -> tuple[tuple[bool | None, ...], tuple[float, ...]]:
    """Return what a judge said of each answer and what that cost; nothing unless it was asked about all below the top.

    Of a judge that was asked and did not decide, a record has a cost and no verdict.
    """
    wanted = [name for name in names[:-1] if record.said.get(name, 0) >= 0]
    if not wanted or not all(name in record.verdict_costs for name in wanted):
        return (), ()
    verdicts = tuple(record.verdicts.get(name) for name in names)
    return verdicts, tuple(record.verdict_costs.get(name, 0.0) for name in names)


def _grades(
    record: Record, names: tuple[str, ...], said: list[int]
) -> tuple[tuple[float | None, ...], GradeSource | None, bool]:
    """Return the grades of the most trusted source that graded every answer, else of the most trusted one.

    Returns:
        A grade for each tier, or none; the source; and whether it graded in part.
    """
    partial: tuple[tuple[float | None, ...], GradeSource | None, bool] = ((), None, False)
    for source in SOURCES:
        known = record.grades.get(source)
        if not known:
            continue
        by_answer = {number: known[name] for name, number in zip(names, said, strict=True) if name in known}
        # A missing answer is wrong, however it was graded, and the same answer is as right from another tier.
        grades = tuple(
            0.0 if number < 0 else known.get(name, by_answer.get(number))
            for name, number in zip(names, said, strict=True)
        )
        # A grader leaves out answers that it has graded in another tier's words; users say nothing of most answers.
        for_itself = source != "feedback" or all(
            name in known for name, number in zip(names, said, strict=True) if number >= 0
        )
        if for_itself and None not in grades:
            return grades, source, False
        if not partial[0] and any(grade is not None for grade in grades):
            partial = (grades, source, True)
    return partial


@dataclass(frozen=True)
class Profile:
    """What is known of a node. Immutable: each call makes a new one.

    Attributes:
        calls: The profiled calls, oldest first.
        count: The number of all calls of the node, profiled or not.
        spent: What all calls cost, in US$.
        learning: What profiling cost beyond what the same calls would have cost without it, in US$.
        first_learning: What of `learning` was for the first `FIRST_CALLS` calls.
    """

    calls: tuple[ProfiledCall, ...] = ()
    count: int = 0
    spent: float = 0.0
    learning: float = 0.0
    first_learning: float = 0.0

    def after(self, cost: float, call: ProfiledCall | None, instead: float) -> Profile:
        """Return the profile after one more call.

        Args:
            cost: What the call cost in US$.
            call: What it says of all tiers, or None.
            instead: What it would have cost if it had not been profiled, in US$.
        """
        learned = 0.0 if call is None else max(cost - instead, 0.0)
        return Profile(
            self.calls if call is None else (*self.calls, call)[-_KEPT:],
            self.count + 1,
            self.spent + cost,
            self.learning + learned,
            self.first_learning + (learned if self.count < FIRST_CALLS else 0.0),
        )

    def revised(self, call: ProfiledCall) -> Profile:
        """Return the profile after one of its calls was graded."""
        calls = tuple(call if old.id == call.id else old for old in self.calls)
        return replace(self, calls=calls)

    @cached_property
    def is_graded(self) -> bool:
        """Whether all calls are graded, or enough to leave out those that are not."""
        graded = [call for call in self.calls if call.is_graded]
        enough = len(graded) >= _FEW and sum(call.is_complete for call in graded) >= _FEW_COMPLETE
        return enough or (bool(graded) and len(graded) == len(self.calls))

    @cached_property
    def counted(self) -> tuple[ProfiledCall, ...]:
        """The calls that all tiers answered and that are used: the graded ones if there are a few, else all."""
        return tuple(call for call in self.calls if call.is_complete and (call.is_graded or not self.is_graded))

    @cached_property
    def coinciding(self) -> float:
        """The share of the `counted` calls on which a cheaper tier gave the top tier's answer; 0 if there are none."""
        return sum(call.said[-1] in call.said[:-1] for call in self.counted) / max(len(self.counted), 1)

    @cached_property
    def spared(self) -> Mapping[Stratum, float]:
        """The number of calls without an answer of the top tier, by what those below said and who of them was right.

        Who was right is empty where that is not known.
        """
        complete = sum(call.is_complete for call in self.calls)
        # Of calls that all tiers answered only the graded ones are used, so only as large a part of these counts.
        share = len(self.counted) / complete if complete else 1.0
        spared = [call for call in self.calls if not call.is_complete]
        alike = Counter(call.said[:-1] for call in spared)
        found = Counter(self.stratum_of(call) for call in spared if call.is_graded or not self.is_graded)
        known = Counter(said for said, _ in found.elements())
        # A grader that compares answers with the top tier's cannot grade a call without one.
        silent = {(said, ()): share * number for said, number in alike.items() if said not in known}
        return {key: share * alike[key[0]] * number / known[key[0]] for key, number in found.items()} | silent

    def stratum_of(self, call: ProfiledCall) -> Stratum:
        """Return what the tiers below the top said on a call, and who of them was right; empty if it is not known."""
        knows = self.is_graded and call.is_graded
        return call.said[:-1], tuple(bool(right) for right in call.told[: len(call.said) - 1]) if knows else ()

    @cached_property
    def source(self) -> GradeSource | None:
        """Who graded most of the calls; None if nobody did, so that the tiers are known by their agreement alone."""
        sources = Counter(call.source for call in self.calls if call.source is not None)
        return sources.most_common(1)[0][0] if sources else None

    def right(self, ladders: ImaginedLadders) -> NDArray[np.float64]:
        """Return how right each tier was on each call of `counted`, calls x tiers, in [0, 1].

        Args:
            ladders: How the tiers may be; where nothing is graded, these say who is probably right.
        """
        if not self.counted:
            return np.empty((0, ladders.tiers))
        ungraded = {(call.said, call.told) for call in self.counted if not call.is_graded}
        weights = ladders.weights(Counter((call.said, call.told) for call in self.calls)) if ungraded else None
        patterns = {
            (said, told): _probably_right(ladders, said, told, weights)
            for said, told in ungraded
            if weights is not None
        }
        return np.array([_right(call, patterns) for call in self.counted])


def _probably_right(
    ladders: ImaginedLadders, said: tuple[int, ...], told: Told, weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return how right each tier probably is on a call that is not graded, or not wholly."""
    right = ladders.right(said, weights, told)
    if told and told[ladders.best] is not None:
        return right
    # Conditional on the best tier being right, not "equal to the best": if right answers rarely coincide, as in free
    # text, one that differs from it may be as right.
    return _TRUST_IN_BEST * ladders.right_with_best(said, weights, told) + (1 - _TRUST_IN_BEST) * right


def _right(call: ProfiledCall, patterns: Mapping[tuple[tuple[int, ...], Told], NDArray[np.float64]]) -> list[float]:
    """Return how right each tier is on a call: by its grade, else by what is probable."""
    guessed = patterns.get((call.said, call.told), [0.0] * len(call.said))
    known = call.grades or (None,) * len(call.said)
    return [float(guess) if grade is None else grade for grade, guess in zip(known, guessed, strict=True)]


NO_PROFILE = Profile()

"""The study by which a history makes a node's standing from its records."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from llm_tiers.history.grades import SOURCES, equal_to_top, shared_grades
from llm_tiers.policies.guarantee.forecast import forecast
from llm_tiers.policies.guarantee.packing import packed, unpacked
from llm_tiers.policies.guarantee.standing import Evidence, Promise, Standing
from llm_tiers.policies.menu import Judged, menu_of, profiled, replayed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llm_tiers.history.packed import Packed
    from llm_tiers.history.record import GradeSource, Record
    from llm_tiers.policies.menu import Replayed, Rule

__all__ = ["Measure", "StandingOf"]

Measure: TypeAlias = Literal["equality", "grade", "feedback"]


_RECONSIDERED = 100
"""Calls after which it is checked again whether profiling pays, if it did not at first."""


@dataclass(frozen=True)
class StandingOf:
    """Makes the standing of one node from all its records, and corrects it when grades come later.

    Attributes:
        ladder: Names of the tiers, cheapest first.
        listed: By tier, what a usual answer costs by the price list; used for answers whose cost is unknown.
        promise: The promise.
        of: What counts as worse: another answer than the top tier's, a lower grade than its, or another answer unless
            feedback says that the top tier's was wrong.
        node: The node; records of the nodes below it are not its own.
        judged: Whether there are rules that need a judge's verdicts.
    """

    ladder: tuple[str, ...]
    listed: tuple[float, ...]
    promise: Promise
    of: Measure
    node: str
    judged: bool = False

    @cached_property
    def menu(self) -> tuple[Rule, ...]:
        """The rules to choose from, the top tier alone last."""
        return menu_of(self.ladder, judged=self.judged)

    def start(self) -> Standing:
        """Return the standing of a node without calls."""
        ahead = forecast(self.listed, len(self.menu), self.promise)
        judged = tuple(place for place, rule in enumerate(self.menu) if isinstance(rule, Judged))
        return replace(Standing.at_start(self.promise, len(self.menu), judged), profiles=ahead.pays)

    def learn(self, result: Standing, record: Record) -> Standing:
        """Return the standing after one more call."""
        if record.node != self.node:
            return result
        after = result.after_call(self.evidence(record), record.created, profiled=record.audited)
        # Without `expected_calls`, as many more calls are expected as there were, so what did not pay may pay now.
        waits = not after.profiles and after.profiled == 0 and self.promise.expected_calls is None
        if waits and after.seen % _RECONSIDERED == 0:
            ahead = forecast(self.listed, len(self.menu), self.promise, seen=after.seen)
            return replace(after, profiles=ahead.pays)
        return after

    def revise(self, result: Standing, before: Record, after: Record) -> Standing:
        """Return the standing after the grades of a call changed, which may have come long after it."""
        # Grades of calls before the last withdrawal no longer count: the evidence began anew after it.
        if after.node != self.node or after.created <= result.began:
            return result
        # Most revisions change labels or another source's grades, which leaves the evidence as it is.
        old, new = self.evidence(before), self.evidence(after)
        if old is not None and new is not None and np.array_equal(old.losses, new.losses) and old.source == new.source:
            return result
        if old is not None:
            result = result.with_evidence(old, times=-1)
        elif new is not None:
            result = replace(result, ungraded=result.ungraded - 1)
        return result if new is None else result.with_evidence(new)

    def identity(self) -> str:
        """Return which study it is; the number goes up with what `learn` and `revise` do."""
        return f"guarantee 1 {self!r}"

    def pack(self, result: Standing) -> Packed | None:
        """Return a standing as it is kept."""
        return packed(result)

    def unpack(self, packed: Packed) -> Standing:
        """Return the standing that was packed; where something else was, one of `REFUSALS` is raised."""
        return unpacked(packed, self.start())

    def evidence(self, record: Record) -> Evidence | None:
        """Return what a record shows of every rule; None if a tier did not answer or the grades are not known."""
        top = self.ladder[-1]
        if not record.audited or record.said.get(top, -1) < 0:
            return None
        call = profiled(record)
        # For a judge that was asked and did not decide, the record has a cost but no verdict; None stands for that.
        call = replace(call, verdicts={name: call.verdicts.get(name) for name in call.verdict_costs})
        found = [replayed(rule, call) for rule in self.menu]
        grades, source = self._grades(record)
        if source is None:
            return None
        asking = sum(self._cost_of(name, record) for name in self.ladder)
        losses, costs = np.ones(len(found)), np.full(len(found), asking)
        for place, (rule, one) in enumerate(zip(self.menu, found, strict=True)):
            # A rule whose verdict was not asked for counts as worse and as dear as possible: the bound stays valid.
            if one is None and isinstance(rule, Judged) and all(name in call.said for name in rule.tiers):
                continue
            if one is None or one.accepted not in grades:
                return None
            losses[place], costs[place] = grades[top] - grades[one.accepted], self._cost(one, record)
        judging = sum(record.verdict_costs.values()) if self.judged else 0.0
        return Evidence(losses, costs, asking, source, judging)

    def _grades(self, record: Record) -> tuple[Mapping[str, float], GradeSource | None]:
        if self.of == "grade":
            return self._graded(record)
        top = self.ladder[-1]
        # A tier whose answer cannot be compared counts as another answer.
        equal = {**dict.fromkeys(record.answered, 0.0), **equal_to_top(record, top), top: 1.0}
        if self.of == "equality":
            return equal, "equality"
        given = record.grades.get("feedback", {})
        # Where feedback is silent, the loss must not come out too small: the top tier's answer counts as right, and
        # other answers as wrong. So the proof does not depend on which calls users choose to comment on.
        of_top = given.get(top, 1.0)
        known = {tier: given.get(tier, of_top * same) for tier, same in equal.items()}
        return {**known, top: of_top}, "feedback" if given else "equality"

    def _graded(self, record: Record) -> tuple[Mapping[str, float], GradeSource | None]:
        """Return the grades of the best source that graded all answers."""
        for source in SOURCES:
            given = record.grades.get(source, {})
            # A missing answer needs no grader: it is wrong.
            missing = {tier: 0.0 for tier, number in record.said.items() if number < 0}
            grades = missing | shared_grades(record, given)
            if given and all(tier in grades for tier in record.answered):
                return grades, source
        return {}, None

    def _cost(self, one: Replayed, record: Record) -> float:
        verdicts = sum(record.verdict_costs.get(name, 0.0) for name in one.judged)
        return verdicts + sum(self._cost_of(name, record) for name in one.asked)

    def _cost_of(self, name: str, record: Record) -> float:
        place = self.ladder.index(name)
        known = {tier: cost for tier, cost in record.costs.items() if tier in self.ladder}
        if name in known or not known:
            return known.get(name, self.listed[place])
        # The listed costs may be in any unit; the costs that are known give their value on this call. The tiers whose
        # costs are known may all be free: then nothing can be said of the unit, and the listed cost stands for itself.
        of_known = sum(self.listed[self.ladder.index(tier)] for tier in known)
        return self.listed[place] * (sum(known.values()) / of_known if of_known else 1.0)

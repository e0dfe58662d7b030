"""What a history is asked to make of a node's records: its standing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from llm_tiers.history.grades import SOURCES, equal_to_top, shared_grades
from llm_tiers.policies.guarantee.forecast import forecast
from llm_tiers.policies.guarantee.standing import Evidence, Promise, Standing
from llm_tiers.policies.menu import Judged, menu_of, profiled, replayed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llm_tiers.history.record import GradeSource, Record
    from llm_tiers.policies.menu import Replayed, Rule

__all__ = ["Measure", "StandingOf"]

Measure: TypeAlias = Literal["equality", "grade", "feedback"]


_RECONSIDERED = 100
"""Calls after which it is asked anew whether profiling pays, where it did not at first."""


@dataclass(frozen=True)
class StandingOf:
    """Makes the standing of one node of all its records, and learns anew where grades come later.

    Attributes:
        ladder: Names of the tiers, cheapest first.
        listed: By tier, what a usual answer costs by the price list: for answers whose cost is unknown.
        promise: What is to be kept.
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
        # More calls are expected the more there were, so what did not pay at first may pay now.
        waits = not after.profiles and after.profiled == 0 and self.promise.expected_calls is None
        if waits and after.seen % _RECONSIDERED == 0:
            ahead = forecast(self.listed, len(self.menu), self.promise, seen=after.seen)
            return replace(after, profiles=ahead.pays)
        return after

    def revise(self, result: Standing, before: Record, after: Record) -> Standing:
        """Return the standing after the grades of a call changed, which may have come long after it."""
        # Evidence begins after the call at which the last certificate was withdrawn.
        if after.node != self.node or after.created <= result.began:
            return result
        old, new = self.evidence(before), self.evidence(after)
        if old is not None and new is not None and np.array_equal(old.losses, new.losses) and old.source == new.source:
            return result
        if old is not None:
            result = result.with_evidence(old, times=-1)
        elif new is not None:
            result = replace(result, ungraded=result.ungraded - 1)
        return result if new is None else result.with_evidence(new)

    def evidence(self, record: Record) -> Evidence | None:
        """Return what a record shows of every rule; None where not all tiers answered or the grades are not known."""
        top = self.ladder[-1]
        if not record.audited or record.said.get(top, -1) < 0:
            return None
        call = profiled(record)
        # Of a judge that was asked and did not decide the record has the cost alone.
        call = replace(call, verdicts={name: call.verdicts.get(name) for name in call.verdict_costs})
        found = [replayed(rule, call) for rule in self.menu]
        grades, source = self._grades(record)
        if source is None:
            return None
        asking = sum(self._cost_of(name, record) for name in self.ladder)
        losses, costs = np.ones(len(found)), np.full(len(found), asking)
        for place, (rule, one) in enumerate(zip(self.menu, found, strict=True)):
            # A rule whose verdict was not asked for counts as worse, which proves nothing wrong.
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
        # What nobody spoke of counts such that the loss is never too small: the top tier's answer as right, another one
        # as wrong. So it does not matter for the proof on which calls feedback is given.
        of_top = given.get(top, 1.0)
        known = {tier: given.get(tier, of_top * same) for tier, same in equal.items()}
        return {**known, top: of_top}, "feedback" if given else "equality"

    def _graded(self, record: Record) -> tuple[Mapping[str, float], GradeSource | None]:
        """Return the grades of the best source that graded all answers."""
        for source in SOURCES:
            given = record.grades.get(source, {})
            # A missing answer is wrong.
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
        # The listed costs may be in any unit; the known ones give their value on this call.
        scale = sum(known.values()) / sum(self.listed[self.ladder.index(tier)] for tier in known)
        return self.listed[place] * scale

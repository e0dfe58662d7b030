"""What is proved at a node, and what follows from it: to profile, or to answer by the proved mixture and audit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from llm_tiers.policies.guarantee.bets import LOSSES, Floats, tally
from llm_tiers.policies.guarantee.drift import CALM, RARELY, after_audit, share_beside_top, share_of_audits, suspicion
from llm_tiers.policies.guarantee.worth import look, verdicts_pay

if TYPE_CHECKING:
    from llm_tiers.history.record import GradeSource

__all__ = ["EVERY", "FIRST", "GROWTH", "Evidence", "Mixture", "Promise", "Standing", "needs_audits"]

EVERY = 10
"""Calls between two looks: one takes half a millisecond, and a restart goes through all calls again."""

FIRST = 10
"""Profiled calls before the first look."""

GROWTH = 1.1
"""The factor by which the evidence must have grown before the next look: a tenth more changes little."""

_STARVED, _STARVED_AFTER = 0.01, 100
"""The share of calls that is profiled if more than this many profiled calls brought no grades."""

_UNKNOWN_FUTURE = 500
"""The fewest calls that are expected if the user does not say how many. Otherwise a new node would expect none, and
never be profiled."""


@dataclass(frozen=True, slots=True)
class Promise:
    """What is promised, and for how many calls.

    Attributes:
        delta: Share of calls on which the answers may be worse than the top tier's.
        alpha: The chance that a certificate is wrong.
        expected_calls: How many calls the node is expected to have; None: as many more as it has had.
        makes_up: Whether an answer that is better than the top tier's makes up for a worse one.
    """

    delta: float
    alpha: float
    expected_calls: int | None = None
    makes_up: bool = False

    def left(self, seen: int) -> float:
        """Return how many calls are still expected."""
        if self.expected_calls is None:
            return float(max(seen, _UNKNOWN_FUTURE))
        return float(max(self.expected_calls - seen, 0))


@dataclass(frozen=True, slots=True)
class Mixture:
    """Which rules answer, by their positions in the menu.

    Attributes:
        one: A rule.
        other: Another rule.
        share: Share of the calls that the other one answers.
    """

    one: int
    other: int
    share: float

    def of(self, values: Floats) -> float:
        """Return the mean over the mixture of a value that is given for each rule."""
        return float(values[self.one] * (1 - self.share) + values[self.other] * self.share)

    def shares(self) -> Mapping[int, float]:
        """Return each rule's share of the calls; rules without one are left out."""
        if self.one == self.other:
            return {self.one: 1.0}
        shares = {self.one: 1 - self.share, self.other: self.share}
        return {rule: share for rule, share in shares.items() if share > 0}


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What a profiled call shows of every rule of the menu.

    Attributes:
        losses: By rule, how much worse than the top tier it would have been, in [-1, 1].
        costs: By rule, what it would have cost.
        asking: What asking all tiers cost.
        source: The source of the grades.
        judging: What verdicts on the answers cost.
    """

    losses: Floats
    costs: Floats
    asking: float
    source: GradeSource
    judging: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Standing:
    """What is known and decided at a node. It follows from the node's records alone, so it is the same after a restart.

    Attributes:
        promise: The promise.
        counts: By rule, how often it had each loss, since the evidence began.
        costs: By rule, what it would have cost on all profiled calls together.
        asking: What asking all tiers cost on these calls.
        sources: How many of the profiled calls each source graded.
        seen: Calls of the node so far.
        profiled: Profiled calls since the evidence began.
        ungraded: Calls that were profiled but show nothing, such as those whose grades have not come.
        looked: How many profiled calls there were at the last look.
        looked_at_call: `seen` at the last look.
        profiles: Whether every call is profiled.
        more: How many more profiled calls are expected to pay.
        mixture: Which rules answer.
        suspects: The wealth of the bets that what was proved no longer holds.
        began: When the evidence began, in seconds since 1970.
        since: When what now holds was proved; None: nothing cheaper than the top tier is proved.
        withdrawals: How often what was proved was withdrawn.
        withdrawn_at: `seen` at the last withdrawal.
        judged: Positions of the rules that need verdicts.
        judges: Whether verdicts are asked for on profiled calls.
        judging: What verdicts cost on the profiled calls.
    """

    promise: Promise
    counts: Floats
    costs: Floats
    mixture: Mixture
    asking: float = 0.0
    sources: Mapping[GradeSource, int] = field(default_factory=dict)
    seen: int = 0
    profiled: int = 0
    ungraded: int = 0
    looked: int = 0
    looked_at_call: int = 0
    profiles: bool = True
    more: int = FIRST
    suspects: Floats = field(default_factory=CALM.copy)
    began: float = float("-inf")
    since: float | None = None
    withdrawals: int = 0
    withdrawn_at: int | None = None
    judged: tuple[int, ...] = ()
    judges: bool = False
    judging: float = 0.0

    @classmethod
    def at_start(cls, promise: Promise, rules: int, judged: tuple[int, ...] = ()) -> Standing:
        """Return the standing of a node without calls.

        Args:
            promise: The promise.
            rules: Number of rules in the menu; the last is the top tier alone.
            judged: Positions of the rules that need verdicts.
        """
        counts, costs, top = np.zeros((rules, len(LOSSES))), np.zeros(rules), rules - 1
        return cls(promise, counts, costs, Mixture(top, top, 0.0), judged=judged, judges=bool(judged))

    @property
    def top(self) -> int:
        """Position of the top tier's rule."""
        return len(self.costs) - 1

    @property
    def proved(self) -> bool:
        """Whether something cheaper than the top tier is proved."""
        return set(self.mixture.shares()) != {self.top}

    def rule_for(self, draw: float) -> int:
        """Return the rule that the mixture draws for a call.

        Args:
            draw: A random number of the call, in [0, 1).
        """
        return self.mixture.other if draw < self.mixture.share else self.mixture.one

    def chance_of(self, rule: int) -> float:
        """Return the chance that the mixture draws `rule` for a call, in [0, 1]."""
        return self.mixture.shares().get(rule, 0.0)

    @property
    def all_asked(self) -> float:
        """The chance that the next call is profiled, whichever rule is drawn, in [0, 1]."""
        return sum(share * self.audit_share(rule) for rule, share in self.mixture.shares().items())

    def audit_share(self, rule: int) -> float:
        """Return the chance that the next call is profiled, if the mixture draws `rule` for it."""
        if self.profiles:
            # If nobody grades, profiling of every call would never end. A few calls still show when grades begin to
            # come.
            return _STARVED if self.ungraded > _STARVED_AFTER + self.profiled else 1.0
        if not needs_audits(self.mixture, self.top, self.promise.delta):
            return 0.0
        if rule != self.top:
            return float(share_of_audits(self.suspects))
        return float(share_beside_top(self.suspects, np.asarray(self.asking), np.asarray(self.costs[self.top])))

    def after_call(self, evidence: Evidence | None, ended: float, *, profiled: bool = True) -> Standing:
        """Return the standing after one more call, with its evidence if it was profiled and graded."""
        after = replace(self, seen=self.seen + 1)
        if evidence is not None:
            after = after.with_evidence(evidence)
        elif profiled:
            after = replace(after, ungraded=after.ungraded + 1)
        return after if after.seen % EVERY else after.looked_at(ended)

    def with_evidence(self, evidence: Evidence, *, times: int = 1) -> Standing:
        """Return the standing with the evidence of one more call; `times=-1` takes it out again."""
        suspects = self.suspects
        # Only audits are bet on, each once. While every call is profiled the top tier answers, so there is nothing to
        # audit; and a grade that is taken out or replaced does not undo a bet.
        if times == 1 and self.proved and not self.profiles:
            loss = np.asarray(self.mixture.of(evidence.losses))
            least = -_share_below_top(self.mixture, self.top) if self.promise.makes_up else 0.0
            suspects = after_audit(suspects, loss, self.promise.delta, least)
        return replace(
            self,
            counts=self.counts + times * tally(evidence.losses[None]),
            costs=self.costs + times * evidence.costs,
            asking=self.asking + times * evidence.asking,
            judging=self.judging + times * evidence.judging,
            sources={**self.sources, evidence.source: self.sources.get(evidence.source, 0) + times},
            profiled=self.profiled + times,
            suspects=suspects,
        )

    def looked_at(self, now: float) -> Standing:
        """Return the standing after a look: a fresh one if audits show drift, else with what is proved by now.

        Args:
            now: When the call ended at which the look takes place, in seconds since 1970.
        """
        # Everything is forgotten, since it is not known how much of the evidence is from before the change.
        if float(suspicion(self.suspects)) > RARELY:
            fresh = Standing.at_start(self.promise, len(self.costs), self.judged)
            return replace(fresh, seen=self.seen, began=now, withdrawals=self.withdrawals + 1, withdrawn_at=self.seen)
        if not self._is_due():
            return self
        number = float(self.profiled)
        counts, costs = self.counts[None], self.costs[None] / number
        # Once verdicts are no longer asked for, the rules that need them count as worse, so this never changes back.
        judges = self.judges and bool(verdicts_pay(counts, costs, self.judged, self.promise.delta)[0])
        found = look(
            counts,
            costs,
            np.array([(self.asking + judges * self.judging) / number]),
            np.array([self.promise.left(self.seen)]),
            delta=self.promise.delta,
            alpha=self.promise.alpha,
        )
        one, other, share, _ = found.mixtures.at(0)
        after = replace(
            self,
            looked=self.profiled,
            looked_at_call=self.seen,
            mixture=Mixture(int(one), int(other), float(share)),
            profiles=bool(found.more[0] > 0),
            more=int(found.more[0]),
            judges=judges,
        )
        return replace(after, since=(self.since or now) if after.proved else None)

    def _is_due(self) -> bool:
        if self.profiled < FIRST:
            return False
        # Without `expected_calls`, as many more calls are expected as there were, so that the same evidence may now
        # pay.
        longer = self.promise.expected_calls is None and self.seen >= 2 * self.looked_at_call
        return longer or self.profiled >= max(self.looked + EVERY, GROWTH * self.looked)


def needs_audits(mixture: Mixture, top: int, delta: float) -> bool:
    """Say whether the promise can be broken at all: not if so few calls leave the top tier that all may be wrong."""
    # A little more than `delta`, for the share may come out a rounding error above it.
    return _share_below_top(mixture, top) > delta * (1 + 1e-4)


def _share_below_top(mixture: Mixture, top: int) -> float:
    """Return the share of the calls that another rule than the top tier answers."""
    return sum(share for rule, share in mixture.shares().items() if rule != top)

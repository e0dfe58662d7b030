"""Where the calls stand between cost and right answers: the rules of the menu, replayed on the profiled calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from llm_tiers.policies.menu.known import ProfileOf
from llm_tiers.policies.menu.outcomes import outcome_of, rules_of
from llm_tiers.telling.share import Share, Z

if TYPE_CHECKING:
    from llm_tiers.history.record import GradeSource, Record
    from llm_tiers.policies.menu.rule import Rule
    from llm_tiers.report.ladder import SeenLadder

__all__ = ["Frontier", "Place", "Sample", "frontier_of", "sample_of"]

FEWEST = 10
"""Calls that all tiers answered, below which a node's rules are not shown."""

_MOST_TIERS = 8
"""A ladder of eight has 135 rules; a longer one is not replayed."""

_NEWEST = 1_500
_PRICE = 0.04


@dataclass(frozen=True, slots=True)
class Place:
    """What a rule, or the traffic itself, costs and how often it is right.

    Attributes:
        name: The rule's name; a single tier's is its own.
        cost: US$ per call.
        right: How often its answers are right.
        single: Whether it is one tier alone.
        best: Whether nothing else is both cheaper and right more often.
    """

    name: str
    cost: float
    right: Share
    single: bool = False
    best: bool = False


@dataclass(frozen=True)
class Frontier:
    """The rules and "you are here".

    Attributes:
        rules: Every rule of the menu, cheapest first.
        here: What the calls really cost, learning included, and how often the answers are right that they return, or
            would have returned had they not been drawn by lot.
        ahead: How much more often the answers are right than the top tier's; below 0 less often.
        ahead_low: Lower end of its 90% interval.
        ahead_high: Upper end of it.
        calls: How many calls that all tiers answered this rests on.
        share: Share of all calls that belong to the nodes that it covers.
        graded: Share of the covered calls that belong to nodes with grades; at the others the tiers' agreement says how
            right they probably are.
        source: Who graded most of these calls; None where nobody did.
    """

    rules: tuple[Place, ...]
    here: Place
    ahead: float
    ahead_low: float
    ahead_high: float
    calls: int
    share: float
    graded: float
    source: GradeSource | None

    def alone(self, tier: str) -> Place | None:
        """Return the place of one tier alone."""
        return next((rule for rule in self.rules if rule.name == tier), None)

    @property
    def best_single(self) -> Place:
        """The tier that is right most often alone; of several the cheapest."""
        return max((rule for rule in self.rules if rule.single), key=lambda rule: (rule.right.value, -rule.cost))


@dataclass(frozen=True, eq=False)
class Sample:
    """What the profiled calls of one node show.

    Attributes:
        right: By rule, how often it was right.
        cost: By rule, what it cost per call, in US$.
        served: How often the answers are right that the policy chose.
        spent: What the node's calls cost on average since the first of them, in US$.
        ahead: The mean of how much more right the served answer was than the top tier's, on each call.
        ahead_variance: The variance of that mean.
        calls: How many profiled calls.
        effective: As many calls as would show as much if each counted the same.
        traffic: How many calls the node has had.
        source: Who graded most of them; None where too few were graded to count those alone.
    """

    right: NDArray[np.float64]
    cost: NDArray[np.float64]
    served: float
    spent: float
    ahead: float
    ahead_variance: float
    calls: int
    effective: float
    traffic: int
    source: GradeSource | None


def sample_of(records: Sequence[Record], ladder: SeenLadder) -> Sample | None:
    """Return what a node's profiled calls show; None where there are too few that all tiers answered.

    Args:
        records: The node's calls, oldest first.
        ladder: Its tiers.
    """
    names = ladder.names
    if not 1 < len(names) <= _MOST_TIERS:
        return None
    usual = tuple((name, ladder.usual_at(records[0].node, name) or 0.0) for name in names) if records else ()
    study = ProfileOf(usual)
    known = study.start()
    drawn = [record for record in records if record.is_drawn][-_NEWEST:]
    for record in drawn:
        known = study.learn(known, record)
    counted = known.profile.counted
    if len(counted) < FEWEST:
        return None
    # The price decides which rule is chosen, which is not asked for here; how often rules are right does not depend on
    # it.
    evidence = known.choice(_PRICE).evidence
    if evidence is None:
        return None
    counts = evidence.counts
    costs = np.array([call.costs for call in counted])
    asked = np.einsum("crt,ct->cr", evidence.seen.asked, costs)
    by_id = {record.id: record for record in drawn}
    rules = {rule.name: rule for rule in rules_of(names)}
    served = np.array(
        [
            evidence.seen.by_tier[row, _served(by_id[call.id], call.said, rules, names)]
            for row, call in enumerate(counted)
        ]
    )
    ahead = served - evidence.seen.by_tier[:, -1]
    effective = float(counts.sum() ** 2 / (counts**2).sum())
    mean = float(np.average(ahead, weights=counts))
    # One call is added to each side, or a sample without a difference would promise that there never is one.
    spread = (float(np.average((ahead - mean) ** 2, weights=counts)) * effective + 1.0) / (effective + 2)
    return Sample(
        right=np.average(evidence.seen.right, axis=0, weights=counts),
        cost=np.average(asked, axis=0, weights=counts),
        served=float(np.average(served, weights=counts)),
        spent=_mean_cost(records, by_id[counted[0].id].created),
        ahead=mean,
        ahead_variance=spread / effective,
        calls=len(counted),
        effective=effective,
        traffic=len(records),
        # Feedback on single answers is no sample of all calls, and does not make a node a graded one.
        source=known.profile.source if known.profile.is_graded else None,
    )


def _served(record: Record, said: tuple[int, ...], rules: Mapping[str, Rule], names: tuple[str, ...]) -> int:
    """Return the position of the tier whose answer the policy chose, or would have if lots had not been drawn."""
    # On a call that was only observed the rule is what tiering would have done.
    rule = None if record.planned is not None else rules.get(record.rule or "")
    if rule is not None:
        return outcome_of(rule, said)[0]
    return names.index(record.final) if record.final in names else len(names) - 1


def _mean_cost(records: Sequence[Record], since: float) -> float:
    costs = [
        record.cost_usd + (record.grading_usd or 0.0)
        for record in records
        if record.created >= since and record.cost_usd is not None
    ]
    return sum(costs) / len(costs) if costs else 0.0


def frontier_of(samples: Mapping[str, Sample], ladder: SeenLadder, calls: int) -> Frontier | None:
    """Put the nodes' samples together, each as much as it has calls; None where there are none.

    Args:
        samples: Node to its sample.
        ladder: The tiers.
        calls: How many calls there are in all.
    """
    if not samples:
        return None
    found = list(samples.values())
    weights = np.array([sample.traffic for sample in found], dtype=np.float64)
    weights /= weights.sum()
    right, cost = (weights @ np.array([getattr(one, name) for one in found]) for name in ("right", "cost"))
    # Of a weighted mean of means; nodes with few profiled calls and much traffic make it less certain.
    effective = float(1 / (weights**2 / np.array([one.effective for one in found])).sum())
    ahead = float(weights @ np.array([one.ahead for one in found]))
    error = Z * float(np.sqrt(weights**2 @ np.array([one.ahead_variance for one in found])))
    best = _undominated(cost, right)
    rules = [
        Place(
            rule.name, float(cost[place]), Share(float(right[place]), effective), rule.name in ladder.names, best[place]
        )
        for place, rule in enumerate(rules_of(ladder.names))
    ]
    served = Share(float(weights @ np.array([one.served for one in found])), effective)
    most = max(found, key=lambda one: one.calls if one.source is not None else 0)
    return Frontier(
        rules=tuple(sorted(rules, key=lambda rule: (rule.cost, -rule.right.value))),
        here=Place("you are here", float(weights @ np.array([one.spent for one in found])), served),
        ahead=ahead,
        ahead_low=ahead - error,
        ahead_high=ahead + error,
        calls=sum(one.calls for one in found),
        share=sum(one.traffic for one in found) / calls,
        graded=float(weights @ np.array([one.source is not None for one in found])),
        source=most.source,
    )


def _undominated(cost: NDArray[np.float64], right: NDArray[np.float64]) -> list[bool]:
    best, found = -1.0, [False] * len(cost)
    for place in np.lexsort((-right, cost)).tolist():
        if right[place] > best + 1e-9:
            best, found[place] = float(right[place]), True
    return found

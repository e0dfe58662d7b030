"""What each rule of the menu is worth at a node, and what it is worth to profile more calls before one is chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from llm_tiers.agreement.imagined import imagined_ladders
from llm_tiers.embedding.vector import Vector
from llm_tiers.policies.menu.backed import Backed
from llm_tiers.policies.menu.nearby import ALIKE, Nearby, first_best
from llm_tiers.policies.menu.outcomes import Calls, imagined_calls, replay, rules_of
from llm_tiers.policies.menu.profile import Profile
from llm_tiers.policies.menu.profiling import ASKED_SHARE, NOTHING_FORESEEN, Foreseen, foreseen_in
from llm_tiers.policies.menu.rule import Judged, Rule
from llm_tiers.policies.menu.saving import Saving, saving_of
from llm_tiers.policies.menu.top import as_good_as_top, better_than_top
from llm_tiers.policies.menu.verdicts import costs_of_verdicts, filled, wants_verdicts
from llm_tiers.policies.menu.weighing import Stratum, Weighing, weigh

__all__ = ["IMAGINED_CALLS", "Choice", "Evidence", "choose"]

IMAGINED_CALLS = 6.0
"""A node starts as if this many calls, to imagined ladders, had been profiled. Without them the first few calls would
decide; from some fifty on they hardly matter."""

_LEAST_PRICE = 0.02
"""What an answer of the top tier counts for at least when profiling is weighed, in probability of a right answer; about
the price at `quality=0.65`. With a price near 0 every call would be profiled, for gains that no user would notice."""

_AS_DEAR, _NEVER = 1.02, 10.0
"""A rule that costs more than this much of the top tier alone is never chosen; worth lies in [-1, 1]."""

_LEAST_COST = 1e-100
"""Stands for a cost of 0 in divisions: a model may be free. The square of what is divided by it is still a number."""


@dataclass(frozen=True)
class Choice:
    """Which rule answers a node's calls, and how certain that choice is.

    Attributes:
        rules: The menu.
        rule: The rule that is worth most.
        surest: The rule that is right most often, at any cost, of those that need no verdict.
        saving: What profiling more calls is expected to save.
        profile: What this is based on. Calls that were not profiled since are not counted in it.
        weight: The number of calls that this is based on, including the imagined ones.
        asking: What profiling a call costs, in probability of a right answer.
        top_cost: What a usual answer of the top tier costs, in US$.
        all_cost: What usual answers of all tiers cost together, in US$, and the verdicts on them that are wanted.
        rule_cost: What a call costs by the rule, in US$.
        estimates: Tier name to its probability of a right answer.
        foreseen: When the top tier's answer is foreseen.
        evidence: How often each rule was right, by the tiers that it asked.
        nearby: What each rule is worth for queries like those of the profiled calls.
        better_than_top: Name of a tier that, by grades, seems to be right more often than the top tier, or None.
        as_good_as_top: Name of a tier that may be as good as the top tier for all that is known without grades, or
            None. Only grades could tell: without them, a top tier that errs looks like one that answers hard queries.
        wants_verdicts: Whether the judge is asked about the answers to profiled calls.
    """

    rules: tuple[Rule, ...] = field(repr=False)
    rule: Rule
    surest: Rule
    saving: Saving = field(repr=False, compare=False)
    profile: Profile = field(repr=False)
    weight: float
    asking: float
    top_cost: float
    all_cost: float
    rule_cost: float
    estimates: Mapping[str, float]
    better_than_top: str | None = None
    as_good_as_top: str | None = None
    wants_verdicts: bool = False
    foreseen: Foreseen = NOTHING_FORESEEN
    evidence: Evidence | None = field(default=None, repr=False, compare=False)
    nearby: Nearby | None = field(default=None, repr=False, compare=False)

    def rule_for(self, query: Vector | None) -> Rule:
        """Return the rule that is worth most for a query; for one without an embedding, at the node."""
        if query is None or self.nearby is None:
            return self.rule
        return self.rules[self.nearby.best(query)]

    def confidence(self, rule: Rule) -> Mapping[frozenset[str], float]:
        """Return the probability that a rule's answer is right, by the tiers that it asked."""
        return {} if self.evidence is None else self.evidence.confidence(self.rules.index(rule))


@dataclass(frozen=True, eq=False)
class Evidence:
    """How often each rule was right on the profiled calls, by the tiers that it asked.

    Attributes:
        names: The tiers, cheapest first.
        seen: The calls.
        counts: How much each of them counts.
        accuracy: How often each rule is right at the node.
    """

    names: tuple[str, ...]
    seen: Calls
    counts: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    _known: dict[int, dict[frozenset[str], float]] = field(default_factory=dict, repr=False)

    def confidence(self, place: int) -> dict[frozenset[str], float]:
        """Return how often a rule was right, by the tiers that it asked; with few such calls, near its accuracy."""
        # Every call asks, and the answer changes with profiled calls alone.
        if place not in self._known:
            self._known[place] = self._confidence(place)
        return self._known[place]

    def _confidence(self, place: int) -> dict[frozenset[str], float]:
        right, asked = self.seen.right[:, place], self.seen.asked[:, place]
        usual, found = IMAGINED_CALLS * self.accuracy[place], {}
        known = self.seen.known[:, place]
        for row in np.unique(asked[known], axis=0):
            same = known & (asked == row).all(axis=1)
            share = (self.counts[same] @ right[same] + usual) / (self.counts[same].sum() + IMAGINED_CALLS)
            found[frozenset(name for name, was in zip(self.names, row, strict=True) if was)] = float(share)
        return found


def choose(
    profile: Profile,
    usual: Mapping[str, float],
    price: float,
    *,
    worth_usd: float | None = None,
    priors: tuple[float | None, ...] = (),
    judged: bool = False,
) -> Choice:
    """Choose from the menu by worth: the probability of a right answer, minus the price of the cost.

    Source: the reward is that of MetaLLM (arXiv 2407.10834), measured on profiled calls as in SMART (arXiv 2403.13835).

    Args:
        profile: What is known of the node.
        usual: Tier name, cheapest first, to what an answer usually costs.
        price: What a usual answer of the top tier may cost, in probability of a right answer.
        worth_usd: What a right answer is worth in US$; None to use `price`.
        priors: The share of calls that each tier is thought to get right, in [0, 1], cheapest first; None for a tier of
            which nothing is stated.
        judged: Whether there is a judge, so that rules that need its verdicts are on the menu.
    """
    names = tuple(usual)
    rules = rules_of(names, judged)
    counted = profile.counted
    imagined = imagined_calls(names, priors, judged)
    right = profile.right(imagined_ladders(len(names), priors))
    verdicts = [call.verdicts for call in counted] if judged else None
    seen = replay(names, [call.said for call in counted], right, verdicts)
    calls = imagined.joined(seen)
    own = np.concatenate([np.full(len(imagined.said), IMAGINED_CALLS / len(imagined.said)), np.ones(len(counted))])
    # An imagined call stands for spared ones only as far as it would have been asked itself, or what was imagined would
    # outweigh the few real ones.
    foreseen = foreseen_in(call.said for call in profile.calls if call.is_complete)
    standing = np.where(np.arange(len(own)) < len(imagined.said), ASKED_SHARE * own, own)
    weighing = weigh(own, calls.said, calls.by_tier, profile.spared, standing)
    counts = weighing.each[len(imagined.said) :]
    costs = np.array([call.costs for call in counted] or [tuple(usual.values())])
    mean_costs = np.average(costs, axis=0, weights=counts if counted else None)
    rate = 1 / worth_usd if worth_usd else price / max(float(mean_costs[-1]), _LEAST_COST)
    right = calls.right
    spent = np.concatenate([imagined.asked @ mean_costs, np.einsum("crt,ct->cr", seen.asked, costs[: len(counted)])])
    judging = np.zeros((1, len(names)))
    if judged:
        judging = costs_of_verdicts(len(imagined.said), counted, len(names))
        spent = filled(spent + np.einsum("crt,ct->cr", calls.judged, judging), calls.known, weighing.each)
        right = filled(right, calls.known, weighing.each)
    worth = right - rate * spent
    rule_costs = weighing.mean(spent)
    worth[:, _too_dear(rules, rule_costs, float(mean_costs[-1]))] -= _NEVER
    mean = weighing.mean(worth)
    best = first_best(mean)
    accuracy = weighing.mean(right)
    unjudged = np.array([not isinstance(rule, Judged) for rule in rules])
    saving = saving_of(worth, weighing, best)
    wants = wants_verdicts(profile, rules, saving)
    of_verdicts = float(judging[0, :-1].sum()) if wants else 0.0
    return Choice(
        rules=rules,
        rule=rules[best],
        # Of rules that are equally often right, the last: in the menu's order that is the top tier with another that
        # answers if it does not.
        surest=rules[int(np.flatnonzero(unjudged & (accuracy >= accuracy[unjudged].max() - ALIKE))[-1])],
        saving=saving,
        profile=profile,
        weight=weighing.weight,
        # Where all tiers are free users still wait for the slowest.
        asking=max(
            max(rate, _LEAST_PRICE / max(float(mean_costs[-1]), _LEAST_COST))
            * (_cost_of_profiling(mean_costs, weighing, calls, best, foreseen) + of_verdicts),
            _LEAST_PRICE * ASKED_SHARE,
        ),
        top_cost=float(mean_costs[-1]),
        all_cost=float(mean_costs.sum()) + of_verdicts,
        rule_cost=float(rule_costs[best]),
        estimates={rule.name: float(accuracy[place]) for place, rule in enumerate(rules) if rule.name in usual},
        better_than_top=better_than_top(names, seen.by_tier, counts) if profile.is_graded else None,
        as_good_as_top=None if profile.is_graded else as_good_as_top(names, seen.said, counts),
        wants_verdicts=wants,
        foreseen=foreseen,
        evidence=Evidence(names, seen, counts, accuracy),
        nearby=_nearby(profile, worth[len(imagined.said) :], mean, weighing.by_stratum(worth)),
    )


def _too_dear(rules: Sequence[Rule], costs: NDArray[np.float64], top: float) -> NDArray[np.bool_]:
    """Say which rules cost more than the top tier alone, which nobody expects whatever a right answer is worth.

    Where the top tier is backed by another, that one is asked only if the top gives nothing.
    """
    return np.array(
        [cost > _AS_DEAR * top and not isinstance(rule, Backed) for rule, cost in zip(rules, costs, strict=True)]
    )


def _nearby(
    profile: Profile,
    worth: NDArray[np.float64],
    mean: NDArray[np.float64],
    by_stratum: Mapping[Stratum, NDArray[np.float64]],
) -> Nearby:
    """Return what each rule was worth on the calls whose queries are known."""
    known = [(call.vector, row) for call, row in zip(profile.counted, worth, strict=True)]
    # Of a call without the top tier it is known what the rules were worth on calls like it.
    for call in profile.calls:
        row = None if call.is_complete else by_stratum.get(profile.stratum_of(call))
        if row is not None:
            known.append((call.vector, row))
    placed = [(vector, row) for vector, row in known if vector is not None]
    return Nearby([vector for vector, _ in placed], np.array([row for _, row in placed]), mean)


def _cost_of_profiling(
    mean_costs: NDArray[np.float64], weighing: Weighing, calls: Calls, best: int, foreseen: Foreseen
) -> float:
    """Return what profiling a call costs, in the unit of the costs; a foreseen top tier is asked on few of them."""
    alike = [(calls.said[:, :-1] == pattern).all(axis=1) for pattern in foreseen.patterns]
    spared = np.any(alike, axis=0) & ~calls.asked[:, best, -1]
    share = float(weighing.mean(np.where(spared, foreseen.share, 1.0)))
    return float(mean_costs[:-1].sum() + share * mean_costs[-1])

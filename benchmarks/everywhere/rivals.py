"""What the menu is compared with: fixed rules, the best of the menu in hindsight, a router, and the older policies."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from everywhere.sets import Outcome, RecordedSet, price_of
from llm_tiers.policies.menu.outcomes import outcome_of, rules_of
from llm_tiers.policies.menu.rule import Rule
from llm_tiers.policies.menu.rules import agree_all, agree_two
from llm_tiers.replay import replay

__all__ = ["FLOWS", "best_of_menu", "fixed_rules", "run_flow", "run_router"]

FLOWS = ("llm-at", "estimate", "linucb", "cascade-routing", "doubt")
"""Policies that are replayed through the real flow."""

_NEIGHBOURS, _PROFILED_FIRST, _PROFILED_LATER, _STRENGTH = 20, 50, 0.01, 10.0
"""Of the router: the neighbours it looks at, its profiled calls at first and as a share later, and how many neighbours
the mean over all questions counts for."""

_WITH_QUALITY = ("cascade-routing", "doubt")


def fixed_rules(recorded: RecordedSet) -> dict[str, Outcome]:
    """What the two fixed cascades reach; they learn nothing."""
    rules = {"agree-two": agree_two(recorded.names), "agree-all": agree_all(recorded.names)}
    return {name: _by_rule(recorded, rule) for name, rule in rules.items()}


def best_of_menu(recorded: RecordedSet, quality: float) -> Outcome:
    """What the best rule of the menu reaches, known beforehand and with nothing profiled."""
    outcomes = [_by_rule(recorded, rule) for rule in rules_of(recorded.names)]
    return max(outcomes, key=lambda outcome: outcome.worth(quality))


def _by_rule(recorded: RecordedSet, rule: Rule) -> Outcome:
    found = [outcome_of(rule, said) for said in recorded.said]
    rows = np.arange(len(found))
    right = recorded.right[rows, [accepted for accepted, _ in found]]
    cost = (recorded.costs * np.array([asked for _, asked in found])).sum(1)
    return Outcome(float(right.mean()), float(cost.mean()))


def run_router(recorded: RecordedSet, quality: float, *, seed: int) -> Outcome:
    """Choose one tier by the grades of similar questions; the first 50 are profiled, and every hundredth after.

    Source: "Is Escalation Worth It?" (arXiv 2605.06350) finds such a router better than cascades on thresholds.
    """
    # The same order as the menu's with this seed.
    draw = np.random.default_rng(seed)
    order = draw.permutation(len(recorded.right))
    vectors = recorded.table.embedding / np.linalg.norm(recorded.table.embedding, axis=1, keepdims=True).clip(1e-12)
    price, known = price_of(quality), []
    right, cost = [], []
    for place, row in enumerate(order.tolist()):
        profiles = place < _PROFILED_FIRST or draw.random() < _PROFILED_LATER
        tier = _routed(recorded, vectors, known, row, price)
        right.append(recorded.right[row, tier])
        cost.append(recorded.costs[row].sum() if profiles else recorded.costs[row, tier])
        if profiles:
            known.append(row)
    return Outcome(float(np.mean(right)), float(np.mean(cost)))


def _routed(recorded: RecordedSet, vectors: NDArray[np.float32], known: list[int], row: int, price: float) -> int:
    # The dearest, as the menu starts too.
    if not known:
        return len(recorded.names) - 1
    # Neighbours' worth, weighted by similarity, and shrunk towards the mean over all known questions: with few of them,
    # the nearest say little.
    worth = recorded.right[known] - price * recorded.costs[known]
    similar = vectors[known] @ vectors[row]
    near = np.argsort(-similar)[:_NEIGHBOURS]
    weights = similar[near].clip(0)
    total = weights @ worth[near] + _STRENGTH * worth.mean(0)
    return int(total.argmax())


def run_flow(recorded: RecordedSet, policy: str, quality: float, *, seed: int) -> Outcome | None:
    """Replay an older policy through the real flow; None where it needs verdicts that the set lacks."""
    if policy in ("llm-at", "estimate") and not recorded.table.has_verdicts:
        return None
    knob = quality if policy in _WITH_QUALITY else None
    result = replay(recorded.table, policy, knob=knob, order="shuffle", seed=seed)
    spent = recorded.table.gen_in * recorded.table.price_in + recorded.table.gen_out * recorded.table.price_out
    return Outcome(result.accuracy, result.cost_usd / (spent[:, -1].sum() / 1e6))

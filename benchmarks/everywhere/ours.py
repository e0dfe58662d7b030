"""The menu on a recorded set: the starter's own decisions, with the flow's model calls looked up.

`tests/core/policies/menu/test_menu.py` checks that the real flow decides the same.
"""

from __future__ import annotations

import numpy as np

from everywhere.sets import Outcome, RecordedSet
from llm_tiers.policies.menu.known import ProfileOf
from llm_tiers.policies.menu.menu import MenuStarter
from llm_tiers.policies.menu.outcomes import outcome_of
from llm_tiers.policies.menu.profiling import Profiling

__all__ = ["run_menu"]

_WARM = 100
"""Calls that are left out of the late figures: by then the first profiled calls are over."""


def run_menu(recorded: RecordedSet, quality: float, *, graded: bool, seed: int) -> Outcome:
    """Answer a shuffled set call by call, learning charged."""
    starter = MenuStarter(quality=quality, seed=seed)
    study = ProfileOf(tuple(recorded.usual.items()))
    known, profiled = study.start(), 0
    right, cost, stated = [], [], []
    for row in np.random.default_rng(seed).permutation(len(recorded.right)).tolist():
        query, choice = recorded.table.embedding[row], starter.choice(known)
        rule, audits = starter.decide(known, f"{seed}-{row}", query)
        profiles = audits or isinstance(rule, Profiling)
        accepted, asked = outcome_of(rule, recorded.said[row])
        spent = float(recorded.costs[row].sum() if audits else recorded.costs[row] @ asked)
        names = frozenset(name for name, was in zip(recorded.names, asked, strict=True) if was)
        stated.append(np.nan if profiles else choice.confidence(rule).get(names, np.nan))
        right.append(float(recorded.right[row, accepted]))
        cost.append(spent)
        profiled += profiles
        seen = recorded.call(row, graded=graded, top=audits or bool(asked[-1])) if profiles else None
        known = known.after(spent, seen, choice.rule_for(query))
    late = (float(np.mean(right[_WARM:])), float(np.mean(cost[_WARM:]))) if len(right) > _WARM else None
    return Outcome(float(np.mean(right)), float(np.mean(cost)), profiled, _calibration(stated, right), late)


def _calibration(stated: list[float], right: list[float], bins: int = 10) -> float | None:
    # Only the second half: at first a confidence rests on imagined calls, not on seen ones.
    half = len(stated) // 2
    chances, came_true = np.array(stated[half:]), np.array(right[half:])
    known = np.isfinite(chances)
    if not known.any():
        return None
    places = np.minimum((chances[known] * bins).astype(int), bins - 1)
    gaps = np.bincount(places, weights=chances[known] - came_true[known])
    return float(np.abs(gaps).sum() / known.sum())

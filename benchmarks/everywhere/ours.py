"""The menu on a recorded set: the starter's own decisions, with the flow's model calls looked up.

`tests/core/policies/menu/test_menu.py` checks that the real flow decides the same.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from everywhere.sets import Outcome, RecordedSet
from llm_tiers.policies.menu.known import ProfileOf
from llm_tiers.policies.menu.menu import MenuStarter
from llm_tiers.policies.menu.outcomes import outcome_of
from llm_tiers.policies.menu.profiling import Profiling
from llm_tiers.policies.menu.replaying import Profiled, replayed
from llm_tiers.policies.menu.rule import Judged, Rule

__all__ = ["run_menu"]

_WARM = 100
"""Calls that are left out of the late figures: by then the first profiled calls are over."""


def run_menu(recorded: RecordedSet, quality: float, *, graded: bool, seed: int, judged: bool = False) -> Outcome:
    """Answer a shuffled set call by call, learning charged; `judged` adds rules that ask for the recorded verdicts."""
    starter = MenuStarter(quality=quality, seed=seed, judged=judged)
    study = ProfileOf(tuple(recorded.usual.items()), judged=judged)
    known, profiled = study.start(), 0
    right, cost, stated = [], [], []
    for row in np.random.default_rng(seed).permutation(len(recorded.right)).tolist():
        query, choice = recorded.table.embedding[row], starter.choice(known)
        rule, audits = starter.decide(known, f"{seed}-{row}", query)
        profiles = audits or isinstance(rule, Profiling)
        accepted, asked, judging = _outcome_of(rule, recorded, row)
        spent = float(recorded.costs[row].sum() if audits else recorded.costs[row] @ asked + judging)
        buys = audits and choice.wants_verdicts
        if buys:
            spent += float(recorded.verdict_costs[row, :-1].sum())
        names = frozenset(name for name, was in zip(recorded.names, asked, strict=True) if was)
        stated.append(np.nan if profiles else choice.confidence(rule).get(names, np.nan))
        right.append(float(recorded.right[row, accepted]))
        cost.append(spent)
        profiled += profiles
        top = audits or bool(asked[-1])
        seen = recorded.call(row, graded=graded, top=top, judged=buys) if profiles else None
        known = known.after(spent, seen, choice.rule_for(query))
    late = (float(np.mean(right[_WARM:])), float(np.mean(cost[_WARM:]))) if len(right) > _WARM else None
    return Outcome(float(np.mean(right)), float(np.mean(cost)), profiled, _calibration(stated, right), late)


def _outcome_of(rule: Rule, recorded: RecordedSet, row: int) -> tuple[int, NDArray[np.bool_], float]:
    """Return the accepted tier's position, for each tier whether it is asked, and what verdicts cost."""
    if not isinstance(rule, Judged):
        return *outcome_of(rule, recorded.said[row]), 0.0
    said, verdicts = (
        dict(zip(recorded.names, found, strict=True)) for found in (recorded.said[row], recorded.verdicts_on(row))
    )
    found = replayed(rule, Profiled(said, {}, verdicts, {}))
    if found is None:
        raise TypeError(f"rule {rule.name!r} asks for more than was recorded")
    asked, on = (np.array([name in names for name in recorded.names]) for names in (found.asked, found.judged))
    return recorded.names.index(found.accepted), asked, float(recorded.verdict_costs[row] @ on)


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

"""The fixed rules of the menu, measured on recorded outcomes: they learn nothing, so each is looked up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from llm_tiers.calibration.points import Measurement
from llm_tiers.policies.menu import Profiled, Single, menu_of, replayed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from llm_tiers.policies.menu import Rule
    from llm_tiers.replay import ReplayTable

__all__ = ["PREFIX", "fixed_rules"]

PREFIX = "rule:"
"""Stands before a rule's name, where a policy's name could stand as well."""


def fixed_rules(tables: Sequence[ReplayTable]) -> list[Measurement]:
    """Return what each cascade of the menu reaches; single tiers are measured as policies are."""
    cascades = [rule for rule in menu_of(tables[0].tiers) if not isinstance(rule, Single)]
    return [_measured(rule, tables) for rule in cascades]


def _measured(rule: Rule, tables: Sequence[ReplayTable]) -> Measurement:
    rights, costs, seconds = zip(*(_on(rule, table) for table in tables), strict=True)
    return Measurement(
        policy=f"{PREFIX}{rule.name}",
        knob=None,
        right=np.concatenate(rights),
        costs=np.concatenate(costs),
        seconds=float(np.concatenate(seconds).mean()),
    )


def _on(rule: Rule, table: ReplayTable) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return for each question whether the rule is right, what it costs in US$, and how many seconds it takes."""
    place = {tier: position for position, tier in enumerate(table.tiers)}
    said = np.where(table.abstained, -1, table.answer_equal)
    paid = (table.gen_in * table.price_in + table.gen_out * table.price_out) / 1e6
    right, cost, seconds = (np.zeros(len(table)) for _ in range(3))
    beside = [place[tier] for tier in rule.first]
    for row, numbers in enumerate(said.tolist()):
        done = replayed(rule, Profiled(dict(zip(table.tiers, numbers, strict=True)), {}, {}, {}))
        if done is None:
            raise TypeError(f"rule {rule.name!r} asks for what a table does not hold")
        asked = [place[tier] for tier in done.asked]
        right[row] = table.correct[row, place[done.accepted]]
        cost[row] = paid[row, asked].sum()
        # The first tiers are asked side by side, so only the slowest counts.
        later = [position for position in asked if position not in beside]
        seconds[row] = table.gen_s[row, beside].max() + table.gen_s[row, later].sum()
    return right, cost, seconds

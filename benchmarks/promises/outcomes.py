"""What every rule of the menu does on every question of a table, in arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from llm_tiers.policies.guarantee.bets import Floats
from llm_tiers.policies.menu import Profiled, menu_of, replayed
from llm_tiers.replay import ReplayTable


@dataclass(frozen=True)
class Outcomes:
    """N questions, K tiers, R rules, the top tier alone last. Costs are in mean answers of the top tier.

    Attributes:
        name: The table's name.
        rules: The rules' names.
        losses: N x R, 1 where the rule's answer is not the top tier's.
        costs: N x R, what the rule costs.
        asking: N x K, what the tiers' answers cost.
        equal: N x (K - 1), whether a tier's answer equals the top tier's.
    """

    name: str
    rules: tuple[str, ...]
    losses: Floats
    costs: Floats
    asking: Floats
    equal: Floats


def outcomes_of(table: ReplayTable) -> Outcomes:
    # Only questions that the top tier answers: the others teach a guarantee nothing, and no tier can equal them.
    said = table.answer_equal
    costs = (table.gen_in * table.price_in + table.gen_out * table.price_out) / 1e6
    kept = said[:, -1] >= 0
    said, costs = said[kept], costs[kept]
    unit = costs[:, -1].mean()
    menu = menu_of(table.tiers)
    found = [
        [replayed(rule, Profiled(dict(zip(table.tiers, row, strict=True)), prices, {}, {})) for rule in menu]
        for row, prices in (
            (numbers.tolist(), dict(zip(table.tiers, paid.tolist(), strict=True)))
            for numbers, paid in zip(said, costs, strict=True)
        )
    ]
    place = {tier: position for position, tier in enumerate(table.tiers)}
    accepted = np.array([[place[one.accepted] for one in row if one is not None] for row in found])
    by_rule = np.take_along_axis(said, accepted, axis=1)
    return Outcomes(
        name=table.path.stem,
        rules=tuple(rule.name for rule in menu),
        losses=(by_rule != said[:, -1:]).astype(float),
        costs=np.array([[one.cost or 0.0 for one in row if one is not None] for row in found]) / unit,
        asking=costs / unit,
        equal=(said[:, :-1] == said[:, -1:]).astype(float),
    )

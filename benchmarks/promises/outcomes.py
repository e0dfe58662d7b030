"""What every rule of the menu does on every question of a table, in arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from llm_tiers.policies.guarantee.bets import Floats
from llm_tiers.policies.menu import Judged, Profiled, menu_of, replayed
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
        judging: N, what verdicts on the answers of all tiers below the top cost.
        judged: Positions of the rules that need verdicts.
        equal: N x (K - 1), whether a tier's answer equals the top tier's.
    """

    name: str
    rules: tuple[str, ...]
    losses: Floats
    costs: Floats
    asking: Floats
    equal: Floats
    judging: Floats
    judged: tuple[int, ...] = ()


def outcomes_of(table: ReplayTable, *, judged: bool = False) -> Outcomes:
    """Return what the rules do; `judged` adds those that need the recorded judge's verdicts."""
    # Only questions that the top tier answers: a guarantee learns nothing from the others, and no answer can equal
    # none.
    kept = table.answer_equal[:, -1] >= 0
    said, verdict = table.answer_equal[kept], table.verdict[kept]
    costs = ((table.gen_in * table.price_in + table.gen_out * table.price_out) / 1e6)[kept]
    prices = table.price_in[table.judge_tier] * table.judge_in + table.price_out[table.judge_tier] * table.judge_out
    judging = np.where((table.verdict >= 0) & (table.answer_equal >= 0), prices / 1e6, 0.0)[kept]
    # In answers of the top tier, so that sets with different prices can be compared.
    unit = costs[:, -1].mean()
    menu = menu_of(table.tiers, judged=judged)
    calls = [
        Profiled(
            dict(zip(table.tiers, said[row].tolist(), strict=True)),
            dict(zip(table.tiers, costs[row].tolist(), strict=True)),
            {
                tier: {0: False, 1: True}.get(found)
                for tier, found in zip(table.tiers, verdict[row].tolist(), strict=True)
            },
            dict(zip(table.tiers, judging[row].tolist(), strict=True)),
        )
        for row in range(len(said))
    ]
    found = [[replayed(rule, call) for rule in menu] for call in calls]
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
        judging=judging.sum(axis=1) / unit,
        judged=tuple(position for position, rule in enumerate(menu) if isinstance(rule, Judged)),
    )

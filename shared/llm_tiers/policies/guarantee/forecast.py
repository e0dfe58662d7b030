"""What a promise will cost to earn, before anything is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from llm_tiers.policies.guarantee.bets import LOSSES, upper_bound
from llm_tiers.policies.guarantee.standing import FIRST, Promise

__all__ = ["Forecast", "forecast"]


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a promise will cost to earn, if the cheapest tier differs as often as assumed.

    Attributes:
        pays: Whether it can be earned for less than it saves.
        calls: For how many calls this was worked out.
        profiled: How many of them it is best to profile.
        share: Share of the other calls that the cheapest tier may then answer, in [0, 1].
        earning: What profiling costs beyond the top tier's answers, in usual answers of the top tier.
        cost: What all calls cost together, as a share of what the top tier alone would.
        why: The same in a sentence.
    """

    pays: bool
    calls: int
    profiled: int
    share: float
    earning: float
    cost: float
    why: str


def forecast(listed: Sequence[float], rules: int, promise: Promise, *, differing: float = 0.0) -> Forecast:
    """Return what a promise will cost to earn.

    Args:
        listed: What a usual answer costs by each tier, cheapest first, in any unit.
        rules: Number of rules in the menu.
        promise: What is to be kept.
        differing: Assumed share of calls on which the cheapest tier is worse than the top, in [0, 1].
    """
    calls = int(promise.left(0))
    costs = np.asarray(listed, dtype=float) / listed[-1]
    numbers = np.unique(np.geomspace(FIRST, max(calls, FIRST), 60).round())
    counts = np.zeros((len(numbers), len(LOSSES)))
    counts[:, LOSSES == 0] = numbers[:, None] * (1 - differing)
    counts[:, LOSSES == 1] = numbers[:, None] * differing
    shares = np.minimum(promise.delta / upper_bound(counts, promise.alpha / (rules - 1)), 1.0)
    spent = numbers * costs.sum() + np.maximum(calls - numbers, 0) * (1 - shares * (1 - costs[0]))
    best = int(spent.argmin())
    profiled, share, total = int(numbers[best]), float(shares[best]), float(spent[best] / calls)
    pays = profiled < calls and total < 1
    earning = profiled * float(costs[:-1].sum())
    if pays:
        why = (
            f"of {calls} calls, {profiled} are best profiled, for {earning:.3g} answers of the top tier; then the "
            f"cheapest tier may answer {share:.0%} of the others, and all cost {total:.0%} of the top tier alone"
        )
    else:
        why = f"{calls} calls are too few: profiling {FIRST} and more of them would cost more than it can save"
    return Forecast(pays, calls, profiled, share, earning, total, why)

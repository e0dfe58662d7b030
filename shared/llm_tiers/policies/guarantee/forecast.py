"""What it will cost to earn a promise, worked out before any model is called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from llm_tiers.policies.guarantee.bets import LOSSES, upper_bound
from llm_tiers.policies.guarantee.standing import FIRST, Promise

__all__ = ["Forecast", "forecast"]


@dataclass(frozen=True, slots=True)
class Forecast:
    """What it will cost to earn a promise, if the cheapest tier differs from the top tier as often as assumed.

    Attributes:
        pays: Whether earning it costs less than it saves.
        calls: The number of calls that this is worked out for.
        profiled: How many of them it is best to profile.
        share: Share of the other calls that the cheapest tier may then answer, in [0, 1].
        earning: What profiling costs beyond the top tier's answers, in usual answers of the top tier.
        cost: What all calls cost together, as a share of the cost of the top tier alone.
        why: The same in a sentence.
    """

    pays: bool
    calls: int
    profiled: int
    share: float
    earning: float
    cost: float
    why: str


def forecast(
    listed: Sequence[float], rules: int, promise: Promise, *, differing: float = 0.0, seen: int = 0
) -> Forecast:
    """Return what it will cost to earn a promise.

    Args:
        listed: What a usual answer of each tier costs, cheapest tier first, in any unit.
        rules: Number of rules in the menu.
        promise: The promise.
        differing: Assumed share of calls on which the cheapest tier is worse than the top, in [0, 1].
        seen: Calls that the node has had.
    """
    calls = int(promise.left(seen))
    nothing = None
    if not calls:
        nothing = (
            f"no further calls are expected: expected_calls={promise.expected_calls}, and this node has had {seen}"
        )
    elif not listed[-1]:
        nothing = "the top tier costs nothing, so there is nothing to save"
    if nothing is not None:
        return Forecast(pays=False, calls=calls, profiled=0, share=0.0, earning=0.0, cost=1.0, why=nothing)
    costs = np.asarray(listed, dtype=float) / listed[-1]
    # 60 numbers evenly spaced by ratio, since the bound changes by ratio: one of them is near the best.
    numbers = np.unique(np.geomspace(FIRST, max(calls, FIRST), 60).round())
    counts = np.zeros((len(numbers), len(LOSSES)))
    counts[:, LOSSES == 0] = numbers[:, None] * (1 - differing)
    counts[:, LOSSES == 1] = numbers[:, None] * differing
    # As `look` does: the chance of an error is split over all rules but the top tier's own.
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
        why = f"{calls} calls are too few: profiling {FIRST} or more of them would cost more than it can save"
    return Forecast(pays, calls, profiled, share, earning, total, why)

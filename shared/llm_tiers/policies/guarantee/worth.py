"""Whether more profiled calls are worth what they cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from llm_tiers.policies.guarantee.bets import LOSSES, Floats, upper_bound
from llm_tiers.policies.guarantee.mix import Mixtures, cheapest_mixture

__all__ = ["HORIZONS", "Look", "look", "verdicts_pay"]

HORIZONS = np.array([0.0, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0])
"""The numbers of further profiled calls that are considered, in units of those there are; the first means to stop."""

_UNSEEN = 0.5
"""Losses of 1 that are added to those seen: where a loss is rare, it has often not been seen yet."""


class Look(NamedTuple):
    """What is decided after a look at the profiled calls.

    Attributes:
        mixtures: The mixtures that are proved to keep the promise now.
        more: The number of further profiled calls that is cheapest in all; 0 to stop.
        spent: What all remaining calls are then expected to cost.
    """

    mixtures: Mixtures
    more: Floats
    spent: Floats


def look(
    counts: Floats,
    costs: Floats,
    asking: Floats,
    left: Floats,
    *,
    delta: float,
    alpha: float,
    losses: Floats = LOSSES,
) -> Look:
    """Choose the cheapest proved mixture, and how many more calls to profile.

    For h more profiled calls, losses are assumed to occur as often as so far. From this follow the bounds that would
    then be proved, the mixture that they allow, and the cost of all remaining calls. The h with the lowest cost is
    chosen.

    Args:
        counts: `S x R x len(losses)`: how often each rule had each loss; the last rule is the top tier alone.
        costs: `S x R`: what a call costs by each rule.
        asking: `S`: what a profiled call costs.
        left: `S`: how many calls are still expected.
        delta: The promise.
        alpha: The chance that it is broken all the same.
        losses: The losses that are counted.
    """
    seen = counts[:, -1].sum(axis=-1)
    # In steps of 10, because there is a look only every ten calls.
    more = np.maximum(10.0, np.round(seen[:, None] * HORIZONS / 10) * 10)
    more[:, 0] = 0.0
    rates = counts + _UNSEEN * (losses == 1)
    rates = rates / rates.sum(axis=-1, keepdims=True)
    then = counts[:, None] + rates[:, None] * more[:, :, None, None]
    # The top tier never differs from itself. The chance of an error is split evenly over the other rules, since the
    # bounds of all rules must hold together: which of them will be mixed is not known in advance.
    bounds = np.zeros(then.shape[:-1])
    bounds[..., :-1] = upper_bound(then[..., :-1, :], alpha / (costs.shape[-1] - 1), losses)
    mixtures = cheapest_mixture(np.broadcast_to(costs[:, None], bounds.shape), bounds, delta)
    spent = more * asking[:, None] + np.maximum(left[:, None] - more, 0.0) * mixtures.cost
    # More calls cannot be profiled than are left.
    spent = np.where((more < left[:, None]) | (more == 0), spent, np.inf)
    best = spent.argmin(axis=-1)
    streams = np.arange(len(seen))
    now = mixtures.at((slice(None), 0))
    return Look(now, more[streams, best], spent[streams, best])


def verdicts_pay(
    counts: Floats, costs: Floats, judged: Sequence[int], delta: float, losses: Floats = LOSSES
) -> NDArray[np.bool_]:
    """Say whether rules that need verdicts may belong to the cheapest mixture; if not, verdicts are no use.

    These rules are assumed to be one standard error better than they seem, all others to be as they seem.

    Args:
        counts: `S x R x len(losses)`: how often each rule had each loss.
        costs: `S x R`: what a call costs by each rule.
        judged: Positions of the rules that need verdicts.
        delta: The promise.
        losses: The losses that are counted.
    """
    number = counts.sum(axis=-1)
    mean = counts @ losses / number
    # A variance of at least 1/n, as if one loss had been seen: a rule without any may still have some.
    error = np.sqrt(np.maximum(counts @ losses**2 / number - mean**2, 1 / number) / number)
    places = list(judged)
    # To leave rules out without changing the shapes, they are made always wrong and as dear as the top tier.
    without, dear = np.maximum(mean, 0.0), costs.copy()
    without[:, places], dear[:, places] = 1.0, costs[:, -1:]
    hopeful = np.maximum(mean, 0.0)
    hopeful[:, places] = np.maximum(mean - error, 0.0)[:, places]
    best = cheapest_mixture(costs, hopeful, delta).cost
    found: NDArray[np.bool_] = best < cheapest_mixture(dear, without, delta).cost * (1 - 1e-9)
    return found

"""The cheapest mixture of rules that keeps a promise."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from llm_tiers.policies.guarantee.bets import Floats

__all__ = ["Mixtures", "cheapest_mixture", "pair_costs"]


class Mixtures(NamedTuple):
    """One mixture of two rules for each set of bounds.

    Attributes:
        one: Position of a rule.
        other: Position of the other rule.
        share: Share of the calls that the other one answers, in [0, 1].
        cost: What a call costs on average.
    """

    one: NDArray[np.int64]
    other: NDArray[np.int64]
    share: Floats
    cost: Floats

    def at(self, place: Any) -> Mixtures:
        """Return the mixtures at an index of the arrays, as numpy takes it."""
        return Mixtures(self.one[place], self.other[place], self.share[place], self.cost[place])


def cheapest_mixture(costs: Floats, bounds: Floats, delta: float) -> Mixtures:
    """Return the cheapest mixtures of rules whose bounds, weighted by the rules' shares, are at most `delta`.

    This is the linear programme of SMART's ModelMix (arXiv 2403.13835, section 5), over rules in place of tiers. It has
    two constraints, so its best vertex mixes at most two rules, and it is enough to look at all pairs.

    Args:
        costs: `... x R`: what a call costs by each rule.
        bounds: `... x R`: upper bounds on the rules' mean losses; 0 for the last rule, which is the top tier alone.
        delta: The promise.
    """
    flat = pair_costs(costs, bounds, costs, bounds, delta).reshape(*costs.shape[:-1], -1)
    best = flat.argmin(axis=-1)

    one, other = best // costs.shape[-1], best % costs.shape[-1]
    share = _share(_at(bounds, one), _at(bounds, other), delta)
    return Mixtures(one, other, share, _at(flat, best))


def pair_costs(one_costs: Floats, one: Floats, other_costs: Floats, other: Floats, delta: float) -> Floats:
    """Return the cost of a call for each pair of rules, `... x R x R`; infinite where no mixture keeps the promise.

    Args:
        one_costs: `... x R`: what a call costs by each first rule.
        one: `... x R`: bounds on the first rules' mean losses.
        other_costs: `... x R`: the same of the second rules.
        other: `... x R`: bounds on the second rules' mean losses.
        delta: The promise.
    """
    share = _share(one[..., :, None], other[..., None, :], delta)
    cost = one_costs[..., :, None] + (other_costs[..., None, :] - one_costs[..., :, None]) * share
    # One rule of a pair must keep the promise by itself. Pairs come in both orders, so only those that have it first
    # count.
    found: Floats = np.where(one[..., :, None] <= delta, cost, np.inf)
    return found


def _share(one: Floats, other: Floats, delta: float) -> Floats:
    """Return the share of calls that the other rule may answer: all of them if it keeps the promise by itself."""
    # The inner `where` only avoids a division by 0 where the result is not used.
    mixes = (one <= delta) & (other > delta)
    found: Floats = np.where(mixes, (delta - one) / np.where(mixes, other - one, 1.0), 1.0)
    return found


def _at(values: Floats, places: NDArray[np.int64]) -> Floats:
    found: Floats = np.take_along_axis(values, places[..., None], axis=-1)[..., 0]
    return found

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
        """Return the mixtures at a place of the arrays, which is given as numpy takes it."""
        return Mixtures(self.one[place], self.other[place], self.share[place], self.cost[place])


def cheapest_mixture(costs: Floats, bounds: Floats, delta: float) -> Mixtures:
    """Return the cheapest shares of rules whose bounds, weighted by their shares, are `delta` at most.

    This is the linear programme of SMART's ModelMix (arXiv 2403.13835, section 5), over rules in place of tiers. It has
    two constraints, so its best vertex mixes two rules at most, and all pairs can be looked at.

    Args:
        costs: `... x R`: what a call costs by each rule.
        bounds: `... x R`: upper bounds on the rules' mean losses; of the last rule, the top tier alone, it is 0.
        delta: The promise.
    """
    flat = pair_costs(costs, bounds, costs, bounds, delta).reshape(*costs.shape[:-1], -1)
    best = flat.argmin(axis=-1)

    one, other = best // costs.shape[-1], best % costs.shape[-1]
    share = _share(_at(bounds, one), _at(bounds, other), delta)
    return Mixtures(one, other, share, _at(flat, best))


def pair_costs(one_costs: Floats, one: Floats, other_costs: Floats, other: Floats, delta: float) -> Floats:
    """Return what a call costs by each pair of rules, `... x R x R`; infinite where neither share keeps the promise.

    Args:
        one_costs: `... x R`: what a call costs by each first rule.
        one: `... x R`: bounds on the first rules' mean losses.
        other_costs: `... x R`: the same of the second rules.
        other: `... x R`: bounds on the second rules' mean losses.
        delta: The promise.
    """
    share = _share(one[..., :, None], other[..., None, :], delta)
    cost = one_costs[..., :, None] + (other_costs[..., None, :] - one_costs[..., :, None]) * share
    # A pair needs one rule within the promise, which stands first.
    found: Floats = np.where(one[..., :, None] <= delta, cost, np.inf)
    return found


def _share(one: Floats, other: Floats, delta: float) -> Floats:
    """Return how many calls the other rule may answer: all of them where it keeps the promise by itself."""
    mixes = (one <= delta) & (other > delta)
    found: Floats = np.where(mixes, (delta - one) / np.where(mixes, other - one, 1.0), 1.0)
    return found


def _at(values: Floats, places: NDArray[np.int64]) -> Floats:
    found: Floats = np.take_along_axis(values, places[..., None], axis=-1)[..., 0]
    return found

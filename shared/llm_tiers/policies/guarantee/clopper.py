"""SMART's profiling as published: fixed-sample intervals, looked at again and again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal, TypeAlias

import numpy as np

__all__ = ["EVERY", "Counted", "Interval", "Smart", "Status", "interval", "model_mix"]

EVERY = 10
"""Items between two looks, as in the published code."""

_EARLIEST_STOP = 100
"""Items before which profiling is not stopped for not paying, since the shares are still too uncertain to say."""

# Gauss-Hermite quadrature: the mean over a normal distribution of what is not known of a share. Nine nodes are exact
# for polynomials up to degree 17.
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(9)

Interval: TypeAlias = tuple[float, float]
Status: TypeAlias = Literal["open", "out", "certified"]


def interval(k: int, n: int, alpha: float) -> Interval:
    """Return the Clopper-Pearson interval of a share, k of n having been seen."""
    # scipy takes a noticeable part of a second to import, and few programs need it.
    from scipy.special import betaincinv

    low = 0.0 if k == 0 else float(betaincinv(k, n - k + 1, alpha / 2))
    high = 1.0 if k == n else float(betaincinv(k + 1, n - k, 1 - alpha / 2))
    return low, high


@lru_cache(maxsize=65_536)
def _needed(n: int, target: float, alpha: float) -> int:
    """Return the smallest k of n whose interval lies at `target` or above; n + 1 where none does."""
    low, high = 0, n + 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if interval(middle, n, alpha)[0] >= target else (middle + 1, high)
    return low


@dataclass(frozen=True, slots=True)
class Counted:
    """What is known of one tier.

    Attributes:
        equal: How many of its answers equal the top tier's.
        n: How many were compared.
        status: Whether it is ruled out, certified, or still open.
    """

    equal: int = 0
    n: int = 0
    status: Status = "open"


@dataclass(frozen=True, slots=True)
class Smart:
    """The published profiler.

    Source: SMART (Jo and Trummer, arXiv 2403.13835, sections 4 and 5). Its fault is kept: an interval that holds for a
    fixed number of items is looked at after every ten, so the stated confidence does not hold.

    Attributes:
        delta: Share of items whose output may differ from the top tier's.
        alpha: 1 minus the confidence.
        costs: What an item costs by each tier, the top tier last.
        items: How many items there are.
    """

    delta: float
    alpha: float
    costs: tuple[float, ...]
    items: int

    def after_look(self, tiers: Sequence[Counted]) -> tuple[Counted, ...]:
        """Return the tiers below the top with the status that their intervals now give them."""
        return tuple(self._looked_at(tier) if tier.status == "open" else tier for tier in tiers)

    def _looked_at(self, tier: Counted) -> Counted:
        low, high = interval(tier.equal, tier.n, self.alpha)
        if high < 1 - self.delta:
            return replace(tier, status="out")
        return replace(tier, status="certified") if low >= 1 - self.delta else tier

    def stops(self, tiers: Sequence[Counted], n: int) -> bool:
        """Say whether profiling ends after n items: by certainty, or because it is not expected to pay."""
        remaining = [tier.status for tier in tiers if tier.status != "out"]
        if not remaining or remaining[0] == "certified" or n >= self.items:
            return True
        return n >= _EARLIEST_STOP and not self._pays(tiers, n)

    def _pays(self, tiers: Sequence[Counted], n: int) -> bool:
        certified = [cost for tier, cost in zip(tiers, self.costs, strict=False) if tier.status == "certified"]
        settled = min(certified, default=self.costs[-1])
        # Certifying a tier that is dearer than one that is certified already gains nothing.
        open_ones = [(tier, cost) for tier, cost in zip(tiers, self.costs, strict=False) if tier.status == "open"]
        open_ones = [(tier, cost) for tier, cost in open_ones if cost < settled]
        profiling = self.costs[-1] + sum(cost for _, cost in open_ones)
        left = self.items - n
        # Doubled each time, so that the work stays logarithmic in the number of items left.
        horizon = 1
        while horizon < left:
            chances = [self._chance(tier, horizon) for tier, _ in open_ones]
            # The cheapest tier that is certified by then answers the rest. The tiers are taken to be independent.
            after, none_yet = 0.0, 1.0
            for chance, (_, cost) in zip(chances, open_ones, strict=True):
                after += none_yet * chance * cost
                none_yet *= 1 - chance
            if horizon * profiling + (left - horizon) * (after + none_yet * settled) < left * settled:
                return True
            horizon *= 2
        return False

    def _chance(self, tier: Counted, horizon: int) -> float:
        """Return the chance that a tier is certified after `horizon` more items."""
        from scipy.special import betainc

        short = _needed(tier.n + horizon, 1 - self.delta, self.alpha) - tier.equal
        if short <= 0:
            return 1.0
        if short > horizon:
            return 0.0
        share = tier.equal / tier.n
        spread = np.sqrt(share * (1 - share) / tier.n)
        shares = np.clip(share + spread * _NODES, 0.0, 1.0)
        # P(Binomial(h, p) >= short) is a regularised incomplete beta function.
        return float(betainc(short, horizon - short + 1, shares) @ _WEIGHTS / _WEIGHTS.sum())

    def mix(self, tiers: Sequence[Counted], n: int) -> tuple[float, ...]:
        """Return the share of the remaining items that each tier answers, the top tier last."""
        left = self.items - n
        if left <= 0:
            return (*(0.0 for _ in tiers), 1.0)
        # The profiled items were answered by the top tier, so the others may differ a little more often.
        accuracy = (1 - self.delta - n / self.items) * self.items / left
        # All bounds must hold together, so the chance of an error is split over the tiers.
        split = self.alpha / max(len(tiers), 1)
        lows = [interval(tier.equal, tier.n, split)[0] if tier.n else 0.0 for tier in tiers]
        return model_mix(self.costs, (*lows, 1.0), accuracy)


def model_mix(costs: Sequence[float], accuracies: Sequence[float], target: float) -> tuple[float, ...]:
    """Return SMART's ModelMix: the cheapest shares of tiers whose mean accuracy is at least `target`."""
    from scipy.optimize import linprog

    found = linprog(
        # Scaled, because the solver's tolerances are absolute and prices per call are as low as 1e-6 US$.
        np.asarray(costs) / (max(costs) or 1.0),
        A_ub=[[-accuracy for accuracy in accuracies]],
        # A target above what any tier reaches would have no solution.
        b_ub=[-min(target, max(accuracies))],
        A_eq=[[1.0] * len(costs)],
        b_eq=[1.0],
        bounds=(0.0, 1.0),
        method="highs",
    )
    return tuple(float(share) for share in found.x)

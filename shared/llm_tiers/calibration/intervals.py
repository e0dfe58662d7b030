"""Means with their 90% intervals, by a bootstrap over the questions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["Interval", "intervals"]

_DRAWS = 2_000
_AT_ONCE = 4_000_000
_LOW, _HIGH = 5.0, 95.0


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and its 90% interval: it lies above `low` with a chance of 95%, and below `high` with the same."""

    mean: float
    low: float
    high: float

    def scaled(self, factor: float) -> Self:
        """Return it in another unit."""
        return type(self)(self.mean * factor, self.low * factor, self.high * factor)


def intervals(columns: Sequence[NDArray[np.float64]], *, share: bool = False, seed: int = 0) -> list[Interval]:
    """Return the mean of each column with its interval.

    Source: the Bayesian bootstrap (Rubin 1981), which weights the questions at random instead of drawing them. For a
    share, one right and one wrong answer are added to the draws: so a sample that is right throughout does not
    promise that nothing will ever be wrong, and for plain yes and no it is the interval of the beta distribution.

    Args:
        columns: Of one length, a value a question; the same weights serve all, so that columns can be compared.
        share: The values lie in [0, 1].
        seed: Seed of the weights.
    """
    values = np.stack(columns, axis=1).astype(np.float64)
    # The mean is that of the sample itself; only the draws get the two added answers.
    means = values.mean(axis=0)
    if share:
        values = np.vstack([values, np.zeros(len(columns)), np.ones(len(columns))])
    draws = _draws(values, np.random.default_rng(seed))
    low, high = np.percentile(draws, [_LOW, _HIGH], axis=0)
    return [
        # The added answers may pull all draws to one side of the mean, and an interval must contain it.
        Interval(float(mean), float(min(below, mean)), float(max(above, mean)))
        for mean, below, above in zip(means, low, high, strict=True)
    ]


def _draws(values: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.float64]:
    """Return the weighted means of many draws; some draws at a time, or long tables would not fit in memory."""
    at_once = max(1, _AT_ONCE // len(values))
    means = []
    for start in range(0, _DRAWS, at_once):
        weights = random.standard_exponential((min(at_once, _DRAWS - start), len(values)))
        means.append(weights @ values / weights.sum(axis=1, keepdims=True))
    return np.vstack(means)

"""Means over calls that were drawn with unequal chances."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["ESTIMATOR", "Weighed", "weighed_mean"]

ESTIMATOR = "self-normalised inverse propensity (Hajek), standard errors by linearisation"
"""How a mean over such calls is estimated, in words."""


@dataclass(frozen=True, slots=True)
class Weighed:
    """A mean over all calls, estimated from some that were drawn.

    Attributes:
        mean: The estimate.
        error: Its standard error; infinite for a single call.
        worth: How many calls drawn with equal chances would say as much.
    """

    mean: float
    error: float
    worth: float


def weighed_mean(values: ArrayLike, weights: ArrayLike) -> Weighed:
    """Estimate the mean over all calls from those that were drawn, each with a chance of its own.

    Source: the ratio form of Horvitz and Thompson's estimator (Hájek 1971): the sum of the weighed values over the sum
    of the weights. Unlike the plain form it does not change where all values are shifted, and the number of all calls
    need not be known. It is biased by at most the order of one over the number of calls.

    Args:
        values: One a call.
        weights: The inverse of the chance with which the call was drawn, up to a common factor.
    """
    value, weight = np.asarray(values, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    total = weight.sum()
    mean = float(weight @ value / total)
    n = len(value)
    # The variance of the linearised ratio, with the factor that makes it unbiased where the weights are equal.
    spread = float(np.sum((weight * (value - mean)) ** 2)) / total**2
    error = float("inf") if n == 1 else float(np.sqrt(spread * n / (n - 1)))
    return Weighed(mean, error, float(total**2 / np.sum(weight**2)))

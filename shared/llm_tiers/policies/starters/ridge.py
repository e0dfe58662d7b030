"""Ridge regression that learns one observation at a time, without inverting a matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Features", "Ridge"]

Features: TypeAlias = NDArray[np.float64]
"""What an observation is described by: one vector of D numbers."""


@dataclass(frozen=True, slots=True, eq=False)
class Ridge:
    """A linear regression with a penalty, after some observations. It is never changed, only replaced.

    With A = ridge * I + sum of x x^T and b = sum of target * x, the weights are A^-1 b. Each observation adds a matrix
    of rank one to A, so the inverse follows by the formula of Sherman and Morrison in O(D^2).

    Attributes:
        inverse: D x D, A^-1; only its upper triangle counts.
        weights: D numbers, A^-1 b.
        penalty: The ridge.
        count: How many observations were learned.
    """

    inverse: NDArray[np.float64]
    weights: Features
    penalty: float
    count: int = 0

    @classmethod
    def start(cls, width: int, penalty: float) -> Ridge:
        """Return the regression of no observations: A = penalty * I."""
        # In Fortran's order, which BLAS updates in place.
        return cls(np.eye(width, order="F") / penalty, np.zeros(width), penalty)

    def after(self, x: Features, target: float, *, forgetting: float = 1.0) -> Ridge:
        """Return the regression with one more observation.

        With `forgetting` below 1, A and b are multiplied by it first. What no observation has touched for long would
        then be forgotten altogether, the ridge included, and its inverse would grow without bound; so the ridge is
        added again, one coordinate a time.

        Args:
            x: The observation.
            target: What was observed.
            forgetting: By how much all earlier observations lose weight, in (0, 1].
        """
        if forgetting == 1:
            inverse, weights = _add(self.inverse.copy(order="F"), self.weights, x, target)
        else:
            inverse, weights = _add(self.inverse / forgetting, self.weights, x, target)
            penalised = np.zeros_like(x)
            penalised[self.count % x.size] = np.sqrt((1 - forgetting) * self.penalty * x.size)
            inverse, weights = _add(inverse, weights, penalised, 0.0)
        return Ridge(inverse, weights, self.penalty, self.count + 1)

    def revised(self, x: Features, change: float, *, weight: float = 1.0) -> Ridge:
        """Return the regression after the target of an observation that it has learned changed by `change`.

        Args:
            x: The observation.
            change: The new target less the old one.
            weight: What forgetting has left of the observation, in (0, 1].
        """
        weights = self.weights + weight * change * _times(self.inverse, x)
        return Ridge(self.inverse, weights, self.penalty, self.count)

    def amended(self, x: Features, target: float, *, weight: float) -> Ridge:
        """Return the regression with an observation added late, or with one taken out, where `weight` is negative."""
        inverse, weights = _add(self.inverse.copy(order="F"), self.weights, x, target, weight)
        return Ridge(inverse, weights, self.penalty, self.count)

    def spread(self, x: Features) -> float:
        """Return x^T A^-1 x: how uncertain the prediction at x is, in units of the noise's variance."""
        return float(x @ _times(self.inverse, x))

    def predict(self, x: Features) -> float:
        """Return what is expected at x."""
        return float(self.weights @ x)


def _times(inverse: NDArray[np.float64], x: Features) -> Features:
    """Return the symmetric matrix, of which the upper triangle counts, times x."""
    # Imported here: scipy's linear algebra takes some tenths of a second to load, and few users have a bandit.
    from scipy.linalg.blas import dsymv

    product: Features = dsymv(1.0, inverse, x)
    return product


def _add(
    inverse: NDArray[np.float64], weights: Features, x: Features, target: float, weight: float = 1.0
) -> tuple[NDArray[np.float64], Features]:
    """Return inverse and weights with one more observation; `inverse` is overwritten."""
    from scipy.linalg.blas import dsyr

    column = _times(inverse, x)
    gain = weight / (1.0 + weight * float(x @ column))
    inverse = dsyr(-gain, column, a=inverse, overwrite_a=1)
    return inverse, weights + gain * (target - float(weights @ x)) * column

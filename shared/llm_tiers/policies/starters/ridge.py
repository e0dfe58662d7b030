"""Ridge regression that learns one observation at a time, without inverting a matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Features", "Ridge"]

Features: TypeAlias = NDArray[np.float64]
"""The features of an observation: one vector of D numbers."""


@dataclass(frozen=True, slots=True, eq=False)
class Ridge:
    """A linear regression with a penalty on the weights, after some observations. It is immutable.

    With A = penalty * I + sum of x x^T and b = sum of target * x, the weights are A^-1 b. Each observation adds a
    matrix of rank one to A, so the inverse is updated with the formula of Sherman and Morrison in O(D^2).

    Attributes:
        inverse: D x D, A^-1; only its upper triangle is valid.
        weights: D numbers, A^-1 b.
        penalty: The penalty, which is the ridge.
        count: How many observations were learned.
    """

    inverse: NDArray[np.float64]
    weights: Features
    penalty: float
    count: int = 0

    @classmethod
    def start(cls, width: int, penalty: float) -> Ridge:
        """Return the regression without observations: A = penalty * I."""
        # In Fortran's order, because BLAS updates only that in place; a C array would be copied at every update.
        return cls(np.eye(width, order="F") / penalty, np.zeros(width), penalty)

    def after(self, x: Features, target: float, *, forgetting: float = 1.0) -> Ridge:
        """Return the regression with one more observation.

        With `forgetting` below 1, A and b are multiplied by it first. In directions without new observations even the
        penalty would then fade, and the inverse would grow without bound. So the penalty is restored, one coordinate at
        each observation.

        Args:
            x: The features.
            target: What was observed.
            forgetting: The factor by which all earlier observations lose weight, in (0, 1].
        """
        if forgetting == 1:
            inverse, weights = _add(self.inverse.copy(order="F"), self.weights, x, target)
        else:
            inverse, weights = _add(self.inverse / forgetting, self.weights, x, target)
            # Each coordinate has its turn every D observations, so it gets D times what one observation takes away. All
            # of them at once would need D updates of rank one.
            penalised = np.zeros_like(x)
            penalised[self.count % x.size] = np.sqrt((1 - forgetting) * self.penalty * x.size)
            inverse, weights = _add(inverse, weights, penalised, 0.0)
        return Ridge(inverse, weights, self.penalty, self.count + 1)

    def revised(self, x: Features, change: float, *, weight: float = 1.0) -> Ridge:
        """Return the regression after the target of a learned observation changed by `change`.

        Args:
            x: The features of the observation.
            change: The new target minus the old one.
            weight: The weight that forgetting has left the observation, in (0, 1].
        """
        # The target occurs in b only, so the inverse stays.
        weights = self.weights + weight * change * _times(self.inverse, x)
        return Ridge(self.inverse, weights, self.penalty, self.count)

    def amended(self, x: Features, target: float, *, weight: float) -> Ridge:
        """Return the regression with an observation added late, or removed if `weight` is negative."""
        inverse, weights = _add(self.inverse.copy(order="F"), self.weights, x, target, weight)
        return Ridge(inverse, weights, self.penalty, self.count)

    def spread(self, x: Features) -> float:
        """Return x^T A^-1 x, the variance of the prediction at x in units of the noise's variance."""
        return float(x @ _times(self.inverse, x))

    def predict(self, x: Features) -> float:
        """Return the target that is expected at x."""
        return float(self.weights @ x)


def _times(inverse: NDArray[np.float64], x: Features) -> Features:
    """Return a symmetric matrix, of which only the upper triangle is read, times x."""
    # Imported here: scipy's linear algebra takes some tenths of a second to load, and few users have a bandit.
    from scipy.linalg.blas import dsymv

    product: Features = dsymv(1.0, inverse, x)
    return product


def _add(
    inverse: NDArray[np.float64], weights: Features, x: Features, target: float, weight: float = 1.0
) -> tuple[NDArray[np.float64], Features]:
    """Return inverse and weights with one more observation; `inverse` is overwritten."""
    from scipy.linalg.blas import dsyr

    # Sherman and Morrison: (A + w x x^T)^-1 = A^-1 - w (A^-1 x)(A^-1 x)^T / (1 + w x^T A^-1 x). `dsyr` updates one
    # triangle, which is half the work.
    column = _times(inverse, x)
    gain = weight / (1.0 + weight * float(x @ column))
    inverse = dsyr(-gain, column, a=inverse, overwrite_a=1)
    return inverse, weights + gain * (target - float(weights @ x)) * column

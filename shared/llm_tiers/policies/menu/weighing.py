"""How much each call counts, where some calls stand for others on which the top tier was not asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["RIGHT", "Stratum", "Weighing", "weigh"]

RIGHT = 0.5
"""The lowest grade that counts as right when spared calls are grouped by who was right."""

_LEAST_VARIANCE = 1e-12


Stratum: TypeAlias = tuple[tuple[int, ...], tuple[bool, ...]]
"""What the tiers below the top said on some calls, and who of them was right; the second is empty if not known."""


@dataclass(frozen=True, slots=True)
class _Likeness:
    """Calls that stand for those of a stratum.

    Attributes:
        stratum: The stratum.
        calls: By call, whether it belongs here.
        before: What its calls counted for themselves.
        after: What they count for with those that they stand for.
    """

    stratum: Stratum
    calls: NDArray[np.bool_]
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class Weighing:
    """How much each call counts.

    Attributes:
        each: The weight of each call.
        strata: The calls that stand for others.
    """

    each: NDArray[np.float64]
    strata: tuple[_Likeness, ...] = ()

    @property
    def weight(self) -> float:
        """The sum of all weights."""
        return float(self.each.sum())

    def mean(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the mean over calls; `values` is calls x anything."""
        return np.asarray(self.each @ values / self.weight)

    def by_stratum(self, values: NDArray[np.float64]) -> dict[Stratum, NDArray[np.float64]]:
        """Return the mean over the calls that stand for each stratum; `values` is calls x anything."""
        found = {}
        for stratum in self.strata:
            own = self.each[stratum.calls]
            found[stratum.stratum] = np.asarray(own @ values[stratum.calls] / own.sum())
        return found

    def error(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the standard error of the mean over calls; `values` is calls x rules.

        Source: two-phase sampling for stratification (Neyman, 1938). Within a stratum only the calls that it really
        has say how values vary, so its share of the variance is that of fewer calls.
        """
        variance = self.mean(values**2) - self.mean(values) ** 2
        means = self.by_stratum(values)
        for stratum in self.strata:
            own, here = self.each[stratum.calls], values[stratum.calls]
            within = np.maximum(own @ here**2 / own.sum() - means[stratum.stratum] ** 2, 0.0)
            variance = variance + stratum.after / self.weight * (stratum.after / stratum.before - 1) * within
        return np.sqrt(np.maximum(variance, _LEAST_VARIANCE) / self.weight)


def weigh(
    each: NDArray[np.float64],
    said: NDArray[np.int64],
    right: NDArray[np.float64],
    spared: Mapping[Stratum, float],
    standing: NDArray[np.float64],
) -> Weighing:
    """Let calls that all tiers answered stand for those on which the top tier was not asked.

    Args:
        each: The weight of each call that all tiers answered.
        said: What the tiers said on it, calls x tiers.
        right: How right they were, calls x tiers, in [0, 1].
        spared: How many calls the top tier was not asked on, by what the tiers below it said and who of them was
            right, as `Profile.spared` has it.
        standing: How much each call stands for such calls.
    """
    added = np.zeros_like(each)
    strata = []
    for (pattern, who), number in spared.items():
        alike = (said[:, :-1] == pattern).all(axis=1)
        if who:
            alike &= ((right[:, :-1] >= RIGHT) == who).all(axis=1)
        before = float(standing[alike].sum())
        # A stratum without any such call, real or imagined, is left out: nothing is known of the top tier there.
        if before > 0:
            added[alike] += number * standing[alike] / before
            strata.append(_Likeness((pattern, who), alike, before, before + number))
    return Weighing(each + added, tuple(strata))

"""A share of some calls, with how certain it is."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

__all__ = ["Share", "Z"]

Z = 1.6449
"""So many standard errors to each side are a 90% interval, as `llm-tiers calibrate` gives it."""


@dataclass(frozen=True, slots=True)
class Share:
    """A share and its 90% interval.

    Attributes:
        value: The share, in [0, 1].
        of: Of how many calls; a weighted share counts as that of fewer.
    """

    value: float
    of: float

    @classmethod
    def counted(cls, hits: float, of: float) -> Share | None:
        """Return `hits` of so many, or None of none."""
        return cls(hits / of, of) if of else None

    @property
    def low(self) -> float:
        """Lower end of the 90% interval."""
        return max(0.0, self._centre - self._half)

    @property
    def high(self) -> float:
        """Upper end of the 90% interval."""
        return min(1.0, self._centre + self._half)

    # Source: Wilson's interval (1927), which holds for few calls and for shares near 0 and 1 as well.
    @property
    def _centre(self) -> float:
        return (self.value + Z**2 / (2 * self.of)) / (1 + Z**2 / self.of)

    @property
    def _half(self) -> float:
        inner = self.value * (1 - self.value) / self.of + Z**2 / (4 * self.of**2)
        return Z * sqrt(inner) / (1 + Z**2 / self.of)

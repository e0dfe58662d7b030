"""What a study made of a node's records, as a folder can keep it: JSON values, and arrays of numbers.

Whoever can write into the folder can write anything, so each value is read by its kind, and what is of another kind is
refused with one of `REFUSALS`. No pickle is involved.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["REFUSALS", "Packed"]

REFUSALS = (ValueError, TypeError, LookupError, ArithmeticError, RecursionError)
"""What reading raises where something else was packed."""

Read = TypeVar("Read")


@dataclass(frozen=True, slots=True)
class Packed:
    """A packed result.

    Attributes:
        facts: Values that `json` writes.
        arrays: Arrays of float32 or float64.
    """

    facts: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def whole(self, name: str) -> int:
        """Return a whole number of at least 0."""
        value = self._of(name, int)
        if isinstance(value, bool) or value < 0:
            raise ValueError(f"{name} is no number of things")
        return value

    def number(self, name: str) -> float:
        """Return a number; infinities are numbers."""
        value = self._of(name, float)
        if math.isnan(value):
            raise ValueError(f"{name} is no number")
        return value

    def flag(self, name: str) -> bool:
        """Return whether something is so."""
        return self._of(name, bool)

    def maybe(self, name: str, read: Callable[[str], Read]) -> Read | None:
        """Return what `read` reads, or None where that was packed."""
        return None if self.facts.get(name, "") is None else read(name)

    def items(self, name: str) -> list[Any]:
        """Return a list, whose items are still anything."""
        return self._of(name, list)

    def table(self, name: str) -> dict[str, Any]:
        """Return an object, whose values are still anything."""
        return self._of(name, dict)

    def array(self, name: str, shape: tuple[int, ...], kind: type[np.generic] = np.float64) -> NDArray[Any]:
        """Return an array of this shape and kind, of finite numbers."""
        value = self.arrays.get(name)
        if value is None or value.shape != shape or value.dtype != kind or not np.isfinite(value).all():
            raise ValueError(f"{name} is no array of {shape} finite numbers")
        return value

    def _of(self, name: str, kind: type[Read]) -> Read:
        value = self.facts.get(name)
        if not isinstance(value, kind):
            raise TypeError(f"{name} is a {type(value).__name__}, not a {kind.__name__}")
        return value

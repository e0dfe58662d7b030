"""What tiers said on a call, as numbers that say who agrees with whom."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

__all__ = ["Pattern", "in_order"]

Pattern: TypeAlias = tuple[int, ...]
"""A number for each tier, cheapest first: equal numbers are equal answers, negative ones none."""


def in_order(said: Iterable[int]) -> Pattern:
    """Number answers by their first appearance, so that the same pattern always has the same numbers."""
    numbers: dict[int, int] = {}
    return tuple(number if number < 0 else numbers.setdefault(number, len(numbers)) for number in said)

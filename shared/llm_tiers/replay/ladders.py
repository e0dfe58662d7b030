"""Ladders with a useless tier, to measure what it costs a policy."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from llm_tiers.errors import ConfigError
from llm_tiers.replay.table import BY_QUESTION_AND_TIER

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from llm_tiers.replay.table import ReplayTable

__all__ = ["with_copy", "with_worse"]

_PLACE = 2
"""Position of the useless tier: above the second, at the price of the tier that was third."""


def with_copy(table: ReplayTable) -> ReplayTable:
    """Return the table with the second tier once more above itself, at the third's price, called `NAME-copy`.

    Raises:
        ConfigError: The table has two tiers only.
    """
    return _inserted(table, 1, "copy")


def with_worse(table: ReplayTable) -> ReplayTable:
    """Return the table with the cheapest tier's answers above the second, at the third's price, called `NAME-worse`.

    Raises:
        ConfigError: The table has two tiers only.
    """
    return _inserted(table, 0, "worse")


def _inserted(table: ReplayTable, source: int, ending: str) -> ReplayTable:
    if len(table.tiers) <= _PLACE:
        raise ConfigError(f"{table.path} has {len(table.tiers)} tiers; a useless one needs a third tier above it")
    name = f"{table.tiers[source]}-{ending}"
    if name in table.tiers:
        raise ConfigError(f"{table.path} has a tier called {name!r} already")
    arrays: dict[str, Any] = {key: _twice(getattr(table, key), source) for key in BY_QUESTION_AND_TIER}
    for key in ("price_in", "price_out"):
        prices = getattr(table, key)
        arrays[key] = np.insert(prices, _PLACE, prices[_PLACE])
    return replace(
        table,
        tiers=(*table.tiers[:_PLACE], name, *table.tiers[_PLACE:]),
        prior=np.insert(table.prior, _PLACE, table.prior[source]),
        # Positions of tiers shift when one is inserted, so this array cannot be copied like the others.
        **arrays | {"judge_tier": _judges(table.judge_tier, source)},
    )


def _twice(array: NDArray[Any], source: int) -> NDArray[Any]:
    return np.insert(array, _PLACE, array[:, source], axis=1)


def _judges(judge_tier: NDArray[np.int64], source: int) -> NDArray[np.int64]:
    """Return the judges' new positions; the new tier judges itself if its source did."""
    moved = np.where(judge_tier >= _PLACE, judge_tier + 1, judge_tier)
    twice = _twice(moved, source)
    own = judge_tier[:, source] == source
    twice[own, _PLACE] = _PLACE
    return twice

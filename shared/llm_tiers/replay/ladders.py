"""Ladders with a tier that is of no use, to see what it costs a policy."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from llm_tiers.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from llm_tiers.replay.table import ReplayTable

__all__ = ["with_copy", "with_worse"]

_PLACE = 2
"""Where the useless tier goes: above the second, whose next tier's price it asks."""
_COPIED_BY_QUESTION = (
    "correct",
    "abstained",
    "verdict",
    "gen_in",
    "gen_out",
    "gen_s",
    "judge_in",
    "judge_out",
    "judge_s",
    "answer_exact",
    "answer_equal",
)


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
    arrays: dict[str, Any] = {key: _twice(getattr(table, key), source) for key in _COPIED_BY_QUESTION}
    for key in ("price_in", "price_out"):
        prices = getattr(table, key)
        arrays[key] = np.insert(prices, _PLACE, prices[_PLACE])
    return replace(
        table,
        tiers=(*table.tiers[:_PLACE], name, *table.tiers[_PLACE:]),
        prior=np.insert(table.prior, _PLACE, table.prior[source]),
        judge_tier=_judges(table.judge_tier, source),
        **arrays,
    )


def _twice(array: NDArray[Any], source: int) -> NDArray[Any]:
    return np.insert(array, _PLACE, array[:, source], axis=1)


def _judges(judge_tier: NDArray[np.int64], source: int) -> NDArray[np.int64]:
    """Return who judges now: whoever did, at its new place; the new tier judges itself if its source did."""
    moved = np.where(judge_tier >= _PLACE, judge_tier + 1, judge_tier)
    twice = _twice(moved, source)
    own = judge_tier[:, source] == source
    twice[own, _PLACE] = _PLACE
    return twice

"""Calls over time, in at most some sixty equal steps."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llm_tiers.report.money import Money, money_of

if TYPE_CHECKING:
    from llm_tiers.history.record import Record
    from llm_tiers.report.ladder import SeenLadder

__all__ = ["Period", "periods_of"]

_MOST = 60
_HOUR, _DAY, _WEEK = 3_600, 86_400, 604_800
_STEPS = (60, 600, _HOUR, 6 * _HOUR, _DAY, _WEEK, 4 * _WEEK, 52 * _WEEK)
_MONDAY = 4 * _DAY
"""1970 began on a Thursday; weeks begin on Monday."""


@dataclass(frozen=True, slots=True)
class Period:
    """The calls of one step of time.

    Attributes:
        begin: When it begins, in seconds since 1970.
        seconds: How long it is.
        money: What its calls cost.
        finals: Tier name to how many calls were answered by it.
    """

    begin: float
    seconds: int
    money: Money
    finals: Mapping[str, int]


def periods_of(records: Sequence[Record], ladder: SeenLadder) -> list[Period]:
    """Return the calls by steps of time; the steps between without a call are there too.

    Args:
        records: The calls, oldest first.
        ladder: Their tiers.
    """
    if not records:
        return []
    first, last = records[0].created, records[-1].created
    step = next((step for step in _STEPS if (last - first) / step < _MOST - 1), None)
    # A clock that went wrong may leave calls of 1970 beside those of today.
    step = int((last - first) // (_MOST - 2)) + 1 if step is None else step
    begin = (first - _MONDAY) // step * step + _MONDAY
    times = [record.created for record in records]
    periods, place = [], 0
    while begin <= last:
        end = bisect_left(times, begin + step, place)
        part = records[place:end]
        finals = Counter(record.final for record in part)
        periods.append(Period(begin, step, money_of(part, ladder), finals))
        place, begin = end, begin + step
    return periods

"""What the calls that were only observed say of tiering: what it would have cost, and whether it is as good."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from llm_tiers.history.grades import SOURCES
from llm_tiers.telling.wording import calls, usd

if TYPE_CHECKING:
    from llm_tiers.history.record import GradeSource, Record

__all__ = ["Interval", "Observed", "ObservedOf", "Tally", "observed_in", "tally_of"]

_Z = 1.6448536269514722
"""Standard deviations to each side of a 90% interval."""


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and its 90% interval: the truth lies above `low` with a chance of 95%, and below `high` too.

    Attributes:
        mean: The estimate.
        low: The lower end.
        high: The upper end.
    """

    mean: float
    low: float
    high: float

    @property
    def bounded(self) -> bool:
        """Whether both ends are finite; of too few calls they are not."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    def __str__(self) -> str:
        return f"{self.mean:.3g} ({self.low:.3g} to {self.high:.3g})"


@dataclass(frozen=True, slots=True)
class Observed:
    """What tiering would have done on the calls that the present tier served.

    The intervals are of 90%. Calls on which the other tiers were asked stand for all: each is weighed by the inverse of
    the chance with which it was drawn (Hájek's estimator).

    Attributes:
        calls: How many calls were served and observed.
        asked: On how many of them the other tiers were asked, off the user's path.
        served_usd: What the present tier cost a call, in US$; None where that is not known.
        tiered_usd: What tiering would have cost a call, in US$.
        saved: The share of the cost that it would have saved; negative where it is dearer.
        same: How often tiering would have given the same answer, in [0, 1], as far as answers can be compared.
        as_good: How often its answer has a grade at least as high as the served one's, in [0, 1], on calls where the
            same source graded both; None where there are none.
        graded_by: How many of these calls each source graded.
        asking_usd: What asking the other tiers has cost in all, in US$.
    """

    calls: int = 0
    asked: int = 0
    served_usd: Interval | None = None
    tiered_usd: Interval | None = None
    saved: Interval | None = None
    same: Interval | None = None
    as_good: Interval | None = None
    graded_by: Mapping[str, int] = field(default_factory=dict)
    asking_usd: float = 0.0

    def __str__(self) -> str:
        """Say it in a few lines."""
        lines = [f"{calls(self.calls)} observed, the other tiers asked on {self.asked}, for {usd(self.asking_usd)}"]
        if self.served_usd is not None and self.tiered_usd is not None:
            lines.append(_dollars(self.served_usd, self.tiered_usd))
        if self.saved is not None:
            lines.append(f"saved: {_percent(self.saved)}")
        if self.same is not None:
            lines.append(f"same answer: {_percent(self.same)}")
        if self.as_good is not None:
            graders = ", ".join(f"{source} ({number})" for source, number in self.graded_by.items())
            lines.append(f"as good: {_percent(self.as_good)}, graded by {graders}")
        return "\n".join(lines)


def _dollars(served: Interval, tiered: Interval) -> str:
    # The cost of one call is too small a number to read.
    few = "" if served.bounded and tiered.bounded else " (too few calls for intervals)"
    return f"1,000 calls cost {_thousand(served)} as they are, and would cost {_thousand(tiered)} tiered{few}"


def _thousand(cost: Interval) -> str:
    mean, low, high = (usd(1000 * value) for value in (cost.mean, cost.low, cost.high))
    return f"{mean} ({low} to {high})" if cost.bounded else mean


def _percent(interval: Interval) -> str:
    if not interval.bounded:
        return f"{interval.mean:.1%} (too few calls for an interval)"
    return f"{interval.mean:.1%} ({interval.low:.1%} to {interval.high:.1%})"


@dataclass(frozen=True, slots=True)
class _Sums:
    """Weighed sums of pairs of values, which can be added and taken out again.

    Attributes:
        count: How many pairs.
        w: Sum of the weights; ww of their squares.
        wx: Sum of weight times first value; wy of weight times second value.
        wwx: Sum of squared weight times first value; wwy with the second, wwxx, wwxy and wwyy with products of both.
    """

    count: int = 0
    w: float = 0.0
    ww: float = 0.0
    wx: float = 0.0
    wy: float = 0.0
    wwx: float = 0.0
    wwy: float = 0.0
    wwxx: float = 0.0
    wwxy: float = 0.0
    wwyy: float = 0.0

    def __add__(self, other: _Sums) -> _Sums:
        return _Sums(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))

    def with_pair(self, weight: float, x: float, y: float, times: int) -> _Sums:
        one = times * weight
        two = one * weight
        return _Sums(
            self.count + times,
            self.w + one,
            self.ww + two,
            self.wx + one * x,
            self.wy + one * y,
            self.wwx + two * x,
            self.wwy + two * y,
            self.wwxx + two * x * x,
            self.wwxy + two * x * y,
            self.wwyy + two * y * y,
        )

    def mean(self) -> Interval | None:
        """Return the mean of the first value."""
        if not self.count:
            return None
        mean = self.wx / self.w
        spread = self.wwxx - 2 * mean * self.wwx + mean**2 * self.ww
        error = _Z * self._error(spread) / self.w
        return Interval(mean, max(mean - error, 0.0), mean + error)

    def share(self) -> Interval | None:
        """Return the mean of a first value that lies in [0, 1]; the interval holds also where it is 0 or 1 throughout.

        Source: Wilson's interval (1927), with as many calls as the weighed ones are worth.
        """
        if not self.count:
            return None
        mean, n, z = min(max(self.wx / self.w, 0.0), 1.0), self.w**2 / self.ww, _Z
        middle = (mean + z**2 / (2 * n)) / (1 + z**2 / n)
        error = z / (1 + z**2 / n) * math.sqrt(mean * (1 - mean) / n + z**2 / (4 * n**2))
        return Interval(mean, max(middle - error, 0.0), min(middle + error, 1.0))

    def saved(self) -> Interval | None:
        """Return 1 less the ratio of the sums of both values, with the error of the linearised ratio."""
        if not self.count or self.wy <= 0:
            return None
        ratio = self.wx / self.wy
        spread = self.wwxx - 2 * ratio * self.wwxy + ratio**2 * self.wwyy
        error = _Z * self._error(spread) / self.wy
        return Interval(1 - ratio, 1 - ratio - error, 1 - ratio + error)

    def _error(self, spread: float) -> float:
        if self.count == 1:
            return math.inf
        # Rounding may leave a spread of nothing a little below 0.
        return math.sqrt(max(spread, 0.0) * self.count / (self.count - 1))


_NONE = _Sums()


@dataclass(frozen=True, slots=True)
class Tally:
    """Sums over a node's observed calls."""

    calls: int = 0
    asked: int = 0
    asking_usd: float = 0.0
    served: _Sums = _NONE
    cost: _Sums = _NONE
    same: _Sums = _NONE
    as_good: _Sums = _NONE
    graded_by: Mapping[GradeSource, int] = field(default_factory=dict)

    def __add__(self, other: Tally) -> Tally:
        """Return the tally of the calls of both."""
        sums = {one.name: getattr(self, one.name) + getattr(other, one.name) for one in fields(self)[:-1]}
        number = Counter(self.graded_by)
        number.update(other.graded_by)
        return Tally(**sums, graded_by=number)

    def observed(self) -> Observed:
        """Return what the calls say."""
        return Observed(
            calls=self.calls,
            asked=self.asked,
            served_usd=self.served.mean(),
            tiered_usd=self.cost.mean(),
            saved=self.cost.saved(),
            same=self.same.share(),
            as_good=self.as_good.share() if self.graded_by else None,
            graded_by={source: self.graded_by[source] for source in SOURCES if self.graded_by.get(source)},
            asking_usd=max(self.asking_usd, 0.0),
        )

    def with_record(self, record: Record, times: int = 1) -> Tally:
        """Return the tally with a record, or without it where `times` is -1."""
        if record.planned is None:
            return self
        # One copy at the end: a report tallies a hundred thousand calls.
        return replace(
            self, calls=self.calls + times, **self._cost_with(record, times), **self._worth_with(record, times)
        )

    def _cost_with(self, record: Record, times: int) -> dict[str, Any]:
        served = record.costs.get(record.final)
        known: dict[str, Any] = {}
        if served is not None:
            known["served"] = self.served.with_pair(1.0, served, 0.0, times)
        if record.audited:
            known["asked"] = self.asked + times
            if record.cost_usd is not None and served is not None:
                known["asking_usd"] = self.asking_usd + times * (record.cost_usd - served)
            usd = record.tiered_usd
            if record.tiered is not None and record.complete_chance and usd is not None and served is not None:
                known["cost"] = self.cost.with_pair(1 / record.complete_chance, usd, served, times)
        return known

    def _worth_with(self, record: Record, times: int) -> dict[str, Any]:
        if not record.audited or record.tiered is None or not record.complete_chance:
            return {}
        weight, known = 1 / record.complete_chance, dict[str, Any]()
        same = _is_same(record, record.tiered)
        if same is not None:
            known["same"] = self.same.with_pair(weight, float(same), 0.0, times)
        source = _grader_of(record, record.tiered)
        if source is not None:
            grades = record.grades[source]
            as_good = grades[record.tiered] >= grades[record.final]
            known["as_good"] = self.as_good.with_pair(weight, float(as_good), 0.0, times)
            known["graded_by"] = {**self.graded_by, source: self.graded_by.get(source, 0) + times}
        return known


def _is_same(record: Record, tiered: str) -> bool | None:
    """Say whether tiering's answer is the one that was served; None where they cannot be compared."""
    if tiered == record.final:
        return True
    one, other = record.said.get(tiered), record.said.get(record.final)
    # An answer that is missing equals nothing.
    return None if one is None or other is None else one == other >= 0


def _grader_of(record: Record, tiered: str) -> GradeSource | None:
    """Return the most trusted source that graded both tiering's answer and the served one; None where none did."""
    for source in SOURCES:
        grades = record.grades.get(source, {})
        # A user's word on the served answer alone counts only where both are one, and such calls stand for themselves.
        alone = source == "feedback" and len(grades) == 1
        if tiered in grades and record.final in grades and not alone:
            return source
    return None


@dataclass(frozen=True, slots=True)
class ObservedOf:
    """The study that tallies a node's observed calls; it learns anew what is graded later."""

    def start(self) -> Tally:
        """Return the tally of no calls."""
        return Tally()

    def learn(self, result: Tally, record: Record) -> Tally:
        """Return the tally with one more call."""
        return result.with_record(record)

    def revise(self, result: Tally, before: Record, after: Record) -> Tally:
        """Return the tally after a call was graded."""
        return result.with_record(before, -1).with_record(after)


def tally_of(records: Iterable[Record]) -> Tally:
    """Return the sums over the observed calls among some records."""
    tally = Tally()
    for record in records:
        tally = tally.with_record(record)
    return tally


def observed_in(records: Iterable[Record]) -> Observed:
    """Return what the observed calls among some records say."""
    return tally_of(records).observed()

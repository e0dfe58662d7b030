"""A policy at one setting of its knob, measured on a sample."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np

from llm_tiers.calibration.intervals import Interval, intervals

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from llm_tiers.replay import ReplayResult

__all__ = ["Measurement", "Point", "frontier", "interval_data", "points_of"]


@dataclass(frozen=True, slots=True, eq=False)
class Measurement:
    """The results of a policy at one setting for each question, as a mean over the orders.

    Attributes:
        policy: Name of the policy.
        knob: Its setting, or None where it has none.
        right: Share of the orders in which each question was answered right.
        costs: What each question cost, in US$.
        seconds: How long an answer took, on average; 0 where the sample does not say.
    """

    policy: str
    knob: float | None
    right: NDArray[np.float64]
    costs: NDArray[np.float64]
    seconds: float

    @classmethod
    def of(cls, by_table: Sequence[Sequence[ReplayResult]]) -> Measurement:
        """Combine the replays of each table in several orders."""
        first = by_table[0][0]
        minutes = sum(fmean(result.minutes for result in results) for results in by_table)
        return cls(
            policy=first.policy,
            knob=first.knob,
            right=np.concatenate([np.mean([result.right for result in results], axis=0) for results in by_table]),
            costs=np.concatenate([np.mean([result.costs for result in results], axis=0) for results in by_table]),
            seconds=60 * minutes / sum(results[0].n for results in by_table),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Point:
    """A measurement with intervals.

    Attributes:
        policy: Name of the policy.
        knob: Its setting, or None where it has none.
        accuracy: Share of right answers.
        cost: US$ for 1,000 calls.
        seconds: How long an answer takes; None where the sample does not say.
        measured: What it was made of.
    """

    policy: str
    knob: float | None
    accuracy: Interval
    cost: Interval
    seconds: float | None
    measured: Measurement = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the point as JSON-ready data."""
        return {
            "policy": self.policy,
            "knob": self.knob,
            "accuracy": interval_data(self.accuracy),
            "usd_per_1000_calls": interval_data(self.cost),
            "seconds_per_call": self.seconds,
        }


def interval_data(interval: Interval) -> dict[str, float]:
    """Return an interval as JSON-ready data."""
    return {"mean": interval.mean, "low": interval.low, "high": interval.high}


def points_of(measurements: Sequence[Measurement]) -> list[Point]:
    """Return the measurements with intervals, all from the same draws."""
    # One call for all points: the same draws weight all of them, so that their differences are not noise.
    accuracies = intervals([measured.right for measured in measurements], share=True)
    costs = intervals([1_000 * measured.costs for measured in measurements])
    return [
        Point(measured.policy, measured.knob, accuracy, cost, measured.seconds or None, measured)
        for measured, accuracy, cost in zip(measurements, accuracies, costs, strict=True)
    ]


def frontier(points: Sequence[Point]) -> list[Point]:
    """Return the points that no cheaper one of the same policy equals in accuracy, cheapest first."""
    # By policy: the table shows what each policy can do, even where another one dominates it.
    best: dict[str, float] = {}
    kept = []
    for point in sorted(points, key=lambda point: (point.cost.mean, -point.accuracy.mean)):
        if point.accuracy.mean > best.get(point.policy, -1.0):
            best[point.policy] = point.accuracy.mean
            kept.append(point)
    return kept

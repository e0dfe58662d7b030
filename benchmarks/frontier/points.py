"""Points of a frontier, what it costs to reach an accuracy, and how sure that is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frontier.runs import Run
from llm_tiers.replay import ReplayResult

DRAWS = 1_000
_IN_JSON = ("file", "embedding", "policy", "knob", "accuracy", "accuracy_se", "cost_usd", "minutes")


@dataclass(frozen=True)
class Point:
    """A policy at one setting, on one ladder of one table with one embedding: means over the orders.

    `right` and `costs` hold a mean for each question.
    """

    file: str
    embedding: str
    policy: str
    knob: float | None
    accuracy: float
    accuracy_se: float
    cost_usd: float
    minutes: float
    ladder: str
    cheapest_used_when_right: float | None
    calibration_error: float | None
    right: NDArray[np.float64] = field(repr=False)
    costs: NDArray[np.float64] = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _IN_JSON}


def points_of(runs: Iterable[Run]) -> list[Point]:
    """Make a point of the runs that differ by their order alone."""
    groups: dict[tuple[Any, ...], list[ReplayResult]] = {}
    for run in runs:
        result = run.result
        key = (result.file, result.embedding, run.ladder, result.policy, result.knob)
        groups.setdefault(key, []).append(result)
    return [_point(ladder, results) for (_, _, ladder, _, _), results in groups.items()]


def _point(ladder: str, results: Sequence[ReplayResult]) -> Point:
    first = results[0]
    right = np.mean([result.right for result in results], axis=0)
    return Point(
        file=first.file,
        embedding=first.embedding,
        policy=first.policy,
        knob=first.knob,
        accuracy=fmean(result.accuracy for result in results),
        # What a bootstrap would find by drawing: the standard deviation of a mean over questions.
        accuracy_se=float(right.std() / np.sqrt(len(right))),
        cost_usd=fmean(result.cost_usd for result in results),
        minutes=fmean(result.minutes for result in results),
        ladder=ladder,
        cheapest_used_when_right=_mean_known(result.cheapest_used_when_right for result in results),
        calibration_error=_mean_known(result.calibration_error for result in results),
        right=right,
        costs=np.mean([result.costs for result in results], axis=0),
    )


def _mean_known(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


@dataclass(frozen=True)
class Reached:
    """What it costs and takes to reach an accuracy."""

    cost_usd: float
    minutes: float


def reached(points: Iterable[Point], accuracy: float) -> Reached | None:
    """Return the cost and the minutes at which a frontier reaches an accuracy, interpolated, or None."""
    triples = [(point.cost_usd, point.accuracy, point.minutes) for point in points]
    return _reached(triples, accuracy)


def _reached(triples: Iterable[tuple[float, float, float]], accuracy: float) -> Reached | None:
    # Points that cost more without being more accurate are skipped: the frontier is what is left.
    low: tuple[float, float, float] | None = None
    for high in sorted(triples):
        if high[1] >= accuracy:
            below = low or high
            share = 1.0 if low is None else (accuracy - below[1]) / (high[1] - below[1])
            return Reached(below[0] + share * (high[0] - below[0]), below[2] + share * (high[2] - below[2]))
        if low is None or high[1] > low[1]:
            low = high
    return None


def interval(points: Sequence[Point], base: Point) -> tuple[float, float]:
    """Return the 5th and 95th percentile of the cost at `base`'s accuracy over `base`'s cost.

    A bootstrap: questions are drawn with replacement, and accuracies and costs are taken anew.
    A draw in which the accuracy is not reached counts as infinite.
    """
    n = len(base.right)
    # How often each question is drawn, instead of the questions themselves: one matrix product gives all draws' sums.
    drawn = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=DRAWS)
    accuracies, costs = (
        np.stack([getattr(point, name) for point in (base, *points)]) @ drawn.T for name in ("right", "costs")
    )
    ratios = []
    for accuracy, cost in zip(accuracies.T / n, costs.T, strict=True):
        at = _reached(zip(cost[1:], accuracy[1:], cost[1:], strict=True), float(accuracy[0]))
        ratios.append(at.cost_usd / cost[0] if at else np.inf)
    # "nearest", since between a number and infinity there is nothing to interpolate.
    low, high = np.quantile(ratios, [0.05, 0.95], method="nearest")
    return float(low), float(high)

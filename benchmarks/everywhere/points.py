"""One point a policy, set, knob and kind of truth: what it reached, over the shuffles."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from everywhere.sets import Outcome, RecordedSet

__all__ = ["Point", "point_of"]

_NOISE = 2.0
"""Standard errors by which an accuracy must differ to count."""

_LEARNING_SHARE = 0.2
"""The share of the spend that learning may take, as the default's `learning=`: single tiers learn nothing."""


@dataclass(frozen=True)
class Point:
    """What a policy reached on a set.

    Attributes:
        policy: Its name.
        set: The set's name.
        quality: The knob.
        graded: Whether profiled calls were graded by the recorded truth.
        accuracy: Share of right answers, mean over the shuffles.
        cost: In usual answers of the dearest tier.
        gain: Points of worth beyond the best single tier in hindsight; `gain_se` its standard error over shuffles.
        below_top: Points of accuracy below the dearest tier; `below_best` below the most accurate single tier.
        dominated: Whether a single tier is as accurate and cheaper, beyond noise and the learning share.
        profiled: How many calls all tiers answered.
        calibration: Error of the stated confidence, or None.
    """

    policy: str
    set: str
    quality: float
    graded: bool
    accuracy: float
    cost: float
    gain: float
    gain_se: float
    below_top: float
    below_best: float
    dominated: bool
    profiled: float
    calibration: float | None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def point_of(policy: str, recorded: RecordedSet, quality: float, outcomes: list[Outcome], *, graded: bool) -> Point:
    """Make a point of the outcomes of several shuffles."""
    accuracy = float(np.mean([one.accuracy for one in outcomes]))
    cost = float(np.mean([one.cost for one in outcomes]))
    gains = [one.worth(quality) - recorded.best_single(quality) for one in outcomes]
    # Only between orders of one sample: how the sample itself was drawn is not in it.
    spread = float(np.std(gains, ddof=1) / np.sqrt(len(gains))) if len(gains) > 1 else 0.0
    stated = [one.calibration for one in outcomes if one.calibration is not None]
    singles = [single.accuracy for single in recorded.singles]
    return Point(
        policy=policy,
        set=recorded.name,
        quality=quality,
        graded=graded,
        accuracy=accuracy,
        cost=cost,
        gain=float(np.mean(gains)),
        gain_se=spread,
        below_top=100 * (singles[-1] - accuracy),
        below_best=100 * (max(singles) - accuracy),
        dominated=_is_dominated(recorded, accuracy, cost, outcomes),
        profiled=float(np.mean([one.profiled for one in outcomes])),
        calibration=float(np.mean(stated)) if stated else None,
    )


def _is_dominated(recorded: RecordedSet, accuracy: float, cost: float, outcomes: list[Outcome]) -> bool:
    shuffled = [one.accuracy for one in outcomes]
    noise = _NOISE * float(np.std(shuffled, ddof=1) / np.sqrt(len(shuffled))) if len(shuffled) > 1 else 0.0
    return any(
        single.accuracy >= accuracy + noise and single.cost < cost * (1 - _LEARNING_SHARE)
        for single in recorded.singles
    )

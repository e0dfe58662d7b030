"""From a sample to the single tier, the fixed rule, or the policy and knob that reach a target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from llm_tiers.calibration.points import frontier, interval_data, points_of
from llm_tiers.calibration.sweep import FIXED_RULES, Setting, Sweep
from llm_tiers.calibration.targets import AsGoodAs, AtLeast, Target, Within
from llm_tiers.errors import ConfigError
from llm_tiers.policies.named import BY_KNOB, single_tier
from llm_tiers.policies.settings import Measured, Settings

if TYPE_CHECKING:
    from llm_tiers.calibration.points import Point
    from llm_tiers.calibration.sources import Sample
    from llm_tiers.policies.settings import Aim

__all__ = ["Calibration", "calibrate", "candidates_of"]

_QUALITIES = (0.0, 0.15, 0.3, 0.45, 0.6, 0.8, 1.0)
_THETAS = (0.5, 0.65, 0.74, 0.85, 0.95)
_KNOBS = {"default": _QUALITIES, "doubt": _QUALITIES, "agree": _THETAS, "estimate": _THETAS}
_JUDGING = ("agree", "estimate")
_BASELINE: Setting = ("llm-at", None)


@dataclass(frozen=True, slots=True)
class Calibration:
    """What policies reach on a sample, and which one to take.

    Attributes:
        sample: The questions.
        points: The candidates at all settings tried, by policy and knob.
        singles: Each tier alone, cheapest first.
        rules: The fixed rules, which have no knob.
        target: The target; None where none was given.
        recommended: The best point of all that reaches it; None where none does.
        nearest: The point of all that comes nearest where none reaches it.
    """

    sample: Sample
    points: tuple[Point, ...]
    singles: tuple[Point, ...]
    rules: tuple[Point, ...] = ()
    target: Target | None = None
    recommended: Point | None = None
    nearest: Point | None = None

    @property
    def loadable(self) -> Point | None:
        """The best point that reaches the target and that a settings file can hold: any but a fixed rule."""
        if self.recommended is None or self.recommended not in self.rules:
            return self.recommended
        return _best(self.target, [*self.points, *self.singles])

    @property
    def cheaper_on_average(self) -> Point | None:
        """The cheapest point whose mean reaches an accuracy, though its interval does not; None where none is cheaper."""
        if self.recommended is None or not isinstance(self.target, AtLeast):
            return None
        accuracy, most = self.target.accuracy, self.recommended.cost.mean
        everything = [*self.singles, *self.rules, *self.points]
        cheaper = [point for point in everything if point.accuracy.mean >= accuracy and point.cost.mean < most]
        return self.target.best(cheaper) if cheaper else None

    def settings(self, aim: Aim) -> Settings | None:
        """Return the settings to load, or None where nothing that they can hold reaches the target."""
        point = self.loadable
        if point is None:
            return None
        return Settings(
            policy=point.policy,
            knob=point.knob,
            tiers=self.sample.tiers,
            aim=aim,
            right_means=self.sample.right_means,
            accuracy=Measured(**interval_data(point.accuracy)),
            usd_per_1000_calls=Measured(**interval_data(point.cost)),
            n=len(self.sample),
            sources=self.sample.names,
            date=datetime.now(tz=UTC).date().isoformat(),
            version=version("llm-tiers"),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON-ready data."""
        undominated = frontier(self.points)
        return {
            "sources": list(self.sample.names),
            "n": len(self.sample),
            "tiers": list(self.sample.tiers),
            "right_means": self.sample.right_means,
            "points": [point.to_dict() | {"on_frontier": point in undominated} for point in self.points],
            "singles": [single.to_dict() for single in self.singles],
            "rules": [rule.to_dict() for rule in self.rules],
            "target": None if self.target is None else self.target.text,
            "recommended": None if self.recommended is None else self.recommended.to_dict(),
            "nearest": None if self.nearest is None else self.nearest.to_dict(),
        }


def candidates_of(sample: Sample, names: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the policies to try beside the single tiers.

    These are the ones named, else `default`, the fixed rules, and where verdicts are recorded `agree` and `estimate`.

    Raises:
        ConfigError: A policy cannot be calibrated, or needs verdicts that the sample lacks.
    """
    known = (*BY_KNOB, *FIXED_RULES)
    for name in names:
        if name not in known:
            raise ConfigError(f"policy {name!r} cannot be calibrated; take {', '.join(known)}")
        if name in _JUDGING and not sample.has_verdicts:
            raise ConfigError(f"policy {name!r} asks a judge, and {sample.names[0]} records no verdicts")
    if names:
        return tuple(dict.fromkeys(names))
    judging = _JUDGING if sample.has_verdicts else ()
    # In a ladder of two the rules are the top tier alone.
    return ("default", *judging, *(FIXED_RULES if len(sample.tiers) > 2 else ()))  # noqa: PLR2004


def calibrate(sample: Sample, sweep: Sweep, *, candidates: Sequence[str], aim: Aim | None = None) -> Calibration:
    """Measure tiers, rules and policies over their knobs, find the best that reaches the target, look closer around it.

    Args:
        sample: The questions.
        sweep: Replays them.
        candidates: Names of policies, as `candidates_of` returns them.
        aim: What is asked for.
    """
    measured = sweep.measure(_settings_of(sample, candidates, aim))
    if aim is None:
        return _chosen(points_of(measured), sample, None)
    points = points_of(measured)
    target, ours = _target(aim, points), _with_knob(points)
    if not ours:
        return _chosen(points, sample, aim)
    # A coarse grid first, then two settings beside the best: far fewer replays than a fine grid over all policies.
    closer = sweep.measure(_between(ours, _best(target, ours) or target.nearest(ours)))
    return _chosen(points_of([*measured, *closer]), sample, aim)


def _settings_of(sample: Sample, candidates: Sequence[str], aim: Aim | None) -> list[Setting]:
    """Return what is replayed first: the single tiers, the candidates, and what they are compared with."""
    baseline = [_BASELINE] if aim is not None and aim.value == _BASELINE[0] else []
    singles: list[Setting] = [(single_tier(tier).name, None) for tier in sample.tiers]
    return [*singles, *baseline, *((name, knob) for name in candidates for knob in _KNOBS.get(name, (None,)))]


def _between(points: Sequence[Point], around: Point) -> list[Setting]:
    """Return knobs half way between a point's and those beside it."""
    knob = around.knob or 0.0
    tried = sorted(point.knob or 0.0 for point in points if point.policy == around.policy)
    at = tried.index(knob)
    # At the end of a knob's range there is a neighbour on one side only.
    beside = [*tried[max(at - 1, 0) : at], *tried[at + 1 : at + 2]]
    return [(around.policy, round((knob + other) / 2, 4)) for other in beside]


def _chosen(points: Sequence[Point], sample: Sample, aim: Aim | None) -> Calibration:
    """Sort the points into policies with a knob, rules and single tiers, and choose one of them all."""
    ours = tuple(_with_knob(points))
    singles = tuple(point for point in points if point.policy.startswith("single:"))
    rules = tuple(point for point in points if point.policy in FIXED_RULES)
    if aim is None:
        return Calibration(sample, ours, singles, rules)
    target, everything = _target(aim, points), [*singles, *rules, *ours]
    best = _best(target, everything)
    nearest = target.nearest(everything) if best is None else None
    return Calibration(sample, ours, singles, rules, target, recommended=best, nearest=nearest)


def _with_knob(points: Sequence[Point]) -> list[Point]:
    return sorted((point for point in points if point.policy in BY_KNOB), key=lambda p: (p.policy, p.knob or 0.0))


def _best(target: Target | None, points: Sequence[Point]) -> Point | None:
    """Return the best of the points that reach the target; of equals the first, so simpler ones should come first."""
    enough = [point for point in points if target is not None and target.reached(point)]
    return target.best(enough) if target is not None and enough else None


def _target(aim: Aim, points: Sequence[Point]) -> Target:
    if aim.kind == "as-good-as":
        others = {point.policy.removeprefix("single:"): point for point in points if point.policy not in BY_KNOB}
        return AsGoodAs(others[str(aim.value)])
    return AtLeast(float(aim.value)) if aim.kind == "accuracy" else Within(float(aim.value))

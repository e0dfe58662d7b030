"""From a sample to the policy and knob that reach a target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from llm_tiers.calibration.fixed_rules import PREFIX, fixed_rules
from llm_tiers.calibration.points import frontier, interval_data, points_of
from llm_tiers.calibration.sweep import Setting, Sweep
from llm_tiers.calibration.targets import AsGoodAs, AtLeast, Target, Within
from llm_tiers.errors import ConfigError
from llm_tiers.policies.named import BY_KNOB
from llm_tiers.policies.settings import Measured, Settings

if TYPE_CHECKING:
    from llm_tiers.calibration.points import Point
    from llm_tiers.calibration.sources import Sample
    from llm_tiers.policies.settings import Aim

__all__ = ["Calibration", "calibrate", "candidates_of"]

_QUALITIES = (0.0, 0.15, 0.3, 0.45, 0.6, 0.8, 1.0)
_THETAS = (0.5, 0.65, 0.74, 0.85, 0.95)
_KNOBS = {"default": _QUALITIES, "doubt": _QUALITIES, "menu": _QUALITIES, "agree": _THETAS, "estimate": _THETAS}
_JUDGING = ("agree", "estimate")
_BASELINE: Setting = ("llm-at", None)


@dataclass(frozen=True, slots=True)
class Calibration:
    """What policies reach on a sample, and which one to take.

    Attributes:
        sample: The questions.
        points: The candidates at all settings tried, by policy and knob.
        singles: Each tier alone, cheapest first.
        rules: The fixed rules of the menu that ask several tiers.
        target: The target; None where none was given.
        recommended: The best point that reaches it, of all or of those that the user named; None: none does.
        nearest: The point that comes nearest where none reaches it.
    """

    sample: Sample
    points: tuple[Point, ...]
    singles: tuple[Point, ...]
    rules: tuple[Point, ...] = ()
    target: Target | None = None
    recommended: Point | None = None
    nearest: Point | None = None

    @property
    def better_unnamed(self) -> Point | None:
        """What reaches the target better than the policies that the user named do, if anything does."""
        if self.target is None:
            return None
        enough = [point for point in (*self.singles, *self.rules) if self.target.reached(point)]
        if not enough:
            return None
        rival = self.target.best(enough)
        # The target itself decides what "better" means: cheaper for an accuracy, more accurate for a budget.
        rivals = [rival] if self.recommended is None else [self.recommended, rival]
        return rival if self.target.best(rivals) is rival and rival is not self.recommended else None

    def settings(self, aim: Aim) -> Settings | None:
        """Return the settings to load, or None where nothing is recommended."""
        point = self.recommended
        if point is None:
            return None
        return Settings(
            # A tier alone is the simplest rule of the menu.
            policy=point.policy.replace("single:", PREFIX),
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
        }


def candidates_of(sample: Sample, names: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the policies to try: those named, else `default`, and where verdicts are recorded `agree` and `estimate`.

    Raises:
        ConfigError: A policy cannot be calibrated, or needs verdicts that the sample lacks.
    """
    for name in names:
        if name not in BY_KNOB:
            raise ConfigError(f"policy {name!r} cannot be calibrated; take {', '.join(BY_KNOB)}")
        if name in _JUDGING and not sample.has_verdicts:
            raise ConfigError(f"policy {name!r} asks a judge, and {sample.names[0]} records no verdicts")
    if names:
        return tuple(dict.fromkeys(names))
    return ("default", "agree", "estimate") if sample.has_verdicts else ("default",)


def calibrate(
    sample: Sample, sweep: Sweep, *, candidates: Sequence[str], aim: Aim | None = None, only: bool = False
) -> Calibration:
    """Measure the candidates over their knobs, look closer around the best, and choose among all that reach the target.

    Args:
        sample: The questions.
        sweep: Replays them.
        candidates: Names of policies, as `candidates_of` returns them.
        aim: What is asked for.
        only: Recommend one of the candidates; else single tiers and the menu's rules are weighed beside them.
    """
    measured = [*sweep.measure(_settings_of(sample, candidates, aim)), *fixed_rules(sample.tables)]
    if aim is None:
        return _chosen(sample, points_of(measured), None, only=only)
    # A coarse grid first, then two settings beside the best: far fewer replays than a fine grid over all policies.
    first = _chosen(sample, points_of(measured), aim, only=True)
    around = first.recommended or first.nearest
    closer = sweep.measure(_between(first.points, around)) if around is not None else []
    return _chosen(sample, points_of([*measured, *closer]), aim, only=only)


def _settings_of(sample: Sample, candidates: Sequence[str], aim: Aim | None) -> list[Setting]:
    """Return what is replayed first: the single tiers, the candidates, and what they are compared with."""
    baseline = [_BASELINE] if aim is not None and aim.value == _BASELINE[0] else []
    singles: list[Setting] = [(f"single:{tier}", None) for tier in sample.tiers]
    return [*singles, *baseline, *((name, knob) for name in candidates for knob in _KNOBS[name])]


def _between(points: Sequence[Point], around: Point) -> list[Setting]:
    """Return knobs half way between a point's and those beside it."""
    knob = around.knob or 0.0
    tried = sorted(point.knob or 0.0 for point in points if point.policy == around.policy)
    at = tried.index(knob)
    # At the end of a knob's range there is a neighbour on one side only.
    beside = [*tried[max(at - 1, 0) : at], *tried[at + 1 : at + 2]]
    return [(around.policy, round((knob + other) / 2, 4)) for other in beside]


def _chosen(sample: Sample, points: Sequence[Point], aim: Aim | None, *, only: bool) -> Calibration:
    """Sort the points into candidates, single tiers and rules, and choose one."""
    ours = sorted((point for point in points if point.policy in BY_KNOB), key=lambda p: (p.policy, p.knob or 0.0))
    singles = [point for point in points if point.policy.startswith("single:")]
    rules = [point for point in points if point.policy.startswith(PREFIX)]
    if aim is None:
        return Calibration(sample, tuple(ours), tuple(singles), tuple(rules))
    target = _target(aim, points)
    # Single tiers first: of equals the simplest is taken.
    weighed = ours if only else [*singles, *rules, *ours]
    enough = [point for point in weighed if target.reached(point)]
    return Calibration(
        sample,
        tuple(ours),
        tuple(singles),
        tuple(rules),
        target,
        recommended=target.best(enough) if enough else None,
        nearest=None if enough else target.nearest(weighed),
    )


def _target(aim: Aim, points: Sequence[Point]) -> Target:
    if aim.kind == "as-good-as":
        others = {point.policy.removeprefix("single:"): point for point in points if point.policy not in BY_KNOB}
        return AsGoodAs(others[str(aim.value)])
    return AtLeast(float(aim.value)) if aim.kind == "accuracy" else Within(float(aim.value))

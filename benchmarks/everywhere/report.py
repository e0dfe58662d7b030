"""The lines that a default has to reach, and a table of all sets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from everywhere.points import Point
from everywhere.sets import RecordedSet

__all__ = ["report"]


def report(points: Sequence[Point], sets: Sequence[RecordedSet], default: float) -> Iterator[str]:
    """Yield Markdown: the lines, then the gains by set."""
    # Ungraded, "right" can only mean what the top tier says. Where a cheaper tier is right more often, that has to
    # fail, so these sets have lines of their own.
    best = {recorded.name for recorded in sets if recorded.top_is_best}
    ours = [point for point in points if point.policy == "menu"]
    yield "| the menu, learning charged | mean | worst |"
    yield "|---|---|---|"
    for quality in sorted({point.quality for point in ours}):
        at = [point for point in ours if point.quality == quality]
        graded, ungraded = [p for p in at if p.graded], [p for p in at if not p.graded]
        yield _gains(f"gain at {quality}, graded, all sets", graded)
        yield _gains(f"gain at {quality}, ungraded, dearest tier best", [p for p in ungraded if p.set in best])
        yield _gains(f"gain at {quality}, ungraded, dearest tier not best", [p for p in ungraded if p.set not in best])
        for kind, some in (("graded", graded), ("ungraded", ungraded)):
            dominated = [p.set for p in some if p.dominated]
            if dominated:
                yield f"| dominated by a single tier at {quality}, {kind} | {', '.join(dominated)} | |"
        yield from _default_lines(quality, default, graded, [p for p in ungraded if p.set in best])
    yield ""
    yield from _by_set(points, sets)


def _gains(title: str, points: Sequence[Point]) -> str:
    if not points:
        return f"| {title} | - | - |"
    gains = [point.gain for point in points]
    # Of the mean over sets, whose shuffles are independent.
    error = float(np.sqrt(sum(point.gain_se**2 for point in points)) / len(points))
    worst = min(points, key=lambda point: point.gain)
    return f"| {title} | {np.mean(gains):+.2f} ± {error:.2f} | {worst.gain:+.2f} ({worst.set}) |"


def _default_lines(quality: float, default: float, graded: Sequence[Point], good: Sequence[Point]) -> Iterator[str]:
    if quality != default:
        return
    yield _least(f"default {quality}, ungraded: accuracy below the dearest tier's", good, "below_top")
    yield _least(f"default {quality}, ungraded: cost, dearest tier = 1", good, "cost")
    yield _least(f"default {quality}, graded: accuracy below the best tier's", graded, "below_best")
    stated = [point for point in graded if point.calibration is not None]
    yield _least(f"default {quality}, graded: calibration error", stated, "calibration")


def _least(title: str, points: Sequence[Point], what: str) -> str:
    if not points:
        return f"| {title} | - | - |"
    values = [getattr(point, what) for point in points]
    worst = points[int(np.argmax(values))]
    return f"| {title} | {np.mean(values):.3f} | {max(values):.3f} ({worst.set}) |"


def _by_set(points: Sequence[Point], sets: Sequence[RecordedSet]) -> Iterator[str]:
    for quality, graded in sorted({(point.quality, point.graded) for point in points}):
        at = [point for point in points if (point.quality, point.graded) == (quality, graded)]
        policies = list(dict.fromkeys(point.policy for point in at))
        yield f"Gain at {quality}, {'graded' if graded else 'ungraded'}; accuracy and cost of the menu."
        yield ""
        yield f"| set | {' | '.join(policies)} | menu |"
        yield "|---" * (len(policies) + 2) + "|"
        for recorded in sets:
            own = {point.policy: point for point in at if point.set == recorded.name}
            cells = [f"{own[name].gain:+.1f}" if name in own else "" for name in policies]
            reached = f"{own['menu'].accuracy:.3f} @ {own['menu'].cost:.2f}" if "menu" in own else ""
            yield f"| {recorded.name} | {' | '.join(cells)} | {reached} |"
        yield f"| mean | {' | '.join(_means(at, policies, len(sets)))} | |"
        yield ""


def _means(points: Iterable[Point], policies: Sequence[str], sets: int) -> list[str]:
    kept = list(points)
    gains = ([point.gain for point in kept if point.policy == policy] for policy in policies)
    # A mean over other sets cannot be compared.
    return [f"{np.mean(gain):+.2f}" if len(gain) == sets else "" for gain in gains]

"""The picture: for each set, how much more or less the menu is worth than the best single tier."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from everywhere.points import Point

__all__ = ["draw"]

_COLOURS = {True: "tab:green", False: "tab:blue"}


def draw(points: Sequence[Point], path: Path, default: float) -> None:
    """Draw gains by set, and accuracy against cost beside the dearest tier, at the default knob, into a PNG file."""
    ours = [point for point in points if point.policy == "menu" and point.quality == default]
    names = list(dict.fromkeys(point.set for point in ours))
    figure = Figure(figsize=(13, 1.6 + 0.45 * len(names)), layout="constrained")
    # A figure of its own instead of pyplot's, which would look for a display.
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, sharey=True)
    for graded, colour in _COLOURS.items():
        some = {point.set: point for point in ours if point.graded is graded}
        places = [names.index(name) + (0.18 if graded else -0.18) for name in some]
        label = "answers of profiled calls graded" if graded else "ungraded"
        # Two standard errors: about 95%.
        gains, errors = [p.gain for p in some.values()], [2 * p.gain_se for p in some.values()]
        left.barh(places, gains, 0.34, xerr=errors, color=colour, label=label)
        right.barh(places, [p.cost for p in some.values()], 0.34, color=colour)
        for place, point in zip(places, some.values(), strict=True):
            right.text(point.cost + 0.01, place, f"{-point.below_top:+.1f}", va="center", fontsize=8)
    left.axvline(0, color="black", linewidth=0.8)
    right.axvline(1, color="black", linewidth=0.8)
    left.set_yticks(np.arange(len(names)), names)
    left.set_xlabel("worth beyond the best single tier in hindsight, points")
    right.set_xlabel("cost, the dearest tier = 1; beside it accuracy beyond that tier's, points")
    left.legend(loc="best", fontsize=8)
    figure.suptitle(f"The menu at quality {default}, learning charged")
    figure.savefig(path, dpi=120, format="png")

"""The picture: accuracy against cost, with a panel for each table and a line for each policy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import PercentFormatter

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from frontier.points import Point
    from frontier.report import Panel

_PANEL_INCHES = 7.6, 6.2
_HALO = [withStroke(linewidth=3, foreground="white")]
"""Keeps a label readable on a line."""
_LINES = {
    "default": ("tab:red", "o", 2.4),
    "doubt": ("tab:pink", "P", 1.6),
    "cascade-routing": ("tab:cyan", "p", 1.4),
    "agree": ("tab:brown", "^", 1.4),
    "estimate": ("tab:olive", "h", 1.4),
    "llm-at": ("tab:orange", "D", 1.4),
}
"""Colour, marker and width."""
_MARKS = {
    "agree-two": ("<", "black"),
    "agree-all": (">", "black"),
    "random": ("X", "tab:purple"),
    "oracle": ("*", "tab:green"),
}


def draw(panels: list[Panel], path: Path) -> None:
    """Draw the panels of each table's first embedding into a PNG file."""
    # Reversed, so that a file's first embedding is the one that stays.
    by_file = {panel.base.file: panel for panel in reversed(panels)}
    shown = [by_file[file] for file in dict.fromkeys(panel.base.file for panel in panels)]
    width, height = _PANEL_INCHES
    figure = Figure(figsize=(width * len(shown), height), layout="constrained")
    # A figure of its own instead of pyplot's, which would look for a display.
    FigureCanvasAgg(figure)
    for axes, panel in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
        _draw_panel(axes, panel)
    figure.savefig(path, dpi=120, format="png")


def _draw_panel(axes: Axes, panel: Panel) -> None:
    singles = [point for point in panel.points if point.policy.startswith("single:")]
    _line(axes, singles, color="lightgray", zorder=1)
    axes.scatter(*_places(singles), marker="s", s=60, color="tab:gray", zorder=3)
    for point in singles:
        _, _, tier = point.policy.partition(":")
        place = (point.cost_usd, point.accuracy)
        style = {"textcoords": "offset points", "ha": "left", "va": "top", "path_effects": _HALO, "zorder": 7}
        axes.annotate(tier, place, xytext=(5, -7), **style)
    for policy, (color, marker, wide) in _LINES.items():
        _line(axes, panel.of(policy), label=policy, color=color, marker=marker, markersize=4, linewidth=wide, zorder=4)
    for policy, (marker, color) in _MARKS.items():
        size = 170 if marker == "*" else 80
        axes.scatter(*_places(panel.of(policy)), marker=marker, s=size, color=color, label=policy, zorder=5)
    axes.scatter(
        *_places([panel.base]),
        marker="D",
        s=110,
        color="tab:orange",
        edgecolor="black",
        zorder=6,
        label="LLM-AT, published",
    )
    # Tiers' prices differ by factors of ten.
    axes.set_xscale("log")
    axes.margins(0.08)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set(title=panel.title, xlabel="cost of all questions, US$ (log scale)", ylabel="accuracy")
    axes.grid(visible=True, which="both", alpha=0.25)
    axes.legend(loc="upper left")


def _line(axes: Axes, points: list[Point], **style: object) -> None:
    axes.plot(*_places(sorted(points, key=lambda point: point.cost_usd)), **style)


def _places(points: list[Point]) -> tuple[list[float], list[float]]:
    return [point.cost_usd for point in points], [point.accuracy for point in points]

"""The picture of a replay: accuracy against cost."""

from __future__ import annotations

import io
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from llm_tiers.replay.run import ReplayResult

__all__ = ["picture_of"]

_PANEL_INCHES = 6.4, 4.8
_STYLES = {
    "single": ("s", "tab:gray"),
    "start": ("v", "tab:blue"),
    "llm-at": ("D", "tab:orange"),
    "default": ("o", "tab:red"),
    "agree": ("^", "tab:brown"),
    "doubt": ("P", "tab:pink"),
    "llm-at-answers": ("d", "goldenrod"),
    "estimate": ("h", "tab:olive"),
    "linucb": ("H", "teal"),
    "metallm": ("8", "navy"),
    "smart-paper": ("v", "darkmagenta"),
    "guarantee": ("^", "crimson"),
    "cascade-routing": ("p", "tab:cyan"),
    "agree-two": ("<", "black"),
    "agree-all": (">", "black"),
    "oracle": ("*", "tab:green"),
    "random": ("X", "tab:purple"),
}
"""Marker and colour by kind of policy."""


def picture_of(results: Sequence[ReplayResult]) -> bytes:
    """Return a PNG of accuracy against cost on a logarithmic axis, with a panel for each table.

    Runs of one policy that differ by seed only are shown as one point, their mean.

    Args:
        results: What the policies reached.
    """
    # The figure is made without pyplot, which would open a window system and keep every figure in memory.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    by_file: dict[tuple[str, str], list[ReplayResult]] = defaultdict(list)
    for result in results:
        # One file with two embeddings makes two panels: neighbours differ, and so do the results.
        by_file[result.file, result.embedding].append(result)
    width, height = _PANEL_INCHES
    figure = Figure(figsize=(width * len(by_file), height), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(by_file), squeeze=False)[0]
    for axes, ((file, _), group) in zip(panels, by_file.items(), strict=True):
        _draw_panel(axes, f"{Path(file).stem} ({group[0].n} questions)", group)
    picture = io.BytesIO()
    figure.savefig(picture, dpi=120, format="png")
    return picture.getvalue()


def _draw_panel(axes: Axes, title: str, results: Sequence[ReplayResult]) -> None:
    """Draw single tiers as a labelled line to beat, and everything else with a legend."""
    means = _means(results)
    singles = sorted(point for name, point in means.items() if name.startswith("single:"))
    if singles:
        axes.plot(*zip(*singles, strict=True), color="lightgray", zorder=1)
    for name, (cost, accuracy) in means.items():
        kind, _, tier = name.partition(":")
        marker, color = _STYLES[kind]
        single = kind == "single"
        size = 170 if marker == "*" else 70
        axes.scatter(cost, accuracy, marker=marker, s=size, color=color, zorder=3, label=None if single else name)
        # Single tiers are named in the picture, and all others in the legend.
        if single:
            axes.annotate(tier, (cost, accuracy), xytext=(0, -9), textcoords="offset points", ha="center", va="top")
    # A logarithmic axis of nothing but zeros cannot be drawn.
    if any(cost > 0 for cost, _ in means.values()):
        axes.set_xscale("log")
    axes.margins(0.12)
    axes.set(title=title, xlabel="cost of all questions, US$ (log scale)", ylabel="accuracy")
    axes.grid(visible=True, which="both", alpha=0.25)
    if len(singles) < len(means):
        axes.legend(loc="upper left")


def _means(results: Sequence[ReplayResult]) -> dict[str, tuple[float, float]]:
    groups: dict[str, list[ReplayResult]] = defaultdict(list)
    for result in results:
        groups[result.policy].append(result)
    return {
        name: (
            sum(result.cost_usd for result in group) / len(group),
            sum(result.accuracy for result in group) / len(group),
        )
        for name, group in groups.items()
    }

"""What the traces of a replay show beside accuracy and cost. The first half of the stream is for learning."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from llm_tiers.replay.table import ReplayTable
    from llm_tiers.trace import Trace

__all__ = ["calibration_error_of", "cheapest_used_when_right"]


def cheapest_used_when_right(table: ReplayTable, rows: Sequence[int], traces: Sequence[Trace]) -> float | None:
    """Return on what share of the questions that the cheapest tier gets right it answered, alone or beside another.

    Args:
        table: The recorded outcomes.
        rows: The questions in the order of the stream; its second half counts.
        traces: What happened on each of them.

    Returns:
        The share, in [0, 1], or None where the cheapest tier gets none right.
    """
    cheapest, half = table.tiers[0], len(rows) // 2
    used = [
        any(one.tier == cheapest and one.role != "judge" and one.error is None for one in trace.attempts)
        for row, trace in zip(rows[half:], traces[half:], strict=True)
        if table.correct[row, 0]
    ]
    return sum(used) / len(used) if used else None


def calibration_error_of(stated: ArrayLike, came_true: ArrayLike, *, bins: int = 10) -> float | None:
    """Return the expected calibration error: by bin, how far the mean probability is from the share that came true.

    Args:
        stated: Probabilities, in [0, 1].
        came_true: For each of them, whether it came true.
        bins: Number of bins of equal width; each counts by its size.

    Returns:
        The error, in [0, 1], or None where no probability is stated.
    """
    stated, came_true = np.asarray(stated, float), np.asarray(came_true, float)
    if not len(stated):
        return None
    places = np.minimum((stated * bins).astype(int), bins - 1)
    return sum(abs(float((stated[places == place] - came_true[places == place]).sum())) for place in range(bins)) / len(
        stated
    )

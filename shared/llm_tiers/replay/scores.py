"""Measures from the traces of a replay, besides accuracy and cost. The first half of the stream is for learning."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llm_tiers.replay.table import ReplayTable
    from llm_tiers.trace import Trace

__all__ = ["calibration_error", "cheapest_used_when_right"]


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


def calibration_error(
    table: ReplayTable, rows: Sequence[int], traces: Sequence[Trace], *, of_truth: bool = False, bins: int = 10
) -> float | None:
    """Return the expected calibration error of the confidence: does what it is stated for come true as often?

    That is that the answer equals the top tier's; a missing answer equals nothing.

    Args:
        table: The recorded outcomes.
        rows: The questions in the order of the stream; its second half counts.
        traces: What happened on each of them.
        of_truth: The confidence is stated for the answer being right.
        bins: Number of bins of equal width. Each counts by its size, with the distance of the mean confidence from the
            share that came true.

    Returns:
        The error, in [0, 1], or None where no trace states a confidence.
    """
    half = len(rows) // 2
    stated = [
        (trace.confidence, (_is_right if of_truth else _as_the_top)(table, row, trace.final))
        for row, trace in zip(rows[half:], traces[half:], strict=True)
        if trace.confidence is not None
    ]
    if not stated:
        return None
    confidence, came_true = np.array(stated, dtype=float).T
    # A confidence of exactly 1 belongs to the last bin.
    places = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(places, weights=confidence - came_true)
    return float(np.abs(gaps).sum() / len(stated))


def _is_right(table: ReplayTable, row: int, final: str | None) -> bool:
    return final is not None and bool(table.correct[row, table.tiers.index(final)])


def _as_the_top(table: ReplayTable, row: int, final: str | None) -> bool:
    if final is None:
        return False
    said = table.answer_equal[row]
    answer = said[table.tiers.index(final)]
    return bool(answer >= 0 and answer == said[-1])

"""A table in which tiers have become worse, and how guarantees react to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from llm_tiers.replay import ReplayTable
from promises.outcomes import outcomes_of
from promises.streams import Ints, Streams

SOON = 500
"""Calls within which a broken promise should be found."""


def worse(table: ReplayTable, tiers: int, *, share: float = 0.5, seed: int = 0) -> ReplayTable:
    """Return the table with one wrong answer of the cheapest `tiers`, the same of all, to a share of the questions."""
    hit = np.random.default_rng(seed).random(len(table)) < share
    said, correct = table.answer_equal.copy(), table.correct.copy()
    # A number that no tier of the row has: the wrong answers equal each other, which is the worst case for rules that
    # stop where two tiers agree.
    said[hit, :tiers] = table.answer_equal.max() + 1
    correct[hit, :tiers] = False
    return replace(table, answer_equal=said, answer_exact=said, correct=correct)


def drift_lines(table: ReplayTable, rows: Ints, deltas: Sequence[float]) -> Iterator[str]:
    """Yield a line for each promise, where the cheapest tier gets worse, and where all below the top do."""
    before = outcomes_of(table)
    for tiers, named in ((1, "the cheapest"), (len(table.tiers) - 1, "all but the top")):
        after = outcomes_of(worse(table, tiers))
        for delta in deltas:
            runs = Streams(before, rows, delta).run(after=after)
            yield f"| {before.name} | {named} | {delta} | {_found(runs, rows.shape[1] // 2)} |"


def _found(runs: Streams, half: int) -> str:
    broken = np.flatnonzero(runs.broken_by_drift)
    if not len(broken):
        return "0 | - | - | - | " + str(_early(runs, half))
    after = [[at - half for at in runs.withdrawn[stream] if at > half] for stream in broken]
    waited = np.array([ends[0] if ends else np.inf for ends in after])
    again = [
        any(at > runs.withdrawn[stream][-1] for at in runs.earned[stream])
        for stream, ends in zip(broken, after, strict=True)
        if ends
    ]
    earned = f"{np.mean(again):.1%}" if again else "-"
    return f"{len(broken)} | {np.median(waited):.0f} | {np.mean(waited <= SOON):.1%} | {earned} | {_early(runs, half)}"


# False alarms: no change had come yet.
def _early(runs: Streams, half: int) -> int:
    return sum(any(at <= half for at in ends) for ends in runs.withdrawn)

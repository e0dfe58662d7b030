"""A table in which the cheapest tier has become worse."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from llm_tiers.replay import ReplayTable


def worse(table: ReplayTable, *, share: float = 0.5, seed: int = 0) -> ReplayTable:
    """Return the table with wrong answers of the cheapest tier to a share of the questions."""
    hit = np.random.default_rng(seed).random(len(table)) < share
    said, correct = table.answer_equal.copy(), table.correct.copy()
    # A number that no tier of the row has: an answer of its own.
    said[hit, 0] = table.answer_equal.max() + 1
    correct[hit, 0] = False
    return replace(table, answer_equal=said, answer_exact=said, correct=correct)

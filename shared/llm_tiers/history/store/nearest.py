"""Exact search among the few records that Chroma does not have yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from llm_tiers.embedding.vector import Vector

__all__ = ["Hit", "nearest", "similarity"]

Hit = tuple[str, float]
"""A record's id and its similarity."""

_DIGITS = 5


def similarity(cosine: float) -> float:
    """Round away float noise, so that equal queries compare as equal wherever they were found."""
    return min(1.0, max(-1.0, round(float(cosine), _DIGITS)))


def nearest(
    ids: Sequence[str], vectors: NDArray[np.float32], created: NDArray[np.float64], query: Vector, k: int
) -> list[Hit]:
    """Return the `k` rows most similar to `query`, the newest first among equals."""
    if not len(ids) or k < 1:
        return []
    scores = np.clip(np.round(vectors @ query, _DIGITS), -1, 1).astype(np.float64)
    rows = np.arange(len(scores))
    if k < len(scores):
        # All that tie with the last one are candidates: age decides among them.
        rows = np.flatnonzero(scores >= np.partition(scores, -k)[-k])
    best = rows[np.lexsort((-created[rows], -scores[rows]))][:k]
    return [(ids[row], similarity(scores[row])) for row in best]

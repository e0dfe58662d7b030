"""Exact search among vectors held in memory.

Chroma's index is approximate: on a few hundred records it misses one now and then, and many copies of one query hide
other records altogether. Up to some thousands of records numpy is both exact and faster.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from llm_tiers.history.record import Vector

__all__ = ["ExactIndex", "Hit", "nearest", "similarity"]

Hit = tuple[str, float]
"""A record's id and its similarity."""

_DIGITS = 6


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


class ExactIndex:
    """Vectors by id, growing in place. Not safe from threads: its owner holds a lock."""

    def __init__(self, dimension: int) -> None:
        self._ids: list[str] = []
        self._rows: dict[str, int] = {}
        self._vectors = np.empty((64, dimension), dtype=np.float32)
        self._created = np.empty(64, dtype=np.float64)

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, trace_id: str) -> bool:
        return trace_id in self._rows

    @property
    def nbytes(self) -> int:
        """Bytes held by the vectors."""
        return self._vectors.nbytes

    def put(self, trace_id: str, vector: Vector, created: float) -> None:
        """Add a vector, or replace the one of this id."""
        row = self._rows.setdefault(trace_id, len(self._ids))
        if row == len(self._ids):
            self._ids.append(trace_id)
            if row == len(self._vectors):
                self._grow()
        self._vectors[row] = vector
        self._created[row] = created

    def discard(self, trace_id: str) -> None:
        """Remove an id; the last row takes its place."""
        row = self._rows.pop(trace_id, None)
        if row is None:
            return
        last = self._ids.pop()
        if last != trace_id:
            self._ids[row] = last
            self._rows[last] = row
            self._vectors[row] = self._vectors[len(self._ids)]
            self._created[row] = self._created[len(self._ids)]

    def search(self, query: Vector, k: int, *, skip: AbstractSet[str]) -> list[Hit]:
        """Return the `k` most similar ids that are not in `skip`."""
        size = len(self._ids)
        wanted = k + len(skip)
        hits = nearest(self._ids, self._vectors[:size], self._created[:size], query, wanted)
        return [hit for hit in hits if hit[0] not in skip][:k]

    def _grow(self) -> None:
        self._vectors = np.concatenate([self._vectors, np.empty_like(self._vectors)])
        self._created = np.concatenate([self._created, np.empty_like(self._created)])

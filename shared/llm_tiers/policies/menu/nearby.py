"""Which rule is worth most for a query like those of some of the profiled calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from llm_tiers.embedding.vector import Vector

__all__ = ["ALIKE", "Nearby", "first_best"]

ALIKE = 1e-9
"""Rules whose figures differ by less are equal."""

_NEAREST = 50
"""The number of profiled calls that are looked at, most similar first."""

_SHRINKAGE = 30.0
"""The weight of the node's mean, in calls of likeness 1. In a node of one kind of queries, where likeness says nothing,
it keeps the rules near what they would be without it; some dozens of calls of another kind outweigh it. With less, the
errors of a noisy grader on a few neighbours choose rules."""


@dataclass(frozen=True, eq=False)
class Nearby:
    """What each rule is worth on the profiled calls, by their queries.

    Source: LLM-AT's accuracy estimator (ACL Findings 2025, section 3.2), over SMART's profiled calls, with MetaLLM's
    reward in place of the label.

    Attributes:
        vectors: The queries' embeddings, one for each call.
        worth: Calls x rules, what each rule was worth.
        mean: What each rule is worth at the node.
    """

    vectors: Sequence[Vector]
    worth: NDArray[np.float64]
    mean: NDArray[np.float64]

    @cached_property
    def _center(self) -> NDArray[np.float32]:
        return np.asarray(np.array(self.vectors, dtype=np.float32).mean(axis=0))

    @cached_property
    def _directions(self) -> NDArray[np.float32]:
        return _unit(np.array(self.vectors, dtype=np.float32) - self._center)

    def best(self, query: Vector) -> int:
        """Return the position of the rule that is worth most for a query."""
        if not len(self.vectors) or query.shape != self.vectors[0].shape:
            return first_best(self.mean)
        # From the node's center: all queries of a node share a direction, which says nothing of their kinds.
        likeness = self._directions @ _unit((query - self._center)[None, :].astype(np.float32))[0]
        nearest = np.argpartition(-likeness, min(_NEAREST, len(likeness)) - 1)[:_NEAREST]
        weight = np.maximum(likeness[nearest], 0.0).astype(np.float64)
        worth = (weight @ self.worth[nearest] + _SHRINKAGE * self.mean) / (weight.sum() + _SHRINKAGE)
        return first_best(worth)


def first_best(worth: NDArray[np.float64]) -> int:
    """Return the position of the greatest worth, the first of those that differ by the errors of the sums alone.

    At a price of 0 the top tier and the top tier backed by a witness are worth the same, and the witness costs.
    """
    return int(np.flatnonzero(worth >= worth.max() - ALIKE)[0])


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    # A vector of 0, as of a query at the center, resembles nothing.
    return np.asarray(vectors / np.where(length > 0, length, 1), dtype=np.float32)

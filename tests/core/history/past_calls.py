"""Records and embeddings for the tests of the history."""

from __future__ import annotations

import zlib

import numpy as np

from llm_tiers.embedding import Embedding
from llm_tiers.history.record import Record

DIMENSION = 16


def vector_of(text):
    """A vector that depends on the text alone."""
    return np.random.default_rng(zlib.crc32(text.encode("utf-8", "replace"))).normal(size=DIMENSION)


EMBEDDING = Embedding(vector_of, name="by-crc")


def record(number, node="n", *, created=None, text=None, labels=None, vector=None):
    return Record(
        id=f"t{number}",
        node=node,
        created=1000.0 + number if created is None else created,
        labels={"small": True} if labels is None else labels,
        start="small",
        final="large",
        answered=("small", "large"),
        agreed=("large",),
        cost_usd=0.25,
        said={"small": 1, "large": 0},
        tokens={"small": 7},
        costs={"small": 0.001},
        share=0.5,
        confidence=0.75,
        audited=True,
        grades={"grader": {"small": 0.25, "large": 1.0}, "feedback": {"large": 0.0}},
        verdicts={"small": False},
        verdict_costs={"small": 0.0002},
        contradicted={"small": True},
        grading_usd=0.002,
        rule="small+medium>large",
        chance=0.2,
        complete_chance=0.05,
        planned="small",
        tiered="large",
        tiered_usd=0.03,
        text=f"question {number}" if text is None else text,
        vector=vector,
    )


def ids(found):
    return [neighbour.record.id for neighbour in found.neighbours]


def brute_force(history_vectors, query, k):
    """The similarities that an exact search finds."""
    table = np.stack(history_vectors).astype(np.float64)
    return np.sort(table @ query.astype(np.float64))[::-1][:k]

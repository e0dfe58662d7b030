"""How long `llm-tiers report` takes on a large history: `python benchmarks/report_scale.py [CALLS] [FOLDER]`.

It makes a history of CALLS calls (100,000 by default) in FOLDER, unless one is there, and measures reading it, making
the figures, writing the page and, where Chromium is installed, showing the page. The calls are drawn at random, with
fixed seed: six nodes over eight weeks, four tiers, a tenth of the calls profiled, a third of these graded.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from llm_tiers.embedding import Embedding
from llm_tiers.history import ChromaHistory, Record

NAMES = ("nano", "small", "medium", "large")
COSTS = np.array([0.0002, 0.001, 0.004, 0.02])
RIGHT = np.array([0.62, 0.76, 0.85, 0.91])
NODES = ("chat", "research/plan", "research/search", "research/answer", "support/triage", "support/reply")
PROFILED = 0.1
DIMENSION = 256
WEEKS = 8


def records(calls: int, *, seed: int = 0, vectors: bool = False) -> Iterator[Record]:
    """Yield calls as the default would have made them, oldest first."""
    draw = np.random.default_rng(seed)
    began = 1_790_000_000.0
    for number in range(calls):
        known = bool(draw.random() < PROFILED)
        right = draw.random() < RIGHT
        said = [0 if one else 1 + int(draw.integers(3)) for one in right]
        cascade = said[0] == said[1]
        places = range(4) if known else (0, 1) if cascade else (0, 1, 3)
        final = NAMES[3] if known else NAMES[1] if cascade else NAMES[3]
        costs = {NAMES[place]: float(COSTS[place] * draw.uniform(0.5, 1.5)) for place in places}
        graded = known and draw.random() < 1 / 3
        yield Record(
            id=f"{seed}-{number:07d}",
            node=NODES[int(draw.integers(len(NODES)))],
            created=began + number * WEEKS * 604_800 / calls,
            labels={},
            start=NAMES[0],
            final=final,
            answered=tuple(NAMES[place] for place in places),
            agreed=(final,),
            cost_usd=sum(costs.values()),
            said={NAMES[place]: said[place] for place in places},
            tokens={NAMES[place]: 300 for place in places},
            costs=costs,
            confidence=float(draw.uniform(0.6, 1.0)),
            audited=known,
            profiled=known,
            grades={"check": {NAMES[place]: float(right[place]) for place in places}} if graded else {},
            rule="nano+small>large",
            vector=draw.standard_normal(DIMENSION).astype(np.float32) if vectors else None,
        )


def make(folder: Path, calls: int) -> None:
    """Write a history of so many calls."""
    embedding = Embedding(lambda _: np.ones(DIMENSION, dtype=np.float32), name="report-scale")
    with ChromaHistory(folder, embedding=embedding, capacity=calls) as history:
        for record in records(calls, vectors=True):
            history.remember(record)

"""A stream through the real flow, judge and history, compared with the same stream in arrays."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from contextlib import closing

import numpy as np

from llm_tiers import Call, Engine, Guarantee, Ladder, Policy, PromptJudge, Tier, Trace
from llm_tiers.history import ChromaHistory
from llm_tiers.replay import ReplayTable
from llm_tiers.replay.performer import RecordedPerformer
from promises.outcomes import outcomes_of
from promises.streams import Ints, Streams


def same_decisions(
    table: ReplayTable, *, delta: float = 0.1, calls: int = 1_500, seed: int = 0, judged: bool = False
) -> str:
    """Say whether both make the same decisions on every call, at the same cost."""
    # The arrays are a second implementation of `Standing`, fast enough for hundreds of streams; this shows that they
    # agree.
    questions = np.flatnonzero(table.answer_equal[:, -1] >= 0)
    rows = np.random.default_rng(seed).integers(len(questions), size=calls)
    ids = [f"stream-{seed}-{place}" for place in range(calls)]
    traces = through_the_flow(table, questions[rows], ids, delta, judged=judged)
    arrays = Streams(outcomes_of(table, judged=judged), rows[None], delta).run(lots=lots_of(ids))
    asked = sum(any(attempt.role == "audit" for attempt in trace.attempts) for trace in traces)
    paid = sum(trace.cost_usd or 0.0 for trace in traces)
    unit = (table.gen_in * table.price_in + table.gen_out * table.price_out)[questions, -1].mean() / 1e6
    alike = asked == arrays.asked[0] and np.isclose(paid / unit, arrays.total[0])
    return (
        f"{table.path.stem}, seed {seed}, through the flow: {asked} profiled, {paid / unit / calls:.4f} of the top; "
        f"in arrays: {arrays.asked[0]:.0f}, {arrays.total[0] / calls:.4f}: {'the same' if alike else 'DIFFERENT'}"
    )


def through_the_flow(
    table: ReplayTable,
    questions: Ints,
    ids: Sequence[str],
    delta: float,
    *,
    judged: bool = False,
    folder: str | None = None,
) -> list[Trace]:
    """Answer recorded questions, one after the other."""
    tiers = [
        Tier(None, name=name, price=(float(table.price_in[place]), float(table.price_out[place])))
        for place, name in enumerate(table.tiers)
    ]
    promise = Guarantee(delta, expected_calls=len(ids), judge=PromptJudge() if judged else None)
    history = ChromaHistory(folder) if folder else ChromaHistory()
    clock = map(float, itertools.count()).__next__
    with closing(Engine(Ladder(tiers), Policy("guarantee", promise, promise), history, clock=clock)) as engine:
        return [
            engine.run(Call(name, str(row), created=float(place)), RecordedPerformer(table, int(row))).trace
            for place, (name, row) in enumerate(zip(ids, questions, strict=True))
        ]


def lots_of(ids: Sequence[str]) -> np.ndarray:
    """Return the numbers that the flow draws from the calls' ids: 2 x 1 x T."""
    draws = []
    for name in ids:
        lots = random.Random(f"guarantee:{name}")
        draws.append((lots.random(), lots.random()))
    return np.array(draws).T[:, None]

"""SMART as published on a stream, by its own profiler."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from llm_tiers.policies.guarantee.clopper import EVERY, Counted, Smart
from promises.outcomes import Outcomes
from promises.streams import Ints


class Published(NamedTuple):
    """SMART's outcome on a stream.

    Attributes:
        cost: Mean cost of a call, in mean answers of the top tier.
        n: Profiled items.
        differs: Share of the items after profiling that truly differ.
        of_all: Share of all items that truly differ; those profiled do not.
    """

    cost: float
    n: int
    differs: float
    of_all: float


def run_smart(outcomes: Outcomes, rows: Ints, delta: float, *, alpha: float = 0.05) -> Published:
    profiler = Smart(delta, alpha, tuple(outcomes.asking.mean(axis=0)), len(rows))
    tiers = tuple(Counted() for _ in range(outcomes.equal.shape[1]))
    spent, n = 0.0, 0
    while True:
        # As the profiler looks: the top tier and all tiers that are still open answer each of the next ten items.
        part = rows[n : n + EVERY]
        n += len(part)
        spent += outcomes.asking[part, -1].sum()
        open_ones = [place for place, tier in enumerate(tiers) if tier.status == "open"]
        spent += outcomes.asking[np.ix_(part, open_ones)].sum()
        equal = outcomes.equal[part].sum(axis=0)
        tiers = profiler.after_look(
            [
                Counted(tier.equal + int(equal[place]), tier.n + len(part)) if tier.status == "open" else tier
                for place, tier in enumerate(tiers)
            ]
        )
        if profiler.stops(tiers, n):
            break
    # The expected cost and loss of the mixture instead of drawn ones, as for ours, so that fewer streams show as much.
    mix = np.array(profiler.mix(tiers, n))
    spent += outcomes.asking[rows[n:]].sum(axis=0) @ mix
    differs = float(mix[:-1] @ (1 - outcomes.equal.mean(axis=0)))
    return Published(spent / len(rows), n, differs, differs * (1 - n / len(rows)))

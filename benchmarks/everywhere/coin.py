"""Free text by how good its answers are: what the menu costs beside a coin between the middle and the top tier."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from everywhere.ours import run_menu
from everywhere.sets import RecordedSet

__all__ = ["beside_coin"]


def beside_coin(recorded: RecordedSet, knobs: Sequence[float], seeds: int) -> Iterator[str]:
    """Yield Markdown: accuracy, cost, and the cost at which a coin between the two dearest tiers is as accurate."""
    *_, middle, top = recorded.singles
    yield f"| {recorded.name}, by quality | accuracy | cost | coin | cost / coin |"
    yield "|---|---|---|---|---|"
    for graded in (True, False):
        for quality in knobs:
            ran = [run_menu(recorded, quality, graded=graded, seed=seed) for seed in range(seeds)]
            accuracy, cost = (float(np.mean([getattr(one, what) for one in ran])) for what in ("accuracy", "cost"))
            share = (accuracy - middle.accuracy) / (top.accuracy - middle.accuracy)
            coin = middle.cost + share * (top.cost - middle.cost)
            name = f"{quality}, {'graded' if graded else 'ungraded'}"
            yield f"| {name} | {accuracy:.3f} | {cost:.3f} | {coin:.3f} | {cost / coin:.3f} |"

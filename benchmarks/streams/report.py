"""What a default policy reaches on the scripted streams."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from streams.run import Ran

__all__ = ["LATE", "Row", "row_of", "table"]

_LEARNED, LATE = 100, 200
"""The calls from which the policy at a node counts as having learned, and as having settled."""


class Row(TypedDict):
    """The figures of one stream, means over its seeds. Costs are in answers of the middle tier, `first` of the top.

    Attributes:
        first: Cost of the first 20 calls.
        accuracy: From call 100 on, as are all figures below except `late`, `left` and `learning`.
        middle: The middle tier's accuracy.
        top: The top tier's.
        above_line: Accuracy above that of a coin between middle and top at the same cost.
        cost: What a call cost.
        served: The same without profiled calls.
        late: What a call cost from call 200 on.
        left: The first call after the last one that the cheapest tier answered, the largest of the seeds.
        learning: Share of the cost of all calls, the first hundred too, that the profiled ones cost beyond the others.
    """

    stream: str
    first: float
    accuracy: float
    middle: float
    top: float
    above_line: float
    cost: float
    served: float
    late: float
    left: int
    learning: float


def row_of(runs: Sequence[Ran]) -> Row:
    """Return the figures of one stream, run with several seeds."""
    costs = runs[0].stream.costs
    # With two tiers, the upper one stands for both.
    middle = (len(costs) - 1) // 2 if len(costs) > 2 else 1  # noqa: PLR2004
    accuracy = float(np.mean([one.accuracy(_LEARNED) for one in runs]))
    cost = float(np.mean([one.cost(_LEARNED) for one in runs]))
    right = np.mean([one.stream.right[_LEARNED:].mean(axis=0) for one in runs], axis=0)
    return Row(
        stream=runs[0].stream.name,
        first=float(np.mean([one.cost(0, 20) for one in runs]) / costs[-1]),
        accuracy=accuracy,
        middle=float(right[middle]),
        top=float(right[-1]),
        above_line=accuracy - _of_coin(right, costs, middle, cost),
        cost=float(cost / costs[middle]),
        served=float(np.mean([one.cost(_LEARNED, served=True) for one in runs]) / costs[middle]),
        late=float(np.mean([one.cost(LATE) for one in runs]) / costs[middle]),
        left=max(one.left() for one in runs),
        learning=float(np.mean([1 - one.cost(0, served=True) / one.cost(0) for one in runs])),
    )


def table(rows: Sequence[Row]) -> Iterator[str]:
    """Yield Markdown."""
    costs = "all, served, late, middle = 1"
    yield f"| stream | first 20, top = 1 | right, middle, top | above coin | {costs} | learning | left |"
    yield "|---|---|---|---|---|---|---|"
    for row in rows:
        right = f"{row['accuracy']:.3f}, {row['middle']:.3f}, {row['top']:.3f}"
        cost = f"{row['cost']:.2f}, {row['served']:.2f}, {row['late']:.2f}"
        start = f"| {row['stream']} | {row['first']:.2f} | {right} | {row['above_line']:+.3f}"
        yield f"{start} | {cost} | {row['learning']:.2f} | {row['left']} |"


def _of_coin(right: NDArray[np.float64], costs: NDArray[np.float64], middle: int, cost: float) -> float:
    if middle == len(costs) - 1:
        return float(right[-1])
    # Whoever spends this much could as well choose between the two by a coin: a policy has to do better than that.
    share = min(max((cost - costs[middle]) / (costs[-1] - costs[middle]), 0.0), 1.0)
    return float(right[middle] + share * (right[-1] - right[middle]))

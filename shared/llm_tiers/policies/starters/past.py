"""Looking up similar past calls, at the node or at its nearest parent with enough calls."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llm_tiers.call.requests import Recall, Request, Response, recall
from llm_tiers.history.record import Neighbour, Study

if TYPE_CHECKING:
    from llm_tiers.call.call import Call

__all__ = ["Past", "lineage", "look_up", "weight_of"]


@dataclass(frozen=True, slots=True)
class Past:
    """The past that a plan rests on.

    Attributes:
        reason: Where it comes from, or why there is none, for the trace.
        neighbours: The most similar past calls.
        cold: Neither the node nor a parent knows enough calls.
        learned: What the study that was asked for made of all calls of the node; of the call's own node where no level
            knows enough.
        warnings: What the user should know, such as a history that cannot be read.
    """

    reason: str
    neighbours: tuple[Neighbour, ...] = ()
    cold: bool = False
    warnings: tuple[str, ...] = ()
    learned: Any = None


def look_up(
    call: Call, *, k: int, min_similarity: float, enough: int, study: Study | None = None
) -> Generator[Request, Response, Past]:
    """Find the nearest level of the graph that has a signal: the node, then its parents.

    Args:
        call: The call.
        k: How many past calls are wanted.
        min_similarity: Least similarity of the nearest one that counts as a signal, in [-1, 1].
        enough: How many calls a node must know to be asked.
        study: What is wanted of all calls of the node.
    """
    warm, own = False, None
    for node in lineage(call.node):
        near = yield from recall(Recall(call.query, node, k, study))
        # Parents lie in the same history, so asking them after a failure would only take longer.
        if near.error is not None:
            return Past(reason="history unavailable: priors", warnings=(f"history: {near.error}",))
        # What was learned of the node itself, for the case that no level has similar calls.
        own = own or near
        known = near.count >= enough
        warm = warm or known
        if known and near.neighbours and near.neighbours[0].similarity >= min_similarity:
            where = "" if node == call.node else f" of parent node {node!r}"
            return Past(f"{len(near.neighbours)} neighbours{where}", near.neighbours, learned=near.learned)
    learned = own and own.learned
    if not warm:
        return Past(reason=f"cold start: fewer than {enough} past queries", cold=True, learned=learned)
    return Past(reason=f"no past query within similarity {min_similarity}: priors", learned=learned)


def weight_of(neighbour: Neighbour, *, now: float, half_life: float | None, least: float = 0.0) -> float:
    """Return how much a past call counts: its similarity, halved for each `half_life` seconds of age."""
    weight = max(neighbour.similarity, least)
    if half_life is None:
        return weight
    # Clocks of two machines may differ, and a record from the future must not count more than a fresh one.
    age = max(now - neighbour.record.created, 0.0)
    return weight * float(0.5 ** (age / half_life))


def lineage(node: str) -> Iterator[str]:
    """Yield the node and its parents, `research/plan` then `research`."""
    yield node
    while "/" in node:
        node = node.rpartition("/")[0]
        yield node

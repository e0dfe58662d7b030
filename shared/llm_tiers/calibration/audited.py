"""A table of recorded outcomes made of a history's audited calls, which all tiers answered."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from llm_tiers.errors import ConfigError
from llm_tiers.history.grades import best_grades
from llm_tiers.replay import ReplayTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from llm_tiers.history import Record

__all__ = [
    "FEWEST",
    "audited_tables",
    "by_node",
    "grades_of",
    "is_complete",
    "ladder_of",
    "of_node",
    "table_of",
]

FEWEST = 100
"""With fewer audited calls, an accuracy is known to no better than eight points either way."""

_FEWEST_OF_NODE = 50
_NEWEST = 50
_UNIT = 1e9
_RIGHT = 0.5
"""Least grade that counts as right; a pairwise grader that wavers gives one half, and so finds no difference."""


def audited_tables(
    where: str, records: Sequence[Record], *, node: str | None = None, graded: bool = False
) -> list[ReplayTable]:
    """Return the audited calls of a history as tables, one a node, since nodes learn apart.

    Audited calls are drawn at random, so they represent all calls.

    Args:
        where: Name of the history.
        records: Its records with their vectors, oldest first.
        node: Take only the calls of this node and of those under it.
        graded: Take only the calls whose answers were all graded, and a grade of at least one half as right; without
            it, right means what the top tier said.

    Raises:
        ConfigError: Too few calls were audited; the message says how to get more.
    """
    here = of_node(records, node)
    tiers, complete = _complete(here)
    if len(complete) < FEWEST:
        audited = sum(record.audited for record in here)
        raise ConfigError(_too_few(where, node, calls=len(here), audited=audited, complete=len(complete)))
    if graded:
        complete = [record for record in complete if grades_of(record, tiers) is not None]
    return [table_of(where, group, tiers, graded=graded) for group in by_node(complete)]


def graded_calls(records: Sequence[Record], *, node: str | None = None) -> int:
    """Return how many of the audited calls have a grade of every tier's answer, all by one source."""
    return sum(sources_of(records, node=node).values())


def sources_of(records: Sequence[Record], *, node: str | None = None) -> Counter[str]:
    """Return how many of the audited calls each source graded, whole calls only."""
    tiers, complete = _complete(of_node(records, node))
    graded = [record for record in complete if grades_of(record, tiers) is not None]
    return Counter(str(best_grades(record, tiers[-1])[1]) for record in graded)


def of_node(records: Sequence[Record], node: str | None) -> list[Record]:
    """Return the calls of a node and of those under it; all where it is None."""
    return [record for record in records if node is None or f"{record.node}/".startswith(f"{node.rstrip('/')}/")]


def _complete(records: Sequence[Record]) -> tuple[tuple[str, ...], list[Record]]:
    """Return the ladder, and the audited calls of which everything is known."""
    audited = [record for record in records if record.audited]
    tiers = ladder_of(audited)
    return tiers, [record for record in audited if is_complete(record, tiers)]


def grades_of(record: Record, tiers: Sequence[str]) -> list[float] | None:
    """Return the grades of all tiers, a missing answer's is 0; None where somebody did not grade them all."""
    grades, source = best_grades(record, tiers[-1])
    if source in (None, "equality"):
        return None
    found = [0.0 if record.said[tier] < 0 else grades.get(tier) for tier in tiers]
    known = [grade for grade in found if grade is not None]
    return known if len(known) == len(found) else None


def ladder_of(audited: Sequence[Record]) -> tuple[str, ...]:
    """Return the tiers of today's ladder; some calls lack a tier that failed or could not be compared."""
    # The newest calls only: the user may have changed the ladder, and older calls show the former one.
    # Of equally frequent ladders the longer one: the shorter ones lack a tier that failed on a call.
    ladders = Counter(tuple(record.said) for record in audited[-_NEWEST:])
    return max(ladders, key=lambda tiers: (ladders[tiers], len(tiers)), default=())


def is_complete(record: Record, tiers: Sequence[str]) -> bool:
    """Whether it is known of every tier what it said and what that cost."""
    known = len(tiers) > 1 and record.vector is not None
    return known and all(tier in record.said and tier in record.costs for tier in tiers)


def _too_few(where: str, node: str | None, *, calls: int, audited: int, complete: int) -> str:
    place = where if node is None else f"{where}, node {node!r},"
    lacking = audited - complete
    detail = (
        f", and {lacking} more that cannot be used, because a tier failed, its price is unknown (prices=), or its "
        "answer could not be compared (extract=)"
        if lacking
        else ""
    )
    return (
        f"{place} holds {complete} audited calls of {calls}{detail}; it takes {FEWEST} to calibrate. Let all tiers "
        "answer some of your calls: audit=0.02 has every fiftieth audited, audit=0.1 every tenth"
    )


def by_node(records: Sequence[Record]) -> list[list[Record]]:
    """Group the records by node; nodes with few records share one group."""
    # A short table would be replayed almost without a history, and its accuracy would say little about the node.
    counts = Counter(record.node for record in records)
    groups: dict[str | None, list[Record]] = {}
    for record in records:
        groups.setdefault(record.node if counts[record.node] >= _FEWEST_OF_NODE else None, []).append(record)
    return list(groups.values())


def table_of(where: str, records: Sequence[Record], tiers: tuple[str, ...], *, graded: bool) -> ReplayTable:
    """Return calls that all tiers answered as a table; right is what the grades say, or what the top tier said."""
    shape = (len(records), len(tiers))
    said = np.array([[record.said[tier] for tier in tiers] for record in records], dtype=np.int64)
    costs = np.array([[record.costs[tier] for tier in tiers] for record in records])
    usual = costs.mean(axis=0)
    none, unjudged = np.zeros(shape), np.full(shape, -1, dtype=np.int64)
    nodes = {record.node for record in records}
    return ReplayTable(
        path=Path(where) if len(nodes) > 1 else Path(where, *nodes),
        tiers=tiers,
        # The costs are known, but not of which tokens they are: so a price at which the usual cost is the usual one,
        # and input tokens that bring each answer to what it cost. Output tokens stay true: they show how hard it was.
        price_in=usual * 1e6 / _UNIT,
        price_out=np.zeros(len(tiers)),
        prior=np.full(len(tiers), 0.5),
        embedding_name="history",
        embedding=np.stack([record.vector for record in records if record.vector is not None]),
        correct=_correct(records, tiers) if graded else (said == said[:, -1:]) & (said >= 0),
        abstained=none.astype(np.bool_),
        verdict=unjudged,
        judge_tier=unjudged,
        gen_in=np.rint(_UNIT * costs / np.where(usual > 0, usual, 1.0)).astype(np.int64),
        gen_out=_tokens(records, tiers),
        gen_s=none,
        judge_in=none.astype(np.int64),
        judge_out=none.astype(np.int64),
        judge_s=none,
        answer_exact=said,
        answer_equal=said,
    )


def _correct(records: Sequence[Record], tiers: Sequence[str]) -> NDArray[np.bool_]:
    return np.array([grades_of(record, tiers) or [0.0] * len(tiers) for record in records]) >= _RIGHT


def _tokens(records: Sequence[Record], tiers: Sequence[str]) -> NDArray[np.int64]:
    """Return the output tokens; where a provider reported none, as many as the tier usually writes."""
    columns = []
    for tier in tiers:
        known = [record.tokens[tier] for record in records if tier in record.tokens]
        usual = int(np.median(known)) if known else 0
        columns.append([record.tokens.get(tier, usual) for record in records])
    return np.array(columns, dtype=np.int64).T

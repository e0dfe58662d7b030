"""A table of recorded outcomes made of a history's audited calls, which all tiers answered."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from llm_tiers.errors import ConfigError
from llm_tiers.replay import ReplayTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from llm_tiers.history import Record

__all__ = ["FEWEST", "audited_tables"]

FEWEST = 100
"""With fewer audited calls, an accuracy is known to no better than eight points either way."""

_FEWEST_OF_NODE = 50
_NEWEST = 50
_UNIT = 1e9


def audited_tables(where: str, records: Sequence[Record], *, node: str | None = None) -> list[ReplayTable]:
    """Return the audited calls of a history as tables, one a node, since nodes learn apart.

    A history does not know the truth, so here right means what the top tier said. Audited calls are drawn at random,
    so they represent all calls.

    Args:
        where: Name of the history.
        records: Its records with their vectors, oldest first.
        node: Take only the calls of this node and of those under it.

    Raises:
        ConfigError: Too few calls were audited; the message says how to get more.
    """
    here = [record for record in records if node is None or f"{record.node}/".startswith(f"{node.rstrip('/')}/")]
    audited = [record for record in here if record.audited]
    tiers = _ladder(audited)
    complete = [record for record in audited if _is_complete(record, tiers)]
    if len(complete) < FEWEST:
        raise ConfigError(_too_few(where, node, calls=len(here), audited=len(audited), complete=len(complete)))
    return [_table(where, group, tiers) for group in _by_node(complete)]


def _ladder(audited: Sequence[Record]) -> tuple[str, ...]:
    """Return the tiers of today's ladder; some calls lack a tier that failed or could not be compared."""
    # The newest calls only: the user may have changed the ladder, and older calls show the former one.
    # Of equally frequent ladders the longer one: the shorter ones lack a tier that failed on a call.
    ladders = Counter(tuple(record.said) for record in audited[-_NEWEST:])
    return max(ladders, key=lambda tiers: (ladders[tiers], len(tiers)), default=())


def _is_complete(record: Record, tiers: Sequence[str]) -> bool:
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


def _by_node(records: Sequence[Record]) -> list[list[Record]]:
    """Group the records by node; nodes with few records share one group."""
    # A short table would be replayed almost without a history, and its accuracy would say little about the node.
    counts = Counter(record.node for record in records)
    groups: dict[str | None, list[Record]] = {}
    for record in records:
        groups.setdefault(record.node if counts[record.node] >= _FEWEST_OF_NODE else None, []).append(record)
    return list(groups.values())


def _table(where: str, records: Sequence[Record], tiers: tuple[str, ...]) -> ReplayTable:
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
        correct=(said == said[:, -1:]) & (said >= 0),
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


def _tokens(records: Sequence[Record], tiers: Sequence[str]) -> NDArray[np.int64]:
    """Return the output tokens; where a provider reported none, as many as the tier usually writes."""
    columns = []
    for tier in tiers:
        known = [record.tokens[tier] for record in records if tier in record.tokens]
        usual = int(np.median(known)) if known else 0
        columns.append([record.tokens.get(tier, usual) for record in records])
    return np.array(columns, dtype=np.int64).T

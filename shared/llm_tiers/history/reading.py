"""Reading what a history holds without the embedding that made it: nothing is looked up, and nothing is added."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from llm_tiers.errors import HistoryError, UnknownTrace
from llm_tiers.history.store import client, facts
from llm_tiers.history.store.folders import Folder, Served
from llm_tiers.history.store.places import Server
from llm_tiers.history.store.registry import is_server
from llm_tiers.history.store.service import AVAILABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from llm_tiers.history.record import Record
    from llm_tiers.history.store.places import Place
    from llm_tiers.history.store.shelf import Shelf
    from llm_tiers.trace import Trace

__all__ = ["Found", "Held", "find_held", "find_record", "has_database", "held_in", "none_in", "read_records"]

_STEP = 1_000
_NEWEST = 500
"""Calls of a node that show what its tiers usually cost."""


def read_records(
    where: str,
    *,
    namespace: str = "default",
    vectors: bool = True,
    on_record: Callable[[int, int], object] | None = None,
) -> list[Record]:
    """Return every record of a history, oldest first.

    Args:
        where: The history's folder, or the URL of its Chroma server.
        namespace: The part of it to read.
        vectors: Whether the records come with their vectors, which take most of the time.
        on_record: Called now and then with how many records were read, and of how many at least.

    Raises:
        HistoryLocked: Another process has Chroma's engine open in the folder.
        HistoryUnreachable: The server does not answer.
        HistoryError: There is no history there, or it cannot be read.
    """
    with closing(_place(where)) as place, client.chroma_errors(f"reading {where}"):
        records: dict[str, Record] = {}
        for shelf, ids in _without_repeats(place.shelves(namespace)):
            total = len(records) + len(ids)
            for trace_id, metadata, vector in shelf.pages(vectors=vectors, ids=ids):
                record = facts.read(trace_id, metadata)
                records[trace_id] = (
                    record if vector is None else replace(record, vector=np.asarray(vector, dtype=np.float32))
                )
                if on_record is not None and len(records) % _STEP == 0:
                    on_record(len(records), total)
    if not records:
        raise none_in(where, namespace)
    return sorted(records.values(), key=lambda record: record.created)


def _without_repeats(shelves: Mapping[str, Shelf]) -> Iterator[tuple[Shelf, list[str]]]:
    """Yield each shelf with the ids of those of its records that no shelf before it has."""
    # A record lies on the shelf of its node and on those of the nodes above: the highest have nearly all.
    seen: set[str] = set()
    for node in sorted(shelves, key=lambda node: (node.count("/"), node)):
        ids = [trace_id for trace_id in shelves[node].ids() if trace_id not in seen]
        seen.update(ids)
        yield shelves[node], ids


@dataclass(frozen=True, slots=True)
class Held:
    """What a history is, without its records.

    Attributes:
        embedding: Name of the embedding that made it.
        dimension: Length of its vectors.
        nodes: How many records each node has, those of the nodes below included.
    """

    embedding: str
    dimension: int
    nodes: Mapping[str, int]


def held_in(where: str, *, namespace: str = "default") -> Held:
    """Return what a history is.

    Raises:
        HistoryLocked: Another process holds the folder.
        HistoryUnreachable: The server does not answer.
        HistoryError: There is no history there, or it cannot be read.
    """
    held = find_held(where, namespace=namespace)
    if held is None:
        raise none_in(where, namespace)
    return held


def find_held(where: str, *, namespace: str = "default") -> Held | None:
    """Return what a history is, or None where there is none.

    Raises:
        HistoryLocked: Another process holds the folder.
        HistoryUnreachable: The server does not answer.
        HistoryError: It cannot be read.
    """
    # Nothing is made in a folder that has no history, and none is made.
    if not is_server(where) and not has_database(where):
        return None
    with closing(_place(where)) as place, client.chroma_errors(f"reading {where}"):
        shelves = place.shelves(namespace)
        if not shelves:
            return None
        title = next(iter(shelves.values())).title
        return Held(title.embedding, title.dimension, _sizes(shelves))


def _sizes(shelves: Mapping[str, Shelf]) -> dict[str, int]:
    # Not by Chroma's count, which loads the index: a second for each large node.
    sizes = {node: len(shelves[node].ids()) for node in sorted(shelves)}
    return {node: size for node, size in sizes.items() if size}


@dataclass(frozen=True, slots=True)
class Found:
    """One call of a history.

    Attributes:
        record: Its record.
        trace: Its trace; None where the record was kept without one.
        near: The newest records of its node, which show what its tiers usually cost.
    """

    record: Record
    trace: Trace | None
    near: Sequence[Record]


def find_record(where: str, trace_id: str, *, namespace: str = "default") -> Found:
    """Return one call of a history.

    Raises:
        UnknownTrace: No record has this id.
        HistoryLocked: Another process holds the folder.
        HistoryUnreachable: The server does not answer.
        HistoryError: There is no history there, or it cannot be read.
    """
    with closing(_place(where)) as place, client.chroma_errors(f"reading {where}"):
        shelves = place.shelves(namespace)
        for shelf in shelves.values():
            found = shelf.fetch([trace_id])
            if found:
                record = found[trace_id]
                near = shelves.get(record.node, shelf).newest(_NEWEST)
                return Found(record, shelf.trace(trace_id), [*near.values()])
    if not shelves:
        raise none_in(where, namespace)
    raise UnknownTrace(
        f"{where} holds no record of the trace id {trace_id!r}; `llm-tiers history list` shows the ids that it holds "
        "(calls that teach nothing have no record, and old records are evicted)"
    )


def _place(where: str) -> Place:
    if is_server(where):
        return Server(where.rstrip("/"), {})
    folder = Path(where).expanduser().resolve()
    # Chroma would make a new database in a folder that has none.
    if not has_database(where):
        raise none_in(where)
    return Served(folder, reads_only=True) if AVAILABLE else Folder(folder)


def has_database(where: str) -> bool:
    """Whether a folder has a history."""
    try:
        return (Path(where).expanduser() / client.DATABASE).exists()
    except OSError:  # a name that is too long
        return False


def none_in(where: str, namespace: str = "") -> HistoryError:
    """Return the error of a place that holds no history, or none in a namespace."""
    if is_server(where) or has_database(where):
        return HistoryError(
            f"{where} holds no history in the namespace {namespace!r}; name the one that a model got as namespace="
        )
    why = f"it has no {client.DATABASE}" if os.path.lexists(where) else "there is no such folder"
    return HistoryError(f"{where} holds no history: {why}; name the folder or the URL that a model got as history=")

"""A shelf in memory: numpy and a dict.

Chroma is left out on purpose. Its engine costs a second and 80 MB to load, is approximate, and hangs in a forked child;
a history that ends with the process gains nothing from it.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING

from llm_tiers.history.exact import ExactIndex, Hit
from llm_tiers.history.shelf import Page, Row, Title

if TYPE_CHECKING:
    from llm_tiers.history.record import Record, Vector

__all__ = ["MemoryShelf"]


class MemoryShelf:
    """The records of one node, searched exactly. Safe from threads."""

    index_bytes = 0
    tombstones = 0

    def __init__(self, title: Title) -> None:
        self.title = title
        self._rows: dict[str, Row] = {}
        self._index = ExactIndex(title.dimension)
        self._lock = threading.Lock()

    def count(self) -> int:
        """Return how many records there are."""
        return len(self._rows)

    def count_with(self, ids: AbstractSet[str]) -> int:
        """Return how many there are with `ids`, some of which may be here already."""
        with self._lock:
            return len(self._rows.keys() | ids)

    def search(self, query: Vector, k: int, *, skip: AbstractSet[str]) -> tuple[list[Hit], Mapping[str, Record]]:
        """Return the `k` records most similar to `query` that are not in `skip`."""
        with self._lock:
            hits = self._index.search(query, k, skip=skip)
            return hits, {trace_id: self._rows[trace_id].record for trace_id, _ in hits}

    def fetch(self, ids: Sequence[str]) -> dict[str, Record]:
        """Return those of `ids` that are here."""
        with self._lock:
            return {trace_id: self._rows[trace_id].record for trace_id in ids if trace_id in self._rows}

    def ids(self) -> list[str]:
        """Return the id of every record."""
        with self._lock:
            return list(self._rows)

    def ages(self) -> Mapping[str, float]:
        """Return when each record was created, in seconds since 1970, by id."""
        with self._lock:
            return {trace_id: row.record.created for trace_id, row in self._rows.items()}

    def pages(self, *, vectors: bool) -> Iterable[Page]:
        """Return every record."""
        with self._lock:
            rows = dict(self._rows)
        return ((trace_id, row.metadata, row.vector if vectors else None) for trace_id, row in rows.items())

    def put(self, rows: Sequence[Row]) -> None:
        """Add records, or replace those of the same id."""
        with self._lock:
            for row in rows:
                self._rows[row.record.id] = row
                self._index.put(row.record.id, row.vector, row.record.created)

    def revise(self, records: Sequence[Record]) -> None:
        """Rewrite what is known of records; those that are not here are left out."""
        with self._lock:
            for record in records:
                if record.id in self._rows:
                    self._rows[record.id] = self._rows[record.id]._replace(record=record)

    def discard(self, ids: Sequence[str]) -> None:
        """Remove records; unknown ids are left out."""
        with self._lock:
            for trace_id in ids:
                if self._rows.pop(trace_id, None) is not None:
                    self._index.discard(trace_id)

    def evict(self, capacity: int) -> list[str]:
        """Remove the oldest records above `capacity` and return their ids."""
        excess = self.count() - capacity
        if excess <= 0:
            return []
        ages = self.ages()
        gone = heapq.nsmallest(excess, ages, key=lambda trace_id: ages[trace_id])
        self.discard(gone)
        return gone

    def tidy(self) -> None:
        """Do nothing: what is removed here is gone."""

    def drop_index(self) -> None:
        """Do nothing: the index is the store."""

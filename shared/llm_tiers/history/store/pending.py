"""Records that are not written yet: the writer takes them from here, and a recall searches them beside Chroma."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from llm_tiers.history.store.nearest import Hit, nearest

if TYPE_CHECKING:
    from llm_tiers.embedding.vector import Vector
    from llm_tiers.history.record import Record
    from llm_tiers.history.store.title import Row

__all__ = ["Addition", "Batch", "Pending", "Waiting"]


@dataclass(frozen=True, slots=True)
class Addition:
    """A record that waits to be written.

    Attributes:
        row: What to write.
        nodes: The shelves that it goes on.
    """

    row: Row
    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Batch:
    """What the writer takes at a time: new records, and new labels of records that are stored."""

    additions: Mapping[str, Addition]
    revisions: Mapping[str, Record]

    def __bool__(self) -> bool:
        return bool(self.additions or self.revisions)


@dataclass(frozen=True, slots=True)
class Waiting:
    """The pending records of one node at one moment.

    Attributes:
        records: By id.
        vectors: Their vectors, in the same order.
        revisions: Stored records of any node whose labels changed since.
    """

    records: Mapping[str, Record]
    vectors: Sequence[Vector]
    revisions: Mapping[str, Record]

    def search(self, query: Vector, k: int) -> list[Hit]:
        """Return the `k` most similar of the pending records."""
        if not self.records:
            return []
        created = np.array([record.created for record in self.records.values()], dtype=np.float64)
        return nearest(list(self.records), np.stack(self.vectors), created, query, k)


class Pending:
    """New and revised records in the order they came. A record leaves only when Chroma has it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._additions: dict[str, Addition] = {}
        self._revisions: dict[str, Record] = {}

    def __len__(self) -> int:
        return len(self._additions) + len(self._revisions)

    def add(self, addition: Addition) -> None:
        """Queue a record; an earlier one of the same id is replaced."""
        with self._lock:
            # Labels that wait for the replaced record do not belong to the new one.
            self._revisions.pop(addition.row.record.id, None)
            self._additions[addition.row.record.id] = addition

    def revise(self, record: Record) -> None:
        """Queue a record's new labels; a record that is itself still queued is changed there."""
        with self._lock:
            addition = self._additions.get(record.id)
            if addition is None:
                self._revisions[record.id] = record
            else:
                self._additions[record.id] = replace(addition, row=addition.row._replace(record=record, revised=True))

    def find(self, trace_id: str) -> Record | None:
        """Return the record as it will be written, or None."""
        with self._lock:
            addition = self._additions.get(trace_id)
            return self._revisions.get(trace_id) if addition is None else addition.row.record

    def vector(self, trace_id: str) -> Vector | None:
        """Return the vector of a record that is itself queued, or None."""
        with self._lock:
            addition = self._additions.get(trace_id)
            return None if addition is None else addition.row.vector

    def on(self, node: str) -> Waiting:
        """Return what waits for the shelf of `node`."""
        with self._lock:
            found = [addition for addition in self._additions.values() if node in addition.nodes]
            return Waiting(
                {addition.row.record.id: addition.row.record for addition in found},
                [addition.row.vector for addition in found],
                dict(self._revisions),
            )

    def take(self, most: int) -> Batch:
        """Return the oldest additions and revisions, at most so many of each; they stay here until `done`."""
        with self._lock:
            additions = dict(islice(self._additions.items(), most))
            # A share of their own for revisions, or a steady flow of new records would delay the labels without end.
            return Batch(additions, dict(islice(self._revisions.items(), most)))

    def done(self, batch: Batch) -> None:
        """Remove what was written from the queue, unless it changed in the meantime."""
        with self._lock:
            # By identity: a change makes a new object, so what changed while it was written stays queued.
            for trace_id, addition in batch.additions.items():
                if self._additions.get(trace_id) is addition:
                    del self._additions[trace_id]
            for trace_id, record in batch.revisions.items():
                if self._revisions.get(trace_id) is record:
                    del self._revisions[trace_id]

    def holds_any(self, batch: Batch) -> bool:
        """Whether something of `batch` waits still, unchanged."""
        with self._lock:
            return any(self._additions.get(i) is a for i, a in batch.additions.items()) or any(
                self._revisions.get(i) is r for i, r in batch.revisions.items()
            )

"""When the results of studies are kept beside the records, such that they fit what is stored."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from llm_tiers.history.store.snapshots import Snapshot, Snapshots

if TYPE_CHECKING:
    from llm_tiers.history.record import KeptStudy, Record
    from llm_tiers.history.store.pending import Batch, Pending
    from llm_tiers.history.store.shelf import Shelf
    from llm_tiers.history.store.studies import Studies

__all__ = ["Keeping"]

_LEAST = 200
"""Records of a node from which on its studies are kept: fewer are read in some hundredths of a second."""

_OFTEN = 1_000
"""Records after which they are kept anew, so that a process that is killed leaves few to be learned again."""

_SECONDS_BETWEEN = 10.0
"""Feedback may change what was learned with every call, and each file takes some milliseconds."""


class _Moment(NamedTuple):
    """What was known at one moment.

    Attributes:
        results: The results, by node and study.
        last: By node, the id of the record that was learned last.
        batch: What was learned and not stored.
    """

    results: Mapping[tuple[str, KeptStudy], Any]
    last: Mapping[str, str]
    batch: Batch


class Keeping:
    """Keeps what the studies of a library have learned.

    A result may be read again only beside the very records that it has learned. So it is taken while nothing is
    learned, and kept once all that it has learned is stored; whatever changes a record that it has learned, drops it.

    The library's write lock is held in all methods but `adding`, `revising` and `noting`, which are called while a
    study learns.

    Attributes:
        last: By node, the id of the record that the studies have learned last.
    """

    def __init__(self, snapshots: Snapshots | None, studies: Studies, pending: Pending) -> None:
        self.last: dict[str, str] = {}
        self._snapshots = snapshots
        self._studies = studies
        self._pending = pending
        self._moment: _Moment | None = None
        self._kept: dict[tuple[str, KeptStudy], str] = {}
        self._written = 0
        self._forgotten = False
        self._stopped = False
        self._not_before = 0.0

    def load(self, node: str, study: KeptStudy) -> Snapshot | None:
        """Return what is kept, if anything; whether it fits the records is for the caller to find out."""
        return None if self._snapshots is None else self._snapshots.load(node, study)

    def noting(self, node: str, records: Iterable[Record]) -> Iterator[Record]:
        """Yield the records with which a study begins."""
        for record in records:
            self.last[node] = record.id
            yield record

    def adding(self, record: Record, nodes: Iterable[str]) -> None:
        """Take a record that is about to be queued."""
        if self._snapshots is None:
            return
        # One that is replaced was learned twice, and would be learned once after a restart.
        self._stopped = self._stopped or self._pending.find(record.id) is not None
        for node in nodes:
            self.last[node] = record.id

    def revising(self) -> None:
        """Take notice that a record is about to change."""
        # It may be among those that are learned and not stored: it will be stored as something else.
        self._moment = None

    def written(self, number: int, shelves: Iterable[Shelf]) -> None:
        """Take notice that so many more records are stored, and keep the results now and then."""
        self._written += number
        due = self._forgotten or self._written >= _OFTEN
        if due and time.monotonic() >= self._not_before:
            self.keep(shelves)

    def keep(self, shelves: Iterable[Shelf]) -> None:
        """Keep the results as soon as what they have learned is stored, which may be at once."""
        if self._snapshots is None or self._stopped:
            return
        if self._moment is None:
            with self._studies.at_rest() as results:
                self._moment = _Moment(results, dict(self.last), self._pending.take(len(self._pending)))
        moment = self._moment
        if self._pending.holds_any(moment.batch):
            return
        # In this order: what changed in the queue is no longer what the batch holds, and `revising` came first.
        if self._moment is not moment:
            return
        self._moment = None
        self._store(self._snapshots, moment, {shelf.title.node: shelf for shelf in shelves})
        self._written, self._forgotten = 0, False
        self._not_before = time.monotonic() + _SECONDS_BETWEEN

    def _store(self, snapshots: Snapshots, moment: _Moment, shelves: Mapping[str, Shelf]) -> None:
        for (node, study), result in moment.results.items():
            last, shelf = moment.last.get(node), shelves.get(node)
            if last is None or shelf is None or shelf.count() < _LEAST or self._kept.get((node, study)) == last:
                continue
            snapshots.store(node, study, Snapshot(result, last, shelf.mark))
            self._kept[node, study] = last

    def forget(self) -> None:
        """Remove what is kept, before a record changes that it has learned.

        Raises:
            OSError: It cannot be removed.
        """
        if self._snapshots is not None:
            self._snapshots.forget()
            self._kept.clear()
            self._forgotten = True

    def spoil(self) -> None:
        """Remove what is kept and keep nothing more: the studies know records that are removed, or know some twice.

        Raises:
            OSError: It cannot be removed.
        """
        self._stopped = True
        self._moment = None
        self.forget()

"""When the results of studies are kept beside the records, such that they fit what is stored."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from llm_tiers.history.store.snapshots import Key, Snapshot, Snapshots

if TYPE_CHECKING:
    from llm_tiers.history.record import Record
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
        results: The results.
        last: By node, the id of the record that was learned last.
        batch: What was learned and not stored.
    """

    results: Mapping[Key, Any]
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
        counts: How many records a node has that was not counted by Chroma, as its studies were kept.
    """

    def __init__(self, snapshots: Snapshots | None, studies: Studies, pending: Pending) -> None:
        self.last: dict[str, str] = {}
        self.counts: dict[str, int] = {}
        self._snapshots = snapshots
        self._studies = studies
        self._pending = pending
        self._moment: _Moment | None = None
        self._kept: dict[Key, str] = {}
        self._written = 0
        self._forgotten = False
        self._stopped = False
        self._not_before = 0.0

    @property
    def before_replacing(self) -> Callable[[], None] | None:
        """What is to be called before a stored record is replaced; None where nothing is kept."""
        return None if self._snapshots is None else self.spoil

    def load(self, key: Key) -> Snapshot | None:
        """Return what is kept, if anything; whether it fits the records is for the caller to find out."""
        return None if self._snapshots is None else self._snapshots.load(key)

    def is_whole(self, key: Key) -> bool:
        """Whether what is kept has learned all records that there are, as they are."""
        return self._snapshots is not None and self._snapshots.is_whole(key)

    @property
    def is_any_whole(self) -> bool:
        """Whether anything that is kept has."""
        return self._snapshots is not None and self._snapshots.is_any_whole

    def began(self, key: Key, snapshot: Snapshot) -> None:
        """Take notice that a study begins with what was kept."""
        self.last[key[0]] = self._kept[key] = snapshot.last

    def noting(self, node: str, records: Iterable[Record]) -> Iterator[Record]:
        """Yield the records with which a study begins."""
        last = None
        for record in records:
            last = record.id
            yield record
        # Not before: where reading fails halfway, the node's other studies have learned all.
        if last is not None:
            self.last[node] = last

    def adding(self, record: Record, nodes: Iterable[str]) -> None:
        """Take a record that is about to be queued."""
        if self._snapshots is None:
            return
        # One that is replaced was learned twice, and would be learned once after a restart.
        self._stopped = self._stopped or self._pending.find(record.id) is not None
        for node in nodes:
            self.last[node] = record.id
            self._snapshots.grows(node)
            if node in self.counts:
                self.counts[node] += 1

    def heard(self, node: str) -> None:
        """Take notice of a record that another process added, and that the studies have learned."""
        if node in self.counts:
            self.counts[node] += 1

    def revising(self) -> None:
        """Take notice that a record is about to change."""
        # It may be among those that are learned and not stored: it will be stored as something else.
        self._moment = None
        if self._snapshots is not None:
            self._snapshots.changes()

    def written(self, number: int, shelves: Iterable[Shelf]) -> None:
        """Take notice that so many more records are stored, and keep the results now and then."""
        self._written += number
        due = self._forgotten or self._written >= _OFTEN
        if due and time.monotonic() >= self._not_before:
            self.keep(shelves)

    def keep(self, shelves: Iterable[Shelf], *, last: bool = False) -> None:
        """Keep the results as soon as what they have learned is stored, which may be at once.

        Args:
            shelves: The shelves.
            last: Whether nothing more will be learned.
        """
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
        for key, kept in self._kept.items() if last else ():
            if kept == self.last.get(key[0]):
                self._snapshots.became_whole(key)

    def _store(self, snapshots: Snapshots, moment: _Moment, shelves: Mapping[str, Shelf]) -> None:
        for key, result in moment.results.items():
            last, shelf = moment.last.get(key[0]), shelves.get(key[0])
            if last is None or shelf is None or self._kept.get(key) == last or shelf.count() < _LEAST:
                continue
            if snapshots.store(key, Snapshot(result, last, shelf.mark, shelf.count())):
                self._kept[key] = last

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
        self.counts.clear()
        self.forget()

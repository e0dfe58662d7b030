"""One namespace of a history: its shelves, what waits to be written, and the records seen lately."""

from __future__ import annotations

import hashlib
import logging
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import httpx
import numpy as np

from llm_tiers.embedding.vector import Vector
from llm_tiers.errors import ConfigError, EmbeddingMismatch, HistoryError, HistoryUnreachable, UnknownTrace
from llm_tiers.history.record import Change, CompleteStudy, KeptStudy, Neighbour, Recollection, Record, Study
from llm_tiers.history.store import facts
from llm_tiers.history.store.client import chroma_errors
from llm_tiers.history.store.crowd import CROWD, Crowd
from llm_tiers.history.store.keeping import Keeping
from llm_tiers.history.store.others import Others
from llm_tiers.history.store.pending import Addition, Batch, Pending
from llm_tiers.history.store.studies import NEWEST, NOBODY, Studies
from llm_tiers.history.store.title import Row, Title

if TYPE_CHECKING:
    from llm_tiers.history.store.pending import Waiting
    from llm_tiers.history.store.shelf import Shelf
    from llm_tiers.history.store.snapshots import Key, Snapshots
    from llm_tiers.trace import Trace

__all__ = ["BATCH", "MOST_PENDING", "Library", "ShelfProvider", "mismatch"]

_LOGGER = logging.getLogger("llm_tiers.history")

BATCH = 64
"""Most records of one write, as long as few wait."""

_LARGEST_BATCH = 128
_SECONDS_OF_WRITE = 0.5
"""Larger batches cost less a record, so they grow while many wait and a write takes no longer than this. In batches of
256 and more, Chroma's graph loses records among many copies of one query: 1 of 200 in one run of six."""

_SECONDS_FOR_FAILURE = 1.0
"""How long a caller with one record too many waits for a writer whose last write failed, to get its error."""

MOST_PENDING = 10_000
"""Records that may wait. One more is not kept while the writer works, so that no caller waits for it; while it pauses
after a failure, the caller writes a batch and gets the error."""

_SECONDS_TO_LOOK = 1.0
"""How long it is looked after a write what other processes stored, about; what is left is learned after the next."""

_SECONDS_FOR_OTHERS = 1.0
"""How long a revision waits for a write to end, so that the studies learn first what is revised. Else they learn what
others added as revised, with one of the next writes; of a record from before the start, at the next start."""

_MOST_RECENT = 20_000

_WITHOUT = 5_000
"""Stored records that a study begins with as soon as somebody is left out. Meanwhile no call of the node is answered or
learned, and whoever makes many calls could bring that about."""

_MORE = 4
"""How many times as many neighbours are looked for where some may be left out."""

_PAUSES = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
"""Seconds before the next tries where a server was lost."""

# A look-up that takes too long is not repeated.
_LOST = (httpx.NetworkError, httpx.ProtocolError)

Result = TypeVar("Result")


class _NotWholeError(Exception):
    """What was kept of a study has not learned all that the studies of its node have."""


class ShelfProvider(Protocol):
    """What a library needs of the place where it lies; `places.py` has the places.

    Attributes:
        where: The place as messages name it, without credentials.
        shared: Whether other processes may write there too.
        nearby: Whether it is on this machine, so that opening it is done before the first call waits for it.
        prefix: What the names of its collections begin with.
    """

    where: str
    shared: bool
    nearby: bool
    prefix: str

    @property
    def alone(self) -> bool:
        """Whether no other process has used it since this one opened it."""

    def shelves(self, namespace: str) -> Mapping[str, Shelf]:
        """Return the shelves of a namespace by node."""

    def make(self, title: Title) -> Shelf:
        """Make a node's shelf, or take the one that another process made first."""

    def find(self, name: str) -> Shelf | None:
        """Return a shelf that another process made meanwhile."""

    def may_hold(self, namespace: str) -> bool:
        """Say whether a namespace may have records, so that it has to be opened."""

    def before_writing(self) -> None:
        """Raise `HistoryError` where nothing can be written now."""

    def after_writing(self) -> None:
        """Raise `HistoryError` where what was written is not there."""

    def stuck(self) -> None:
        """Do what can be done about a server that does not answer a write."""

    def store_tombstones(self, namespace: str, shelves: Mapping[str, int]) -> None:
        """Store how many removed records each collection carries."""

    def snapshots(self, namespace: str) -> Snapshots | None:
        """Return where the results of studies are kept, if anywhere."""


class Library:
    """What the histories of one process share of one namespace.

    Two locks: `_writing` is held while Chroma is written to, by the background thread or by a caller that flushes;
    `_lock` guards what is kept in memory and is never held while Chroma works.
    """

    def __init__(
        self, shelf_provider: ShelfProvider, namespace: str, embedding: str, *, capacity: int, max_nodes: int
    ) -> None:
        self.namespace = namespace
        self.embedding = embedding
        self.capacity = capacity
        self.max_nodes = max_nodes
        self.users = 0
        self._shelf_provider = shelf_provider
        self._dimension: int | None = None
        self._pending = Pending()
        self._studies = Studies()
        self._keeping = Keeping(shelf_provider.snapshots(namespace), self._studies, self._pending)
        self._others = Others(self._studies, self._pending, self._keeping)
        self._recent: OrderedDict[str, facts.Packed] = OrderedDict()
        self._batch = BATCH
        self._shed = 0
        self._writes = False
        self._shelves: dict[str, Shelf] = {}
        self._nodes: set[str] = set()
        self._opened = False
        self._lock = threading.Lock()
        self._opening = threading.Lock()
        self._writing = threading.RLock()
        self._revising = threading.RLock()

    @property
    def dimension(self) -> int | None:
        """Length of the vectors; None until the first one is known."""
        return self._dimension

    @property
    def pending(self) -> int:
        """How many additions and revisions wait to be written."""
        return len(self._pending)

    # Opening

    def open(self) -> None:
        """Open Chroma and find the shelves, if that was not done yet.

        Raises:
            EmbeddingMismatch: The shelves were made by another embedding.
        """
        with self._opening:
            if self._opened:
                return
            self._add_shelves()
            self._opened = True

    def _add_shelves(self) -> None:
        for shelf in self._shelf_provider.shelves(self.namespace).values():
            self._add_shelf(shelf)

    def forget_shelves(self) -> None:
        """Forget what is stored, because the folder is gone; what waits stays."""
        with self._lock:
            self._shelves.clear()
            self._nodes.clear()
            self._recent.clear()
            self._opened = False
        self._others.forget_stored()
        # The studies know records that are gone. What cannot be removed lies in another folder, which it fits.
        with suppress(OSError):
            self._keeping.spoil()

    def _check(self, title: Title) -> None:
        if title.embedding != self.embedding:
            raise mismatch(self._shelf_provider.where, self.namespace, title.embedding, self.embedding)
        if self._dimension is not None and self._dimension != title.dimension:
            raise self._dimension_mismatch(title.dimension, self._dimension)
        self._dimension = title.dimension

    def expect(self, dimension: int) -> None:
        """Take the length of the vectors from the first one.

        Raises:
            EmbeddingMismatch: It is not the length of the vectors that the history holds.
        """
        if self._dimension is None:
            self._dimension = dimension
        elif self._dimension != dimension:
            raise self._dimension_mismatch(self._dimension, dimension)

    def _dimension_mismatch(self, held: int, given: int) -> EmbeddingMismatch:
        return mismatch(
            self._shelf_provider.where,
            self.namespace,
            f"{self.embedding} with {held} dimensions",
            f"{self.embedding} with {given} dimensions",
        )

    @property
    def prepared(self) -> bool:
        """Whether `prepare` has nothing to do."""
        return self._opened or not self._shelf_provider.nearby or not self._shelf_provider.may_hold(self.namespace)

    @property
    def knows_without_store(self) -> bool:
        """Whether a study was kept that has learned all that is stored: it can be asked before Chroma is open."""
        return self._keeping.is_any_whole

    def prepare(self) -> None:
        """Open what is on this machine, which may take Chroma a second; a server is asked when it is needed.

        Raises:
            HistoryError: It cannot be opened.
        """
        if not self.prepared:
            with chroma_errors("opening"):
                self.open()

    def _open_if_present(self) -> None:
        """Open what exists; a new history has nothing to open, so its first call does not wait for Chroma."""
        if not self._opened and self._shelf_provider.may_hold(self.namespace):
            self.open()

    def _shelf(self, node: str) -> Shelf | None:
        shelf = self._shelves.get(node)
        if shelf is None and not self._shelf_provider.alone and self._shelf_provider.may_hold(self.namespace):
            # Another process may have made it meanwhile.
            # Always generation 0: shelves that others write to are never copied (`Shelf.tidy`).
            found = self._shelf_provider.find(f"{self._stem_of(node)}.g0")
            shelf = None if found is None else self._add_shelf(found)
        return shelf

    def _add_shelf(self, shelf: Shelf) -> Shelf:
        self._check(shelf.title)
        shelf.before_replacing = self._keeping.before_replacing
        node = shelf.title.node
        with self._lock:
            if node:
                self._nodes.add(node)
            # Two threads may find the same shelf at once; both must use one object, which counts its readers.
            return self._shelves.setdefault(node, shelf)

    def _stem_of(self, node: str) -> str:
        # A hash, since Chroma allows few characters in a name and a node may be any text.
        return f"{self._shelf_provider.prefix}.{self.namespace}.{hashlib.sha256(node.encode()).hexdigest()[:20]}"

    # Reading

    def recall(
        self, vector: Vector, *, node: str, k: int, study: Study | None = None, principal: str | None = None
    ) -> Recollection:
        """Return the records of `node` that are most similar to `vector`, and what `study` made of all.

        A principal does not see those of others that crowd the node.
        """
        return self._patiently(lambda: self._recall(vector, node=node, k=k, study=study, principal=principal))

    def _patiently(self, work: Callable[[], Result]) -> Result:
        """Do something again where a server was lost that another one replaces in some tenths of a second."""
        for pause in _PAUSES:
            try:
                return work()
            except HistoryUnreachable as error:
                # A server elsewhere comes back when it does.
                if not self._shelf_provider.nearby or not isinstance(error.__cause__, _LOST):
                    raise
            time.sleep(pause)
        return work()

    def _recall(self, vector: Vector, *, node: str, k: int, study: Study | None, principal: str | None) -> Recollection:
        with chroma_errors("reading"):
            self.expect(vector.size)
            at_once = None if k > 0 or study is None else self._recall_without_store(vector, node, study, principal)
            if at_once is not None:
                return at_once
            self._open_if_present()
            node = self._node_to_search(node)
            crowd: Crowd | None = None if principal is None else self._learned(node, CROWD, NOBODY)
            without = NOBODY if crowd is None else crowd.left_out(principal)
            wanted, k = k, _MORE * k if without else k
            # First what waits, then what is stored: a record that is written in between is found twice, which its id
            # shows. In the other order it could be missed.
            waiting = self._pending.on(node)
            hits = waiting.search(vector, k)
            known = dict(waiting.revisions) | dict(waiting.records)
            count = len(waiting.records)
            shelf = self._shelf(node)
            if shelf is not None:
                found, records = self._search(shelf, vector, k, waiting.records)
                count = shelf.count_with(waiting.records.keys())
                known = records | known
                hits += found
            if crowd is not None:
                count = max(count - crowd.number_of(without), 0)
            learned = None if study is None else self._learned(node, study, without)
        if not vector.any():
            # A text without a vector resembles nothing, though its cosine with everything is 0.
            return Recollection(count=count, vector=vector, learned=learned)
        neighbours = [
            Neighbour(similarity, known[trace_id])
            for trace_id, similarity in hits
            if trace_id in known and known[trace_id].principal not in without
        ]
        neighbours.sort(key=lambda n: (-n.similarity, -n.record.created, n.record.id))
        return Recollection(tuple(neighbours[:wanted]), count, vector, learned=learned)

    def _recall_without_store(
        self, vector: Vector, node: str, study: Study, principal: str | None
    ) -> Recollection | None:
        """Return what the studies know after a restart; None where that takes the store.

        Chroma's import takes a second, and its first look at 100,000 records several: it then indexes those that it had
        only logged.
        """
        node = self._node_to_search(node)
        crowd = Crowd() if principal is None else self._kept_whole(node, CROWD, NOBODY)
        if crowd is None:
            return None
        without = crowd.left_out(principal)
        learned = self._kept_whole(node, study, without)
        count = self._keeping.counts.get(node)
        if learned is None or count is None:
            return None
        count = max(min(count, self.capacity) - crowd.number_of(without), 0)
        return Recollection(count=count, vector=vector, learned=learned)

    def _kept_whole(self, node: str, study: Study, without: frozenset[str]) -> Any:
        """Return the result of a study that was kept and has learned all that is stored; None where none was."""
        known = self._studies.known(node, study, without)
        if known is not None or not isinstance(study, KeptStudy):
            return known
        key = (node, study, without)
        snapshot = self._keeping.load(key) if self._keeping.is_whole(key) else None
        if snapshot is None:
            return None

        def begin() -> tuple[Any, Iterable[Record]]:
            # Checked again where nothing is learned meanwhile.
            if not self._keeping.is_whole(key) or not self._follows(node, snapshot.last):
                raise _NotWholeError
            self._keeping.began(key, snapshot)
            self._keeping.counts[node] = snapshot.records
            return snapshot.result, ()

        with suppress(_NotWholeError):
            return self._studies.of(node, study, begin, without)
        return None

    def _follows(self, node: str, last: str) -> bool:
        return not self._shelf_provider.shared or self._others.began(node, last)

    def _learned(self, node: str, study: Study, without: frozenset[str]) -> Any:
        known = self._studies.known(node, study, without)
        if known is not None:
            return known
        # A record may be added while it is looked, and belongs to the study that begins then.
        of_nothing = self._studies.of_nothing(node, study, lambda: not self._has_records(node))
        if of_nothing is not None:
            return of_nothing
        # Nothing may be written while a study begins. Taken before the studies' own lock, which a writer takes too.
        with self._writing:
            # All studies of a node have learned the same.
            self._catch_up(self._shelves_of((node,)), seconds=None)
            return self._studies.of(node, study, partial(self._beginning, study, node, without), without)

    def _beginning(self, study: Study, node: str, without: frozenset[str]) -> tuple[Any, Iterable[Record]]:
        """Return the result that a study begins with, and the records that it has not learned yet, oldest first."""
        kept = self._kept((node, study, without)) if isinstance(study, KeptStudy) else None
        if kept is not None:
            return kept
        return study.start(), self._keeping.noting(node, self._known_to(study, node, _WITHOUT if without else None))

    def _kept(self, key: Key) -> tuple[Any, Iterable[Record]] | None:
        """Return what was kept of a study, and the records since; None where that does not fit the records."""
        node = key[0]
        snapshot, shelf = self._keeping.load(key), self._shelf(node)
        if snapshot is None or shelf is None or snapshot.mark != shelf.mark:
            return None
        found = shelf.complete_after(snapshot.last)
        if found is None:
            return None
        stored = list(found)
        waiting = self._pending.on(node)
        # A record that was learned before is changed: only the whole study can tell what that changes.
        if not waiting.revisions.keys() <= {record.id for record in stored}:
            return None
        self._keeping.began(key, snapshot)
        records = self._begun_with(node, _with_waiting(stored, waiting), waiting, last=snapshot.last)
        return snapshot.result, self._keeping.noting(node, records)

    def _has_records(self, node: str) -> bool:
        with self._lock:
            return not node or node in self._nodes

    def _known_to(self, study: Study, node: str, most: int | None) -> Iterable[Record]:
        """Return the records of a node that a study starts with, as they are now, oldest first.

        A complete one gets all, with their vectors, page by page; of those stored the newest `most`, if given.
        """
        waiting = self._pending.on(node)
        shelf = self._shelf(node)
        if isinstance(study, CompleteStudy):
            stored = () if shelf is None else shelf.complete(most)
            return self._begun_with(node, _with_waiting(stored, waiting), waiting)
        newest = () if shelf is None else shelf.newest(NEWEST).values()
        return list(self._begun_with(node, _with_waiting(newest, waiting), waiting))[-NEWEST:]

    def _begun_with(
        self, node: str, records: Iterable[Record], waiting: Waiting, last: str | None = None
    ) -> Iterable[Record]:
        if not self._shelf_provider.shared:
            return records
        return self._others.beginning(node, records, waiting.records.keys(), last=last)

    def _search(
        self, shelf: Shelf, vector: Vector, k: int, waiting: Mapping[str, Record]
    ) -> tuple[list[tuple[str, float]], dict[str, Record]]:
        # What is learned of a node may be all that is asked for.
        if k < 1:
            return [], {}
        hits, records = shelf.search(vector, k, skip=waiting.keys())
        if hits and not records:
            return hits, self._records(shelf, [trace_id for trace_id, _ in hits])
        return hits, dict(records)

    def _records(self, shelf: Shelf, ids: Sequence[str]) -> dict[str, Record]:
        found: dict[str, Record] = {}
        with self._lock:
            for trace_id in ids:
                packed = self._recent.get(trace_id)
                if packed is not None:
                    self._recent.move_to_end(trace_id)
                    found[trace_id] = facts.unpack(trace_id, packed)
        missing = [trace_id for trace_id in ids if trace_id not in found]
        if missing:
            fetched = shelf.fetch(missing)
            # A revision written since is in `_recent`, and it is the newer of the two.
            found |= self._keep(fetched, newer=False)
        return found

    def _keep(self, records: Mapping[str, Record], *, newer: bool) -> Mapping[str, Record]:
        kept: dict[str, Record] = {}
        with self._lock:
            for trace_id, record in records.items():
                held = None if newer else self._recent.get(trace_id)
                if held is None:
                    self._recent[trace_id] = facts.pack(record)
                kept[trace_id] = record if held is None else facts.unpack(trace_id, held)
                self._recent.move_to_end(trace_id)
            while len(self._recent) > _MOST_RECENT:
                self._recent.popitem(last=False)
        return kept

    def _find(self, trace_id: str) -> Record:
        record = self._pending.find(trace_id)
        # On a server another process may have revised the record, so the cache is not asked there.
        if record is None and not self._shelf_provider.shared:
            with self._lock:
                packed = self._recent.get(trace_id)
                record = None if packed is None else facts.unpack(trace_id, packed)
        if record is not None:
            return record
        found = self._fetch(trace_id, self._all_shelves()) or self._fetch(trace_id, self._new_shelves())
        if found is not None:
            return found if self._shelf_provider.shared else self._keep({trace_id: found}, newer=False)[trace_id]
        msg = (
            f"no record of namespace {self.namespace!r} has the trace id {trace_id!r}; it may have been evicted "
            f"(capacity={self.capacity}), belong to another history, or be of a call that teaches nothing and has no "
            "record, such as one that was pinned or whose answer did not stand"
        )
        raise UnknownTrace(msg)

    def _fetch(self, trace_id: str, shelves: Iterable[Shelf]) -> Record | None:
        # A parent holds what its children hold, so the top is the likely place.
        for shelf in sorted(shelves, key=lambda shelf: shelf.title.node.count("/")):
            found = shelf.fetch([trace_id])
            if found:
                return found[trace_id]
        return None

    def trace(self, trace_id: str) -> Trace | None:
        """Return the trace of a call, or None where its record has none.

        Raises:
            UnknownTrace: No record has this id.
        """
        waiting = self._pending.find(trace_id)
        if waiting is not None and waiting.trace is not None:
            return waiting.trace
        with chroma_errors("reading"):
            self._open_if_present()
            self._find(trace_id)
            stored = (shelf.trace(trace_id) for shelf in self._all_shelves())
            return next((trace for trace in stored if trace is not None), None)

    def _all_shelves(self) -> list[Shelf]:
        with self._lock:
            return list(self._shelves.values())

    def _every_shelf(self) -> list[Shelf]:
        """Return all shelves, with those that other processes made meanwhile."""
        if self._opened and not self._shelf_provider.alone:
            self._add_shelves()
        return self._all_shelves()

    def _new_shelves(self) -> list[Shelf]:
        """Return the shelves that other processes made since it was last looked."""
        known = self._all_shelves()
        return [shelf for shelf in self._every_shelf() if shelf not in known]

    # Writing

    def remember(self, record: Record, vector: Vector, *, text: str | None, exact: bool = False) -> None:
        """Queue a record to be written; `exact` where its vector is to be read back to the last bit."""
        try:
            with chroma_errors("opening"):
                self._open_if_present()
        except EmbeddingMismatch:
            raise
        except HistoryError as error:
            # It waits, so that `flush` and `close` say that it could not be written, and it is if that is mended.
            _LOGGER.debug("a record waits, since the history cannot be opened: %s", error)
        if len(self._pending) >= MOST_PENDING:
            self._make_room()
        self.expect(vector.size)
        kept = replace(record, vector=None, text=text, node=facts.printable(record.node))
        nodes = self._nodes_for(kept.node)
        with self._studies.learning(kept, nodes, vector):
            self._keeping.adding(kept, nodes)
            if self._shelf_provider.shared:
                self._others.adding(kept.id, nodes)
            self._pending.add(Addition(Row(kept, vector, exact=exact or self._studies.complete), nodes))

    def _make_room(self) -> None:
        """Write a batch, unless somebody else is writing.

        Raises:
            HistoryError: Somebody is, so that the new record is not kept; or the batch could not be written.
        """
        # So that memory stays bounded and no caller waits for another thread's write.
        if not self._writing.acquire(timeout=0 if self._writes else _SECONDS_FOR_FAILURE):
            with self._lock:
                self._shed += 1
            raise HistoryError(
                f"{MOST_PENDING} records wait to be written, which is all that may; this one is not kept (nor were "
                f"{self._shed - 1} before): calls come faster than the history can be written"
            )
        try:
            self.write_batch()
        finally:
            self._writing.release()

    def _nodes_for(self, node: str) -> tuple[str, ...]:
        """The shelves of a record: its node's and each ancestor's, as far as `max_nodes` allows."""
        if not node:
            return ("",)
        # `a/b/c` lies under `a`, `a/b` and `a/b/c`; a leading or doubled slash makes no level of its own.
        levels = [node[: cut.start()] for cut in re.finditer("/", node)]
        path = dict.fromkeys(level for level in (*levels, node) if level.strip("/"))
        with self._lock:
            taken: list[str] = []
            for level in path:
                if level not in self._nodes:
                    # Rendered prompts as node names would make collections without end; what overflows goes to the
                    # ancestors that exist.
                    if len(self._nodes) >= self.max_nodes:
                        break
                    self._nodes.add(level)
                taken.append(level)
        return tuple(taken) or ("",)

    def _node_to_search(self, node: str) -> str:
        """Return the node whose shelf has the records of `node`: the root's, for a top node above the limit."""
        with self._lock:
            overflows = node not in self._nodes and len(self._nodes) >= self.max_nodes
        return "" if overflows and "/" not in node else node

    def revise(self, trace_id: str, change: Change) -> Record:
        """Replace a record, or its labels; one revision at a time."""
        with self._revising:
            record = self._patiently(partial(self._look_for, trace_id))
            changed = change(record)
            after = changed if isinstance(changed, Record) else replace(record, labels=dict(changed))
            labels = dict(after.labels)
            if not all(isinstance(tier, str) and isinstance(valid, bool) for tier, valid in labels.items()):
                msg = f"change must return tier names with True or False, not {labels!r}"
                raise ConfigError(msg)
            # `_revising` is held from finding to queueing, so that two revisions of one record do not lose one.
            revised = replace(
                after,
                id=record.id,
                node=record.node,
                created=record.created,
                text=record.text,
                labels=labels,
                vector=None,
            )
            nodes = self._nodes_for(revised.node)
            before = self._as_learned(record, revised, nodes)
            vector = partial(self._patiently, partial(self._vector_of, trace_id))
            with self._studies.revising(before, revised, nodes, vector):
                self._keeping.revising()
                self._pending.revise(revised)
            return revised

    def _as_learned(self, record: Record, revised: Record, nodes: Iterable[str]) -> Callable[[str], Record | None]:
        """Return what tells a record as a node's studies have learned it, which now learn that it is revised."""
        if not self._shelf_provider.shared:
            return lambda _: record
        # Another process may have added it just now: then it is learned first.
        unknown = [n for n in nodes if self._studies.needs_vectors(n) and not self._others.knows(n, record.id)]
        learned = not unknown or self._shelf_provider.alone or self._has_caught_up(unknown)
        return lambda node: self._others.replacing(node, record, revised, learned=learned)

    def _has_caught_up(self, nodes: Iterable[str]) -> bool:
        if not self._writing.acquire(timeout=_SECONDS_FOR_OTHERS):
            return False
        try:
            with chroma_errors("looking at what others added"):
                return self._catch_up(self._shelves_of(nodes), seconds=_SECONDS_TO_LOOK)
        except HistoryError as error:
            _LOGGER.debug("what others added is not learned yet: %s", error)
            return False
        finally:
            self._writing.release()

    def _look_for(self, trace_id: str) -> Record:
        with chroma_errors("looking for a record"):
            self._open_if_present()
            return self._find(trace_id)

    def _vector_of(self, trace_id: str) -> Vector | None:
        waiting = self._pending.vector(trace_id)
        if waiting is not None:
            return waiting
        with chroma_errors("looking for a record"):
            found = (shelf.vector(trace_id) for shelf in self._all_shelves())
            return next((vector for vector in found if vector is not None), None)

    def flush(self) -> None:
        """Write what waits at the time of the call; records that come later may wait on.

        Raises:
            HistoryError: Chroma failed; what was not written waits on.
        """
        # Only what waits now: under steady traffic the queue may never be empty.
        batch = self._pending.take(len(self._pending))
        while self._pending.holds_any(batch):
            self._patiently(self._write_perhaps_twice)
        # What was written before may have been removed since.
        if self._opened:
            self._shelf_provider.after_writing()

    def _write_perhaps_twice(self) -> int:
        """Write a batch; one that a server did not finish is given to the server that replaces it, once."""
        try:
            return self.write_batch()
        except HistoryUnreachable as error:
            if not isinstance(error.__cause__, httpx.TimeoutException):
                raise
        # A second server that does not finish is not the reason, and each takes its time.
        return self.write_batch()

    def write_batch(self) -> int:
        """Write the oldest of what waits, evict what is too old, and return how many were written."""
        try:
            written = self._write_batch()
        except HistoryError:
            self._writes = False
            raise
        self._writes = True
        return written

    def _write_batch(self) -> int:
        with self._writing, chroma_errors("writing"):
            batch = self._pending.take(self._batch)
            if not batch:
                return 0
            started = time.monotonic()
            self._shelf_provider.before_writing()
            self.open()
            try:
                fresh = self._write_additions(batch)
                self._write_revisions(batch)
            except httpx.TimeoutException as error:
                self._shelf_provider.stuck()
                raise HistoryUnreachable(
                    f"the history's Chroma server did not finish a write ({type(error).__name__}); what it was given "
                    f"is written again"
                ) from error
            self._shelf_provider.after_writing()
            # Before they leave the queue: in between a record is found in both, never in neither.
            if self._shelf_provider.shared:
                self._others.written(batch.additions)
            else:
                written = {a.row.record.id: a.row.record for a in batch.additions.values()}
                self._keep(written | dict(batch.revisions), newer=True)
            self._pending.done(batch)
            for shelf in fresh:
                self._tidy(shelf, shelf.evict(self.capacity))
            self._size_batches(time.monotonic() - started)
            self._keeping.written(len(batch.additions), self._all_shelves())
            self._hear_others(fresh)
            return len(batch.additions) + len(batch.revisions)

    def _hear_others(self, fresh: Mapping[Shelf, list[str]]) -> None:
        """After a write: let the studies of its nodes learn what other processes stored there."""
        if self._shelf_provider.alone:
            for shelf, ids in fresh.items():
                self._others.passed(shelf.title.node, ids)
            return
        try:
            with chroma_errors("looking at what others added"):
                due = [shelf for shelf in fresh if self._others.is_due(shelf.title.node)]
                self._catch_up(due, seconds=_SECONDS_TO_LOOK)
        except HistoryError as error:
            _LOGGER.debug("what others added is learned after the next write: %s", error)

    def _catch_up(self, shelves: Iterable[Shelf], *, seconds: float | None) -> bool:
        return self._shelf_provider.alone or self._others.catch_up(shelves, seconds=seconds)

    def _shelves_of(self, nodes: Iterable[str]) -> list[Shelf]:
        return [shelf for node in nodes if (shelf := self._shelf(node)) is not None]

    def _size_batches(self, seconds: float) -> None:
        """Take more at a time while many wait and writing is quick, and less where a write took too long."""
        if seconds > _SECONDS_OF_WRITE or len(self._pending) < self._batch:
            self._batch = max(self._batch // 2, BATCH)
        else:
            self._batch = min(2 * self._batch, _LARGEST_BATCH)

    def _write_additions(self, batch: Batch) -> dict[Shelf, list[str]]:
        """Write the new records, and return which of them were not there, by shelf."""
        rows: dict[str, list[Row]] = {}
        for addition in batch.additions.values():
            for node in addition.nodes:
                rows.setdefault(node, []).append(addition.row)
        fresh = {}
        for node, part in rows.items():
            shelf = self._shelf(node) or self._make(node, part[0].vector.size)
            new = shelf.put(part)
            # Not before: those who read would meet a collection without an index.
            fresh[self._add_shelf(shelf)] = new
        return fresh

    def _make(self, node: str, dimension: int) -> Shelf:
        title = Title(self._stem_of(node), self.namespace, node, self.embedding, dimension, 0)
        shelf = self._shelf_provider.make(title)
        # On a server another process may have made it first, even by another embedding.
        self._check(shelf.title)
        return shelf

    def _write_revisions(self, batch: Batch) -> None:
        if batch.revisions:
            self._keeping.forget()
        for shelf in self._every_shelf() if batch.revisions else ():
            node = shelf.title.node
            part = [
                record
                for record in batch.revisions.values()
                if not node or record.node == node or record.node.startswith(f"{node}/")
            ]
            if part:
                shelf.revise(part)

    def _tidy(self, shelf: Shelf, gone: Iterable[str]) -> None:
        """Drop removed records from the cache, and copy the shelf if most of it is removed records."""
        with self._lock:
            for trace_id in gone:
                self._recent.pop(trace_id, None)
        shelf.tidy()
        tombstones = {held.title.name: held.tombstones for held in self._all_shelves()}
        self._shelf_provider.store_tombstones(self.namespace, tombstones)

    # Upkeep

    def counts(self) -> dict[str, int]:
        """Return how many stored records each node has."""
        with chroma_errors("counting"):
            self._open_if_present()
            return {shelf.title.node: shelf.count() for shelf in self._every_shelf()}

    def total(self) -> int:
        """Return how many different records are stored."""
        with chroma_errors("counting"):
            return len(set().union(*(shelf.ids() for shelf in self._every_shelf())))

    def prune(self, *, older_than: float | None, node: str | None, keep: int | None, dry_run: bool = False) -> int:
        """Remove old records; see `ChromaHistory.prune`."""
        # First write, since records that wait have no age in Chroma yet, and would come back after the pruning.
        self.flush()
        with self._writing, chroma_errors("pruning"):
            self._open_if_present()
            shelves = self._every_shelf()
            chosen = shelves if node is None else [s for s in shelves if s.title.node == node]
            ages: dict[str, float] = {}
            for shelf in chosen:
                ages |= shelf.ages()
            gone = _too_old(ages, older_than, keep)
            if gone and not dry_run:
                self._keeping.spoil()
            # All shelves, not just the chosen ones: a record lies under its node's ancestors too.
            for shelf in shelves if gone and not dry_run else ():
                shelf.discard(gone)
                self._tidy(shelf, gone)
            return len(gone)

    def export(self, *, vectors: bool) -> Iterator[dict[str, Any]]:
        """Yield every stored record once."""
        self.flush()
        with chroma_errors("exporting"):
            self._open_if_present()
            seen: set[str] = set()
            for shelf in self._every_shelf():
                for trace_id, metadata, vector in shelf.pages(vectors=vectors):
                    if trace_id not in seen:
                        seen.add(trace_id)
                        kept = None if vector is None else np.asarray(vector, dtype=np.float32)
                        yield facts.as_dict(facts.read(trace_id, metadata), kept)

    def keep_studies(self) -> None:
        """Keep what the studies have learned, for the next process."""
        with self._writing:
            self._keeping.keep(self._all_shelves(), last=True)

    def drop(self) -> None:
        """Delete the collections of a history in memory, which nobody can reach any more."""
        with chroma_errors("dropping a history in memory"):
            for shelf in self._all_shelves():
                shelf.drop()


def _with_waiting(stored: Iterable[Record], waiting: Waiting) -> Iterator[Record]:
    """Yield stored records as they are now, and those that wait, all with their vectors."""
    vectors = zip(waiting.records.values(), waiting.vectors, strict=True)
    added = {record.id: replace(record, vector=vector) for record, vector in vectors}
    for record in stored:
        # One that is stored and still waits, since the answer to its write was lost, keeps its place.
        held = added.pop(record.id, None)
        revised = waiting.revisions.get(record.id)
        yield held or (record if revised is None else replace(revised, vector=record.vector))
    yield from added.values()


def _too_old(ages: Mapping[str, float], older_than: float | None, keep: int | None) -> list[str]:
    newest_first = sorted(ages, key=lambda trace_id: (-ages[trace_id], trace_id))
    gone = set() if keep is None else set(newest_first[keep:])
    if older_than is not None:
        horizon = time.time() - older_than
        gone |= {trace_id for trace_id in newest_first if ages[trace_id] < horizon}
    return [trace_id for trace_id in newest_first if trace_id in gone]


def mismatch(where: str, namespace: str, held: str, given: str) -> EmbeddingMismatch:
    """Return the error of a history that was made by another embedding."""
    return EmbeddingMismatch(
        f"the history in {where} (namespace {namespace!r}) was made by the embedding {held!r}, but embedding= is "
        f"{given!r}, and their vectors cannot be compared; pass the same embedding, another namespace, or another "
        f"folder"
    )

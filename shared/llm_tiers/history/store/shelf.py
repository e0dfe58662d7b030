"""One node's records: a Chroma collection, with what this process knows about it."""

from __future__ import annotations

import heapq
import threading
import time
import uuid
import zlib
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import replace
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from llm_tiers.errors import HistoryError
from llm_tiers.history.store import facts
from llm_tiers.history.store.client import chroma_errors
from llm_tiers.history.store.nearest import Hit, similarity
from llm_tiers.history.store.title import Page, Row, Title, has_begun, is_current

if TYPE_CHECKING:
    from llm_tiers.embedding.vector import Vector
    from llm_tiers.history.record import Record
    from llm_tiers.history.store.client import Client
    from llm_tiers.trace import Trace

__all__ = ["Shelf", "find_shelf", "make_shelf", "open_shelves"]

CONFIGURATION = {"hnsw": {"space": "cosine", "max_neighbors": 32, "ef_construction": 200, "ef_search": 200}}
"""sync_threshold stays at Chroma's default: raising it makes each write re-read a longer log."""

_EXTRA = 16
_MOST_EQUAL = 512
"""Among so many equally similar records the newest are found for certain."""

_MOST_COPIES = 8
_MOST_PLACES = 10_000
_NUDGE = 2e-3
_DIRECTIONS = 10
"""Chroma's graph falls apart where hundreds of vectors are equal: with 1,500 copies of one query among 600 others it
found .19 of the others' ten nearest, and .92 with the copies a little apart. So copies beyond the first few are stored
beside their place, which moves a similarity by some 1e-4.

They are moved in the same few directions. In all 256, they are so nearly equally far from each other that the graph
links each to the place alone, which has room for 64 links: of 400 copies 130 were not found."""

_TRIES_TO_LINK = 3
_NEAREST = 8
"""Chroma adds the vectors of a batch side by side, and of copies that it adds so one in some thousand gets no link that
leads to it. Each is looked for after the write, and linked anew where it is missing."""

_MARK = "changed"
"""In a collection's metadata: another text after each change of records by one of several processes."""

_REVISED = "revised"
"""In a record's metadata: when it was last revised where several processes write, in seconds since 1970."""

_TRIES_TO_FIND = 3
_REMOVED = "Error finding id"
"""What Chroma raises where a record is removed between its look into the graph and its look into the table."""

_FRESH = 1024
"""Records just written, which a reader may still have seen waiting."""

_TAILS = (64, 4096)
"""How far back a record is looked for: it is the last one, unless the process before was killed or others add some."""

_MOST_LOST = 8
"""How often a place is looked for again in one look, since others removed records before it."""

_PAGE = 500
_BATCH = 256
_LEAST_TOMBSTONES = 1000
"""Fewer deleted records than this are not worth copying a collection for."""


class Shelf:
    """The collection of one node.

    Writing is for one thread at a time (the library's write lock); reading is for any. A `shared` shelf lies on a
    server where other processes write too, so nothing about it is remembered here.
    """

    def __init__(self, client: Client, collection: Any, title: Title, *, shared: bool, tombstones: int = 0) -> None:
        self._client = client
        self._collection = collection
        self._begun = has_begun(collection.metadata)
        self._current = is_current(collection.metadata)
        self._shared = shared
        self.title = title
        self.mark = str((collection.metadata or {}).get(_MARK, ""))
        self.tombstones = tombstones
        self.before_replacing: Callable[[], object] | None = None
        self._count: int | None = None
        self._lock = threading.Lock()
        self._reader_done = threading.Condition()
        self._readers: Counter[str] = Counter()
        self._copies: Counter[int] = Counter()
        self._fresh: deque[str] = deque(maxlen=_FRESH)
        self._created: dict[str, float] | None = None
        self._oldest: list[tuple[float, str]] = []

    # Reading

    def count(self) -> int:
        """How many records the collection holds."""
        # Counted by Chroma once and kept up to date by `put` and `discard`: only this process writes to a local shelf.
        if self._shared:
            return int(self._collection.count())
        if self._count is None:
            with self._lock:
                if self._count is None:
                    self._count = int(self._read("count"))
        return self._count

    def count_with(self, ids: AbstractSet[str]) -> int:
        """How many records there are, those of `ids` included, some of which may have been written just now."""
        count = self.count()
        with self._lock:
            if not self._shared and self._count is not None:
                count = self._count
            return count + len(ids - set(self._fresh))

    def search(self, query: Vector, k: int, *, skip: AbstractSet[str]) -> tuple[list[Hit], Mapping[str, Record]]:
        """Return the most similar records that are not in `skip`, with the records themselves on a shared shelf.

        `k` of them, or some more for the caller to cut. On a server the labels have to come fresh; elsewhere asking for
        them would double the time.
        """
        if not self._shared:
            # Chroma fails where a collection is asked while its very first records are being written.
            return (self._query(query, k, skip, include=["distances"])[0] if self.count() else []), {}
        hits, metadatas = self._query(query, k, skip, include=["distances", "metadatas"])
        # A record that is removed while the server looks comes without metadata.
        hits = [hit for hit in hits if metadatas[hit[0]]]
        return hits, {trace_id: facts.read(trace_id, metadatas[trace_id]) for trace_id, _ in hits}

    def _query(
        self, query: Vector, k: int, skip: AbstractSet[str], *, include: list[str]
    ) -> tuple[list[Hit], dict[str, Any]]:
        # More than `k`, since some hits are skipped, and since equally similar records are cut at an arbitrary place.
        wanted = k + min(len(skip), k) + _EXTRA
        while True:
            found = self._found(query, wanted, include)
            ids = found["ids"][0]
            hits = [
                (trace_id, similarity(1.0 - distance))
                for trace_id, distance in zip(ids, found["distances"][0], strict=True)
                if trace_id not in skip
            ]
            if len(ids) < wanted or (len(hits) >= k and not _cuts_equals(hits, k, wanted)):
                break
            wanted *= 2
        metadatas = found["metadatas"][0] if found["metadatas"] else [None] * len(ids)
        return hits, dict(zip(ids, metadatas, strict=True))

    def _found(self, query: Vector, wanted: int, include: list[str]) -> Any:
        from chromadb.errors import InternalError

        tries = 1
        while True:
            try:
                return self._read("query", query_embeddings=[query], n_results=wanted, include=include)
            except InternalError as error:
                if _REMOVED not in str(error) or tries == _TRIES_TO_FIND:
                    raise
            tries += 1

    def fetch(self, ids: Sequence[str], *, vectors: bool = False) -> dict[str, Record]:
        """Return those of `ids` that are here, with their vectors if asked for."""
        if not vectors:
            return _records(self._read("get", ids=list(ids), include=["metadatas"]))
        return {record.id: record for record in map(_whole, self.pages(vectors=True, ids=ids))}

    def newest(self, most: int) -> dict[str, Record]:
        """Return the newest records by id, oldest first."""
        count = self.count()
        if not count:
            return {}
        # Chroma pages in the order of addition.
        return _records(self._read("get", limit=most, offset=max(count - most, 0), include=["metadatas"]))

    def complete(self, most: int | None = None) -> Iterator[Record]:
        """Yield every record with its vector, oldest first: the exact one where it was stored, else Chroma's.

        Args:
            most: Yield only so many, the newest.
        """
        yield from map(_whole, self._in_order(0 if most is None else max(self.count() - most, 0)))

    def complete_after(self, trace_id: str) -> Iterator[Record] | None:
        """Return what `complete` yields after a record; None where that is not among the last few thousand."""
        place = self._place_of(trace_id, _TAILS)
        return None if place is None else map(_whole, self._in_order(place + 1))

    def _place_of(self, trace_id: str, tails: Iterable[int]) -> int | None:
        """Return which record in the order of addition it is; None where it is not among the last of `tails`."""
        count = self.count()
        for most in tails:
            start = max(count - most, 0)
            ids = self._ids_at(start, most)
            if trace_id in ids:
                return start + ids.index(trace_id)
        return None

    def _ids_at(self, place: int, most: int) -> list[str]:
        found: list[str] = self._read("get", limit=most, offset=place, include=[])["ids"]
        return found

    def ids_after(self, trace_id: str | None, place: int) -> Iterator[tuple[int, list[str]]]:
        """Yield the ids of what was added after a record, page by page, each with the place of its first.

        Args:
            trace_id: The record; None for all records. Where it is gone, the newest few thousand are yielded: records
                are removed by age, so what is left came later, as a rule.
            place: Where it was; it is found where it is now, if others were removed.
        """
        last, lost = trace_id, 0
        while True:
            page = self._ids_at(place, _PAGE)
            # Each page begins with the last id of the one before: what others remove meanwhile moves all places.
            if last is not None and page[:1] != [last]:
                if (lost := lost + 1) > _MOST_LOST:
                    return
                place, last = self._where(last)
                continue
            is_last_page = len(page) < _PAGE
            if last is not None:
                page, place = page[1:], place + 1
            if page:
                yield place, page
                place, last = place + len(page) - 1, page[-1]
            if is_last_page:
                return

    def _where(self, trace_id: str) -> tuple[int, str | None]:
        """Return where a record is and its id; where it is gone, the place of the newest few thousand, and None."""
        count = self.count()
        place = self._place_of(trace_id, (*_TAILS, max(count, 1)))
        return (max(count - _TAILS[-1], 0), None) if place is None else (place, trace_id)

    def revised_since(self, when: float) -> dict[str, tuple[float, Record]]:
        """Return the records that were revised where several processes write, with the time of that, by id.

        Args:
            when: Seconds since 1970, by the clocks of those who revised.
        """
        found = self._read("get", where={_REVISED: {"$gt": when}}, include=["metadatas"])
        pairs = zip(found["ids"], found["metadatas"], strict=True)
        return {i: (float(held[_REVISED]), facts.read(i, held)) for i, held in pairs}

    def _in_order(self, start: int = 0) -> Iterator[Page]:
        # By place, not by id as `pages` does: what is learned of records may depend on their order.
        for offset in range(start, self.count(), _PAGE):
            found = self._read("get", limit=_PAGE, offset=offset, include=["metadatas", "embeddings"])
            yield from zip(found["ids"], found["metadatas"], found["embeddings"], strict=True)

    def vector(self, trace_id: str) -> Vector | None:
        """Return a record's vector: the exact one where it was stored, else Chroma's; None where it is not here."""
        found = self._read("get", ids=[trace_id], include=["metadatas", "embeddings"])
        if not found["ids"]:
            return None
        return _exact(found["metadatas"][0], found["embeddings"][0])

    def trace(self, trace_id: str) -> Trace | None:
        """Return a record's trace; None where the record is not here or has none."""
        found = self._read("get", ids=[trace_id], include=["metadatas"])
        return facts.trace_of(found["metadatas"][0]) if found["ids"] else None

    def ids(self) -> list[str]:
        """Return the id of every record."""
        found: list[str] = self._read("get", include=[])["ids"]
        return found

    def ages(self) -> dict[str, float]:
        """Return when each record was created, in seconds since 1970, by id."""
        if self._shared or self._created is None:
            return {trace_id: facts.created_of(metadata) for trace_id, metadata, _ in self.pages(vectors=False)}
        return dict(self._created)

    def pages(self, *, vectors: bool, ids: Iterable[str] | None = None) -> Iterator[Page]:
        """Yield the id, metadata and (if asked for) vector of every record, or of those of `ids`, page by page."""
        include = ["metadatas", "embeddings"] if vectors else ["metadatas"]
        remaining = iter(self.ids() if ids is None else ids)
        while page := list(islice(remaining, _PAGE)):
            found = self._read("get", ids=page, include=include)
            held = found["embeddings"] if vectors else [None] * len(found["ids"])
            yield from zip(found["ids"], found["metadatas"], held, strict=True)

    def _read(self, method: str, **arguments: Any) -> Any:
        """Call a method of the collection, which is not dropped in the meantime."""
        with self._reader_done:
            collection = self._collection
            # Counted by collection: `_renew` swaps it and drops the old one when its last reader has left.
            self._readers[collection.name] += 1
        try:
            return getattr(collection, method)(**arguments)
        finally:
            with self._reader_done:
                self._readers[collection.name] -= 1
                self._reader_done.notify_all()

    # Writing

    def put(self, rows: Sequence[Row]) -> list[str]:
        """Add records, or replace those of the same id; return the ids that are new, as far as that is looked at."""
        ids = [row.record.id for row in rows]
        # Records that are replaced do not add to the count, and were learned as what they were.
        counted = self.before_replacing is not None or not self._shared
        known = set(self._ids_present(ids)) if counted else set()
        if known and self.before_replacing is not None:
            self.before_replacing()
        before = 0 if self._shared else self.count()
        self._raise_version()
        self._store(rows)
        self._begin()
        with self._lock:
            self._count = before + len(set(ids) - known)
            self._fresh.extend(ids)
            self._note_created(rows)
        return [trace_id for trace_id in ids if trace_id not in known]

    def _raise_version(self) -> None:
        """Before the first record of this version: an older one must refuse what it cannot read."""
        if not self._current:
            self._rewrite_metadata(begun=self._begun)
            self._current = True

    def _store(self, rows: Sequence[Row]) -> None:
        stored = {row.record.id: self._vector_to_store(row) for row in rows}
        self._collection.upsert(
            ids=list(stored),
            embeddings=np.stack(list(stored.values())),
            metadatas=[row.metadata | (self._date() if row.revised else {}) for row in rows],
        )
        self._link({row.record.id: stored[row.record.id] for row in rows if stored[row.record.id] is not row.vector})

    def _begin(self) -> None:
        """After the first records: now others may read."""
        if not self._begun:
            self._rewrite_metadata(begun=True)
            self._begun = True

    def _ids_present(self, ids: Sequence[str]) -> list[str]:
        held: list[str] = self._collection.get(ids=list(ids), include=[])["ids"]
        return held

    def _vector_to_store(self, row: Row) -> Vector:
        """Return the vector to store: its own place, or one close by where several equal ones are stored."""
        place = hash(row.vector.tobytes())
        if len(self._copies) > _MOST_PLACES:
            self._copies = Counter(dict(self._copies.most_common(_MOST_PLACES // 2)))
        self._copies[place] += 1
        if self._copies[place] <= _MOST_COPIES:
            return row.vector
        # Seeded by the id, so that writing a record again after a failure stores the same vector.
        draw = np.random.default_rng(zlib.crc32(row.record.id.encode()))
        aside = draw.standard_normal(_DIRECTIONS) @ _directions(row.vector.size)
        moved = row.vector + _NUDGE * aside / np.linalg.norm(aside)
        return np.asarray(moved / np.linalg.norm(moved), dtype=np.float32)

    def _link(self, copies: Mapping[str, Vector]) -> None:
        """Add copies that were just written to the graph again where no link leads to them."""
        lost = list(copies)
        for _ in range(_TRIES_TO_LINK if copies else 0):
            vectors = [copies[trace_id] for trace_id in lost]
            found = self._collection.query(query_embeddings=vectors, n_results=_NEAREST, include=[])["ids"]
            lost = [trace_id for trace_id, near in zip(lost, found, strict=True) if trace_id not in near]
            if not lost:
                return
            # An update, which does not bring back what another process removed meanwhile.
            self._collection.update(ids=lost, embeddings=np.stack([copies[trace_id] for trace_id in lost]))

    def _note_created(self, rows: Sequence[Row]) -> None:
        if self._created is not None:
            for row in rows:
                self._created[row.record.id] = row.record.created
                heapq.heappush(self._oldest, (row.record.created, row.record.id))

    def revise(self, records: Sequence[Record]) -> None:
        """Rewrite what is known of records; those that are not here are left out."""
        self._mark_change()
        date = self._date()
        self._collection.update(
            ids=[record.id for record in records],
            metadatas=[facts.write(record) | date for record in records],
        )

    def _date(self) -> dict[str, float]:
        """Return what shows the others, who look for what was changed lately, that a record was."""
        return {_REVISED: time.time()} if self._shared else {}

    def _mark_change(self) -> None:
        """Where several processes write: show the next one that has the folder alone that records were changed."""
        if self._shared:
            self._rewrite_metadata(begun=self._begun)

    def _rewrite_metadata(self, *, begun: bool) -> None:
        # With a mark of its own each time where others write: theirs is not known here, and must not come back.
        if self._shared:
            self.mark = uuid.uuid4().hex
        self._collection.modify(metadata={**self.title.metadata(finished=True, begun=begun), _MARK: self.mark})

    def discard(self, ids: Sequence[str]) -> None:
        """Remove records; unknown ids are left out."""
        for start in range(0, len(ids), _BATCH):
            part = list(ids[start : start + _BATCH])
            # Ids that are not here must not lower the count.
            held = self._ids_present(part)
            if not held:
                continue
            before = self.count()
            self._mark_change()
            self._collection.delete(ids=held)
            self.tombstones += len(held)
            with self._lock:
                self._count = before - len(held)
                if self._created is not None:
                    for trace_id in held:
                        self._created.pop(trace_id, None)

    def evict(self, capacity: int) -> list[str]:
        """Remove the oldest records above `capacity` and return their ids."""
        gone: list[str] = []
        while (excess := self.count() - capacity) > 0:
            victims = self._pop_oldest(excess)
            if not victims:
                break
            self.discard(victims)
            gone += victims
        return gone

    def _pop_oldest(self, excess: int) -> list[str]:
        if self._created is None or (self._shared and len(self._created) < excess):
            self._created = {i: facts.created_of(metadata) for i, metadata, _ in self.pages(vectors=False)}
            self._oldest = [(created, trace_id) for trace_id, created in self._created.items()]
            heapq.heapify(self._oldest)
        victims: list[str] = []
        while self._oldest and len(victims) < excess:
            created, trace_id = heapq.heappop(self._oldest)
            # A record that was replaced or removed leaves a stale pair behind.
            if self._created.get(trace_id) == created and trace_id not in victims:
                victims.append(trace_id)
        return victims

    def drop(self) -> None:
        """Delete the collection."""
        self._client.delete_collection(self.title.name)

    # Generations

    def tidy(self) -> None:
        """Copy the collection where it carries more deleted than live records, which slow it down."""
        # Never on a server: other processes would go on writing to the collection that is dropped.
        if not self._shared and self.tombstones > max(_LEAST_TOMBSTONES, self.count()):
            self._renew()

    def _renew(self) -> None:
        """Copy the live records to the next generation of the collection, swap the two, and drop the old one.

        A crash leaves either an unfinished copy or a superseded original behind; opening the history removes both.
        """
        old = self._collection
        title = self.title._replace(generation=self.title.generation + 1)
        new = self._client.get_or_create_collection(
            title.name, metadata=title.metadata(finished=False), configuration=CONFIGURATION
        )
        pages = self.pages(vectors=True)
        while page := list(islice(pages, _BATCH)):
            ids, metadatas, vectors = zip(*page, strict=True)
            new.upsert(ids=list(ids), embeddings=np.stack(vectors), metadatas=list(metadatas))
        new.modify(metadata={**title.metadata(finished=True), _MARK: self.mark})
        with self._reader_done:
            self.title, self._collection, self.tombstones = title, new, 0
            # Chroma fails, in more than one way, where a collection is dropped under a reader.
            self._reader_done.wait_for(lambda: not self._readers[old.name])
            del self._readers[old.name]
        self._client.delete_collection(old.name)


@cache
def _directions(dimension: int) -> NDArray[np.float64]:
    """Return the directions in which copies are moved, the same ones in each process."""
    return np.random.default_rng(0).standard_normal((_DIRECTIONS, dimension))


def _whole(page: Page) -> Record:
    """Return a record with its vector."""
    trace_id, metadata, vector = page
    return replace(facts.read(trace_id, metadata), vector=_exact(metadata, vector))


def _exact(metadata: Mapping[str, Any], vector: Any) -> Vector:
    held = facts.vector_of(metadata)
    return np.asarray(vector, dtype=np.float32) if held is None else held


def _records(found: Mapping[str, Any]) -> dict[str, Record]:
    pairs = zip(found["ids"], found["metadatas"], strict=True)
    return {trace_id: facts.read(trace_id, metadata) for trace_id, metadata in pairs}


def _cuts_equals(hits: Sequence[Hit], k: int, wanted: int) -> bool:
    """Whether records as similar as the `k`-th may lie beyond what was fetched; age has to decide among them."""
    return wanted < _MOST_EQUAL and 0 < k <= len(hits) and hits[k - 1][1] == hits[-1][1]


def open_shelves(client: Client, namespace: str, *, shared: bool, tombstones: Mapping[str, int]) -> dict[str, Shelf]:
    """Return the shelves of a namespace by node, and tidy up after a crash while copying one."""
    from chromadb.errors import NotFoundError

    found: dict[str, tuple[Any, Title]] = {}
    useless: list[str] = []
    with chroma_errors("opening"):
        for collection in client.list_collections():
            if (collection.metadata or {}).get("namespace") != namespace:
                continue
            title = Title.of(collection.metadata)
            if title is None:
                continue
            # Another process is writing its first records, or a crash left it so.
            if not has_begun(collection.metadata):
                continue
            # A crash while copying left this one behind; the original still has all records.
            if not collection.metadata["finished"]:
                useless.append(collection.name)
                continue
            rival = found.get(title.node)
            # A crash after copying left both behind; the newer one is complete.
            if rival is not None:
                loser = min(rival, (collection, title), key=lambda pair: pair[1].generation)
                useless.append(loser[1].name)
                if loser is not rival:
                    continue
            found[title.node] = (collection, title)
        for name in useless:
            # Another process may tidy up at the same time.
            with suppress(NotFoundError):
                client.delete_collection(name)
    return {
        node: Shelf(client, collection, title, shared=shared, tombstones=tombstones.get(title.name, 0))
        for node, (collection, title) in found.items()
    }


def find_shelf(client: Client, name: str) -> Shelf | None:
    """Return the shelf that another process made on the server meanwhile, if there is one with records."""
    from chromadb.errors import NotFoundError

    try:
        collection = client.get_collection(name)
    except NotFoundError:
        return None
    title = Title.of(collection.metadata)
    return (
        None if title is None or not has_begun(collection.metadata) else Shelf(client, collection, title, shared=True)
    )


def make_shelf(client: Client, title: Title, *, shared: bool) -> Shelf:
    """Make a node's collection, or take the one that another process made first.

    Nobody reads it before its first records are written: Chroma says that it has a vector before it has an index, and a
    query in between fails ("Nothing found on disk").
    """
    collection = client.get_or_create_collection(
        title.name, metadata=title.metadata(finished=True, begun=False), configuration=CONFIGURATION
    )
    held = Title.of(collection.metadata)
    if held is None:
        msg = f"the collection {title.name} was not made by llm-tiers"
        raise HistoryError(msg)
    return Shelf(client, collection, held, shared=shared)

"""A shelf that is a Chroma collection, with what this process knows about it."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from llm_tiers.errors import HistoryError
from llm_tiers.history import facts
from llm_tiers.history.client import chroma_errors
from llm_tiers.history.exact import ExactIndex, Hit, similarity
from llm_tiers.history.shelf import Row, Title

if TYPE_CHECKING:
    from llm_tiers.history.client import Client
    from llm_tiers.history.record import Record, Vector

__all__ = ["ChromaShelf", "find_shelf", "make_shelf", "open_shelves"]

CONFIGURATION = {"hnsw": {"space": "cosine", "max_neighbors": 32, "ef_construction": 200, "ef_search": 200}}
"""sync_threshold stays at Chroma's default: raising it makes each write re-read a longer log."""

EXACT_MOST = 8192
"""Records up to which a local collection is searched in numpy: exact, and faster than Chroma's index there."""

_SLACK = 1.25
"""An index in use may outgrow that, or a shelf at its limit would drop and load it with every batch."""

_EXTRA = 16
_PAGE = 500
_BATCH = 256
_LEAST_TOMBSTONES = 1000
"""Fewer deleted records than this are not worth copying a collection for."""


class ChromaShelf:
    """The collection of one node.

    Writing is for one thread at a time (the library's write lock); reading is for any. A `shared` shelf lies on a
    server where other processes write too, so nothing about it is remembered here.
    """

    def __init__(self, client: Client, collection: Any, title: Title, *, shared: bool, tombstones: int = 0) -> None:
        self._client = client
        self._collection = collection
        self._shared = shared
        self.title = title
        self.tombstones = tombstones
        self._count: int | None = None
        self._lock = threading.Lock()
        self._index: ExactIndex | None = None
        self._created: dict[str, float] | None = None
        self._oldest: list[tuple[float, str]] = []

    # Reading

    def count(self) -> int:
        """How many records the collection holds."""
        if self._shared:
            return int(self._collection.count())
        if self._count is None:
            with self._lock:
                if self._count is None:
                    self._count = int(self._read("count"))
        return self._count

    def count_with(self, ids: AbstractSet[str]) -> int:
        """How many records there are, those of `ids` included, some of which may be here already.

        Exact where the exact index is in use; elsewhere the batch that is just being written may count twice.
        """
        count = self.count()
        with self._lock:
            if self._index is not None and self._count is not None:
                return self._count + sum(trace_id not in self._index for trace_id in ids)
        return count + len(ids) - (len(self._held(list(ids))) if ids else 0)

    def _held(self, ids: list[str]) -> list[str]:
        held: list[str] = self._read("get", ids=ids, include=[])["ids"]
        return held

    def search(self, query: Vector, k: int, *, skip: AbstractSet[str]) -> tuple[list[Hit], Mapping[str, Record]]:
        """Return the most similar records that are not in `skip`, with the records themselves on a shared shelf.

        There the labels have to come fresh from the server; elsewhere asking for them would double the time.
        """
        if not self._shared and (self._index is not None or self.count() <= EXACT_MOST):
            with self._lock:
                return self._loaded_index().search(query, k, skip=skip), {}
        if not self._shared:
            return self._query(query, k, skip, include=["distances"])[0], {}
        hits, metadatas = self._query(query, k, skip, include=["distances", "metadatas"])
        return hits, {trace_id: facts.read(trace_id, metadatas[trace_id]) for trace_id, _ in hits}

    def _query(
        self, query: Vector, k: int, skip: AbstractSet[str], *, include: list[str]
    ) -> tuple[list[Hit], dict[str, Any]]:
        wanted = k + min(len(skip), k) + _EXTRA
        while True:
            found = self._read("query", query_embeddings=[query], n_results=wanted, include=include)
            ids = found["ids"][0]
            hits = [
                (trace_id, similarity(1.0 - distance))
                for trace_id, distance in zip(ids, found["distances"][0], strict=True)
                if trace_id not in skip
            ]
            if len(hits) >= k or len(ids) < wanted:
                break
            wanted *= 2
        metadatas = found["metadatas"][0] if found["metadatas"] else [None] * len(ids)
        return hits, dict(zip(ids, metadatas, strict=True))

    def fetch(self, ids: Sequence[str]) -> dict[str, Record]:
        """Return those of `ids` that are here."""
        found = self._read("get", ids=list(ids), include=["metadatas"])
        return {
            trace_id: facts.read(trace_id, metadata)
            for trace_id, metadata in zip(found["ids"], found["metadatas"], strict=True)
        }

    def ids(self) -> list[str]:
        """Return the id of every record."""
        found: list[str] = self._read("get", include=[])["ids"]
        return found

    def ages(self) -> dict[str, float]:
        """Return when each record was created, in seconds since 1970, by id."""
        if self._shared or self._created is None:
            return {trace_id: facts.created_of(metadata) for trace_id, metadata, _ in self.pages(vectors=False)}
        return dict(self._created)

    def pages(self, *, vectors: bool) -> Iterator[tuple[str, Mapping[str, Any], Vector | None]]:
        """Yield every record's id, metadata and (if asked for) vector, some hundreds a request."""
        include = ["metadatas", "embeddings"] if vectors else ["metadatas"]
        remaining = iter(self.ids())
        while page := list(islice(remaining, _PAGE)):
            found = self._read("get", ids=page, include=include)
            held = found["embeddings"] if vectors else [None] * len(found["ids"])
            yield from zip(found["ids"], found["metadatas"], held, strict=True)

    def _read(self, method: str, **arguments: Any) -> Any:
        """Call a method of the collection; once more where the collection was swapped for its next generation."""
        from chromadb.errors import NotFoundError  # late: chromadb is loaded by now

        while True:
            collection = self._collection
            try:
                return getattr(collection, method)(**arguments)
            except NotFoundError:
                if collection is self._collection:
                    raise

    # The exact index

    @property
    def index_bytes(self) -> int:
        """Memory that the exact index takes."""
        index = self._index
        return 0 if index is None else index.nbytes

    def drop_index(self) -> None:
        """Free that memory; the next search loads the index again."""
        with self._lock:
            self._index = None

    def _loaded_index(self) -> ExactIndex:
        if self._index is None:
            index = ExactIndex(self.title.dimension)
            for trace_id, metadata, vector in self.pages(vectors=True):
                index.put(trace_id, np.asarray(vector, dtype=np.float32), facts.created_of(metadata))
            self._index = index
        return self._index

    # Writing

    def put(self, rows: Sequence[Row]) -> None:
        """Add records, or replace those of the same id."""
        ids = [row.record.id for row in rows]
        known = set() if self._shared else set(self._held(ids))
        before = 0 if self._shared else self.count()
        self._collection.upsert(
            ids=ids,
            embeddings=np.stack([row.vector for row in rows]),
            metadatas=[row.metadata for row in rows],
        )
        with self._lock:
            self._count = before + len(set(ids) - known)
            self._index_rows(rows)
            self._age_rows(rows)

    def _index_rows(self, rows: Sequence[Row]) -> None:
        if self._index is None and self._count == len(rows) and not self._shared:
            # All there is: no need to read it back later.
            self._index = ExactIndex(self.title.dimension)
        if self._index is None:
            return
        if self._count is not None and self._count > EXACT_MOST * _SLACK:
            self._index = None
            return
        for row in rows:
            self._index.put(row.record.id, row.vector, row.record.created)

    def _age_rows(self, rows: Sequence[Row]) -> None:
        if self._created is not None:
            for row in rows:
                self._created[row.record.id] = row.record.created
                heapq.heappush(self._oldest, (row.record.created, row.record.id))

    def revise(self, records: Sequence[Record]) -> None:
        """Rewrite what is known of records; those that are not here are left out."""
        self._collection.update(
            ids=[record.id for record in records],
            metadatas=[facts.write(record) for record in records],
        )

    def discard(self, ids: Sequence[str]) -> None:
        """Remove records; unknown ids are left out."""
        for start in range(0, len(ids), _BATCH):
            part = list(ids[start : start + _BATCH])
            held = self._held(part)
            if not held:
                continue
            before = self.count()
            self._collection.delete(ids=held)
            self.tombstones += len(held)
            with self._lock:
                self._count = before - len(held)
                for trace_id in held:
                    self._forget(trace_id)

    def _forget(self, trace_id: str) -> None:
        if self._index is not None:
            self._index.discard(trace_id)
        if self._created is not None:
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

    # Generations

    def tidy(self) -> None:
        """Copy the collection where it carries more deleted than live records, which slow it down."""
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
        new.modify(metadata=title.metadata(finished=True))
        self.title, self._collection, self.tombstones = title, new, 0
        self._client.delete_collection(old.name)


def open_shelves(
    client: Client, namespace: str, *, shared: bool, tombstones: Mapping[str, int]
) -> dict[str, ChromaShelf]:
    """Return the shelves of a namespace by node, and tidy up after a crash while copying one."""
    found: dict[str, tuple[Any, Title]] = {}
    useless: list[str] = []
    with chroma_errors("opening"):
        for collection in client.list_collections():
            title = Title.of(collection.metadata)
            if title is None or title.namespace != namespace:
                continue
            if not collection.metadata["finished"]:
                useless.append(collection.name)
                continue
            rival = found.get(title.node)
            if rival is not None:
                loser = min(rival, (collection, title), key=lambda pair: pair[1].generation)
                useless.append(loser[1].name)
                if loser is not rival:
                    continue
            found[title.node] = (collection, title)
        for name in useless:
            client.delete_collection(name)
    return {
        node: ChromaShelf(client, collection, title, shared=shared, tombstones=tombstones.get(title.name, 0))
        for node, (collection, title) in found.items()
    }


def find_shelf(client: Client, name: str) -> ChromaShelf | None:
    """Return the shelf that another process made on the server meanwhile, if there is one."""
    from chromadb.errors import NotFoundError

    try:
        collection = client.get_collection(name)
    except NotFoundError:
        return None
    title = Title.of(collection.metadata)
    return None if title is None else ChromaShelf(client, collection, title, shared=True)


def make_shelf(client: Client, title: Title, *, shared: bool) -> ChromaShelf:
    """Make a node's collection, or take the one that another process made first."""
    collection = client.get_or_create_collection(
        title.name, metadata=title.metadata(finished=True), configuration=CONFIGURATION
    )
    held = Title.of(collection.metadata)
    if held is None:
        msg = f"the collection {title.name} was not made by llm-tiers"
        raise HistoryError(msg)
    return ChromaShelf(client, collection, held, shared=shared)

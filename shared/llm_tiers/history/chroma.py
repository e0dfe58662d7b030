"""The history in Chroma: in memory, in a folder, or on a server."""

from __future__ import annotations

import importlib
import logging
import os
import re
import threading
import time
import weakref
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Literal, NoReturn, Self
from urllib.parse import urlsplit

import numpy as np

from llm_tiers.embedding import Embedding, as_embedding
from llm_tiers.embedding.vector import Vector
from llm_tiers.errors import ConfigError, HistoryError, HistoryUnreachable
from llm_tiers.history.record import Change, Recollection, Record, Study
from llm_tiers.history.store import facts, registry
from llm_tiers.history.store.library import Library
from llm_tiers.history.store.places import Place
from llm_tiers.trace import Trace

__all__ = ["ChromaHistory", "HistoryStats"]

_LOGGER = logging.getLogger("llm_tiers.history")
_SHORTEST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
"""Seconds without a recall after a server did not answer; they double each time."""

_SECONDS_TO_OPEN = 10.0
_SECONDS_WITHOUT_WAITING = 60.0
"""How long a call waits for a folder's server to start, which takes a tenth of a second and its client's import another
second, and how long calls do not wait again after one that does not start."""

_NAMESPACE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True)
class HistoryStats:
    """What a history holds.

    Attributes:
        where: The folder or URL, or `"memory"`.
        namespace: The part of it that this history uses.
        records: Stored records, each counted once.
        pending: Records and revisions that wait to be written.
        nodes: How many stored records each node has; a record counts for its node and for each ancestor.
        capacity: Most records of one node.
        max_nodes: Most nodes with records of their own.
        embedding: Name of the embedding.
        dimension: Length of the vectors; None until one was made.
        durability: `"background"` or `"sync"`.
    """

    where: str
    namespace: str
    records: int
    pending: int
    nodes: Mapping[str, int]
    capacity: int
    max_nodes: int
    embedding: str
    dimension: int | None
    durability: str


class ChromaHistory:
    """Past calls in Chroma, found by the similarity of their queries.

    A record is kept under its node and under each ancestor of it: `research` sees what `research/plan` learned.
    Chroma's index finds the neighbours; records that are not written yet are searched separately.

    Records are written by a background thread, 64 at a time or twice a second; a recall sees them at once. What waits
    is written at exit, by `flush` and by `close`, but **not on SIGTERM** (or in a `multiprocessing` child, which skips
    Python's exit handlers): call `close()` there, or take `durability="sync"`. A write that fails is logged once and
    tried again; meanwhile `trouble` says why, and so does the trace of each call; `flush` and `close` raise the error.
    Up to 10,000 records may wait: one more is refused with an error, which the trace of its call says.

    A principal (`principal=` of a call) that made more than a quarter of a node's latest 1,000 calls, and at least 10,
    crowds the node, unless two others made at least two thirds as many each: what is recalled for others is made
    without its calls, so that it does not settle how theirs are answered. It is itself shown all.

    Several histories, and several processes of one machine, may use one folder: the first that needs it starts Chroma's
    own server there (`chroma run`, on a free port of the loopback address), the others find it by files in the folder,
    and it ends when the last one leaves or dies. Every user of the machine can reach that port, which has no password;
    where that matters, or where no server can be started, take `embedded=True`: Chroma then runs inside this process,
    which has the folder alone, and which a full disk can stop for a quarter of an hour. Processes on several machines
    need a server (`chroma run --path FOLDER`) and its URL; `headers` are sent to that with each request.

    After `os.fork`, a history in a folder or on a server reconnects in the child, and one with `embedded=True` raises
    `HistoryError`. So does one in memory if the parent had used it: Chroma's engine hangs in a forked child.

    Every method may be called from any thread; in asyncio use `asyncio.to_thread`.

    Args:
        where: A folder (made if absent), the URL of a Chroma server, or None: in memory, private to this object.
        embedding: What turns queries into vectors, see `as_embedding`; WordLlama by default. A history is bound to
            the embedding that made it.
        namespace: Keeps histories in one place apart: 1 to 64 of `[A-Za-z0-9._-]`.
        capacity: Most records of one node; the oldest go first.
        max_nodes: Most nodes with records of their own, the root not counted. What overflows is kept under the
            parent.
        store_text: Whether the queries themselves are stored beside their vectors.
        durability: When a record is kept. `"background"`: half a second after `remember` returned, so SIGTERM, a kill
            or a crash loses what came in that time, some records of a busy process; nothing that `flush` or `close`
            acknowledged. `"sync"`: when `remember` or `revise` returns, which then takes some 20 to 50 ms. A clean exit
            loses nothing either way; docs/reliability.md has the hooks for it.
        headers: Sent to the server with each request; never shown.
        embedded: Whether Chroma runs inside this process, which then has the folder alone; for folders only.

    Raises:
        ConfigError: An argument is wrong.
        HistoryLocked: Another process has the folder alone, or another machine or container uses it.
        HistoryUnreachable: The server does not answer.
        EmbeddingMismatch: The history was made by another embedding.
        HistoryError: The folder cannot be used.
    """

    def __init__(
        self,
        where: str | os.PathLike[str] | None = None,
        *,
        embedding: object | None = None,
        namespace: str = "default",
        capacity: int = 100_000,
        max_nodes: int = 256,
        store_text: bool = False,
        durability: Literal["background", "sync"] = "background",
        headers: Mapping[str, str] | None = None,
        embedded: bool = False,
    ) -> None:
        # Chroma is imported later, in a background thread, and brings httpx along. OpenAI's client looks for httpx in
        # `sys.modules` while it runs, and fails if it finds it half imported: so it is imported whole here.
        importlib.import_module("httpx")
        _check_where(where, headers)
        _check_namespace(namespace)
        _check_positive("capacity", capacity)
        _check_positive("max_nodes", max_nodes)
        if embedded and (where is None or registry.is_server(where)):
            raise ConfigError("embedded is for a folder: a history in memory always is, one on a server never")
        if durability not in {"background", "sync"}:
            msg = f"durability must be 'background' or 'sync', not {durability!r}"
            raise ConfigError(msg)
        self._where = where.rstrip("/") if isinstance(where, str) and registry.is_server(where) else where
        self._embedding = as_embedding(embedding)
        # A history in a folder is read again by later processes. They must recognise the embedding by its name, or they
        # would compare vectors of two embeddings.
        if where is not None and not self._embedding.lasting:
            msg = (
                f"embedding: {self._embedding.name!r} has no name that another process would know; pass "
                f"Embedding(function, name='...')"
            )
            raise ConfigError(msg)
        self._namespace = namespace
        self._capacity = capacity
        self._max_nodes = max_nodes
        self._store_text = store_text
        self._durability = durability
        self._headers = dict(headers or {})
        self._embedded = embedded
        self._failure_logged = False
        self._pause = 0.0
        self._no_recall_before = 0.0
        self._no_wait_before = 0.0
        self._opening: threading.Thread | None = None
        self._closed = False
        self._attaching = threading.Lock()
        self._attach()

    def _attach(self) -> None:
        self._place, self._library = registry.acquire(
            self._where, self._headers, self._take_library, embedded=self._embedded
        )
        self._finalizer = weakref.finalize(self, registry.abandon, self._place, self._library)
        # At exit the registry's own hook writes every open store, so the finalizer has nothing to do.
        self._finalizer.atexit = False

    def _take_library(self, place: Place) -> Library:
        place.check(self._namespace, self._embedding.name, self._embedding.dimension)
        library = place.library(
            self._namespace, self._embedding.name, capacity=self._capacity, max_nodes=self._max_nodes
        )
        # A server has other writers, so a wrong embedding is found only by looking there. A folder's manifest has shown
        # already, without the second that importing Chroma takes.
        if place.shared and not place.nearby:
            try:
                library.open()
            except HistoryError:
                place.leave(library)
                raise
        return library

    def __repr__(self) -> str:
        return (
            f"ChromaHistory({self._place.where!r}, namespace={self._namespace!r}, embedding={self._embedding.name!r})"
        )

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "history: a ChromaHistory holds an open store and cannot be pickled; give the model the folder or the URL "
            "instead, which is opened where the model is unpickled"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def embedding(self) -> Embedding:
        """What turns queries into vectors."""
        return self._embedding

    @property
    def quick(self) -> bool:
        """Whether a look-up takes milliseconds once `prepare` has run: nothing of it leaves this process."""
        return self._embedding.quick and not self._place.shared and self._durability == "background"

    @property
    def trouble(self) -> str | None:
        """Why records wait that should be written by now, such as a full disk; None where nothing is wrong."""
        return self._place.writer.trouble

    def prepare(self) -> None:
        """Load what the first look-up needs from this machine: the model of the default embeddings, and the folder.

        What goes wrong here is said by the look-up.
        """
        with suppress(HistoryError, ConfigError, OSError, ImportError):
            self._embedding.load()
            library = self._usable()
            if self._place.shared:
                self._await_server(library)
            else:
                library.prepare()

    def _await_server(self, library: Library) -> None:
        if library.prepared or time.monotonic() < self._no_wait_before:
            return

        def work() -> None:
            with suppress(HistoryError, OSError, ImportError):
                library.prepare()

        opening = self._opening
        if opening is None or not opening.is_alive():
            # In a thread that may be left behind: a server that hangs must not hold up the user's call.
            opening = self._opening = threading.Thread(target=work, name="llm-tiers-history-opening", daemon=True)
            opening.start()
            # What was kept answers the first look-up of a restart meanwhile; who comes next waits.
            if library.knows_without_store:
                return
        opening.join(_SECONDS_TO_OPEN)
        if opening.is_alive() or not library.prepared:
            self._no_wait_before = time.monotonic() + _SECONDS_WITHOUT_WAITING

    knows_principals = True
    """`recall` is told whose call it is."""

    def recall(
        self,
        text: str,
        *,
        node: str,
        k: int,
        vector: Vector | None = None,
        study: Study | None = None,
        principal: str | None = None,
    ) -> Recollection:
        """Return the `k` records of `node` whose queries are most like `text`.

        A failure of the embedding or of Chroma is in the result's `error`, and logged once: a user's answer does not
        depend on the history.

        Args:
            text: The query.
            node: The node asked about; the result is empty where nothing was recorded under it.
            k: Most neighbours.
            vector: The query's embedding, if it is known already.
            study: What is wanted of all records of the node, for the result's `learned`. It starts with the newest
                1,000 stored ones, a `CompleteStudy` with all. What other processes add and revise later it learns when
                this one has written a record of the node.
            principal: Whose call it is, as in `Record`. Calls of other principals that crowd the node are left out.

        Raises:
            HistoryError: The history is closed, or its folder was opened before a fork with `embedded=True`.
        """
        library = self._usable()
        try:
            query = self._embed(text, vector)
        except Exception as error:  # noqa: BLE001 - a user's embedding may raise anything; it is passed on as text
            return self._nothing_recalled(None, f"embedding failed: {type(error).__name__}: {str(error)[:300]}")
        if time.monotonic() < self._no_recall_before:
            return self._nothing_recalled(
                query, "the Chroma server did not answer a moment ago; it is asked again soon"
            )
        try:
            found = library.recall(
                query,
                node=facts.printable(node),
                k=k,
                study=study,
                principal=principal,
            )
        except HistoryUnreachable as error:
            # Calls that follow must not each wait for a server that hangs, so recalls pause for a while.
            self._pause = min(max(2 * self._pause, _SHORTEST_PAUSE), _LONGEST_PAUSE)
            self._no_recall_before = time.monotonic() + self._pause
            return self._nothing_recalled(query, str(error))
        except HistoryError as error:
            return self._nothing_recalled(query, str(error))
        self._failure_logged = False
        self._pause = 0.0
        return found

    def _nothing_recalled(self, vector: Vector | None, reason: str) -> Recollection:
        if not self._failure_logged:
            self._failure_logged = True
            _LOGGER.warning("nothing can be recalled: %s", reason)
        return Recollection(vector=vector, error=reason)

    def _embed(self, text: str, vector: Vector | None) -> Vector:
        if vector is None:
            return self._embedding.embed(text)
        # A caller's vector may be a view or of float64; Chroma and the search in numpy need the same layout.
        given = np.ascontiguousarray(vector, dtype=np.float32)
        if not np.isfinite(given).all():
            raise ConfigError(
                f"vector: it has numbers that are not finite (NaN or infinite), which cannot be compared; mend the "
                f"embedding {self._embedding.name!r}"
            )
        return given

    def remember(self, record: Record) -> None:
        """Add a record; one of the same id is replaced.

        Raises:
            ConfigError: The record has no id, or neither a vector nor a text.
            EmbeddingMismatch: Its vector is of another length than those in the history.
            HistoryError: With `durability="sync"`: the record could not be written, and waits for the next try.
        """
        library = self._usable()
        if not record.id:
            raise ConfigError("record.id must not be empty")
        if record.vector is None and record.text is None:
            raise ConfigError("record: give its vector, or the text to make the vector of")
        vector = self._embed(record.text or "", record.vector)
        kept = facts.printable(record.text) if self._store_text and record.text is not None else None
        library.remember(self._to_keep(record), vector, text=kept)
        self._write_or_notify(library)

    def revise(self, trace_id: str, change: Change) -> Record:
        """Replace a record, or its labels, by `change(record)`, and return the record as it is now.

        Args:
            trace_id: Id of the record.
            change: Takes the record as it is and returns it as it is to be, or its labels alone. It is called under
                a lock, so it must not use the history. What it says of id, node, time and text does not count.

        Raises:
            UnknownTrace: No record has this id.
            ConfigError: The labels are no tier names with True or False.
            HistoryError: With `durability="sync"`: the change could not be written, and waits for the next try.
        """
        library = self._usable()

        def changed(record: Record) -> Record | Mapping[str, bool]:
            after = change(record)
            return self._to_keep(after) if isinstance(after, Record) else after

        revised = library.revise(trace_id, changed)
        self._write_or_notify(library)
        return revised

    def trace(self, trace_id: str) -> Trace | None:
        """Return the trace of a past call, whole unless it is very long; None where the record was kept without one.

        It is as it was when the call ended or, where its answers were graded, after that.

        Raises:
            UnknownTrace: No record has this id: calls that teach nothing, such as pinned and failed ones, have none.
            HistoryError: The history cannot be read.
        """
        return self._usable().trace(trace_id)

    def _to_keep(self, record: Record) -> Record:
        """Return what is kept of a record where no text is to be stored."""
        if self._store_text or record.trace is None:
            return record
        # What a provider says of an error may quote the prompt.
        return replace(record, trace=record.trace.without_texts())

    def _write_or_notify(self, library: Library) -> None:
        if self._durability == "sync":
            library.flush()
        else:
            self._place.writer.notify()

    def flush(self) -> None:
        """Return when every record and label given so far is stored (on disk, where there is one).

        Raises:
            HistoryError: Chroma failed; what was not written waits for the next try.
        """
        self._usable().flush()

    def stats(self) -> HistoryStats:
        """Count what the history holds; reads the id of each record, so it is not for every call."""
        library = self._usable()
        nodes = library.counts()
        return HistoryStats(
            where=self._place.where,
            namespace=self._namespace,
            records=library.total(),
            pending=library.pending,
            nodes=nodes,
            capacity=self._capacity,
            max_nodes=self._max_nodes,
            embedding=self._embedding.name,
            dimension=library.dimension,
            durability=self._durability,
        )

    def prune(
        self,
        *,
        older_than: float | None = None,
        node: str | None = None,
        keep: int | None = None,
        dry_run: bool = False,
    ) -> int:
        """Remove records, from their node and its ancestors alike, and return how many.

        Args:
            older_than: Remove those that are older, in seconds.
            node: Look only at the records under this node; by default at all of them.
            keep: Remove all but so many of the newest. With `older_than`, what either one rules out goes.
            dry_run: Remove nothing, and return how many would be removed.

        Raises:
            ConfigError: Neither `older_than` nor `keep` is given, or one is negative.
        """
        library = self._usable()
        if older_than is None and keep is None:
            raise ConfigError("prune: give older_than (seconds) or keep (a number of records); keep=0 removes all")
        for name, value in (("older_than", older_than), ("keep", keep)):
            if value is not None and value < 0:
                msg = f"prune: {name} must not be negative, got {value}"
                raise ConfigError(msg)
        return library.prune(older_than=older_than, node=node, keep=keep, dry_run=dry_run)

    def export(self, *, vectors: bool = False) -> Iterator[dict[str, Any]]:
        """Yield each record as a dict that `json.dumps` takes, node by node.

        Args:
            vectors: Whether the vectors come along. A text does where the history stored it.
        """
        return self._usable().export(vectors=vectors)

    def close(self) -> None:
        """Write what waits and release the store; a second call does nothing.

        Raises:
            HistoryError: Something could not be written. The store is released all the same.
        """
        if self._closed:
            return
        self._closed = True
        self._finalizer.detach()
        # In a forked child there is nothing to close: the parent writes what it was given.
        if not self._place.inherited:
            registry.release(self._place, self._library)

    def _usable(self) -> Library:
        if self._closed:
            raise HistoryError("the history is closed; make a new one")
        if self._place.inherited:
            self._renew()
        return self._library

    def _renew(self) -> None:
        """In a forked child: reconnect, or refuse where that would damage what the parent has open."""
        if self._where is not None and not self._place.shared:
            msg = (
                f"the history in {self._place.where} was opened before a fork with embedded=True, and two processes "
                f"cannot share a folder so; leave embedded out, or open it in the child alone"
            )
            raise HistoryError(msg)
        with self._attaching:
            # Checked again under the lock: another thread of the child may have reconnected in the meantime.
            if self._place.inherited:
                self._finalizer.detach()
                registry.keep_alive_in_child(self._place)
                self._attach()


def _check_where(where: object, headers: Mapping[str, str] | None) -> None:
    if where is not None and not isinstance(where, str | os.PathLike):
        msg = f"where must be a folder, the URL of a Chroma server, or None, not {type(where).__name__}"
        raise ConfigError(msg)
    if where == "":
        raise ConfigError("where must not be empty; pass None for a history in memory")
    if registry.is_server(where):
        _check_url(str(where))
    elif headers:
        raise ConfigError("headers are for a Chroma server; where is none (a server is 'http://host:port')")


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    try:
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if parts.username or parts.password:
        raise ConfigError("where: put credentials into `headers`, not into the URL, which messages show")
    if not usable or parts.path.strip("/") or parts.query or parts.fragment:
        raise ConfigError("where: a Chroma server is given as 'http://host:port' or 'https://host:port'")


def _check_namespace(namespace: object) -> None:
    if not isinstance(namespace, str) or not _NAMESPACE.fullmatch(namespace):
        msg = (
            f"namespace must be 1 to 64 letters, digits, '.', '_' or '-', with a letter or digit at both ends, "
            f"not {namespace!r}"
        )
        raise ConfigError(msg)


def _check_positive(name: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        msg = f"{name} must be a whole number of at least 1, not {value!r}"
        raise ConfigError(msg)

"""Where histories are kept: a folder, a server, or memory."""

from __future__ import annotations

import os
import threading
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import filelock

from llm_tiers.errors import ConfigError, HistoryError, HistoryLocked
from llm_tiers.history.store import client, shelf
from llm_tiers.history.store.library import Library, mismatch
from llm_tiers.history.store.manifest import Manifest
from llm_tiers.history.store.snapshots import Snapshots, looks
from llm_tiers.history.store.writer import Writer

if TYPE_CHECKING:
    from llm_tiers.history.store.shelf import Shelf
    from llm_tiers.history.store.title import Title

__all__ = ["Folder", "Memory", "Place", "Server"]

_LOCK_NAME = "llm-tiers.lock"

_SECONDS_TO_CLOSE = 5.0


class Place(ABC):
    """A place with the libraries that are in use.

    Attributes:
        where: The place as messages name it, without credentials.
        shared: Whether other processes may write there too.
        ephemeral: Whether it ends with the process, so that nothing has to be written at exit.
        prefix: What the names of its collections begin with.
        pid: The process that opened it: after a fork the child must not touch it.
    """

    shared = False
    ephemeral = False
    prefix = "tiers"

    def __init__(self, where: str) -> None:
        self.where = where
        self.pid = os.getpid()
        self.libraries: dict[str, Library] = {}
        self.writer = Writer(self.libraries)
        self._client: client.Client | None = None
        self._opening = threading.Lock()

    @property
    def inherited(self) -> bool:
        """Whether this process got the place by a fork."""
        return self.pid != os.getpid()

    @abstractmethod
    def _open(self) -> client.Client:
        """Open Chroma."""

    def client(self) -> client.Client:
        """Return Chroma's client, opened at the first call."""
        if self._client is None:
            with self._opening, client.chroma_errors(f"opening {self.where}"):
                # Checked again under the lock: opening takes a second, and another thread may have come first.
                if self._client is None:
                    self._client = self._open()
        return self._client

    def shelves(self, namespace: str) -> Mapping[str, Shelf]:
        """Return the shelves of a namespace by node, and tidy up after a crash."""
        return shelf.open_shelves(self.client(), namespace, shared=self.shared, tombstones=self._tombstones(namespace))

    def make(self, title: Title) -> Shelf:
        """Make a node's shelf, or take the one that another process made first."""
        return shelf.make_shelf(self.client(), title, shared=self.shared)

    def _tombstones(self, namespace: str) -> Mapping[str, int]:  # noqa: ARG002 - kept for folders only
        return {}

    def find(self, name: str) -> Shelf | None:  # noqa: ARG002 - asked of shared places only
        """Return a shelf that another process made meanwhile."""
        return None

    def may_hold(self, namespace: str) -> bool:  # noqa: ARG002 - only a folder knows better
        """Whether a namespace may have records, so that it has to be opened."""
        return True

    def check(self, namespace: str, embedding: str, dimension: int | None) -> None:
        """Raise `EmbeddingMismatch` where a namespace is known to be made by another embedding."""

    def store_tombstones(self, namespace: str, shelves: Mapping[str, int]) -> None:
        """Store how many removed records each collection carries."""

    def snapshots(self, namespace: str) -> Snapshots | None:  # noqa: ARG002 - kept in folders only
        """Return where the results of studies are kept, if anywhere."""
        return None

    def library(self, namespace: str, embedding: str, *, capacity: int, max_nodes: int) -> Library:
        """Return the library of a namespace, which the histories of this process share.

        Raises:
            EmbeddingMismatch: It is in use with another embedding.
            ConfigError: It is in use with other limits.
        """
        library = self.libraries.get(namespace)
        if library is None:
            library = Library(self, namespace, embedding, capacity=capacity, max_nodes=max_nodes)
            self.libraries[namespace] = library
        elif library.embedding != embedding:
            raise mismatch(self.where, namespace, library.embedding, embedding)
        elif (library.capacity, library.max_nodes) != (capacity, max_nodes):
            msg = (
                f"namespace {namespace!r} of {self.where} is open in this process with capacity="
                f"{library.capacity} and max_nodes={library.max_nodes}; give the same limits, or another namespace"
            )
            raise ConfigError(msg)
        # Counted, because the last of the histories that share a library closes it.
        library.users += 1
        return library

    def leave(self, library: Library) -> None:
        """Forget a library with its last user."""
        library.users -= 1
        if not library.users:
            library.keep_studies()
            self.libraries.pop(library.namespace, None)

    def close(self) -> None:
        """Stop writing and close Chroma."""
        self.writer.stop()
        opened, self._client = self._client, None
        if opened is not None:
            with client.chroma_errors(f"closing {self.where}"):
                opened.close()


class Memory(Place):
    """Chroma in the memory of this process: private to one history, and gone with it."""

    ephemeral = True

    def __init__(self) -> None:
        super().__init__("memory")
        # Every Chroma in memory shares one set of collections in a process.
        self.prefix = f"tiers-{uuid.uuid4().hex[:12]}"

    def _open(self) -> client.Client:
        return client.open_memory()

    def may_hold(self, namespace: str) -> bool:  # noqa: ARG002 - nothing was there before
        """Return False."""
        return False

    def shelves(self, namespace: str) -> Mapping[str, Shelf]:  # noqa: ARG002 - as above
        """Return nothing."""
        return {}

    def leave(self, library: Library) -> None:
        """Drop what nobody can reach any more."""
        super().leave(library)
        # The writer first: otherwise it would find its collection gone and log an error.
        self.writer.stop()
        if self._client is not None:
            library.drop()

    def close(self) -> None:
        """Stop writing; the engine serves all histories in memory and lives as long as the process."""
        self.writer.stop()
        self._client = None


class Server(Place):
    """A Chroma server, which other processes use at the same time."""

    shared = True

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        super().__init__(url)
        self._headers = headers

    def _open(self) -> client.Client:
        parts = urlsplit(self.where)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        return client.open_server(self.where, parts.hostname or "", port, self._headers)

    def find(self, name: str) -> Shelf | None:
        """Return a shelf that another process made meanwhile."""
        return shelf.find_shelf(self.client(), name)


class _FolderLock(filelock.FileLock):
    """A lock that a forked child cannot release for its parent: the two share one lock of the OS."""

    _owner = 0

    def _acquire(self) -> None:
        self._owner = os.getpid()
        super()._acquire()

    def _release(self) -> None:
        if self._owner == os.getpid():
            super()._release()


class Folder(Place):
    """A folder of which this process holds the lock.

    Raises:
        HistoryLocked: Another process holds it.
        HistoryError: The folder cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(str(folder))
        self._folder = folder
        self._lock = self._take_lock()
        # A damaged manifest must not leave the folder locked: the error asks the user to delete the file and try again.
        try:
            self._manifest = Manifest(folder)
            self._had_records = (folder / client.DATABASE).exists()
            self._looked = looks(folder / client.DATABASE)
            self._snapshots: dict[str, Snapshots] = {}
        except BaseException:
            self._lock.release()
            raise

    def _take_lock(self) -> _FolderLock:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            # Any thread may close the history, so the lock must not belong to the one that opened it.
            lock = _FolderLock(self._folder / _LOCK_NAME, timeout=0, thread_local=False)
            lock.acquire()
        except filelock.Timeout as error:
            msg = (
                f"the history folder {self._folder} is in use by another process, and two processes in one folder "
                f"lose records; to share it, run `chroma run --path {self._folder} --host 127.0.0.1 --port 8000` "
                f"and pass 'http://127.0.0.1:8000' instead of the folder in each process"
            )
            raise HistoryLocked(msg) from error
        except OSError as error:
            msg = (
                f"history: the folder {self._folder} cannot be written to "
                f"({error.strerror or error}); choose a folder that this user may write to"
            )
            raise HistoryError(msg) from error
        return lock

    def _open(self) -> client.Client:
        return client.open_folder(self._folder)

    def may_hold(self, namespace: str) -> bool:
        """Whether a namespace has records; known without opening Chroma."""
        if self._manifest.exists:
            return self._manifest.embedding(namespace) is not None
        return self._had_records

    def check(self, namespace: str, embedding: str, dimension: int | None) -> None:
        """Raise `EmbeddingMismatch` where another embedding made a namespace."""
        held = self._manifest.embedding(namespace)
        if held is None:
            return
        name, length = held
        if name != embedding:
            raise mismatch(self.where, namespace, name, embedding)
        if dimension is not None and dimension != length:
            raise mismatch(
                self.where, namespace, f"{name} with {length} dimensions", f"{name} with {dimension} dimensions"
            )

    def make(self, title: Title) -> Shelf:
        """Make a node's shelf; the first one of a namespace is entered in the manifest before."""
        # Before the collection exists: a crash in between leaves a name too many, not records of unknown embedding.
        self._manifest.enrol(title.namespace, title.embedding, title.dimension)
        return super().make(title)

    def _tombstones(self, namespace: str) -> Mapping[str, int]:
        return self._manifest.tombstones(namespace)

    def store_tombstones(self, namespace: str, shelves: Mapping[str, int]) -> None:
        """Store how many removed records each collection carries."""
        self._manifest.store_tombstones(namespace, shelves)

    def snapshots(self, namespace: str) -> Snapshots | None:
        """Return where the results of studies are kept: nobody else changes the records meanwhile."""
        # One for the whole time that the folder is open: a namespace may be closed and opened again in it.
        return self._snapshots.setdefault(namespace, Snapshots(self._folder, namespace, self._looked))

    def close(self) -> None:
        """Stop writing, close Chroma and release the lock."""
        # The lock last, and always: two processes in one folder lose records, so none may enter before Chroma is
        # closed.
        try:
            was_open = self._client is not None
            super().close()
            if not was_open or self._is_closed():
                for snapshots in self._snapshots.values():
                    snapshots.seal(looks(self._folder / client.DATABASE))
        finally:
            self._lock.release()

    def _is_closed(self) -> bool:
        """Wait until the database is closed, and say whether it is."""
        # Chroma closes it in a thread of its own, some hundredths of a second after it said so. What was logged then
        # goes into the database.
        log = self._folder / f"{client.DATABASE}-wal"
        end = time.monotonic() + _SECONDS_TO_CLOSE
        while log.exists() and time.monotonic() < end:
            time.sleep(0.005)
        return not log.exists()

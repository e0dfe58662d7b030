"""Histories in a folder: with Chroma's engine in this process, or with a server of its own that processes share."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import filelock

from llm_tiers.errors import HistoryError
from llm_tiers.history.store import client, shelf
from llm_tiers.history.store.library import mismatch
from llm_tiers.history.store.manifest import Manifest
from llm_tiers.history.store.places import Place
from llm_tiers.history.store.service import LOCK, Service, locked, wait_until
from llm_tiers.history.store.snapshots import Snapshots, looks
from llm_tiers.history.store.space import check_space

if TYPE_CHECKING:
    from llm_tiers.history.store.shelf import Shelf
    from llm_tiers.history.store.title import Title

__all__ = ["Folder", "OnDisk", "Served"]

_SECONDS_TO_LOCK = 0.1
"""Those who only look whether the folder is locked hold a shared lock for some microseconds."""

_SECONDS_TO_CLOSE = 5.0


class _FolderLock(filelock.FileLock):
    """A lock that a forked child cannot release for its parent: the two share one lock of the OS."""

    _owner = 0

    def _acquire(self) -> None:
        self._owner = os.getpid()
        super()._acquire()

    def _release(self) -> None:
        if self._owner == os.getpid():
            super()._release()


class OnDisk(Place):
    """A folder, whoever runs Chroma there; its manifest tells what it holds without Chroma."""

    def __init__(self, folder: Path, *, damaged: bool = False) -> None:
        super().__init__(str(folder))
        self._folder = folder
        self._manifest = Manifest(folder, damaged=damaged)
        self._had_records = (folder / client.DATABASE).exists()
        self._looked = looks(folder / client.DATABASE)
        self._snapshots: dict[str, Snapshots] = {}

    def snapshots(self, namespace: str) -> Snapshots | None:
        """Return where the results of studies are kept."""
        # One for the whole time that the folder is open: a namespace may be closed and opened again in it.
        if namespace not in self._snapshots:
            self._snapshots[namespace] = Snapshots(self._folder, namespace, self._looked, lambda: self.alone)
        return self._snapshots[namespace]

    def _seal(self) -> None:
        """Write down that what is kept fits what is stored; the database is closed, and nobody else may open it."""
        for snapshots in self._snapshots.values():
            snapshots.seal(looks(self._folder / client.DATABASE))

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

    def before_writing(self) -> None:
        """Raise `HistoryError` where the folder is gone, or too little space is left."""
        self.after_writing()
        check_space(self._folder)

    def after_writing(self) -> None:
        """Raise `HistoryError` where the folder is gone, and turn to a new one at the next try."""
        if self._is_there():
            return
        self._begin_again()
        self._manifest = Manifest(self._folder)
        self._had_records = (self._folder / client.DATABASE).exists()
        self._looked = []
        for library in list(self.libraries.values()):
            library.forget_shelves()
        msg = (
            f"the history's folder {self.where} was removed or replaced while it was in use: what was stored there is "
            f"gone from it. Put it back from a copy before this process goes on, or go on: what waits is written to a "
            f"new folder at the next try"
        )
        raise HistoryError(msg)

    @abstractmethod
    def _is_there(self) -> bool:
        """Whether the folder is still the one that was opened."""

    @abstractmethod
    def _begin_again(self) -> None:
        """Let go of the folder that is gone, and take the one that is at its path now; it is made if need be."""


class Folder(OnDisk):
    """A folder of which this process holds the lock, with Chroma's engine in this process.

    Args:
        folder: The folder; made if absent.
        damaged: Whether it is opened to be repaired, whatever its manifest says.

    Raises:
        HistoryLocked: Another process holds it.
        HistoryError: The folder cannot be used.
    """

    def __init__(self, folder: Path, *, damaged: bool = False) -> None:
        self._folder = folder
        self._lock = self._take_lock()
        # A damaged manifest must not leave the folder locked: the error asks the user to delete the file and try again.
        try:
            super().__init__(folder, damaged=damaged)
        except BaseException:
            self._lock.release()
            raise

    def _take_lock(self) -> _FolderLock:
        make_folder(self._folder)
        try:
            # Any thread may close the history, so the lock must not belong to the one that opened it.
            lock = _FolderLock(self._folder / LOCK, timeout=_SECONDS_TO_LOCK, thread_local=False)
            lock.acquire()
        except filelock.Timeout as error:
            raise locked(self._folder) from error
        except OSError as error:
            raise unusable(self._folder, error) from error
        self._inode = self._found()
        return lock

    def _found(self) -> tuple[int, int] | None:
        try:
            found = (self._folder / LOCK).stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _is_there(self) -> bool:
        return self._found() == self._inode and (self._client is None or (self._folder / client.DATABASE).exists())

    def _begin_again(self) -> None:
        self._close_client()
        self._lock.release()
        self._lock = self._take_lock()

    def _open(self) -> client.Client:
        return client.open_folder(self._folder)

    def _tombstones(self, namespace: str) -> Mapping[str, int]:
        return self._manifest.tombstones(namespace)

    def store_tombstones(self, namespace: str, shelves: Mapping[str, int]) -> None:
        """Store how many removed records each collection carries."""
        self._manifest.store_tombstones(namespace, shelves)

    def close(self) -> None:
        """Stop writing, close Chroma and release the lock."""
        # The lock last, and always: two processes in one folder lose records, so none may enter before Chroma is
        # closed.
        try:
            was_open = self._client is not None
            super().close()
            if not was_open or self._is_closed():
                self._seal()
        finally:
            self._lock.release()

    def _is_closed(self) -> bool:
        """Wait until the database is closed, and say whether it is."""
        # Chroma closes it in a thread of its own, some hundredths of a second after it said so. What was logged then
        # goes into the database.
        log = self._folder / f"{client.DATABASE}-wal"
        return wait_until(lambda: not log.exists(), _SECONDS_TO_CLOSE)


class Served(OnDisk):
    """A folder that a Chroma server of its own serves to all processes of this machine; see `service.py`.

    Args:
        folder: The folder; made if absent.
        reads_only: Whether nothing will be written.

    Raises:
        HistoryLocked: Another process has Chroma's engine open there.
        HistoryError: The folder cannot be used.
    """

    shared = True

    def __init__(self, folder: Path, *, reads_only: bool = False) -> None:
        make_folder(folder)
        try:
            self._service = Service(folder, reads_only=reads_only)
        except OSError as error:
            raise unusable(folder, error) from error
        # Joined first: what the database looks like counts from when others can be seen to join.
        try:
            super().__init__(folder)
        except BaseException:
            self._service.leave()
            raise

    def _open(self) -> client.Client:
        # A server that cannot write may not come up, and would hang if it did.
        check_space(self._folder)
        parts = urlsplit(url := self._service.url())
        return client.open_server(url, parts.hostname or "", parts.port or 0, {}, locate=self._service.url)

    def may_hold(self, namespace: str) -> bool:
        """Whether a namespace has records, perhaps of another process."""
        self._manifest.look_again()
        return super().may_hold(namespace)

    def find(self, name: str) -> Shelf | None:
        """Return a shelf that another process made meanwhile."""
        return shelf.find_shelf(self.client(), name)

    @property
    def alone(self) -> bool:
        """Whether no other process has used the folder since this one opened it."""
        return self._service.alone

    def stuck(self) -> None:
        """End the server, which does not answer any more; the next request starts another."""
        self._service.restart()

    def _is_there(self) -> bool:
        return self._service.is_there()

    def _begin_again(self) -> None:
        self._close_client()
        self._service.begin_again()

    def close(self) -> None:
        """Stop writing, and leave the server; it ends with its last user."""
        closed = False
        try:
            super().close()
            closed = True
        finally:
            self._service.leave(self._seal if closed else None)


def make_folder(folder: Path) -> None:
    """Make the folder of a history.

    Raises:
        HistoryError: It cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unusable(folder, error) from error


def unusable(folder: Path, error: OSError) -> HistoryError:
    """Return the error of a folder that cannot be written to."""
    return HistoryError(
        f"history: the folder {folder} cannot be written to ({error.strerror or error}); choose a folder that this "
        f"user may write to"
    )

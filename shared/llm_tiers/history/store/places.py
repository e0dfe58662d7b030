"""Where histories are kept: memory, a server, and what a folder has in common with them."""

from __future__ import annotations

import os
import threading
import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from llm_tiers.errors import ConfigError
from llm_tiers.history.store import client, shelf
from llm_tiers.history.store.library import BATCH, Library, mismatch
from llm_tiers.history.store.writer import Writer

if TYPE_CHECKING:
    from llm_tiers.history.store.shelf import Shelf
    from llm_tiers.history.store.snapshots import Snapshots
    from llm_tiers.history.store.title import Title

__all__ = ["Memory", "Place", "Server"]


class Place(ABC):
    """A place with the libraries that are in use.

    Attributes:
        where: The place as messages name it, without credentials.
        shared: Whether other processes may write there too.
        nearby: Whether it is on this machine, so that opening it is done before the first call waits for it.
        ephemeral: Whether it ends with the process, so that nothing has to be written at exit.
        least: How many records must wait for them to be written (`Writer`).
        prefix: What the names of its collections begin with.
        pid: The process that opened it: after a fork the child must not touch it.
    """

    shared = False
    nearby = True
    ephemeral = False
    least = 1
    prefix = "tiers"

    def __init__(self, where: str) -> None:
        self.where = where
        self.pid = os.getpid()
        self.libraries: dict[str, Library] = {}
        self.writer = Writer(self.libraries, least=self.least)
        self._client: client.Client | None = None
        self._opening = threading.Lock()

    @property
    def alone(self) -> bool:
        """Whether no other process has used it since this one opened it."""
        return not self.shared

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

    def before_writing(self) -> None:
        """Raise `HistoryError` where nothing can be written now."""

    def after_writing(self) -> None:
        """Raise `HistoryError` where what was written is not there."""

    def stuck(self) -> None:
        """Do what can be done about a server that does not answer a write."""

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
        self._close_client()

    def _close_client(self) -> None:
        opened, self._client = self._client, None
        if opened is not None:
            with client.chroma_errors(f"closing {self.where}"):
                opened.close()


class Memory(Place):
    """Chroma in the memory of this process: private to one history, and gone with it."""

    ephemeral = True
    # An index of Chroma's takes 2.6 MB until the process ends, even where it is dropped: models that answer some calls
    # and are gone, such as one for each request, make none.
    least = BATCH

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
    nearby = False

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

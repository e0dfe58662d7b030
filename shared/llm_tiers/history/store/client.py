"""How a Chroma client is opened, for a folder, for a server and in memory."""

from __future__ import annotations

import os
import sqlite3
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from llm_tiers.errors import HistoryError, HistoryUnreachable, LlmTiersError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "DATABASE",
    "Client",
    "chroma_errors",
    "engine_inherited",
    "make_database",
    "open_folder",
    "open_memory",
    "open_server",
]

_SECONDS_TO_CONNECT = 5.0
_SECONDS_TO_ANSWER = 3.0
_SECONDS_TO_WRITE = 20.0
_WRITES = ("/add", "/upsert", "/update", "/delete")

DATABASE = "chroma.sqlite3"
"""The file that Chroma makes in a folder."""

_engine_pid: int | None = None
_memory: Client | None = None
_opening = threading.RLock()
"""Guards Chroma's own register of open stores, which is not thread-safe."""


def _reset_after_fork() -> None:
    """In a forked child: another thread of the parent may have held the lock."""
    global _opening  # noqa: PLW0603
    _opening = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)


def engine_inherited() -> bool:
    """Whether Chroma's engine ran in the process that this one was forked from; it would hang in this one."""
    return _engine_pid is not None and _engine_pid != os.getpid()


class Client(Protocol):
    """The part of Chroma's client that a history uses."""

    def list_collections(self) -> Sequence[Any]:
        """Return every collection."""

    def get_collection(self, name: str) -> Any:
        """Return a collection, or raise Chroma's `NotFoundError`."""

    def get_or_create_collection(
        self, name: str, *, metadata: Mapping[str, Any], configuration: Mapping[str, Any]
    ) -> Any:
        """Return the collection of this name, made if there is none."""

    def delete_collection(self, name: str) -> None:
        """Drop a collection."""

    def close(self) -> None:
        """Close the files or connections."""


@contextmanager
def chroma_errors(doing: str) -> Iterator[None]:
    """Turn all errors from Chroma into a `HistoryError`; Chroma passes on errors of SQLite, httpx and Rust.

    Raises:
        HistoryUnreachable: A server did not answer.
        HistoryError: Anything else went wrong in Chroma.
    """
    try:
        yield
    except LlmTiersError:
        # These blocks nest; an error of ours says already what failed.
        raise
    except Exception as error:
        cause = f"{type(error).__name__}: {str(error)[:300]}"
        # By name: httpx is Chroma's dependency, not ours. "ConnectionError" covers the built-in one as well.
        if any(base.__name__ in {"TransportError", "ConnectionError"} for base in type(error).__mro__):
            msg = f"the history's Chroma server does not answer ({doing}): {cause}"
            raise HistoryUnreachable(msg) from error
        msg = (
            f"the history failed ({doing}): {cause}; if this stays, its folder may be damaged: close it and run "
            f"`llm-tiers history repair FOLDER`"
        )
        raise HistoryError(msg) from error


def open_folder(folder: Path) -> Client:
    """Open Chroma's embedded store in `folder`; the caller holds the folder's lock."""
    make_database(folder)
    import chromadb  # late: about a second

    with _opening:
        _remember_engine_process()
        return _ClientWithoutEmbedding(chromadb.PersistentClient(path=str(folder)))


def make_database(folder: Path) -> None:
    """Make an empty database that commits fast, where there is none; the caller holds the folder's lock."""
    database = folder / DATABASE
    if not database.exists():
        # The mode persists in the file. Never touch the file once Chroma has it open: closing a second handle of one
        # process drops SQLite's locks for both.
        with closing(sqlite3.connect(database)) as connection:
            connection.execute("PRAGMA journal_mode=WAL").fetchall()


def open_memory() -> Client:
    """Open Chroma in memory: one engine for the whole process, so the names of collections must differ."""
    import chromadb  # late: about a second

    global _memory  # noqa: PLW0603
    with _opening:
        if _memory is None:
            _remember_engine_process()
            _memory = _ClientWithoutEmbedding(chromadb.EphemeralClient())
        return _memory


def _remember_engine_process() -> None:
    global _engine_pid  # noqa: PLW0603
    _engine_pid = os.getpid()


def open_server(
    url: str, host: str, port: int, headers: Mapping[str, str], locate: Callable[[], str] | None = None
) -> Client:
    """Connect to a Chroma server.

    Args:
        url: Its address.
        host: The host in it.
        port: The port in it.
        headers: Sent with each request.
        locate: Returns where the server is now, of a server that may move; asked before each request.

    Raises:
        HistoryUnreachable: Nothing, or something that is not Chroma, answers at `url`.
    """
    _check_heartbeat(url, headers)
    import chromadb  # late: about a second

    with chroma_errors(f"connecting to {url}"), _opening:
        client = chromadb.HttpClient(host=host, port=port, ssl=url.startswith("https"), headers=dict(headers))
    # Chroma's client has no time-out and does not close its connections when it is closed. Neither has a public
    # setting.
    sessions = _sessions(client)
    for session in sessions:
        session.timeout = _SECONDS_TO_ANSWER
        if locate is not None:
            session.event_hooks = {"request": [partial(_direct, locate)]}
    return _ClientWithoutEmbedding(client, sessions)


def _direct(locate: Callable[[], str], request: Any) -> None:
    """Send a request to where the server is now, and let a write take longer than a look-up."""
    parts = urlsplit(locate())
    request.url = request.url.copy_with(host=parts.hostname, port=parts.port)
    if request.url.path.endswith(_WRITES):
        # Given up, it would be repeated by the writer, which would only make a busy server slower.
        request.extensions["timeout"] = dict.fromkeys(("connect", "read", "write", "pool"), _SECONDS_TO_WRITE)


def _sessions(client: Any) -> list[Any]:
    """Return the HTTP sessions of a Chroma client: its own, and the one by which it asks for its database."""
    servers = (getattr(part, "_server", None) for part in (client, getattr(client, "_admin_client", None)))
    found = (getattr(server, "_session", None) for server in servers)
    return [session for session in found if session is not None]


def _check_heartbeat(url: str, headers: Mapping[str, str]) -> None:
    # Before Chroma is imported: a wrong URL is reported at once, with the fix, instead of after the second
    # that the import takes.
    request = urllib.request.Request(f"{url}/api/v2/heartbeat", headers=dict(headers))  # noqa: S310 - http(s) only
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS_TO_CONNECT):  # noqa: S310 - as above
            return
    except urllib.error.HTTPError as error:
        error.close()
        msg = f"history: {url} answers, but not as a Chroma server ({error.code}); check the URL and `headers`"
        raise HistoryUnreachable(msg) from error
    except OSError as error:
        msg = (
            f"history: no Chroma server answers at {url} ({getattr(error, 'reason', error)}); start one with "
            f"`chroma run --path FOLDER --host HOST --port PORT`, or pass a folder"
        )
        raise HistoryUnreachable(msg) from error


class _ClientWithoutEmbedding:
    """Chroma's client with no embedding function: the vectors are ours, and its default one would be downloaded."""

    def __init__(self, client: Any, sessions: Sequence[Any] = ()) -> None:
        self._client = client
        self._sessions = sessions

    def list_collections(self) -> Sequence[Any]:
        found: Sequence[Any] = self._client.list_collections()
        return found

    def get_collection(self, name: str) -> Any:
        return self._client.get_collection(name, embedding_function=None)

    def get_or_create_collection(
        self, name: str, *, metadata: Mapping[str, Any], configuration: Mapping[str, Any]
    ) -> Any:
        return self._client.get_or_create_collection(
            name, metadata=dict(metadata), configuration=dict(configuration), embedding_function=None
        )

    def delete_collection(self, name: str) -> None:
        self._client.delete_collection(name)

    def close(self) -> None:
        close: Callable[[], None] | None = getattr(self._client, "close", None)
        if close is not None:
            with _opening:  # closing changes the same register as opening
                close()
        for session in self._sessions:
            session.close()

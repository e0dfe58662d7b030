"""The Chroma server of a folder, as a process that uses it sees it: joining, finding or starting it, leaving.

`keeper.py` has the other side, and says what the files in the folder mean.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from signal import SIGTERM
from typing import Any

from llm_tiers.errors import HistoryError, HistoryLocked, HistoryUnreachable
from llm_tiers.history.store.client import DATABASE, make_database

try:
    import fcntl

    from llm_tiers.history.store import keeper
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["AVAILABLE", "LOCK", "Service", "locked", "wait_until"]

AVAILABLE = fcntl is not None
"""Whether this system can hand a lock from one process to another, which a shared folder needs."""

LOCK = "llm-tiers.lock"
"""Locked by whoever has Chroma's engine in the folder."""

_SECONDS_TO_JOIN = 20.0
_SECONDS_TO_START = 70.0
"""More than the keeper takes before it gives up."""
_SECONDS_TO_SAY = 2.0
"""How long a folder may be locked before there is word of a server. Whoever starts one says so within milliseconds."""
_PAUSE = 0.01

_NOBODY = 10**18
"""When the file of the users was changed, in nanoseconds since 1970, as long as one process alone has used the folder.
Who joins later sets another time, which needs no space on a full disk."""

_services: weakref.WeakSet[Service] = weakref.WeakSet()
_handing_on: set[int] = set()


def _close_in_child() -> None:
    """In a forked child: give up the parent's share of the locks, which the two would hold together."""
    for descriptor in _handing_on:
        with suppress(OSError):
            os.close(descriptor)
    _handing_on.clear()
    for service in list(_services):
        service.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)


@dataclass(frozen=True, slots=True)
class _Address:
    """What the keeper says of the server."""

    state: str
    keeper: int
    started: str
    network: str
    url: str = ""
    database: tuple[int, ...] = ()

    @property
    def alive(self) -> bool:
        """Whether the keeper that wrote this still runs."""
        try:
            return keeper.identity(self.keeper) == self.started
        except ProcessLookupError:
            return False
        except PermissionError:  # another user's process
            return True


class Service:
    """A folder's server, shared with the other processes of this machine that use the folder.

    Args:
        folder: The folder, which exists.
        reads_only: Whether this process only looks, so that another one still counts as alone.

    Raises:
        HistoryLocked: A process has Chroma's own engine open in the folder.
    """

    def __init__(self, folder: Path, *, reads_only: bool = False) -> None:
        self._folder = folder
        self._reads_only = reads_only
        self._lock = threading.Lock()
        self._seen: tuple[int, int] | None = None
        self._address: _Address | None = None
        self._users: int | None = None
        self._first = False
        self._left = False
        _services.add(self)
        self._join()

    # Joining

    def _join(self) -> None:
        self._users = os.open(self._folder / keeper.USERS, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            self._first = _try(self._users, fcntl.LOCK_EX)
            if self._first:
                _note_join(self._users, _NOBODY)
            self._wait_for_end()
            if not self._first and not self._reads_only:
                _note_join(self._users, time.time_ns())
            self._refuse_engine()
        except BaseException:
            self.forget()
            raise

    @property
    def alone(self) -> bool:
        """Whether no other process that may write has used the folder since this one joined."""
        return self._users is not None and self._first and os.fstat(self._users).st_mtime_ns == _NOBODY

    def _wait_for_end(self) -> None:
        # While a server ends, nobody may join.
        if not wait_until(lambda: _try(self._users, fcntl.LOCK_SH), _SECONDS_TO_JOIN):
            raise HistoryUnreachable(f"history: the server of {self._folder} does not end")

    def _refuse_engine(self) -> None:
        """Raise `HistoryLocked` where a process holds the folder without a server that can be reached from here."""
        if not wait_until(lambda: not _held(self._folder) or self._reachable(), _SECONDS_TO_SAY):
            raise locked(self._folder)

    def _reachable(self) -> bool:
        address = self._read()
        return address is not None and address.alive and address.network == keeper.network()

    def forget(self) -> None:
        """Give up the share of the users' lock."""
        users, self._users = self._users, None
        if users is not None:
            os.close(users)

    # Using

    def url(self) -> str:
        """Return the address of the running server; one is started where there is none.

        Raises:
            HistoryLocked: A process has Chroma's own engine open in the folder.
            HistoryUnreachable: The server does not start.
        """
        with self._lock:
            self._refuse_after_leaving()
            address = self._current()
            if address is not None:
                return address.url
            try:
                return self._find().url
            except (OSError, sqlite3.Error) as error:
                raise HistoryError(f"history: the folder {self._folder} cannot be used: {error}") from error

    def _current(self) -> _Address | None:
        """Return the known address if it still counts; this is asked before each request, and takes microseconds."""
        if self._address is None or not _held(self._folder):
            return None
        return self._address if self._signature() == self._seen else None

    def _find(self) -> _Address:
        deadline = time.monotonic() + _SECONDS_TO_START
        said_by = time.monotonic() + _SECONDS_TO_SAY
        while time.monotonic() < deadline:
            self._start_if_free()
            address = self._read()
            if address is not None and address.alive:
                said_by = deadline
                if address.state == "serving":
                    self._address = address
                    return address
                if address.state == "failed":
                    raise HistoryUnreachable(self._why())
            elif time.monotonic() > said_by and _held(self._folder):
                raise locked(self._folder)
            time.sleep(_PAUSE)
        raise HistoryUnreachable(self._why())

    def _start_if_free(self) -> None:
        with _descriptor(self._folder / keeper.LOCK) as lock:
            if not _try(lock, fcntl.LOCK_EX):
                return
            # What a server left behind that was killed.
            with suppress(FileNotFoundError):
                (self._folder / keeper.ADDRESS).unlink()
            make_database(self._folder)
            self._launch(lock)

    def _launch(self, lock: int) -> None:
        found = find_spec("chromadb_rust_bindings")
        if found is None or found.origin is None:
            raise HistoryError("history: the package chromadb is not installed as it should be")
        command = [sys.executable, "-I", keeper.__file__, str(self._folder), str(lock)]
        try:
            # It ends at once, and leaves the keeper behind. Not inherited: the terminal's Ctrl-C, and what is printed.
            done = subprocess.run(  # noqa: S603 - this Python and our own file
                [*command, str(Path(found.origin).parents[1])],
                pass_fds=(lock,),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                timeout=_SECONDS_TO_START,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise HistoryUnreachable(self._why(error)) from error
        if done.returncode:
            raise HistoryUnreachable(self._why(f"{sys.executable} ended with {done.returncode}"))

    def _why(self, cause: object = "") -> str:
        said: list[str] = []
        with suppress(OSError):
            log = (self._folder / keeper.LOG).read_text(encoding="utf-8", errors="replace")[-10_000:]
            said = [line.strip() for line in log.splitlines() if "rror" in line]
        return (
            f"history: no Chroma server could be started for {self._folder} "
            f"({cause or (said and said[0][:300]) or 'it gave no reason'}); "
            f"`llm-tiers history repair {self._folder}` mends a damaged one; without a server of its own a folder is "
            f"for one process: ChromaHistory({str(self._folder)!r}, embedded=True)"
        )

    def _signature(self) -> tuple[int, int] | None:
        with suppress(OSError):
            found = (self._folder / keeper.ADDRESS).stat()
            return found.st_ino, found.st_mtime_ns
        return None

    def _read(self) -> _Address | None:
        self._seen = self._signature()
        with suppress(OSError, ValueError, TypeError, KeyError):
            said: dict[str, Any] = json.loads((self._folder / keeper.ADDRESS).read_text(encoding="utf-8"))
            return _Address(
                said["state"],
                said["keeper"],
                said["started"],
                said["network"],
                said.get("url", ""),
                tuple(said.get("database", ())),
            )
        return None

    # What may happen to the folder

    def is_there(self) -> bool:
        """Whether the folder and the server's database are still those that were opened."""
        # A thread that is late may ask after the end; it is not the folder that is gone then.
        if self._left:
            return True
        if self._users is None:
            return False
        try:
            mine, found = os.fstat(self._users), (self._folder / keeper.USERS).stat()
            if (mine.st_dev, mine.st_ino) != (found.st_dev, found.st_ino):
                return False
            address = self._address
            if address is None or not address.database:
                return True
            database = (self._folder / DATABASE).stat()
        except OSError:
            return False
        return (database.st_dev, database.st_ino) == address.database

    def begin_again(self) -> None:
        """Turn to the folder that is at this path now, after the one that was opened is gone."""
        self._refuse_after_leaving()
        self.restart()
        self.forget()
        self._folder.mkdir(parents=True, exist_ok=True)
        self._address = None
        self._join()

    def restart(self) -> None:
        """End the server, which does not answer or serves a folder that is gone; the next request starts another."""
        with self._lock:
            address, self._address = self._address, None
        if address is None:
            return
        with suppress(OSError):
            # Its number may belong to another process by now, hence the check of when it started.
            if address.alive:
                os.kill(address.keeper, SIGTERM)
        wait_until(lambda: not address.alive, _SECONDS_TO_JOIN)

    # Leaving

    def _refuse_after_leaving(self) -> None:
        if self._left:
            raise HistoryError(f"history: {self._folder} was closed")

    def leave(self, on_last: Callable[[], object] | None = None) -> None:
        """Stop using the server; the last to leave ends it and waits for that.

        Args:
            on_last: Called by the last to leave, while nobody else can join.
        """
        with self._lock:
            self._left = True
        if self._users is None:
            return
        try:
            # As the only one left; those who want to join wait meanwhile.
            if _try(self._users, fcntl.LOCK_EX):
                with self._lock:
                    self._address = self._address or self._read()
                self.restart()
                if on_last is not None:
                    on_last()
            elif not _try(self._users, fcntl.LOCK_SH):
                # The keeper was faster, and is ending the server.
                wait_until(lambda: _try(self._users, fcntl.LOCK_SH), _SECONDS_TO_JOIN)
        finally:
            self.forget()


def locked(folder: Path) -> HistoryLocked:
    """Return the error of a folder in which another process, or another machine, has Chroma open by itself."""
    return HistoryLocked(
        f"the history folder {folder} is in use by another process that does not share it (embedded=True, an older "
        f"llm-tiers, another container or machine), and two in one folder lose records; to share it, run `chroma run "
        f"--path {folder} --host 127.0.0.1 --port 8000` and pass 'http://127.0.0.1:8000' instead of the folder in each "
        f"process"
    )


def _held(folder: Path) -> bool:
    """Whether a process has Chroma's engine in the folder."""
    # A shared lock, so that two who look do not take each other for the holder.
    try:
        with _descriptor(folder / keeper.LOCK) as lock:
            return not _try(lock, fcntl.LOCK_SH)
    except OSError:
        return False


@contextmanager
def _descriptor(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    _handing_on.add(descriptor)
    try:
        yield descriptor
    finally:
        _handing_on.discard(descriptor)
        os.close(descriptor)


def _note_join(users: int, when: int) -> None:
    os.utime(users, ns=(when, when))


def _try(descriptor: int | None, kind: int) -> bool:
    try:
        fcntl.flock(descriptor or 0, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def wait_until(reached: Callable[[], bool], seconds: float) -> bool:
    """Wait until something is so, but no longer than `seconds`, and say whether it is."""
    deadline = time.monotonic() + seconds
    while not reached():
        if time.monotonic() > deadline:
            return False
        time.sleep(_PAUSE)
    return True

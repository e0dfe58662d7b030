"""Runs the Chroma server of a history's folder for as long as a process uses it; a program of its own.

It imports nothing of this package, so that it starts in some hundredths of a second and takes little memory. The server
is `chroma run`, by the entry point that the command `chroma` calls, in a child of this process.

Three files in the folder tell who does what:

- `llm-tiers.lock`: locked by whoever has Chroma's engine in this folder, here by the keeper and the server together.
  The process that started the keeper took the lock and handed its descriptor on, so it passes from one to the next
  without a gap, and the operating system frees it when both have died, however they died.
- `llm-tiers.users`: locked shared by each process that uses the folder. The keeper waits for the exclusive lock: it
  gets it when the last user has left or died, and ends the server while new users wait.
- `llm-tiers.server.json`: where the server is. It counts only while `llm-tiers.lock` is held.

Usage: `python -I keeper.py FOLDER DESCRIPTOR-OF-THE-LOCK FOLDER-OF-CHROMA`
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import signal
import socket
import sys
import time
from pathlib import Path

__all__ = ["ADDRESS", "LOCK", "LOG", "USERS", "identity", "network"]

LOCK = "llm-tiers.lock"
USERS = "llm-tiers.users"
ADDRESS = "llm-tiers.server.json"
LOG = "llm-tiers.server.log"

_HOST = "127.0.0.1"
_TRIES = 3
_SECONDS_TO_START = 60.0
_SECONDS_TO_END = 0.2
"""The server waits for its connections to end; what it has answered is on disk, so it need not be waited for long."""
_SECONDS_TO_DIE = 10.0
_PAUSE = 0.01
_PR_SET_PDEATHSIG = 1


def identity(pid: int) -> str:
    """Return what tells a process from a later one of the same number: when it started, where the system says so.

    Raises:
        ProcessLookupError: There is no such process.
    """
    try:
        facts = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            raise ProcessLookupError(pid) from None
        os.kill(pid, 0)
        return ""
    # The second field is the program's name, which may hold spaces and brackets.
    state, *others = facts.rpartition(")")[2].split()
    # Ended, and its parent has not asked for its status yet.
    if state in "ZX":
        raise ProcessLookupError(pid)
    return others[18]


def network() -> str:
    """Return which network this process is in: the loopback address of a container is its own."""
    try:
        return str(Path("/proc/self/ns/net").readlink())
    except OSError:
        return ""


class _Keeper:
    """The keeper; its working folder is the history's, so that it stays with it even if that is moved or replaced."""

    def __init__(self, folder: str, chroma: str) -> None:
        self._folder = folder
        self._chroma = chroma
        self._server = 0
        self._ended = False

    def run(self) -> None:
        signal.signal(signal.SIGCHLD, self._note_end)
        # A user who finds that the server hangs asks for its end; others that they start find none and start one.
        signal.signal(signal.SIGTERM, lambda *_: self.leave())
        for name in (signal.SIGINT, signal.SIGHUP):
            signal.signal(name, signal.SIG_IGN)
        self._say(state="starting")
        for _ in range(_TRIES):
            port = _free_port()
            self._start(port)
            if self._comes_up(port):
                break
            self._kill()
        else:
            self._say(state="failed")
            # Long enough for those who wait to read it; then the next one may try again.
            time.sleep(1.0)
            self.leave()
        self._say(state="serving", url=f"http://{_HOST}:{port}", server=self._server, database=self._database())
        if self._ended:
            self.leave()
        users = os.open(USERS, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(users, fcntl.LOCK_EX)
        self.leave()

    def _start(self, port: int) -> None:
        self._ended = False
        keeper = os.getpid()
        self._server = os.fork()
        if self._server == 0:
            try:
                _serve(self._folder, self._chroma, port, keeper)
            finally:
                os._exit(1)

    def _comes_up(self, port: int) -> bool:
        deadline = time.monotonic() + _SECONDS_TO_START
        while not self._ended and time.monotonic() < deadline:
            if _answers(port):
                # If another program took the port first, it is that one that answers, and ours is about to end.
                time.sleep(5 * _PAUSE)
                return not self._ended and _answers(port)
            time.sleep(_PAUSE)
        return False

    def _note_end(self, *_: object) -> None:
        with contextlib.suppress(ChildProcessError):
            if self._server and os.waitpid(self._server, os.WNOHANG)[0] == self._server:
                self._ended = True
        if self._ended and self._serving:
            self.leave()

    _serving = False

    def leave(self) -> None:
        """End the server and this process; with them the locks are free."""
        try:
            # First: nobody should turn to a server that is about to end.
            self._say(state="ending")
        except OSError:
            self._withdraw()
        self._kill()
        self._withdraw()
        os._exit(0)

    def _withdraw(self) -> None:
        with contextlib.suppress(OSError):
            Path(ADDRESS).unlink()

    def _kill(self) -> None:
        deadline = time.monotonic() + _SECONDS_TO_END
        number = signal.SIGTERM
        while not self._ended and self._server:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._server, number)
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(self._server, os.WNOHANG)[0] != self._server:
                    if time.monotonic() > deadline:
                        break
                    time.sleep(_PAUSE / 4)
                else:
                    return
            if number == signal.SIGKILL:
                return
            number, deadline = signal.SIGKILL, time.monotonic() + _SECONDS_TO_DIE

    def _database(self) -> list[int]:
        held = Path("chroma.sqlite3").stat()
        return [held.st_dev, held.st_ino]

    def _say(self, *, state: str, **facts: object) -> None:
        me = os.getpid()
        draft = Path(f"{ADDRESS}.{me}")
        content = {"state": state, "keeper": me, "started": identity(me), "network": network(), **facts}
        draft.write_text(json.dumps(content), encoding="utf-8")
        # A rename is all or nothing: readers see the old file or the new one.
        draft.replace(ADDRESS)
        self._serving = state == "serving"


def _serve(folder: str, chroma: str, port: int, keeper: int) -> None:
    """In the child: become Chroma's server."""
    for name in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(name, signal.SIG_DFL)
    with contextlib.suppress(OSError, AttributeError):
        # On Linux the server dies with its keeper; nobody would end it otherwise.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != keeper:
        return
    log = os.open(LOG, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    sys.path.insert(0, chroma)
    # It would log each request.
    os.environ["RUST_LOG"] = "error"
    import chromadb_rust_bindings

    # What the command `chroma` calls; the package `chromadb` itself takes a second to import and is not needed here.
    chromadb_rust_bindings.cli(["chroma", "run", "--path", folder, "--host", _HOST, "--port", str(port)])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    try:
        with socket.create_connection((_HOST, port), timeout=1.0) as connection:
            connection.sendall(b"GET /api/v2/heartbeat HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
            return b" 200 " in connection.recv(64)
    except OSError:
        return False


def _main() -> None:
    # The thread that started this may have blocked some.
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    folder, lock, chroma = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    os.set_inheritable(lock, False)  # noqa: FBT003
    # The process that started this one must not have to wait for it: the child of a child belongs to nobody here.
    if os.fork():
        os._exit(0)
    os.chdir(folder)
    keeper = _Keeper(folder, chroma)
    try:
        keeper.run()
    except OSError:
        # The disk is full, or the folder is gone: nobody would find the server.
        keeper.leave()


if __name__ == "__main__":
    _main()

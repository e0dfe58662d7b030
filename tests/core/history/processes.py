"""Other processes that use a history, for the tests of what happens between them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from llm_tiers.history import ChromaHistory

PREAMBLE = """
import json, os, signal, sys, time, warnings, zlib
import numpy as np
from llm_tiers.errors import HistoryError, HistoryLocked
from llm_tiers import ChromaHistory, Embedding
from llm_tiers.history.record import Record

def vector_of(text):
    return np.random.default_rng(zlib.crc32(text.encode())).normal(size=16)

def record(number, node="n"):
    return Record(f"t{number}", node, 1000.0 + number, {"small": True}, "small", "small", ("small",), ("small",),
                  None, text=f"question {number}")

def say(*words):
    print(*words, flush=True)

EMBEDDING = Embedding(vector_of, name="by-crc")
where = sys.argv[1]
"""

_names: dict = {}
exec(PREAMBLE.replace("where = sys.argv[1]", ""), _names)  # noqa: S102 - the same helpers on both sides
record, EMBEDDING = _names["record"], _names["EMBEDDING"]

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
serves = pytest.mark.skipif(os.name == "nt", reason="a folder is for one process there")


def start(script, where, **options):
    """Run a script in another process, which finds the helpers of `PREAMBLE`."""
    return subprocess.Popen(
        [sys.executable, "-c", PREAMBLE + textwrap.dedent(script), str(where)],
        stdout=subprocess.PIPE,
        text=True,
        **options,
    )


def run(script, where):
    """Do the same to its end, and return its lines."""
    with start(script, where) as process:
        out, _ = process.communicate(timeout=120)
    assert process.returncode == 0, out
    return out.splitlines()


def ids(where, **arguments):
    with ChromaHistory(where, embedding=EMBEDDING, **arguments) as history:
        return {shown["id"] for shown in history.export()}


def eventually(holds, seconds=60):
    """Wait until something holds, and say whether it does."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        threading.Event().wait(0.02)
    return True


def server_of(folder, after=None):
    """Return what the folder says of its server, once that serves: records are written, and it is started, late.

    With `after`, once another one serves than that.
    """
    said = {}

    def serves_now():
        said.clear()
        with suppress(OSError):
            said.update(json.loads((Path(folder) / "llm-tiers.server.json").read_text()))
        return "server" in said and said != after

    assert eventually(serves_now)
    return said


def runs(pid):
    """Whether a process runs; one that has ended and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        if Path("/proc/self").exists():
            return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def stop(pid):
    """Let a process hang until SIGCONT; where the system shows it, once all its threads have stopped."""
    os.kill(pid, signal.SIGSTOP)
    if Path("/proc/self").exists():
        # One that had not noticed yet could still answer a request.
        assert eventually(lambda: all(_has_stopped(task) for task in Path(f"/proc/{pid}/task").iterdir()))


def _has_stopped(task):
    try:
        return (task / "stat").read_text().rpartition(")")[2].split()[0] in "TtZX"
    except FileNotFoundError:
        return True

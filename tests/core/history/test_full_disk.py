"""A full disk stops the history's writing, says so, and never stops the process."""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
import textwrap
import threading
from types import SimpleNamespace

import pytest
from processes import EMBEDDING, PREAMBLE, eventually, ids, record

from llm_tiers.errors import HistoryError
from llm_tiers.history import ChromaHistory
from llm_tiers.history.store import client, folders, space, writer

RAPID = """
    import threading
    from llm_tiers.history.store import space

    space.RESERVE = int(sys.argv[2])
    beats, errors = [], []

    def beat():
        while True:
            beats.append(time.monotonic())
            time.sleep(0.05)

    threading.Thread(target=beat, daemon=True).start()
    history = ChromaHistory(where, embedding=EMBEDDING)
    end = time.monotonic() + float(sys.argv[3])
    number = 0
    while time.monotonic() < end and number < 9_000:
        history.recall(f"question {number}", node="n", k=5)
        history.remember(record(number))
        number += 1
    say(max(later - earlier for earlier, later in zip(beats, beats[1:])) < 10)
    try:
        history.close()
    except HistoryError as error:
        say(error)
"""


@pytest.fixture
def small_disk(tmp_path, request):
    """A disk of so many MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={request.param}m", "tmpfs", disk]
    try:
        mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("needs the right to mount a file system")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


@pytest.mark.parametrize(
    ("small_disk", "reserve", "said"),
    [(8, 5 * 2**20, "nearly full"), (2, 0, "")],
    ids=["watched", "filled in spite of the watch"],
    indirect=["small_disk"],
)
def test_a_full_disk_does_not_stop_the_process(small_disk, reserve, said):
    """Chroma's engine stops for 1,000 seconds after a write that found no space, so it must not be in the process."""
    done = subprocess.run(
        [sys.executable, "-c", PREAMBLE + textwrap.dedent(RAPID), str(small_disk / "tiers"), str(reserve), "12"],
        capture_output=True,
        text=True,
        timeout=150,
        check=True,
    )
    going_on, *error = done.stdout.splitlines()
    assert going_on == "True"
    assert said in " ".join(error)
    assert error


class _Disk:
    """What the system says is free, instead of a real disk that is nearly full."""

    def __init__(self, monkeypatch):
        self.free = 2**40
        monkeypatch.setattr(space.shutil, "disk_usage", lambda folder: SimpleNamespace(free=self.free))


@pytest.mark.parametrize("embedded", [False, True])
def test_writing_stops_in_time_is_told_and_goes_on_by_itself(tmp_path, monkeypatch, caplog, embedded):
    disk = _Disk(monkeypatch)
    monkeypatch.setattr(writer, "_SECONDS_TO_WAIT", 0.01)
    with ChromaHistory(tmp_path, embedding=EMBEDDING, embedded=embedded) as history:
        disk.free = 2**20
        with caplog.at_level(logging.INFO, "llm_tiers.history"):
            history.remember(record(1))
            assert eventually(lambda: history.trouble)
            with pytest.raises(HistoryError, match=r"1\.0 MB are free at .*written once there is space"):
                history.flush()
            assert history.recall("question 1", node="n", k=1).neighbours[0].record.id == "t1"
            assert len([line for line in caplog.records if line.levelno >= logging.WARNING]) == 1
            disk.free = 2**40
            assert eventually(lambda: history.trouble is None)
        assert history.stats().pending == 0
    assert ids(tmp_path, embedded=embedded) == {"t1"}


def test_closing_with_a_full_disk_says_what_is_not_kept(tmp_path, monkeypatch):
    disk = _Disk(monkeypatch)
    history = ChromaHistory(tmp_path, embedding=EMBEDDING)
    disk.free = 0
    history.remember(record(1))
    with pytest.raises(HistoryError, match="nearly full"):
        history.close()


@pytest.fixture
def no_write_ends(monkeypatch):
    """Once this is set, all writes go to one who listens and never answers."""
    begun, direct = threading.Event(), client._direct
    with socket.create_server(("127.0.0.1", 0)) as silent:

        def send(locate, request):
            direct(locate, request)
            if begun.is_set() and request.url.path.endswith(client._WRITES):
                request.url = request.url.copy_with(port=silent.getsockname()[1])

        monkeypatch.setattr(client, "_direct", send)
        yield begun


def test_a_server_that_finishes_no_write_is_replaced_once_before_flush_says_so(tmp_path, monkeypatch, no_write_ends):
    replaced, stuck = [], folders.Served.stuck
    monkeypatch.setattr(folders.Served, "stuck", lambda place: (replaced.append(place), stuck(place)))
    monkeypatch.setattr(writer, "_SECONDS_TO_WAIT", 60.0)
    with ChromaHistory(tmp_path, embedding=EMBEDDING) as history:
        history.remember(record(1))
        history.flush()
        no_write_ends.set()
        monkeypatch.setattr(client, "_SECONDS_TO_WRITE", 0.2)
        history.remember(record(2))
        with pytest.raises(HistoryError, match="did not finish a write"):
            history.flush()
        assert len(replaced) == 2
        no_write_ends.clear()
        monkeypatch.undo()
        history.flush()
    assert ids(tmp_path) == {"t1", "t2"}

"""What was acknowledged is on disk; what could not be written is told."""

from __future__ import annotations

import logging
import threading
import time

import pytest
from past_calls import EMBEDDING, ids, record

from llm_tiers.errors import HistoryError
from llm_tiers.history import ChromaHistory
from llm_tiers.history.store import library, writer
from llm_tiers.history.store import shelf as shelves


def test_sync_means_on_disk_when_the_call_returns(tmp_path):
    with ChromaHistory(tmp_path, embedding=EMBEDDING, durability="sync") as history:
        history.remember(record(1))
        assert history.stats().pending == 0
        history.revise("t1", lambda held: {})
        assert history.stats().pending == 0
        assert next(history.export())["labels"] == {}


def test_the_background_thread_writes_without_being_asked(tmp_path):
    with ChromaHistory(tmp_path, embedding=EMBEDDING) as history:
        history.remember(record(1))
        deadline = time.monotonic() + 20
        while history._library.pending and time.monotonic() < deadline:
            threading.Event().wait(0.02)
        assert history.stats().pending == 0
        assert history.stats().records == 1


class _Broken:
    """Makes every write of a history fail until it is mended."""

    def __init__(self, monkeypatch):
        self.tries = 0
        self._mended = False
        real = shelves.Shelf.put

        def put(shelf, rows):
            self.tries += 1
            if not self._mended:
                raise OSError(28, "No space left on device")
            real(shelf, rows)

        monkeypatch.setattr(shelves.Shelf, "put", put)

    def mend(self):
        self._mended = True


def test_a_failed_write_is_logged_once_kept_and_tried_again(tmp_path, monkeypatch, caplog):
    broken = _Broken(monkeypatch)
    monkeypatch.setattr(writer, "_SECONDS_TO_WAIT", 0.01)
    history = ChromaHistory(tmp_path, embedding=EMBEDDING)
    with caplog.at_level(logging.INFO, "llm_tiers.history"):
        history.remember(record(1))
        deadline = time.monotonic() + 20
        while broken.tries < 3 and time.monotonic() < deadline:
            threading.Event().wait(0.01)
        assert len([line for line in caplog.records if line.levelno >= logging.WARNING]) == 1
        with pytest.raises(HistoryError, match="No space left"):
            history.flush()
        assert history.stats().pending == 1
        assert ids(history.recall("question 1", node="n", k=1)) == ["t1"]
        broken.mend()
        history.flush()
    assert (history.stats().pending, history.stats().records) == (0, 1)
    history.close()


def test_closing_tells_of_what_could_not_be_written_and_lets_go(tmp_path, monkeypatch):
    _Broken(monkeypatch)
    history = ChromaHistory(tmp_path, embedding=EMBEDDING, durability="sync")
    with pytest.raises(HistoryError, match="No space left"):
        history.remember(record(1))
    with pytest.raises(HistoryError, match="No space left"):
        history.close()
    monkeypatch.undo()
    with ChromaHistory(tmp_path, embedding=EMBEDDING) as again:
        assert again.recall("question 1", node="n", k=1).count == 0


def test_whoever_adds_too_much_to_a_full_queue_gets_the_error(tmp_path, monkeypatch):
    broken = _Broken(monkeypatch)
    monkeypatch.setattr(library, "MOST_PENDING", 5)
    history = ChromaHistory(tmp_path, embedding=EMBEDDING)
    for number in range(5):
        history.remember(record(number))
    with pytest.raises(HistoryError, match="No space left"):
        history.remember(record(5))
    broken.mend()
    history.remember(record(5))
    history.close()
    with ChromaHistory(tmp_path, embedding=EMBEDDING) as again:
        assert again.stats().records == 6


@pytest.fixture
def held_writes(monkeypatch):
    """Hold each write once it has begun; return the event that it has, and the one that lets it go on."""
    started, go_on = threading.Event(), threading.Event()
    real = shelves.Shelf.put

    def held(shelf, rows):
        started.set()
        assert go_on.wait(20)
        real(shelf, rows)

    monkeypatch.setattr(shelves.Shelf, "put", held)
    return started, go_on


def test_a_caller_never_waits_for_the_write_of_a_full_queue(tmp_path, monkeypatch, held_writes):
    started, go_on = held_writes
    monkeypatch.setattr(library, "MOST_PENDING", 5)
    with ChromaHistory(tmp_path, embedding=EMBEDDING) as history:
        history.remember(record(0))
        flushing = threading.Thread(target=history.flush)
        flushing.start()
        assert started.wait(20)
        for number in range(1, 5):
            history.remember(record(number))
        with pytest.raises(HistoryError, match=r"5 records wait .* not kept"):
            history.remember(record(5))
        assert history.stats().pending == 5
        go_on.set()
        flushing.join()
        history.flush()
        history.remember(record(6))
    with ChromaHistory(tmp_path, embedding=EMBEDDING) as again:
        assert sorted(kept["id"] for kept in again.export()) == ["t0", "t1", "t2", "t3", "t4", "t6"]


def test_batches_grow_while_many_records_wait_and_shrink_again(tmp_path, monkeypatch):
    sizes = []
    real = shelves.Shelf.put

    def put(shelf, rows):
        sizes.append(len(rows))
        real(shelf, rows)

    monkeypatch.setattr(shelves.Shelf, "put", put)
    monkeypatch.setattr(writer, "_ENOUGH", 10_000)
    monkeypatch.setattr(library, "_SECONDS_OF_WRITE", 60)
    with ChromaHistory(tmp_path, embedding=EMBEDDING) as history:
        for number in range(1_000):
            history.remember(record(number))
        history.flush()
    assert sum(sizes) == 1_000
    assert sizes[:3] == [64, 128, 128]
    assert len(sizes) < 11


def test_a_record_revised_while_it_is_written_keeps_its_new_labels(tmp_path, held_writes):
    started, go_on = held_writes
    with ChromaHistory(tmp_path, embedding=EMBEDDING) as history:
        history.remember(record(1))
        flushing = threading.Thread(target=history.flush)
        flushing.start()
        assert started.wait(20)
        assert ids(history.recall("question 1", node="n", k=1)) == ["t1"]
        history.revise("t1", lambda held: {"large": False})
        go_on.set()
        flushing.join()
        assert history.recall("question 1", node="n", k=1).neighbours[0].record.labels == {"large": False}
    with ChromaHistory(tmp_path, embedding=EMBEDDING) as history:
        assert next(history.export())["labels"] == {"large": False}

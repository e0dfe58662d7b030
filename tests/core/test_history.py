"""What a user sees of a history in this process: recall, remember, revise, upkeep, and the errors."""

from __future__ import annotations

import dataclasses
import gc
import json
import logging
import os
import sqlite3
import subprocess
import sys
import threading
import time
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm_tiers.errors import ConfigError, EmbeddingMismatch, HistoryError, HistoryUnreachable, UnknownTrace
from llm_tiers.history import ChromaHistory, Embedding, library, writer
from llm_tiers.history import shelf as shelves
from llm_tiers.history.record import Record

DIMENSION = 16


def vector_of(text):
    """A vector that depends on the text alone."""
    return np.random.default_rng(zlib.crc32(text.encode("utf-8", "replace"))).normal(size=DIMENSION)


EMBEDDING = Embedding(vector_of, name="by-crc")


def record(number, node="n", *, created=None, text=None, labels=None, vector=None):
    return Record(
        id=f"t{number}",
        node=node,
        created=1000.0 + number if created is None else created,
        labels={"small": True} if labels is None else labels,
        start="small",
        final="large",
        answered=("small", "large"),
        agreed=("large",),
        cost_usd=0.25,
        said={"small": 1, "large": 0},
        tokens={"small": 7},
        costs={"small": 0.001},
        share=0.5,
        confidence=0.75,
        audited=True,
        text=f"question {number}" if text is None else text,
        vector=vector,
    )


def ids(found):
    return [neighbour.record.id for neighbour in found.neighbours]


def brute_force(history_vectors, query, k):
    """The similarities that an exact search finds."""
    table = np.stack(history_vectors).astype(np.float64)
    return np.sort(table @ query.astype(np.float64))[::-1][:k]


@pytest.fixture(params=["memory", "folder"])
def place(request, tmp_path):
    """Where a history is: it must not matter."""
    return None if request.param == "memory" else tmp_path / "tiers"


@pytest.fixture
def history(place):
    with ChromaHistory(place, embedding=EMBEDDING) as opened:
        yield opened


# Recall


def test_an_unknown_node_has_no_neighbours_but_a_vector(history):
    history.remember(record(1, "known"))
    found = history.recall("question 1", node="unknown", k=3)
    assert (found.neighbours, found.count, found.error) == ((), 0, None)
    assert found.vector == pytest.approx(EMBEDDING.embed("question 1"))


def test_what_was_remembered_is_recalled_at_once_and_after_it_was_written(history):
    kept = record(1)
    history.remember(kept)
    for _ in range(2):
        found = history.recall("question 1", node="n", k=5)
        assert found.count == 1
        assert found.neighbours[0].similarity == 1
        assert found.neighbours[0].record == dataclasses.replace(kept, text=None)
        history.flush()


def test_a_vector_saves_the_embedding(place):
    asked = []

    def counting(text):
        asked.append(text)
        return vector_of(text)

    with ChromaHistory(place, embedding=Embedding(counting, name="counting")) as history:
        vector = history.recall("question 1", node="n", k=1).vector
        history.remember(record(1, vector=vector))
        assert history.recall("question 1", node="n", k=1, vector=vector).neighbours[0].similarity == 1
    assert asked == ["question 1"]


def test_a_parent_sees_what_its_children_learned_and_the_root_does_not(history):
    for number, node in enumerate(["research/plan", "research/write", "research", "chat", ""]):
        history.remember(record(number, node))
    for _ in range(2):
        counts = {
            node: history.recall("question 0", node=node, k=9).count
            for node in ("", "research", "research/plan", "chat", "research/plan/deep")
        }
        assert counts == {"": 1, "research": 3, "research/plan": 1, "chat": 1, "research/plan/deep": 0}
        assert set(ids(history.recall("question 0", node="research", k=9))) == {"t0", "t1", "t2"}
        assert history.recall("question 0", node="research", k=1).neighbours[0].record.node == "research/plan"
        history.flush()


@pytest.mark.parametrize(
    "node", ["a b/c d", "Ünïcödé/节点", "x" * 900, "/leading", "a//b", "tabs\tand\nlines", "\ud800"]
)
def test_a_node_may_be_any_text(history, node):
    history.remember(record(1, node))
    history.flush()
    assert history.recall("question 1", node=node, k=1).count == 1


def test_the_newest_come_first_among_equals_even_where_they_do_not_all_fit(history):
    order = np.random.default_rng(0).permutation(100)
    for number in order:
        history.remember(record(int(number), text="the same"))
    for _ in range(2):
        assert ids(history.recall("the same", node="n", k=5)) == ["t99", "t98", "t97", "t96", "t95"]
        history.flush()


def test_a_text_without_a_vector_resembles_nothing(place):
    silent = Embedding(lambda text: vector_of(text) if text else np.zeros(DIMENSION), name="silent")
    with ChromaHistory(place, embedding=silent) as history:
        for number in range(3):
            history.remember(record(number, text="" if number == 1 else None))
        history.flush()
        assert history.recall("", node="n", k=5) == history.recall("", node="n", k=5)
        assert (history.recall("", node="n", k=5).neighbours, history.recall("", node="n", k=5).count) == ((), 3)
        assert "t0" in ids(history.recall("question 0", node="n", k=5))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    numbers=st.lists(st.integers(0, 30), min_size=1, max_size=60),
    flushed=st.integers(0, 60),
    k=st.integers(1, 12),
    query=st.integers(0, 40),
)
def test_pending_and_stored_records_together_are_found_exactly_and_once(
    place, numbers, flushed, k, query, tmp_path_factory
):
    """Repeated ids replace; whatever part of them is written, the neighbours are those of an exact search."""
    where = None if place is None else tmp_path_factory.mktemp("tiers")
    with ChromaHistory(where, embedding=EMBEDDING) as history:
        held = {}
        for position, number in enumerate(numbers):
            if position == flushed:
                history.flush()
            history.remember(record(number, created=float(position)))
            held[f"t{number}"] = EMBEDDING.embed(f"question {number}")
        asked = EMBEDDING.embed(f"question {query}")
        found = history.recall(f"question {query}", node="n", k=k)
        assert found.count == len(held)
        assert len(set(ids(found))) == len(found.neighbours) == min(k, len(held))
        got = [neighbour.similarity for neighbour in found.neighbours]
        assert got == sorted(got, reverse=True)
        assert got == pytest.approx(brute_force(list(held.values()), asked, k), abs=1e-5)


def test_many_copies_of_one_query_do_not_hide_the_others(tmp_path):
    """Chroma's graph, left alone, finds the neighbours of one query in a hundred here."""
    rng = np.random.default_rng(1)
    others = rng.normal(size=(600, 64))
    table = np.concatenate([np.repeat(others[:1], 1500, axis=0), others]).astype(np.float32)
    table /= np.linalg.norm(table, axis=1, keepdims=True)
    with ChromaHistory(tmp_path, embedding=EMBEDDING) as history:
        for number, vector in enumerate(table):
            history.remember(record(number, vector=vector))
        history.flush()
        complete = 0
        for query in table[1500:1600]:
            got = [n.similarity for n in history.recall("", node="n", k=10, vector=query).neighbours]
            assert got[0] == 1
            complete += got == pytest.approx(brute_force(table, query, 10), abs=2e-4)
        assert complete >= 80
        copies = history.recall("", node="n", k=10, vector=table[0]).neighbours
        assert {neighbour.similarity for neighbour in copies} == {1.0}


def test_stored_pending_and_revised_records_are_found_together(tmp_path):
    with ChromaHistory(tmp_path, embedding=EMBEDDING) as history:
        for number in range(400):
            history.remember(record(number))
        history.flush()
        history.remember(record(400))
        history.revise("t7", lambda held: {"small": False})
        found = history.recall("question 7", node="n", k=3)
        assert (ids(found)[0], found.count) == ("t7", 401)
        assert found.neighbours[0].record.labels == {"small": False}
        assert ids(history.recall("question 400", node="n", k=3))[0] == "t400"
        assert len(history.recall("question 7", node="n", k=50).neighbours) == 50


def test_no_record_is_missed_or_seen_twice_while_it_is_written(place):
    """One thread recalls all the time; what it saw once it must see again, once each."""
    with ChromaHistory(place, embedding=EMBEDDING) as history:
        wrong, done, last = [], threading.Event(), [0]

        def watch():
            while not done.is_set():
                least = last[0]
                found = history.recall("question 1", node="n", k=1000)
                seen = ids(found)
                if len(seen) != len(set(seen)) or len(seen) < least or found.error:
                    wrong.append((least, len(seen), found.error))

        watcher = threading.Thread(target=watch)
        watcher.start()
        for number in range(300):
            history.remember(record(number))
            last[0] = number + 1
            if number % 50 == 49:
                history.flush()
        done.set()
        watcher.join()
        assert wrong == []


def test_many_threads_lose_nothing(place):
    with ChromaHistory(place, embedding=EMBEDDING) as history:
        failures = []

        def work(worker):
            try:
                for step in range(25):
                    number = worker * 100 + step
                    history.remember(record(number, f"n/{worker}"))
                    assert f"t{number}" in ids(history.recall(f"question {number}", node="n", k=3))
                    history.revise(f"t{number}", lambda held: {**held.labels, "large": True})
            except BaseException as error:  # noqa: BLE001 - shown by the test's own assertion
                failures.append(error)

        threads = [threading.Thread(target=work, args=(worker,)) for worker in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        history.flush()
        exported = list(history.export())
        assert len(exported) == 200
        assert all(shown["labels"] == {"small": True, "large": True} for shown in exported)


# Labels


def test_labels_are_revised_whether_the_record_waits_or_is_stored(history):
    history.remember(record(1, "a/b"))
    for answer in (True, False, True):
        revised = history.revise("t1", lambda held, answer=answer: {**held.labels, "large": answer})
        assert revised.labels == {"small": True, "large": answer}
        for node in ("a", "a/b"):
            assert history.recall("question 1", node=node, k=1).neighbours[0].record == revised
        history.flush()
        assert history.recall("question 1", node="a", k=1).neighbours[0].record == revised


def test_a_revision_outlives_the_process_that_made_it(tmp_path):
    with ChromaHistory(tmp_path, embedding=EMBEDDING) as history:
        history.remember(record(1))
        history.flush()
        history.revise("t1", lambda held: {})
    with ChromaHistory(tmp_path, embedding=EMBEDDING) as history:
        assert history.recall("question 1", node="n", k=1).neighbours[0].record.labels == {}
        assert history.revise("t1", lambda held: {"large": False}).labels == {"large": False}


def test_revisions_do_not_overtake_each_other(history):
    history.remember(record(1, labels={}))

    def add(tier):
        history.revise("t1", lambda held: {**held.labels, tier: True})

    threads = [threading.Thread(target=add, args=(f"tier{number}",)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(history.recall("question 1", node="n", k=1).neighbours[0].record.labels) == 20


def test_an_unknown_trace_is_an_error_that_names_it(history):
    history.remember(record(1))
    with pytest.raises(UnknownTrace, match="'nope'"):
        history.revise("nope", lambda held: {})
    history.flush()
    with pytest.raises(KeyError):
        history.revise("nope", lambda held: {})


def test_labels_must_be_true_or_false(history):
    history.remember(record(1))
    with pytest.raises(ConfigError, match="True or False"):
        history.revise("t1", lambda held: {"small": "yes"})


def test_a_change_that_fails_leaves_the_record_as_it_was(history):
    history.remember(record(1))

    def fail(held):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        history.revise("t1", fail)
    assert history.recall("question 1", node="n", k=1).neighbours[0].record.labels == {"small": True}


# Limits


def test_the_oldest_go_above_the_capacity(place):
    with ChromaHistory(place, embedding=EMBEDDING, capacity=5) as history:
        for number in (3, 9, 1, 7, 5, 8, 2, 6, 4, 0):
            history.remember(record(number))
        history.flush()
        found = history.recall("question 1", node="n", k=20)
        assert (set(ids(found)), found.count) == ({"t5", "t6", "t7", "t8", "t9"}, 5)
        with pytest.raises(UnknownTrace, match="evicted"):
            history.revise("t1", lambda held: {})
        history.remember(record(10))
        history.flush()
        assert history.stats().records == 5
        assert "t5" not in ids(history.recall("question 5", node="n", k=20))


def test_the_oldest_go_after_a_restart_too(tmp_path):
    for start in (0, 4):
        with ChromaHistory(tmp_path, embedding=EMBEDDING, capacity=5) as history:
            for number in range(start, start + 4):
                history.remember(record(number))
    with ChromaHistory(tmp_path, embedding=EMBEDDING, capacity=5) as history:
        assert {shown["id"] for shown in history.export()} == {"t3", "t4", "t5", "t6", "t7"}


@settings(max_examples=15, deadline=None)
@given(
    created=st.lists(st.integers(0, 50), min_size=1, max_size=90),
    capacity=st.integers(1, 70),
)
def test_the_capacity_is_respected_and_the_newest_stay(created, capacity):
    with ChromaHistory(embedding=EMBEDDING, capacity=capacity) as history:
        for number, when in enumerate(created):
            history.remember(record(number, created=float(when)))
        kept = sorted(shown["created"] for shown in history.export())
        assert len(kept) == min(capacity, len(created))
        # One at a time: whoever comes when it is full and is older than all goes again.
        assert kept == sorted(created)[-capacity:]


def test_nodes_above_the_limit_are_kept_under_their_parents(place):
    with ChromaHistory(place, embedding=EMBEDDING, max_nodes=2) as history:
        for number, node in enumerate(["a", "a/b", "a/c", "d", "d/e", "a/b/f"]):
            history.remember(record(number, node))
        history.flush()
        assert history.stats().nodes == {"a": 4, "a/b": 2, "": 2}
        assert history.recall("question 2", node="a/c", k=1).count == 0
        assert ids(history.recall("question 2", node="a", k=1)) == ["t2"]
        assert ids(history.recall("question 3", node="", k=1)) == ["t3"]
        assert history.revise("t4", lambda held: {}).node == "d/e"
        assert history.stats().records == 6


def test_a_top_node_above_the_limit_learns_from_what_is_kept_under_the_root(place):
    with ChromaHistory(place, embedding=EMBEDDING, max_nodes=1) as history:
        history.remember(record(1, "first"))
        history.remember(record(2, "second"))
        for _ in range(2):
            assert ids(history.recall("question 2", node="second", k=5)) == ["t2"]
            assert ids(history.recall("question 1", node="first", k=5)) == ["t1"]
            history.flush()


def test_the_limit_of_nodes_holds_after_a_restart(tmp_path):
    for number, node in enumerate(["a", "b", "c"]):
        with ChromaHistory(tmp_path, embedding=EMBEDDING, max_nodes=2) as history:
            history.remember(record(number, node))
    with ChromaHistory(tmp_path, embedding=EMBEDDING, max_nodes=2) as history:
        assert history.stats().nodes == {"a": 1, "b": 1, "": 1}


def test_a_collection_full_of_removed_records_is_copied(tmp_path, monkeypatch):
    monkeypatch.setattr(shelves, "_LEAST_TOMBSTONES", 20)
    with ChromaHistory(tmp_path, embedding=EMBEDDING, capacity=30) as history:
        for number in range(200):
            history.remember(record(number))
            if number % 20 == 19:
                history.flush()
        expected = ids(history.recall("question 190", node="n", k=30))
        assert expected[0] == "t190"
    (generation,) = _generations(tmp_path)
    assert generation >= 2
    with ChromaHistory(tmp_path, embedding=EMBEDDING, capacity=30) as history:
        assert ids(history.recall("question 190", node="n", k=30)) == expected
        history.remember(record(300))
        history.revise("t190", lambda held: {"large": True})
        history.flush()
        assert history.stats().records == 30


def test_recall_goes_on_while_a_collection_is_copied(tmp_path, monkeypatch):
    monkeypatch.setattr(shelves, "_LEAST_TOMBSTONES", 10)
    with ChromaHistory(tmp_path, embedding=EMBEDDING, capacity=20) as history:
        wrong, done = [], threading.Event()

        def watch():
            while not done.is_set():
                found = history.recall("question 1", node="n", k=5)
                if found.error:
                    wrong.append(found.error)

        watcher = threading.Thread(target=watch)
        watcher.start()
        for number in range(300):
            history.remember(record(number))
            if number % 15 == 14:
                history.flush()
        done.set()
        watcher.join()
        assert wrong == []
    assert _generations(tmp_path)[0] >= 3


@pytest.mark.parametrize("crash", ["while copying", "before the original was dropped"])
def test_a_crash_while_a_collection_is_copied_loses_nothing(tmp_path, monkeypatch, crash):
    class Crash(BaseException):
        pass

    def die(*arguments, **named):
        raise Crash

    monkeypatch.setattr(shelves, "_LEAST_TOMBSTONES", 5)
    history = ChromaHistory(tmp_path, embedding=EMBEDDING, capacity=10)
    for number in range(12):
        history.remember(record(number))
    history.flush()
    shelf = history._library._shelves["n"]
    if crash == "while copying":
        monkeypatch.setattr(shelves.Shelf, "pages", die)
    else:
        monkeypatch.setattr(shelf._client, "delete_collection", die)
    for number in range(12, 40):
        history.remember(record(number))
    with pytest.raises(Crash):
        history.flush()
    monkeypatch.undo()
    history.close()
    with ChromaHistory(tmp_path, embedding=EMBEDDING, capacity=10) as history:
        assert {shown["id"] for shown in history.export()} == {f"t{number}" for number in range(30, 40)}
    assert len(_generations(tmp_path)) == 1


def _generations(folder):
    """The generations of all collections of a folder, read by Chroma in another process."""
    script = """if True:
        import chromadb, json, sys
        client = chromadb.PersistentClient(sys.argv[1])
        print(json.dumps([found.metadata["generation"] for found in client.list_collections()]))
    """
    out = subprocess.run(
        [sys.executable, "-c", script, str(folder)], capture_output=True, text=True, check=True, timeout=60
    )
    return json.loads(out.stdout)


def test_pruning_by_age_and_number(place):
    now = time.time()
    with ChromaHistory(place, embedding=EMBEDDING) as history:
        for number in range(10):
            history.remember(record(number, "a/b" if number % 2 else "a", created=now - 100 * number))
        assert history.prune(older_than=750) == 2
        assert history.prune(keep=2, node="a/b") == 2
        assert sorted(shown["id"] for shown in history.export()) == ["t0", "t1", "t2", "t3", "t4", "t6"]
        assert history.stats().nodes == {"a": 6, "a/b": 2}
        assert history.recall("question 5", node="a", k=9).count == 6
        assert history.prune(keep=3, older_than=50) == 5
        assert history.prune(keep=0) == 1
        assert history.stats().records == 0
        with pytest.raises(UnknownTrace):
            history.revise("t1", lambda held: {})


@pytest.mark.parametrize("arguments", [{}, {"node": "n"}, {"keep": -1}, {"older_than": -1.0}])
def test_pruning_needs_to_know_what(history, arguments):
    with pytest.raises(ConfigError, match="prune"):
        history.prune(**arguments)


# What is stored


def test_texts_are_stored_only_on_request(tmp_path):
    asked = "what does swordfish mean"
    with ChromaHistory(tmp_path / "without", embedding=EMBEDDING) as history:
        history.remember(record(1, text=asked))
        history.flush()
        assert history.recall(asked, node="n", k=1).neighbours[0].record.text is None
        assert "text" not in next(history.export())
    held = []
    for path in (tmp_path / "without").rglob("*"):
        # SQLite removes its log some time after the last connection is closed.
        with suppress(FileNotFoundError, IsADirectoryError):
            held.append(path.read_bytes())
    assert held
    assert not any(b"swordfish" in data for data in held)
    with ChromaHistory(tmp_path / "with", embedding=EMBEDDING, store_text=True) as history:
        history.remember(record(1, text=asked))
        history.flush()
        history.revise("t1", lambda held: {})
        assert history.recall(asked, node="n", k=1).neighbours[0].record.text == asked
    with ChromaHistory(tmp_path / "with", embedding=EMBEDDING, store_text=True) as history:
        assert next(history.export())["text"] == asked


def test_a_broken_text_is_stored_as_well_as_it_goes(tmp_path):
    with ChromaHistory(tmp_path, embedding=EMBEDDING, store_text=True) as history:
        history.remember(record(1, text="half a \ud83d pair"))
        history.flush()
        assert next(history.export())["text"] == "half a ? pair"


def test_an_export_is_json_and_complete(history):
    for number in range(3):
        history.remember(record(number, "a/b/c"))
    shown = [json.loads(json.dumps(entry)) for entry in history.export(vectors=True)]
    assert sorted(entry["id"] for entry in shown) == ["t0", "t1", "t2"]
    first = next(entry for entry in shown if entry["id"] == "t1")
    assert first.pop("vector") == pytest.approx(EMBEDDING.embed("question 1").tolist(), abs=1e-6)
    assert first == {
        "id": "t1",
        "node": "a/b/c",
        "created": 1001.0,
        "labels": {"small": True},
        "start": "small",
        "final": "large",
        "answered": ["small", "large"],
        "agreed": ["large"],
        "cost_usd": 0.25,
        "said": {"small": 1, "large": 0},
        "tokens": {"small": 7},
        "costs": {"small": 0.001},
        "share": 0.5,
        "confidence": 0.75,
        "audited": True,
    }
    assert "vector" not in next(history.export())


def test_stats_tell_what_is_there(tmp_path):
    with ChromaHistory(tmp_path, embedding=EMBEDDING, capacity=50, max_nodes=7, namespace="x") as history:
        assert (history.stats().records, history.stats().nodes) == (0, {})
        history.remember(record(1, "a/b"))
        history.flush()
        stats = history.stats()
    assert (stats.records, stats.pending, stats.nodes) == (1, 0, {"a": 1, "a/b": 1})
    assert (stats.where, stats.namespace, stats.embedding) == (str(tmp_path), "x", "by-crc")
    assert (stats.capacity, stats.max_nodes, stats.durability) == (50, 7, "background")
    assert stats.dimension == DIMENSION


def test_a_record_needs_an_id_and_something_to_embed(history):
    with pytest.raises(ConfigError, match="id"):
        history.remember(dataclasses.replace(record(1), id=""))
    with pytest.raises(ConfigError, match="vector, or the text"):
        history.remember(dataclasses.replace(record(1), text=None))


def test_a_vector_of_another_length_is_refused(history):
    history.remember(record(1))
    with pytest.raises(EmbeddingMismatch, match="3 dimensions"):
        history.remember(record(2, vector=np.ones(3, dtype=np.float32)))
    assert "3 dimensions" in history.recall("", node="n", k=1, vector=np.ones(3, dtype=np.float32)).error
    history.flush()
    assert history.recall("question 1", node="n", k=3).count == 1


# Durability


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


def test_a_record_revised_while_it_is_written_keeps_its_new_labels(tmp_path, monkeypatch):
    started, go_on = threading.Event(), threading.Event()
    real = shelves.Shelf.put

    def slow(shelf, rows):
        started.set()
        assert go_on.wait(20)
        real(shelf, rows)

    monkeypatch.setattr(shelves.Shelf, "put", slow)
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


# Sharing and privacy


def test_histories_in_memory_are_private():
    with ChromaHistory(embedding=EMBEDDING) as one, ChromaHistory(embedding=EMBEDDING) as other:
        one.remember(record(1))
        one.flush()
        assert other.recall("question 1", node="n", k=1).count == 0


def test_many_histories_may_open_chroma_at_once():
    """Chroma's own register of open stores breaks where two threads open one at a time."""
    code = """
import threading
from llm_tiers.history import ChromaHistory, Embedding, Record

EMBEDDING = Embedding(lambda text: [1.0, float(len(text))], name="lengths")
start, errors = threading.Barrier(8), []

def work(number):
    with ChromaHistory(embedding=EMBEDDING) as history:
        history.remember(Record("t", "n", 1.0, {"a": True}, "a", "a", ("a",), ("a",), 0.0, text="x" * number))
        start.wait()
        try:
            history.flush()
            assert history.recall("x", node="n", k=5).count == 1
        except Exception as error:
            errors.append(error)

threads = [threading.Thread(target=work, args=(number,)) for number in range(1, 9)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(errors)
"""
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"


def test_histories_of_one_folder_share_it_with_what_waits(tmp_path):
    one = ChromaHistory(tmp_path, embedding=EMBEDDING)
    other = ChromaHistory(os.path.relpath(tmp_path), embedding=Embedding(vector_of, name="by-crc"))
    one.remember(record(1))
    assert other.recall("question 1", node="n", k=1).count == 1
    one.close()
    other.remember(record(2))
    other.flush()
    assert other.recall("question 1", node="n", k=5).count == 2
    other.close()


def test_namespaces_are_apart(tmp_path):
    with (
        ChromaHistory(tmp_path, embedding=EMBEDDING, namespace="a") as one,
        ChromaHistory(tmp_path, embedding=EMBEDDING, namespace="a.b") as other,
    ):
        one.remember(record(1))
        one.flush()
        other.remember(record(2))
        other.flush()
        assert ids(other.recall("question 1", node="n", k=5)) == ["t2"]
        with pytest.raises(UnknownTrace):
            other.revise("t1", lambda held: {})


def test_other_limits_for_a_shared_namespace_are_refused(tmp_path):
    with ChromaHistory(tmp_path, embedding=EMBEDDING), pytest.raises(ConfigError, match="capacity=100000"):
        ChromaHistory(tmp_path, embedding=EMBEDDING, capacity=5)


def test_a_history_that_was_dropped_is_written_by_the_next_one(tmp_path):
    history = ChromaHistory(tmp_path, embedding=EMBEDDING)
    history.remember(record(1))
    del history
    gc.collect()
    with ChromaHistory(tmp_path, embedding=EMBEDDING) as again:
        assert again.recall("question 1", node="n", k=1).count == 1


# Errors


def test_another_embedding_is_refused_at_once_with_both_names(tmp_path):
    with ChromaHistory(tmp_path, embedding=EMBEDDING) as history:
        history.remember(record(1))
    other = Embedding(vector_of, name="another")
    with pytest.raises(EmbeddingMismatch, match=r"'by-crc'.*'another'.*another namespace"):
        ChromaHistory(tmp_path, embedding=other)
    ChromaHistory(tmp_path, embedding=other, namespace="second").close()
    with ChromaHistory(tmp_path, embedding=EMBEDDING) as history:
        assert history.recall("question 1", node="n", k=1).count == 1


def test_another_embedding_is_refused_without_the_manifest_too(tmp_path):
    with ChromaHistory(tmp_path, embedding=EMBEDDING) as history:
        history.remember(record(1))
    (tmp_path / "llm-tiers.json").unlink()
    with ChromaHistory(tmp_path, embedding=Embedding(vector_of, name="another")) as history:
        assert "by-crc" in history.recall("question 1", node="n", k=1).error
        with pytest.raises(EmbeddingMismatch):
            history.remember(record(2))
    with ChromaHistory(tmp_path, embedding=EMBEDDING) as history:
        assert history.recall("question 1", node="n", k=1).count == 1


def test_the_same_name_with_another_dimension_is_refused(tmp_path):
    with ChromaHistory(tmp_path, embedding=EMBEDDING) as history:
        history.remember(record(1))
    wider = Embedding(lambda text: np.ones(DIMENSION + 1), name="by-crc")
    with ChromaHistory(tmp_path, embedding=wider) as history:
        assert "17 dimensions" in history.recall("x", node="n", k=1).error
    assert wider.dimension == 17
    with pytest.raises(EmbeddingMismatch, match=r"16 dimensions.*17 dimensions"):
        ChromaHistory(tmp_path, embedding=wider)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"capacity": 0}, "capacity"),
        ({"capacity": 2.5}, "capacity"),
        ({"max_nodes": 0}, "max_nodes"),
        ({"durability": "never"}, "durability"),
        ({"namespace": ""}, "namespace"),
        ({"namespace": "a/b"}, "namespace"),
        ({"namespace": "x" * 65}, "namespace"),
        ({"namespace": None}, "namespace"),
        ({"embedding": 3}, "embedding"),
        ({"where": 3}, "where"),
        ({"where": ""}, "where"),
        ({"where": "ftp://host"}, "where"),
        ({"where": "http://"}, "where"),
        ({"where": "http://host:99999"}, "where"),
        ({"where": "http://host/path"}, "where"),
        ({"headers": {"a": "b"}}, "headers"),
    ],
)
def test_a_wrong_argument_is_named(arguments, named):
    with pytest.raises(ConfigError, match=named):
        ChromaHistory(**{"embedding": EMBEDDING, **arguments})


def test_credentials_belong_into_headers():
    with pytest.raises(ConfigError, match="headers") as caught:
        ChromaHistory("http://user:hunter2@localhost:8000", embedding=EMBEDDING)
    assert "hunter2" not in str(caught.value)


def test_an_embedding_without_a_lasting_name_is_for_memory_only(tmp_path):
    ChromaHistory(embedding=lambda text: [1.0]).close()
    with pytest.raises(ConfigError, match=r"Embedding\(function, name="):
        ChromaHistory(tmp_path, embedding=lambda text: [1.0])


@pytest.mark.parametrize("where", ["under a file", "/proc/llm-tiers"])
def test_a_folder_that_cannot_be_used_is_named(tmp_path, where):
    if where == "under a file":
        (tmp_path / "file").touch()
        where = tmp_path / "file" / "tiers"
    elif not Path("/proc").exists():
        pytest.skip("needs /proc")
    with pytest.raises(HistoryError, match=f"{where}.* choose a folder"):
        ChromaHistory(where, embedding=EMBEDDING)


@pytest.mark.parametrize(
    ("content", "said"), [("{", "damaged"), ('{"format": 99, "namespaces": {}}', "newer llm-tiers")]
)
def test_a_manifest_that_cannot_be_read_is_named_and_the_folder_stays_free(tmp_path, content, said):
    (tmp_path / "llm-tiers.json").write_text(content)
    for _ in range(2):
        with pytest.raises(HistoryError, match=said):
            ChromaHistory(tmp_path, embedding=EMBEDDING)


def test_a_server_that_is_not_there_is_named():
    with pytest.raises(HistoryUnreachable, match=r"http://127\.0\.0\.1:1 .*chroma run"):
        ChromaHistory("http://127.0.0.1:1", embedding=EMBEDDING)


@pytest.mark.parametrize("use", ["recall", "remember", "revise", "flush", "stats", "export", "prune"])
def test_a_closed_history_says_so(history, use):
    history.close()
    calls = {
        "recall": lambda: history.recall("x", node="", k=1),
        "remember": lambda: history.remember(record(1)),
        "revise": lambda: history.revise("t1", lambda held: {}),
        "flush": history.flush,
        "stats": history.stats,
        "export": history.export,
        "prune": lambda: history.prune(keep=1),
    }
    with pytest.raises(HistoryError, match="closed"):
        calls[use]()
    history.close()


def test_a_failing_embedding_does_not_stop_the_call(place, caplog):
    def broken(text):
        raise TimeoutError("no network")

    with ChromaHistory(place, embedding=Embedding(broken, name="broken")) as history:
        for _ in range(3):
            found = history.recall("x", node="n", k=1)
            assert "TimeoutError: no network" in found.error
            assert (found.neighbours, found.count, found.vector) == ((), 0, None)
        assert len(caplog.records) == 1
        with pytest.raises(TimeoutError):
            history.remember(record(1))


def test_a_damaged_store_does_not_stop_the_call(tmp_path, caplog):
    # Made by another process: Chroma closes its files some time after `close` has returned.
    script = """if True:
        import sys
        from llm_tiers.history import ChromaHistory, Embedding
        from llm_tiers.history.record import Record
        with ChromaHistory(sys.argv[1], embedding=Embedding(lambda text: [1.0] * 16, name="by-crc")) as history:
            history.remember(Record("t1", "n", 1.0, {}, "a", "a", ("a",), ("a",), None, text="x"))
    """
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True, timeout=60)
    for beside in tmp_path.glob("chroma.sqlite3-*"):
        beside.unlink()
    (tmp_path / "chroma.sqlite3").write_bytes(b"not a database" * 1000)
    history = ChromaHistory(tmp_path, embedding=EMBEDDING)
    found = history.recall("question 1", node="n", k=1)
    assert str(tmp_path) in found.error
    assert found.vector is not None
    with pytest.raises(HistoryError):
        history.remember(record(2))
    history.close()


def test_the_repr_shows_no_headers():
    with ChromaHistory(embedding=EMBEDDING) as history:
        assert repr(history) == "ChromaHistory('memory', namespace='default', embedding='by-crc')"


# Cost


def test_nothing_is_loaded_before_it_is_needed(tmp_path):
    script = """if True:
        import sys
        from llm_tiers.history import ChromaHistory, Embedding
        from llm_tiers.history.record import Record
        kept = Record("t1", "n", 1.0, {}, "a", "a", ("a",), ("a",), None, text="x")
        embedding = Embedding(lambda text: [1.0, 2.0], name="fixed")
        with ChromaHistory(embedding=embedding) as history:
            history.remember(kept)
            assert history.recall("x", node="n", k=1).count == 1
        assert "chromadb" not in sys.modules and "wordllama" not in sys.modules
        with ChromaHistory(sys.argv[1], embedding=embedding) as history:
            assert history.recall("x", node="n", k=1).count == 0
            assert "chromadb" not in sys.modules
            history.remember(kept)
        assert "chromadb" in sys.modules
        ChromaHistory(sys.argv[1], embedding=embedding).close()
    """
    subprocess.run([sys.executable, "-W", "error::ResourceWarning", "-c", script, str(tmp_path)], check=True)


def test_the_database_is_in_wal_mode(tmp_path):
    with ChromaHistory(tmp_path, embedding=EMBEDDING) as history:
        history.remember(record(1))
    connection = sqlite3.connect(tmp_path / "chroma.sqlite3")
    try:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    finally:
        connection.close()


def test_what_openai_looks_at_is_never_imported_in_the_background():
    """Its client peeks into sys.modules, and fails where another thread is half way through importing httpx."""
    code = """
import sys
from llm_tiers import ChromaHistory
from llm_tiers.history.record import Record
with ChromaHistory(embedding=lambda text: [1.0, 0.0]) as history:
    history.remember(Record("1", "", 1.0, {"a": True}, "a", "a", ("a",), ("a",), None, text="hi"))
    print(hasattr(sys.modules.get("httpx"), "Response"), "chromadb" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]

"""A history keeps within its limits: capacity, nodes, removed records."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest
from chromadb.api.models.Collection import Collection
from chromadb.errors import InternalError
from hypothesis import given, settings
from hypothesis import strategies as st
from past_calls import EMBEDDING, ids, record
from processes import eventually, run

from llm_tiers.errors import ConfigError, UnknownTrace
from llm_tiers.history import ChromaHistory
from llm_tiers.history.store import shelf as shelves
from llm_tiers.history.store import writer as writing


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


@settings(max_examples=15)
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
    with ChromaHistory(tmp_path, embedding=EMBEDDING, capacity=30, embedded=True) as history:
        for number in range(200):
            history.remember(record(number))
            if number % 20 == 19:
                history.flush()
        expected = ids(history.recall("question 190", node="n", k=30))
        assert expected[0] == "t190"
    (generation,) = _generations(tmp_path)
    assert generation >= 2
    with ChromaHistory(tmp_path, embedding=EMBEDDING, capacity=30, embedded=True) as history:
        assert ids(history.recall("question 190", node="n", k=30)) == expected
        history.remember(record(300))
        history.revise("t190", lambda held: {"large": True})
        history.flush()
        assert history.stats().records == 30


def test_recall_goes_on_while_a_collection_is_copied(tmp_path, monkeypatch):
    monkeypatch.setattr(shelves, "_LEAST_TOMBSTONES", 10)
    with ChromaHistory(tmp_path, embedding=EMBEDDING, capacity=20, embedded=True) as history:
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


@pytest.mark.parametrize(("times", "found"), [(2, 1), (3, 0)])
def test_a_record_that_is_removed_while_chroma_looks_costs_no_recall(tmp_path, monkeypatch, times, found):
    query, failures = Collection.query, ["Error executing plan: Internal error: Error finding id"] * times

    def fails_at_first(self, **arguments):
        if failures:
            raise InternalError(failures.pop())
        return query(self, **arguments)

    monkeypatch.setattr(Collection, "query", fails_at_first)
    with ChromaHistory(tmp_path, embedding=EMBEDDING, embedded=True) as history:
        history.remember(record(1))
        history.flush()
        recalled = history.recall("question 1", node="n", k=5)
    assert len(recalled.neighbours) == found
    assert bool(recalled.error) is not bool(found)


@pytest.mark.parametrize("crash", ["while copying", "before the original was dropped"])
def test_a_crash_while_a_collection_is_copied_loses_nothing(tmp_path, monkeypatch, crash):
    class Crash(BaseException):
        pass

    def die(*arguments, **named):
        raise Crash

    monkeypatch.setattr(shelves, "_LEAST_TOMBSTONES", 5)
    history = ChromaHistory(tmp_path, embedding=EMBEDDING, capacity=10, embedded=True)
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
    with ChromaHistory(tmp_path, embedding=EMBEDDING, capacity=10, embedded=True) as history:
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


def test_models_that_answer_some_calls_and_are_gone_take_no_memory_of_chroma(tmp_path):
    """An index that Chroma made in memory once is kept until the process ends, 2.6 MB each."""
    script = """
        import threading

        for number in range(20):
            history = ChromaHistory(embedding=EMBEDDING)
            for place in range(30):
                history.remember(record(place))
            assert history.recall("question 7", node="n", k=1).neighbours[0].record.id == "t7"
            say("llm-tiers-history" in {thread.name for thread in threading.enumerate()})
            history.close()
        say("chromadb" in sys.modules)
    """
    assert run(script, tmp_path) == ["False"] * 21


def test_a_history_in_memory_that_reaches_its_capacity_forgets_the_oldest():
    with ChromaHistory(embedding=EMBEDDING, capacity=5) as history:
        for number in range(10):
            history.remember(record(number))
        assert eventually(lambda: "t0" not in ids(history.recall("question 0", node="n", k=20)))
        assert ids(history.recall("question 9", node="n", k=10))[0] == "t9"


def test_the_writer_sleeps_while_fewer_records_wait_than_it_writes(monkeypatch):
    monkeypatch.setattr(writing, "_SECONDS_TO_WAIT", 600)
    writer = writing.Writer({"": SimpleNamespace(pending=40, capacity=1000)}, least=64)
    sleeping = threading.Thread(target=writer._sleep)
    sleeping.start()
    sleeping.join(0.2)
    still_asleep = sleeping.is_alive()
    writer.stop()
    sleeping.join()
    assert still_asleep


def test_a_history_in_memory_with_many_records_writes_them_by_itself():
    with ChromaHistory(embedding=EMBEDDING) as history:
        for number in range(200):
            history.remember(record(number))
        assert eventually(lambda: history.stats().records > 100)
        assert len(history.recall("question 9", node="n", k=500).neighbours) == 200

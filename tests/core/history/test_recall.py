"""What is recalled: the nearest of what is stored and of what waits."""

from __future__ import annotations

import dataclasses
import threading

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from past_calls import DIMENSION, EMBEDDING, brute_force, ids, record, vector_of

from llm_tiers.embedding import Embedding
from llm_tiers.history import ChromaHistory


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


@pytest.mark.parametrize("dimension", [16, 256])
def test_of_many_copies_of_one_query_none_is_lost(tmp_path, dimension):
    """Chroma's graph loses copies that lie equally far from each other, in long vectors above all."""
    query = np.random.default_rng(3).standard_normal(dimension).astype(np.float32)
    embedding = Embedding(lambda text: query, name="one-place")
    with ChromaHistory(tmp_path, embedding=embedding) as history:
        for number in np.random.default_rng(0).permutation(400):
            history.remember(record(int(number), vector=query / np.linalg.norm(query)))
        history.flush()
        found = ids(history.recall("", node="n", k=400))
        assert found == [f"t{number}" for number in range(399, -1, -1)]


def test_a_text_without_a_vector_resembles_nothing(place):
    silent = Embedding(lambda text: vector_of(text) if text else np.zeros(DIMENSION), name="silent")
    with ChromaHistory(place, embedding=silent) as history:
        for number in range(3):
            history.remember(record(number, text="" if number == 1 else None))
        history.flush()
        assert history.recall("", node="n", k=5) == history.recall("", node="n", k=5)
        assert (history.recall("", node="n", k=5).neighbours, history.recall("", node="n", k=5).count) == ((), 3)
        assert "t0" in ids(history.recall("question 0", node="n", k=5))


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
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
        found = complete = 0
        for query in table[1500:1600]:
            got = [n.similarity for n in history.recall("", node="n", k=10, vector=query).neighbours]
            found += got[0] == 1
            complete += got == pytest.approx(brute_force(table, query, 10), abs=2e-4)
        # Chroma adds to its graph from several threads, and leaves one record in eight thousand without a link to it.
        assert found >= 98
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


def test_new_nodes_can_be_asked_for_while_their_first_records_are_written(place):
    """Chroma's server counts the records of a new collection before it has an index of them."""
    with ChromaHistory(place, embedding=EMBEDDING) as history:
        nodes, errors, done = ["n0"], set(), threading.Event()

        def watch():
            while not done.is_set():
                errors.add(history.recall("question 1", node=nodes[-1], k=5).error)

        watchers = [threading.Thread(target=watch) for _ in range(2)]
        for watcher in watchers:
            watcher.start()
        for number in range(20):
            nodes.append(f"n{number}")
            for position in range(40):
                history.remember(record(100 * number + position, nodes[-1]))
            history.flush()
        done.set()
        for watcher in watchers:
            watcher.join()
        assert errors == {None}


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

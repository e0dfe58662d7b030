"""A study that needs every record: it sees each as it is now, with the very vector that was given."""

from __future__ import annotations

import dataclasses
import threading

import numpy as np
from past_calls import EMBEDDING, record, vector_of
from processes import eventually

from llm_tiers.history import ChromaHistory


@dataclasses.dataclass(frozen=True)
class Listing:
    """Lists the records of a node; a revised one is replaced where it stands."""

    name: str = "one"

    def start(self):
        return ()

    def learn(self, result, record):
        return (*result, record)

    def revise(self, result, before, after):
        assert [held.labels for held in result if held.id == before.id] == [before.labels]
        return tuple(after if held.id == before.id else held for held in result)


def seen(history, node="n", name="one"):
    return history.recall("question 1", node=node, k=0, study=Listing(name)).learned


def facts(records):
    return [(held.id, dict(held.labels), held.vector.tobytes()) for held in records]


def unit(text):
    return EMBEDDING.embed(text)


def test_it_starts_with_every_record_in_order_with_the_vector_that_was_given(tmp_path):
    # Many copies of one query, which Chroma keeps aside of each other.
    numbers = range(60)
    with ChromaHistory(tmp_path, embedding=EMBEDDING) as history:
        assert seen(history) == ()
        for number in numbers:
            history.remember(record(number, text=f"question {number % 3}"))
        live = seen(history)
    assert [held.id for held in live] == [f"t{number}" for number in numbers]
    assert [held.vector.tobytes() for held in live] == [unit(f"question {n % 3}").tobytes() for n in numbers]
    with ChromaHistory(tmp_path, embedding=EMBEDDING) as again:
        assert facts(seen(again)) == facts(live)


def test_it_learns_a_revision_whether_the_record_waits_or_is_stored(history):
    seen(history)
    for number in range(3):
        history.remember(record(number))
    history.revise("t1", lambda held: {"small": False})
    history.flush()
    history.revise("t2", lambda held: {"small": False})
    assert [held.labels["small"] for held in seen(history)] == [True, False, False]
    assert [held.vector.tobytes() for held in seen(history)] == [unit(f"question {n}").tobytes() for n in range(3)]


def test_one_that_starts_late_sees_records_and_revisions_that_wait(history):
    history.remember(record(0))
    history.remember(record(1))
    history.flush()
    history.revise("t0", lambda held: {"small": False})
    history.remember(record(2))
    assert [(held.id, held.labels["small"]) for held in seen(history)] == [("t0", False), ("t1", True), ("t2", True)]


def test_what_was_stored_before_it_was_asked_for_has_chromas_vector(tmp_path):
    with ChromaHistory(tmp_path, embedding=EMBEDDING) as history:
        history.remember(record(1))
    with ChromaHistory(tmp_path, embedding=EMBEDDING) as again:
        (held,) = seen(again)
    expected = vector_of("question 1") / np.linalg.norm(vector_of("question 1"))
    np.testing.assert_allclose(held.vector, expected, atol=1e-6)


def test_a_node_sees_the_records_under_it_and_no_others(history):
    for number, node in enumerate(("a", "a/b", "c")):
        history.remember(record(number, node))
    history.flush()
    history.revise("t1", lambda held: {"small": False})
    assert [held.id for held in seen(history, "a")] == ["t0", "t1"]
    assert [held.id for held in seen(history, "a/b")] == ["t1"]
    history.revise("t2", lambda held: {})
    assert [held.id for held in seen(history, "a")] == ["t0", "t1"]


def test_asked_for_no_neighbours_a_history_still_counts(history):
    history.remember(record(1))
    history.flush()
    found = history.recall("question 1", node="n", k=0)
    assert (found.neighbours, found.count) == ((), 1)


def test_an_export_does_not_show_what_only_a_study_needs(history):
    seen(history)
    history.remember(record(1))
    (line,) = history.export()
    assert "vector" not in line


def test_a_study_that_begins_while_much_is_written_does_not_wait_for_the_writer_without_end(tmp_path):
    """The writer waits for the studies, to keep what they know; one that begins waits for the writer."""
    with ChromaHistory(tmp_path, embedding=EMBEDDING) as history:
        history.remember(record(0))
        history.flush()
        for number in range(1, 1_001):
            history.remember(record(number))

        @dataclasses.dataclass(frozen=True)
        class Slow(Listing):
            name: str = "slow"

            def start(self):
                # Where the other thread can write meanwhile, it comes to its end before this goes on.
                eventually(lambda: not history._library.pending, seconds=3)
                return ()

        asking = threading.Thread(
            target=history.recall, args=("q",), kwargs={"node": "n", "k": 0, "study": Slow()}, daemon=True
        )
        asking.start()
        writing = threading.Thread(target=history.flush, daemon=True)
        writing.start()
        asking.join(30)
        writing.join(30)
        assert not asking.is_alive()
        assert not writing.is_alive()
        assert len(history.recall("q", node="n", k=0, study=Slow()).learned) == 1_001

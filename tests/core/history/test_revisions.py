"""Labels can be revised, whether the record waits or is stored."""

from __future__ import annotations

import dataclasses
import threading

import pytest
from past_calls import EMBEDDING, record

from llm_tiers.errors import ConfigError, UnknownTrace
from llm_tiers.history import ChromaHistory


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
    with pytest.raises(UnknownTrace, match=r"'nope'.*teaches nothing"):
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


def test_a_revision_may_replace_what_else_is_known_of_a_call(tmp_path):
    changed = {"grades": {"feedback": {"large": 0.75}}, "verdicts": {"small": True}, "grading_usd": None}
    with ChromaHistory(tmp_path, embedding=EMBEDDING) as history:
        history.remember(record(1))
        revised = history.revise("t1", lambda held: dataclasses.replace(held, **changed))
    with ChromaHistory(tmp_path, embedding=EMBEDDING) as history:
        (found,) = history.recall("question 1", node="n", k=1).neighbours
    assert found.record == revised == dataclasses.replace(record(1), text=None, **changed)


def test_a_revision_leaves_a_record_in_its_place(history):
    history.remember(record(1))
    history.revise("t1", lambda held: dataclasses.replace(held, id="other", node="elsewhere", created=0.0))
    (found,) = history.recall("question 1", node="n", k=2).neighbours
    assert (found.record.id, found.record.node, found.record.created) == ("t1", "n", 1001.0)

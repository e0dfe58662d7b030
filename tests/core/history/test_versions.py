"""A history says which version wrote it: older ones are read and filled in, newer ones refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from past_calls import EMBEDDING, ids, record

from llm_tiers.errors import ConfigError, HistoryError
from llm_tiers.history import ChromaHistory
from llm_tiers.history.store import facts, title

FIRST_KEYS = ("node", "labels", "start", "final", "answered", "agreed", "cost_usd")
"""What a record of the first release has."""


@pytest.fixture
def of_the_first_release(tmp_path, monkeypatch):
    """A folder as the first release wrote it: records with few keys, and no file beside them."""
    real = facts._facts
    monkeypatch.setattr(facts, "_facts", lambda kept: {key: real(kept)[key] for key in FIRST_KEYS})
    with ChromaHistory(tmp_path, embedding=EMBEDDING) as history:
        history.remember(record(1))
    monkeypatch.undo()
    (tmp_path / "llm-tiers.json").unlink()
    return tmp_path


def test_an_older_history_is_read_and_filled_in_with_the_next_change(of_the_first_release):
    with ChromaHistory(of_the_first_release, embedding=EMBEDDING) as history:
        (found,) = history.recall("question 1", node="n", k=1).neighbours
        assert (found.record.id, found.record.said, found.record.grading_usd) == ("t1", {}, 0.0)
        history.revise("t1", lambda held: {"large": True})
        history.remember(record(2, "another"))
    with ChromaHistory(of_the_first_release, embedding=EMBEDDING) as history:
        assert {shown["id"]: shown["rule"] for shown in history.export()} == {"t1": None, "t2": record(2).rule}
        assert ids(history.recall("question 1", node="n", k=1)) == ["t1"]
    assert json.loads((of_the_first_release / "llm-tiers.json").read_text())["format"] == 1


@pytest.mark.parametrize("embedded", [False, True])
def test_an_older_version_is_read_as_it_is_and_replaced_with_the_first_record_that_is_added(
    tmp_path, monkeypatch, embedded
):
    def opened():
        return ChromaHistory(tmp_path, embedding=EMBEDDING, embedded=embedded)

    with monkeypatch.context() as older:
        older.setattr(title, "SCHEMA", 0)
        with opened() as history:
            history.remember(record(1))
    with opened() as history:
        assert ids(history.recall("question 1", node="n", k=1)) == ["t1"]
    with monkeypatch.context() as older:
        older.setattr(title, "SCHEMA", 0)
        with opened() as history:
            assert ids(history.recall("question 1", node="n", k=1)) == ["t1"]
    with opened() as history:
        history.remember(record(2))
        history.flush()
        assert history.recall("question 1", node="n", k=2).count == 2
    # Now there are records that the older one might not understand.
    with monkeypatch.context() as older:
        older.setattr(title, "SCHEMA", 0)
        with opened() as history:
            assert "newer llm-tiers (schema 1, this one knows 0)" in history.recall("x", node="n", k=1).error


def test_a_newer_history_is_refused_with_the_fix(tmp_path, monkeypatch):
    monkeypatch.setattr(title, "SCHEMA", 99)
    with ChromaHistory(tmp_path, embedding=EMBEDDING) as history:
        history.remember(record(1))
    monkeypatch.undo()
    with ChromaHistory(tmp_path, embedding=EMBEDDING, namespace="another") as history:
        history.remember(record(1))
        history.flush()
    history = ChromaHistory(tmp_path, embedding=EMBEDDING)
    assert "newer llm-tiers (schema 99, this one knows 1): upgrade" in history.recall("x", node="n", k=1).error
    history.remember(record(2))
    with pytest.raises(HistoryError, match="newer llm-tiers"):
        history.close()


def test_a_vector_that_is_not_finite_is_refused_with_the_embedding(place):
    broken = np.full(16, np.nan)
    with ChromaHistory(place, embedding=EMBEDDING) as history:
        with pytest.raises(ConfigError, match=r"not finite.*'by-crc'"):
            history.remember(record(1, vector=broken))
        assert "not finite" in history.recall("x", node="n", k=1, vector=broken).error

"""What is stored, and what is not."""

from __future__ import annotations

import dataclasses
import json
from contextlib import suppress

import numpy as np
import pytest
from past_calls import DIMENSION, EMBEDDING, record

from llm_tiers.errors import ConfigError, EmbeddingMismatch
from llm_tiers.history import ChromaHistory


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
        "profiled": False,
        "grades": {"grader": {"small": 0.25, "large": 1.0}, "feedback": {"large": 0.0}},
        "verdicts": {"small": False},
        "verdict_costs": {"small": 0.0002},
        "contradicted": {"small": True},
        "grading_usd": 0.002,
        "rule": "small+medium>large",
        "chance": 0.2,
        "complete_chance": 0.05,
        "planned": "small",
        "tiered": "large",
        "tiered_usd": 0.03,
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

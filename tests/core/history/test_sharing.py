"""Histories of one place share it; others are private."""

from __future__ import annotations

import gc
import os
import subprocess
import sys

import pytest
from past_calls import EMBEDDING, ids, record, vector_of

from llm_tiers.embedding import Embedding
from llm_tiers.errors import ConfigError, UnknownTrace
from llm_tiers.history import ChromaHistory


def test_histories_in_memory_are_private():
    with ChromaHistory(embedding=EMBEDDING) as one, ChromaHistory(embedding=EMBEDDING) as other:
        one.remember(record(1))
        one.flush()
        assert other.recall("question 1", node="n", k=1).count == 0


def test_many_histories_may_open_chroma_at_once():
    """Chroma's own register of open stores breaks where two threads open one at a time."""
    code = """
import threading
from llm_tiers import ChromaHistory, Embedding
from llm_tiers.history import Record

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

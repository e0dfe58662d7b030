"""Nothing is loaded before it is needed."""

from __future__ import annotations

import gc
import sqlite3
import subprocess
import sys
import tracemalloc

from past_calls import EMBEDDING, record

from llm_tiers.history import ChromaHistory


def test_nothing_is_loaded_before_it_is_needed(tmp_path):
    script = """if True:
        import sys
        from llm_tiers import ChromaHistory, Embedding
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


def test_a_record_that_is_kept_in_memory_takes_little(tmp_path):
    number = 2_000
    with ChromaHistory(tmp_path, embedding=EMBEDDING) as history:
        history.remember(record(0))
        history.flush()
        tracemalloc.start()
        try:
            for position in range(1, number + 1):
                history.remember(record(position))
            history.flush()
            gc.collect()
            kept, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    # Of Python's memory; Chroma's index is beside it.
    assert kept / number < 1_500


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

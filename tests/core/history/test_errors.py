"""Errors name what is wrong; a failing history never stops a call."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from past_calls import DIMENSION, EMBEDDING, record, vector_of

from llm_tiers.embedding import Embedding
from llm_tiers.errors import ConfigError, EmbeddingMismatch, HistoryError, HistoryUnreachable
from llm_tiers.history import ChromaHistory


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
        ({"embedded": True}, "embedded"),
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
        from llm_tiers import ChromaHistory, Embedding
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
    # It waits, and whoever asks is told that it is not kept.
    history.remember(record(2))
    with pytest.raises(HistoryError, match="llm-tiers history repair"):
        history.close()


def test_the_repr_shows_no_headers():
    with ChromaHistory(embedding=EMBEDDING) as history:
        assert repr(history) == "ChromaHistory('memory', namespace='default', embedding='by-crc')"


def test_a_vector_of_another_length_is_told_with_the_embedding(place):
    lengths = iter([4, 4, 5, 5])
    uneven = Embedding(lambda text: np.ones(next(lengths)), name="uneven")
    with ChromaHistory(place, embedding=uneven) as history:
        history.remember(record(1))
        assert history.recall("x", node="n", k=1).error is None
        assert "'uneven' returned 5 numbers after 4 before" in history.recall("x", node="n", k=1).error
        with pytest.raises(ConfigError, match="must have the same length"):
            history.remember(record(2))

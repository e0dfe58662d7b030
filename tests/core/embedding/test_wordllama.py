"""WordLlama: the default, read from its package's files."""

from __future__ import annotations

import json
import logging
import subprocess
import sys

import pytest

from llm_tiers.embedding import as_embedding, choice
from llm_tiers.errors import ConfigError, EmbeddingMismatch
from llm_tiers.history import ChromaHistory
from llm_tiers.history.record import Record


def test_wordllama_is_the_default_and_needs_no_network():
    embedding = as_embedding(None)
    alike, other = embedding.embed("What is the capital of France?"), embedding.embed("Solve x^2 = 4 for x.")
    query = embedding.embed("Name the capital city of France.")
    assert embedding.dimension == 256
    assert query @ alike > 0.7 > query @ other
    assert not embedding.embed("").any()
    assert as_embedding("wordllama").name == embedding.name


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="wordllama's own code has no wheel for this Python")
@pytest.mark.parametrize(
    "text", ["How do I reverse a list in Python? 日本語 too.", "x", "Solve $x^2 = 4$.\n\n  Then y." * 50, "😀 naïve"]
)
def test_wordllama_gives_what_its_own_embed_gives(text):
    # Another process: importing wordllama configures logging.
    script = """if True:
        import json, sys
        from pathlib import Path
        import wordllama
        model = wordllama.WordLlama.load(cache_dir=Path(wordllama.__file__).parent, disable_download=True)
        print(json.dumps(model.embed(sys.argv[1], norm=True)[0].tolist()))
    """
    done = subprocess.run([sys.executable, "-c", script, text], capture_output=True, text=True, check=True)
    assert as_embedding(None).embed(text) == pytest.approx(json.loads(done.stdout), abs=1e-6)


def test_wordllama_is_read_late_without_its_code_and_leaves_logging_alone():
    script = """if True:
        import json, logging, sys
        from llm_tiers.embedding import as_embedding
        embedding = as_embedding(None)
        late = not {"tokenizers", "safetensors"} & sys.modules.keys()
        embedding.embed("x")
        root = logging.getLogger()
        print(json.dumps([late, "wordllama" in sys.modules, len(root.handlers), root.level]))
    """
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert json.loads(out) == [True, False, 0, logging.WARNING]


@pytest.fixture
def no_wordllama(monkeypatch):
    monkeypatch.setattr("llm_tiers.embedding.choice.find_wordllama", lambda: None)
    choice._say_once_that_hashes_stand_in.cache_clear()
    yield
    choice._say_once_that_hashes_stand_in.cache_clear()


def test_without_wordllama_hashes_stand_in_and_say_so_once(no_wordllama, caplog):
    embedding = as_embedding(None)
    assert embedding.name == as_embedding("hashed").name
    assert embedding.embed("x").any()
    as_embedding(None)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "pip install wordllama" in record.getMessage()


def test_wordllama_by_name_is_refused_where_it_is_not_installed(no_wordllama):
    with pytest.raises(ConfigError, match="pip install wordllama"):
        as_embedding("wordllama")


def test_a_history_of_wordllama_is_refused_where_hashes_stand_in(tmp_path):
    with ChromaHistory(tmp_path) as history:
        history.remember(Record("t1", "", 1.0, {"a": True}, "a", "a", ("a",), ("a",), cost_usd=None, text="hello"))
    with pytest.raises(EmbeddingMismatch, match="hashed"):
        ChromaHistory(tmp_path, embedding="hashed")

"""all-MiniLM-L6-v2 from a folder or from Chroma's cache."""

from __future__ import annotations

import pickle
import shutil
import time

import httpx
import minilm_model
import numpy as np
import pytest
from chromadb.utils.embedding_functions import ONNXMiniLM_L6_V2
from safetensors.numpy import load_file

from llm_tiers.embedding import MiniLM, as_embedding
from llm_tiers.errors import ConfigError


@pytest.fixture(scope="session")
def bundled():
    return minilm_model.bundled_folder()


@pytest.fixture(scope="session")
def folder(bundled, tmp_path_factory):
    """A folder as a user names it."""
    made = tmp_path_factory.mktemp("minilm")
    minilm_model.write_graph(load_file(bundled / "model.safetensors"), made / "model.onnx")
    shutil.copy(bundled / "tokenizer.json", made)
    return made


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Chroma's cache, empty, below a folder of the test."""
    monkeypatch.setattr(ONNXMiniLM_L6_V2, "DOWNLOAD_PATH", tmp_path / "cache")
    return tmp_path / "cache" / ONNXMiniLM_L6_V2.EXTRACTED_FOLDER_NAME


def test_it_finds_what_means_the_same(folder):
    embedding = as_embedding(MiniLM(folder))
    query = embedding.embed("How do I reverse a list in Python?")
    assert embedding.dimension == 384
    assert query @ embedding.embed("Turning a Python list around") > 0.6
    assert query @ embedding.embed("The weather in Lisbon is mild.") < 0.2
    # Past 256 word pieces nothing counts.
    assert embedding.embed("a " * 300) == pytest.approx(embedding.embed("a " * 400), abs=1e-6)
    assert np.isfinite(embedding.embed("")).all()


def test_its_vectors_are_those_of_the_weights(folder, bundled):
    embedding, reference = as_embedding(MiniLM(folder)), minilm_model.NumpyMiniLM(bundled)
    for text in ("How do I reverse a list?", "", "Où est la gare? 日本", "word " * 400):
        assert embedding.embed(text) == pytest.approx(reference(text), abs=1e-5)


def test_histories_know_it_by_the_name_that_it_always_had(folder):
    embedding = as_embedding(MiniLM(folder))
    assert embedding.name == "minilm:all-MiniLM-L6-v2"
    assert embedding.lasting


def test_a_pickled_copy_gives_the_same(folder):
    embed = MiniLM(folder)
    assert pickle.loads(pickle.dumps(embed))("x").tolist() == embed("x").tolist()  # noqa: S301


@pytest.mark.parametrize("missing", ["model.onnx", "tokenizer.json"])
def test_a_folder_without_the_model_is_refused_with_the_missing_file(tmp_path, missing):
    for name in {"model.onnx", "tokenizer.json"} - {missing}:
        (tmp_path / name).touch()
    with pytest.raises(ConfigError, match=f"{missing} is missing in"):
        MiniLM(tmp_path)


def test_the_cache_is_used_without_the_network(folder, cache, monkeypatch):
    shutil.copytree(folder, cache)
    monkeypatch.setattr(httpx, "stream", None)
    assert as_embedding("minilm").embed("x").tolist() == as_embedding(MiniLM(folder)).embed("x").tolist()


def test_without_cache_and_network_the_error_says_what_to_copy(cache, monkeypatch):
    monkeypatch.setattr(ONNXMiniLM_L6_V2, "MODEL_DOWNLOAD_URL", "http://127.0.0.1:9/onnx.tar.gz")
    began = time.monotonic()
    with pytest.raises(ConfigError, match=r"could not be downloaded \(ConnectError\).*MiniLM\(folder="):
        as_embedding("minilm")
    assert time.monotonic() - began < 10

"""LangChain's embeddings serve as a history's embedding."""

from __future__ import annotations

import numpy as np
import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings

from llm_tiers.embedding import as_embedding
from llm_tiers.history import ChromaHistory
from llm_tiers.history.record import Record


class Named(Embeddings):
    def __init__(self, model):
        self.model = model
        self.openai_api_key = "sk-secret"

    def embed_documents(self, texts):
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text):
        return [float(len(text)), 1.0]


def test_an_embeddings_object_is_wrapped():
    embedding = as_embedding(DeterministicFakeEmbedding(size=16))
    assert embedding.embed("a") @ embedding.embed("a") == pytest.approx(1, abs=1e-6)
    assert embedding.embed("a") @ embedding.embed("b") < 0.99
    assert embedding.embed("a").dtype == np.float32
    assert embedding.name == "DeterministicFakeEmbedding"


def test_the_name_holds_the_model_but_no_key():
    assert as_embedding(Named("small")).name == "Named:small"
    assert "sk-secret" not in repr(as_embedding(Named("small")))


def test_a_history_uses_it(tmp_path):
    with ChromaHistory(tmp_path, embedding=DeterministicFakeEmbedding(size=16)) as history:
        history.remember(Record("t1", "", 1.0, {"a": True}, "a", "a", ("a",), ("a",), cost_usd=None, text="hello"))
        assert history.recall("hello", node="", k=1).neighbours[0].similarity == 1

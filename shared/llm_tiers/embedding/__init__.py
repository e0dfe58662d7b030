"""Texts as vectors."""

from llm_tiers.embedding.choice import as_embedding
from llm_tiers.embedding.embedding import Embedding
from llm_tiers.embedding.minilm import MiniLM
from llm_tiers.embedding.vector import Vector

__all__ = ["Embedding", "MiniLM", "Vector", "as_embedding"]

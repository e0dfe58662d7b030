"""Texts as vectors."""

from llm_tiers.embedding.embedding import Embedding, as_embedding
from llm_tiers.embedding.vector import Vector

__all__ = ["Embedding", "Vector", "as_embedding"]

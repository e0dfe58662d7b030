"""The embedding that comes with llm-tiers, for LlamaIndex's indices; one needs no network for it."""

from __future__ import annotations

from llama_index.core.base.embeddings.base import BaseEmbedding

from llm_tiers.embedding import as_embedding


class WordLlama(BaseEmbedding):
    """WordLlama, as LlamaIndex takes an embedding."""

    def _get_text_embedding(self, text: str) -> list[float]:
        return [float(number) for number in as_embedding(None).embed(text)]

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

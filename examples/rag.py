"""One LLM in a RAG pipeline: looking up and comparing find their own tiers. Offline, real clients.

    pip install 'llm-tiers[llamaindex]' && python examples/rag.py

A vector index over six facts, and on it two query engines of one class with different templates: their calls are told
apart by themselves. The server plays three models of OpenAI's: all can look a fact up, but the smallest cannot compare.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llama_index.core import Document, VectorStoreIndex
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.prompts import PromptTemplate, PromptType
from llama_index.llms.openai import OpenAI

from llamaindex_tiers import TieredLLM
from llm_tiers import AccuracyEstimator, Trace
from llm_tiers.embedding import as_embedding
from llm_tiers.testing import LoopbackRequest, LoopbackServer, Reply

TIERS = ("gpt-4.1-nano", "gpt-4.1-mini", "gpt-4.1")
RIVERS = {"Nile": 6650, "Amazon": 6400, "Yangtze": 6300, "Danube": 2850, "Rhine": 1230, "Thames": 346}
TEMPLATES = {
    "look up": "Answer from the context alone.\n{context_str}\nQuestion: {query_str}",
    "compare": "Compare what the context tells, number by number.\n{context_str}\nQuestion: {query_str}",
}
QUESTIONS = {
    "look up": [f"How long is the {river}?" for river in RIVERS],
    "compare": [f"Is the {one} longer than the {other}?" for one, other in zip(RIVERS, list(RIVERS)[1:], strict=False)],
}


class WordLlama(BaseEmbedding):
    """The embedding that comes with llm-tiers, for the index; one needs no network for it."""

    def _get_text_embedding(self, text: str) -> list[float]:
        return [float(number) for number in as_embedding(None).embed(text)]

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)


def small(request: LoopbackRequest) -> Reply:
    right = request.ask.startswith("Answer from the context")
    return Reply("As the context says. [right]" if right else "Hard to say. [wrong]", output_tokens=60)


def able(request: LoopbackRequest) -> Reply:
    if request.judges:
        return Reply("no" if "[wrong]" in request.ask else "yes", output_tokens=1)
    return Reply("As the numbers say. [right]", output_tokens=60)


@contextmanager
def tiered(traces: list[Trace]) -> Iterator[TieredLLM]:
    with LoopbackServer(dict(zip(TIERS, (small, able, able), strict=True))) as server:
        tiers = [OpenAI(model=name, api_base=server.base_url, api_key="unused") for name in TIERS]
        # Few neighbours, so that a dozen calls show what a day's traffic does with the defaults.
        starter = AccuracyEstimator(k=3, strength=1, explore=0)
        with TieredLLM(tiers, policy="estimate", starter=starter, on_trace=traces.append) as llm:
            yield llm


def engine_of(index: VectorStoreIndex, llm: TieredLLM, template: str) -> Any:
    prompt = PromptTemplate(template, prompt_type=PromptType.QUESTION_ANSWER)
    return index.as_query_engine(llm=llm, text_qa_template=prompt, similarity_top_k=2)


def main() -> None:
    facts = [Document(text=f"The {river} is {length} km long.") for river, length in RIVERS.items()]
    index = VectorStoreIndex.from_documents(facts, embed_model=WordLlama())
    traces: list[Trace] = []
    with tiered(traces) as llm:
        for task, template in TEMPLATES.items():
            engine = engine_of(index, llm, template)
            for question in QUESTIONS[task]:
                engine.query(question)
                trace = traces[-1]
                print(f"{trace.node:16} {question:40} {trace.start:>12} -> {trace.final:12} US$ {trace.cost_usd:.6f}")


if __name__ == "__main__":
    main()

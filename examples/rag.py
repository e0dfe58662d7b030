"""One LLM in a RAG pipeline: looking up and comparing find their own tiers.

    pip install -e '.[llamaindex]'
    python examples/rag.py            # offline
    python examples/rag.py --live     # eleven questions for OpenAI's models, with OPENAI_API_KEY

A vector index over six facts, and on it two query engines of one class with different templates: their calls are told
apart by themselves. Offline all models can look a fact up, but the smallest cannot compare.
"""

from __future__ import annotations

from itertools import pairwise

from index_embedding import WordLlama
from llama_index.core import Document, VectorStoreIndex
from llama_index.core.prompts import PromptTemplate, PromptType
from llama_index.llms.openai import OpenAI
from offline import TIERS, offline_unless_live

from llamaindex_tiers import TieredLLM
from llm_tiers import AccuracyEstimator, Trace
from llm_tiers.testing import LoopbackRequest

RIVERS = {"Nile": 6650, "Amazon": 6400, "Yangtze": 6300, "Danube": 2850, "Rhine": 1230, "Thames": 346}
LOOK_UP = "Answer from the context alone.\n{context_str}\nQuestion: {query_str}"
COMPARE = "Compare what the context tells, number by number.\n{context_str}\nQuestion: {query_str}"
QUESTIONS = {
    LOOK_UP: [f"How long is the {river}?" for river in RIVERS],
    COMPARE: [f"Is the {one} longer than the {other}?" for one, other in pairwise(RIVERS)],
}


def play(request: LoopbackRequest) -> str:
    """Play a model; as a judge it sees what is not known."""
    if request.judges:
        return "no" if "Hard to say." in request.ask else "yes"
    unable = request.model == TIERS[0] and request.ask.startswith("Compare")
    return "Hard to say." if unable else "As the context says."


def show(trace: Trace) -> None:
    print(f"{trace.node:16} {trace.start:>10} -> {trace.final:10} US$ {trace.cost_usd:.6f}")


with offline_unless_live(dict.fromkeys(TIERS, play)):
    index = VectorStoreIndex(
        [Document(text=f"The {river} is {length} km long.") for river, length in RIVERS.items()],
        embed_model=WordLlama(),
    )
    # Few neighbours, so that a dozen calls show what a day's traffic does with the defaults.
    starter = AccuracyEstimator(k=3, strength=1, explore=0)
    with TieredLLM([OpenAI(name) for name in TIERS], starter=starter, on_trace=show) as llm:
        for template, questions in QUESTIONS.items():
            prompt = PromptTemplate(template, prompt_type=PromptType.QUESTION_ANSWER)
            engine = index.as_query_engine(llm=llm, text_qa_template=prompt, similarity_top_k=2)
            for question in questions:
                print(f"{question:40}", end="")
                engine.query(question)

"""Feedback on the answers of a query engine, and a listener for what its LLM decides.

    pip install -e '.[llamaindex]'
    python examples/rag_feedback.py            # offline
    python examples/rag_feedback.py --live     # six questions for OpenAI's models, with OPENAI_API_KEY

Nobody judges the answers. Users say of some that they are wrong: the response of the query engine has the trace id that
`feedback` takes. Offline the smallest model cannot compare; soon such questions go one tier up.
"""

from __future__ import annotations

from typing import Any

from llama_index.core import SummaryIndex
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.schema import TextNode
from llama_index.llms.openai import OpenAI
from offline import TIERS, offline_unless_live

from llamaindex_tiers import TierDecision, TieredLLM
from llm_tiers import AccuracyEstimator, Unjudged
from llm_tiers.testing import LoopbackRequest

RIVERS = {"Nile": 6650, "Amazon": 6400, "Yangtze": 6300, "Danube": 2850, "Rhine": 1230, "Thames": 346}


def play(request: LoopbackRequest) -> str:
    able = "No." if "Is the Thames" in request.ask else "Yes."
    return "I could not say." if request.model == TIERS[0] else able


class Decisions(BaseEventHandler):
    """Prints what the LLM decides, wherever in the application it is called."""

    def handle(self, event: Any, **_: Any) -> None:
        if isinstance(event, TierDecision):
            trace = event.trace
            print(f"  decided: {trace['final']} at {trace['node'].partition('/')[0]}, US$ {trace['cost_usd']:.6f}")


def main() -> None:
    get_dispatcher().add_event_handler(Decisions())
    index = SummaryIndex([TextNode(text=f"The {river} is {length} km long.") for river, length in RIVERS.items()])
    with offline_unless_live(dict.fromkeys(TIERS, play)):
        starter = AccuracyEstimator(k=3, strength=1, explore=0)
        with TieredLLM([OpenAI(name) for name in TIERS], starter=starter, judge=Unjudged()) as llm:
            engine = index.as_query_engine(llm=llm)
            for river, length in RIVERS.items():
                response = engine.query(f"Is the {river} longer than 1,000 km? Answer yes or no.")
                tiers_said = response.metadata["tiers"]
                right = str(response).lower().startswith("yes" if length > 1000 else "no")
                llm.feedback(tiers_said["trace_id"], correct=right)
                print(f"{river:8} {tiers_said['tier']:12} {'right' if right else 'wrong'}")


if __name__ == "__main__":
    main()

"""Feedback on the answers of a query engine, and a listener for what its LLM decides. Offline, real clients.

    pip install 'llm-tiers[llamaindex]' && python examples/rag_feedback.py

The smallest of three models of OpenAI's answers every question, and nobody judges it. Users say of some answers that
they are wrong. The response of the query engine has the trace id that `feedback` takes; soon such questions go one tier
up.
"""

from __future__ import annotations

from typing import Any

from llama_index.core import SummaryIndex
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.schema import TextNode
from llama_index.llms.openai import OpenAI

from llamaindex_tiers import TierDecision, TieredLLM
from llm_tiers import AccuracyEstimator, Unjudged
from llm_tiers.testing import LoopbackServer, Reply

TIERS = ("gpt-4.1-nano", "gpt-4.1-mini", "gpt-4.1")
RIVERS = {"Nile": 6650, "Amazon": 6400, "Yangtze": 6300, "Danube": 2850, "Rhine": 1230, "Thames": 346}


class Decisions(BaseEventHandler):
    """Prints what the LLM decides, wherever in the application it is called."""

    @classmethod
    def class_name(cls) -> str:
        """Return the name of the handler."""
        return "Decisions"

    def handle(self, event: Any, **_: Any) -> None:
        """Take an event; those of other kinds are no decision."""
        if isinstance(event, TierDecision):
            trace = event.trace
            print(f"  decided: {trace['final']} at {trace['node'].partition('/')[0]}, US$ {trace['cost_usd']:.6f}")


def main() -> None:
    get_dispatcher().add_event_handler(Decisions())
    index = SummaryIndex([TextNode(text=f"The {river} is {length} km long.") for river, length in RIVERS.items()])
    replies = (Reply("I cannot say."), Reply("As the numbers say."), Reply("As the numbers say."))
    with LoopbackServer(dict(zip(TIERS, replies, strict=True))) as server:
        tiers = [OpenAI(model=name, api_base=server.base_url, api_key="unused") for name in TIERS]
        starter = AccuracyEstimator(k=3, strength=1, explore=0)
        with TieredLLM(tiers, starter=starter, judge=Unjudged()) as llm:
            engine = index.as_query_engine(llm=llm)
            for river in RIVERS:
                response = engine.query(f"Is the {river} longer than 1,000 km?")
                tiers_said = response.metadata["tiers"]
                right = str(response) == "As the numbers say."
                llm.feedback(tiers_said["trace_id"], correct=right)
                print(f"{river:8} {tiers_said['tier']:12} {'right' if right else 'wrong'}")


if __name__ == "__main__":
    main()

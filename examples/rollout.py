"""Switch tiers on without fear: observe, then tier a share of the conversations, then all. Offline, real clients.

pip install 'llm-tiers[langchain]' && python examples/rollout.py
"""

from __future__ import annotations

import re
import tempfile

from langchain_openai import ChatOpenAI

from langchain_tiers import TieredChatModel
from llm_tiers.testing import LoopbackRequest, LoopbackServer

PRICES = {"small": (0.05, 0.4), "medium": (0.25, 2.0), "large": (1.25, 10.0)}
SUMS = [f"What is {number} + {13 * number % 29}?" for number in range(40)]


def add(request: LoopbackRequest, most: int) -> str:
    """Add as a model does that carries numbers up to `most` only."""
    one, other = map(int, re.findall(r"\d+", request.ask)[:2])
    return f"The answer is {one + other if one + other <= most else one}."


def spent(model: TieredChatModel) -> str:
    """Ask everything, and say how many calls were served by the large model alone, and what all of them cost."""
    traces = [model.invoke(question).response_metadata["tiers"] for question in SUMS]
    served = sum(trace["reason"].startswith("observed") for trace in traces)
    return f"{served:2} of {len(traces)} served as before, US$ {sum(trace['cost_usd'] for trace in traces):.5f}"


def main() -> None:
    scripts = {
        name: lambda request, most=most: add(request, most) for name, most in zip(PRICES, (30, 60, 99), strict=True)
    }
    with LoopbackServer(scripts) as server, tempfile.TemporaryDirectory() as folder:
        tiers = [ChatOpenAI(model=name, base_url=server.base_url, api_key="unused", max_retries=0) for name in PRICES]
        shared = {"tiers": tiers, "prices": PRICES, "history": folder}

        # The large model answers as before; the others are asked off the path, for a third of the spend at most.
        with TieredChatModel(**shared, mode="observe", serve="large", observe_share=0.3) as model:
            print("observe:", spent(model))
            model.flush_grades()  # waits for what is asked off the path
            print(model.observed())

        # The same history: what was learned carries over.
        with TieredChatModel(**shared, mode="observe", serve="large", ramp=0.3) as model:
            print("ramp=0.3:", spent(model))
        with TieredChatModel(**shared) as model:
            print("all:", spent(model))


if __name__ == "__main__":
    main()

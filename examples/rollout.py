"""Switch tiers on without fear: observe, then tier a share of the conversations, then all.

pip install -e '.[langchain]'
python examples/rollout.py            # offline
python examples/rollout.py --live     # 120 sums for OpenAI's models, with OPENAI_API_KEY
"""

from __future__ import annotations

import tempfile

from langchain_openai import ChatOpenAI
from offline import TIERS, adding_up_to, offline_unless_live

from langchain_tiers import TieredChatModel

SUMS = [f"What is {number} + {13 * number % 29}?" for number in range(40)]


def spent(model: TieredChatModel) -> str:
    """Ask everything, and say how many calls the large model served as before, and what all of them cost."""
    traces = [model.invoke(question).response_metadata["tiers"] for question in SUMS]
    served = sum(trace["reason"].startswith("observed") for trace in traces)
    return f"{served:2} of {len(traces)} served as before, US$ {sum(trace['cost_usd'] for trace in traces):.5f}"


def main() -> None:
    scripts = dict(zip(TIERS, map(adding_up_to, (30, 60, 99)), strict=True))
    with offline_unless_live(scripts), tempfile.TemporaryDirectory() as folder:
        shared = {"tiers": [ChatOpenAI(model=name) for name in TIERS], "history": folder}

        # The large model answers as before; the others are asked off the path, for a third of the spend at most.
        with TieredChatModel(**shared, mode="observe", serve="gpt-5", observe_share=0.3) as model:
            print("observe:", spent(model))
            model.flush_grades()  # waits for what is asked off the path
            print(model.observed())

        # The same history: what was learned carries over.
        with TieredChatModel(**shared, mode="observe", serve="gpt-5", ramp=0.3) as model:
            print("ramp=0.3:", spent(model))
        with TieredChatModel(**shared) as model:
            print("all:", spent(model))


if __name__ == "__main__":
    main()

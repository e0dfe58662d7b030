"""Three tiers, a cascade and a history, offline: real `ChatOpenAI` clients against a server on this machine.

    pip install 'llm-tiers[langchain]' && python examples/first_call.py

The small model knows capitals and nothing else, and the judge says so. After some calls the history has learned which
questions may start at the small tier and which go to the medium one at once; the large one is never needed.
"""

from __future__ import annotations

from langchain_openai import ChatOpenAI

from langchain_tiers import TieredChatModel
from llm_tiers import AccuracyEstimator
from llm_tiers.testing import LoopbackRequest, LoopbackServer

EASY = [f"What is the capital of {country}?" for country in ("France", "Peru", "Kenya", "Japan", "Norway", "Chad")]
HARD = [f"Prove that the number {number} is not a sum of two squares." for number in (3, 7, 11, 19, 23, 31)]


def small(request: LoopbackRequest) -> str:
    return "Paris" if "capital" in request.ask else "Because it is odd."


def able(request: LoopbackRequest) -> str:
    if request.judges:
        return "no" if "Because it is odd." in request.ask else "yes"
    return "Squares are 0 or 1 modulo 4, and this number is 3 modulo 4."


def main() -> None:
    with LoopbackServer({"small": small, "medium": able, "large": able}) as server:
        tiers = [
            ChatOpenAI(model=name, base_url=server.base_url, api_key="unused", max_retries=0)
            for name in ("small", "medium", "large")
        ]
        # Few neighbours and a weak prior, so that a dozen calls show what a day's traffic does with the defaults.
        starter = AccuracyEstimator(k=4, strength=1, explore=0)
        prices = {"small": (0.05, 0.4), "medium": (0.25, 2.0), "large": (1.25, 10.0)}
        with TieredChatModel(tiers=tiers, starter=starter, prices=prices) as model:
            for question in [asked for pair in zip(EASY, HARD, strict=True) for asked in pair]:
                trace = model.invoke(question).response_metadata["tiers"]
                print(f"{question:58} {trace['start']:>6} -> {trace['final']:6}  {trace['reason']}")


if __name__ == "__main__":
    main()

"""A guarantee with a check function, offline: real `ChatOpenAI` clients against a server on this machine.

    pip install 'llm-tiers[langchain]' && python examples/guarantee.py

The task is to sort tickets. All tiers answer the first ones, and a check says off the user's path which answers are
right. As soon as that proves that the small model is right as often as the large one, but for 10 points at most, the
small one answers.
"""

from __future__ import annotations

from langchain_openai import ChatOpenAI

from langchain_tiers import TieredChatModel
from llm_tiers import Guarantee
from llm_tiers.testing import LoopbackRequest, LoopbackServer

KINDS = {"refund": "billing", "invoice": "billing", "crash": "bug", "freeze": "bug", "password": "account"}
CALLS = 120


def small(request: LoopbackRequest) -> str:
    return next((kind for word, kind in KINDS.items() if word in request.ask), "other")


def large(request: LoopbackRequest) -> str:
    return small(request)


def is_right(question: str, answer: str) -> bool:
    """Check an answer; in earnest, against what your people made of the ticket."""
    return answer == next(kind for word, kind in KINDS.items() if word in question)


def main() -> None:
    with LoopbackServer({"small": small, "large": large}) as server:
        tiers = [
            ChatOpenAI(model=name, base_url=server.base_url, api_key="unused", max_retries=0)
            for name in ("small", "large")
        ]
        policy = Guarantee(0.1, of="grade", expected_calls=100_000)
        prices = {"small": (0.05, 0.4), "large": (1.25, 10.0)}
        with TieredChatModel(tiers=tiers, policy=policy, grade=is_right, prices=prices) as model:
            print(f"before: {model.forecast().why}")
            for number in range(CALLS):
                word = list(KINDS)[number % len(KINDS)]
                trace = model.invoke(f"Ticket {number}: {word}. Which team?").response_metadata["tiers"]
                if number % 20 == 0 or number == CALLS - 1:
                    print(f"call {number:3}: {trace['final']:5}  {trace['reason']}")
            print(f"certificate: {model.certificate()}")


if __name__ == "__main__":
    main()

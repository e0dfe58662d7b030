"""A guarantee with a check function: the small model answers as soon as it is proved to be right nearly as often.

    pip install -e '.[langchain]'
    python examples/guarantee.py            # offline
    python examples/guarantee.py --live     # 120 tickets for OpenAI's models, with OPENAI_API_KEY

The task is to sort tickets. Both tiers answer the first ones, and a check says off the user's path which answers are
right. As soon as that proves that the small model is right as often as the large one, but for 10 points at most, the
small one answers. Offline both are always right.
"""

from __future__ import annotations

from langchain_openai import ChatOpenAI
from offline import offline_unless_live

from langchain_tiers import TieredChatModel
from llm_tiers import Guarantee
from llm_tiers.testing import LoopbackRequest

TEAMS = {"refund": "billing", "invoice": "billing", "crash": "bug", "freeze": "bug", "password": "account"}
TIERS = ("gpt-5-nano", "gpt-5")
CALLS = 120


def play(request: LoopbackRequest) -> str:
    return next(team for word, team in TEAMS.items() if word in request.ask)


def is_right(question: str, answer: str) -> bool:
    """Check an answer; in earnest, against what your people made of the ticket."""
    return answer.strip(" .").lower() == next(team for word, team in TEAMS.items() if word in question)


def main() -> None:
    with offline_unless_live(dict.fromkeys(TIERS, play)):
        tiers = [ChatOpenAI(model=name) for name in TIERS]
        policy = Guarantee(0.1, of="grade", expected_calls=100_000)
        with TieredChatModel(tiers=tiers, policy=policy, grade=is_right) as model:
            print(f"before: {model.forecast().why}")
            for number in range(CALLS):
                word = list(TEAMS)[number % len(TEAMS)]
                message = model.invoke(f"Ticket {number}: {word}. Which team, billing, bug or account? One word.")
                trace = model.history.trace(message.response_metadata["tiers"]["trace_id"])
                if number % 20 == 0 or number == CALLS - 1:
                    print(f"call {number:3}: {trace.final:10}  {trace.reason}")
            print(f"certificate: {model.certificate()}")


if __name__ == "__main__":
    main()

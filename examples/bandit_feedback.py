"""A bandit that learns from its users' feedback alone, offline: real `ChatOpenAI` clients against a local server.

    pip install 'llm-tiers[langchain]' && python examples/bandit_feedback.py

The small model knows capitals and nothing else. One tier answers each call and nothing judges it; a user says whether
the answer was right. So the bandit learns which questions the small model may have. All that it learned lies in the
history: after a restart it decides as before.
"""

from __future__ import annotations

import tempfile
from collections import Counter

from langchain_openai import ChatOpenAI

from langchain_tiers import TieredChatModel
from llm_tiers import LinUCB, Unjudged
from llm_tiers.testing import LoopbackRequest, LoopbackServer

COUNTRIES = ("France", "Peru", "Kenya", "Japan", "Norway", "Chad", "Chile", "Nepal", "Ghana", "Cuba")
PRICES = {"small": (0.05, 0.4), "medium": (0.25, 2.0), "large": (1.25, 10.0)}


def small(request: LoopbackRequest) -> str:
    return "The capital, of course." if "capital" in request.ask else "Because it is odd."


def able(request: LoopbackRequest) -> str:
    return "The capital, of course." if "capital" in request.ask else "Squares are 0 or 1 modulo 4."


def question(number: int) -> str:
    if number % 2:
        return f"Prove that the number {4 * number + 3} is not a sum of two squares."
    return f"What is the capital of {COUNTRIES[number // 2 % len(COUNTRIES)]}?"


def model_of(server: LoopbackServer, folder: str) -> TieredChatModel:
    tiers = [
        ChatOpenAI(model=name, base_url=server.base_url, api_key="unused", max_retries=0)
        for name in ("small", "medium", "large")
    ]
    # A low ridge trusts single queries more, so that forty calls show what a day's traffic does with the default.
    bandit = LinUCB(price=1, ridge=1, rewards="grades", alpha=0.3)
    return TieredChatModel(tiers=tiers, starter=bandit, judge=Unjudged(), prices=PRICES, history=folder)


SCRIPTS = {"small": small, "medium": able, "large": able}


def starts_of(model: TieredChatModel, numbers: range) -> str:
    """Ask, say whether the answers are right, and return which tiers answered which kind of question."""
    starts: Counter[tuple[str, str]] = Counter()
    for number in numbers:
        answer = model.invoke(question(number))
        trace = answer.response_metadata["tiers"]
        model.feedback(trace["trace_id"], correct=answer.text != "Because it is odd.")
        starts[question(number).split()[0], trace["start"]] += 1
    return ", ".join(f"{kind} {tier} {times}" for (kind, tier), times in sorted(starts.items()))


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, LoopbackServer(SCRIPTS) as server:
        with model_of(server, folder) as model:
            for first in range(0, 40, 10):
                print(f"calls {first + 1} to {first + 10}:", starts_of(model, range(first, first + 10)))
        with model_of(server, folder) as again:
            print("after a restart:", starts_of(again, range(40, 50)))


if __name__ == "__main__":
    main()

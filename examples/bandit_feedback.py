"""A bandit that learns from its users' feedback alone, and keeps over a restart what it has learned.

    pip install -e '.[langchain]'
    python examples/bandit_feedback.py            # offline
    python examples/bandit_feedback.py --live     # 50 questions to OpenAI's models, with OPENAI_API_KEY

Offline the smallest model knows capitals and cannot multiply. One tier answers each call and nothing judges it; a user
says whether the answer was right. So the bandit learns which questions the smallest model may have.
"""

from __future__ import annotations

import tempfile
from collections import Counter

from langchain_openai import ChatOpenAI
from offline import TIERS, offline_unless_live

from langchain_tiers import TieredChatModel
from llm_tiers import LinUCB, Unjudged

CAPITALS = {"France": "Paris", "Peru": "Lima", "Kenya": "Nairobi", "Japan": "Tokyo", "Norway": "Oslo"}


def known(number: int) -> tuple[str, str]:
    """Return a question, and what its answer must say."""
    if number % 2:
        return f"Multiply {1000 + number} by 7919. Give the number alone.", f"{(1000 + number) * 7919}"
    country = list(CAPITALS)[number // 2 % len(CAPITALS)]
    return f"What is the capital of {country}?", CAPITALS[country]


ANSWERS = dict(map(known, range(50)))


def starts_of(model: TieredChatModel, numbers: range) -> str:
    """Ask, say whether the answers are right, and return which tiers answered which kind of question."""
    starts: Counter[tuple[str, str]] = Counter()
    for question, right in map(known, numbers):
        answer = model.invoke(question)
        trace = answer.response_metadata["tiers"]
        model.feedback(trace["trace_id"], correct=right in answer.text.replace(",", ""))
        starts[question.split()[0], trace["start"]] += 1
    return ", ".join(f"{kind} {tier} {times}" for (kind, tier), times in sorted(starts.items()))


small = {question: answer for question, answer in ANSWERS.items() if "capital" in question}
scripts = dict.fromkeys(TIERS, lambda asked: ANSWERS[asked.ask])
with offline_unless_live(scripts | {TIERS[0]: lambda asked: small.get(asked.ask, "I cannot.")}):
    # A low ridge trusts single queries more, so that forty calls show what a day's traffic does with the default.
    bandit = LinUCB(price=1, ridge=1, rewards="grades", alpha=0.3)
    settings = {"tiers": [ChatOpenAI(model=name) for name in TIERS], "starter": bandit, "judge": Unjudged()}
    with tempfile.TemporaryDirectory() as folder:
        with TieredChatModel(**settings, history=folder) as model:
            for first in range(0, 40, 10):
                print(f"calls {first + 1} to {first + 10}:", starts_of(model, range(first, first + 10)))
        with TieredChatModel(**settings, history=folder) as again:
            print("after a restart:", starts_of(again, range(40, 50)))

"""What is known of each tier's answers: grades of a function, and users' feedback. Offline, real `ChatOpenAI` clients.

    pip install 'llm-tiers[langchain]' && python examples/feedback.py

Half of the calls are profiled: all tiers answer them, and once the user has the answer a function grades each tier's.
Users say now and then whether an answer was right. The history keeps both apart, and the best source of a call counts.
"""

from __future__ import annotations

import re
import tempfile
from collections import defaultdict

from langchain_openai import ChatOpenAI

from langchain_tiers import TieredChatModel
from llm_tiers.history.grades import best_grades
from llm_tiers.history.reading import read_records
from llm_tiers.testing import LoopbackRequest, LoopbackServer

TIERS = ("small", "medium", "large")
SUMS = [(number, 13 * number % 29) for number in range(40)]


def add(request: LoopbackRequest, most: int) -> str:
    """Add as a model does that carries numbers up to `most` only."""
    one, other = map(int, re.findall(r"\d+", request.ask)[:2])
    return f"The answer is {one + other if one + other <= most else one}."


def grade(question: str, answer: str) -> bool:
    """Work the sum out, and look whether the answer has it."""
    one, other = map(int, re.findall(r"\d+", question))
    return str(one + other) in answer


def main() -> None:
    scripts = {
        name: lambda request, most=most: add(request, most) for name, most in zip(TIERS, (20, 45, 99), strict=True)
    }
    with LoopbackServer(scripts) as server, tempfile.TemporaryDirectory() as folder:
        tiers = [ChatOpenAI(model=name, base_url=server.base_url, api_key="unused", max_retries=0) for name in TIERS]
        prices = {"small": (0.05, 0.4), "medium": (0.25, 2.0), "large": (1.25, 10.0)}
        with TieredChatModel(tiers=tiers, prices=prices, history=folder, audit=0.5, grade=grade) as model:
            for one, other in SUMS:
                answer = model.invoke(f"What is {one} + {other}?")
                if one % 5 == 0:  # a user who is asked now and then
                    model.feedback(
                        answer.response_metadata["tiers"]["trace_id"], correct=str(one + other) in answer.text
                    )
        # Closing has waited for the grades.
        show(folder)


def show(folder: str) -> None:
    """Print how often each tier was right, by who says so."""
    found = defaultdict(list)
    for record in read_records(folder):
        grades, source = best_grades(record, TIERS[-1])
        for tier, right in grades.items():
            found[source, tier].append(right)
    for (source, tier), grades in sorted(found.items(), key=lambda entry: (entry[0][0], TIERS.index(entry[0][1]))):
        print(f"{source:9} {tier:7} right on {sum(grades) / len(grades):4.0%} of {len(grades):2}")


if __name__ == "__main__":
    main()

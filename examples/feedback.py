"""What is known of each tier's answers: grades of a function, and users' feedback.

    pip install -e '.[langchain]'
    python examples/feedback.py            # offline
    python examples/feedback.py --live     # 40 sums for OpenAI's models, with OPENAI_API_KEY

Half of the calls are profiled: all tiers answer them, and once the user has the answer a function grades each tier's.
Users say now and then whether an answer was right. The history keeps both apart, and the best source of a call counts.
"""

from __future__ import annotations

import re
import tempfile
from collections import defaultdict

from langchain_openai import ChatOpenAI
from offline import TIERS, adding_up_to, offline_unless_live

from langchain_tiers import TieredChatModel
from llm_tiers.history.grades import best_grades
from llm_tiers.history.reading import read_records


def grade(question: str, answer: str) -> bool:
    """Work the sum out, and look whether the answer has it."""
    one, other = map(int, re.findall(r"\d+", question))
    return str(one + other) in answer


def main() -> None:
    scripts = dict(zip(TIERS, map(adding_up_to, (20, 45, 99)), strict=True))
    with offline_unless_live(scripts), tempfile.TemporaryDirectory() as folder:
        tiers = [ChatOpenAI(model=name) for name in TIERS]
        with TieredChatModel(tiers=tiers, history=folder, audit=0.5, grade=grade) as model:
            for number in range(40):
                question = f"What is {number} + {13 * number % 29}?"
                answer = model.invoke(question)
                if number % 5 == 0:  # a user who is asked now and then
                    trace_id = answer.response_metadata["tiers"]["trace_id"]
                    model.feedback(trace_id, correct=grade(question, answer.text))
        show(folder)  # closing has waited for the grades


def show(folder: str) -> None:
    """Print how often each tier was right, by who says so."""
    found = defaultdict(list)
    for record in read_records(folder):
        grades, source = best_grades(record, TIERS[-1])
        for tier, right in grades.items():
            found[source, tier].append(right)
    for (source, tier), grades in sorted(found.items(), key=lambda entry: (entry[0][0], TIERS.index(entry[0][1]))):
        print(f"{source:9} {tier:10} right on {sum(grades) / len(grades):4.0%} of {len(grades):2}")


if __name__ == "__main__":
    main()

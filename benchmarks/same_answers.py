"""Write the examples in docs/what-counts-as-the-same.md: python benchmarks/same_answers.py."""

from __future__ import annotations

from pathlib import Path

from llm_tiers import Answer, FinalAnswers

PAGE = Path(__file__).parents[1] / "docs" / "what-counts-as-the-same.md"
MARK = "<!-- The table below is written by benchmarks/same_answers.py. -->\n"
PAIRS = (
    ("The answer is 0.5.", r"\boxed{\frac{1}{2}}"),
    ("1,500", "1500"),
    ("1,5", "15"),
    ("3.14", "3.14159"),
    ("-17", "17"),
    ("$5", "5 dollars"),
    ("$5", "€5"),
    ("5 %", "5"),
    ("1 km", "1000 m"),
    ("March 5, 2024", "2024-03-05"),
    ("03/04/2024", "2024-04-03"),
    ("3:45 PM", "15:45"),
    ("B. Mitochondria", "The correct answer is: (B)."),
    ("Paris", "**paris.**"),
    ("NYC", "New York City"),
    ("C++", "C#"),
    ("x > 2", "x>2"),
    ("[0,1]", "(0,1)"),
    ("Yes", "No"),
    ("Yes, the tower is 330 m tall.", "Yes, the tower is 300 m tall."),
    ("The answer is in the second passage. It gives 6650.", "The answer is in the second passage. It gives 6400."),
    ('{"a": 1, "b": 2}', '{"b": 2.0, "a": 1}'),
    ('{"a": 1}', '{"a": true}'),
    ("The context does not contain the answer.", "There is no answer in the context."),
    ("I can't help with that.", "I can't help with that."),
    ("Paris lies on the Seine.", "The Seine flows through Paris."),
)
SAYS = {True: "the same", False: "different", None: "undecided"}


def table() -> str:
    rows = ["| one answer | another | |", "|---|---|---|"]
    for one, other in PAIRS:
        same = FinalAnswers().same(Answer("small", one, one), Answer("large", other, other))
        rows.append(f"| `{one}` | `{other}` | {SAYS[same]} |")
    return "\n".join(rows) + "\n"


def page(text: str) -> str:
    return text.partition(MARK)[0] + MARK + table()


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text("utf-8")), "utf-8")

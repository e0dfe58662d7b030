"""Verdicts, comparisons and grades as the conventions' event `gen_ai.evaluation.result`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llm_tiers.telemetry.attributes import Attributes, known

if TYPE_CHECKING:
    from llm_tiers.trace import Grading, Trace

__all__ = ["EVENT", "Evaluation", "comparisons_of", "disagreements", "grades_of", "verdicts_of"]

EVENT = "gen_ai.evaluation.result"

_SCORES = {"valid": 1.0, "invalid": 0.0}


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What was found of one tier's answer.

    Attributes:
        tier: Name of the tier.
        name: What was looked at: `"verdict"`, `"agreement"` or `"grade"`.
        value: How good it is, in [0, 1], or None.
        label: The same in a word, or None.
        explanation: Why, in our own words, or None.
        private: Why, in words that may repeat what was asked or answered, or None.
    """

    tier: str
    name: str
    value: float | None = None
    label: str | None = None
    explanation: str | None = None
    private: str | None = None

    def attributes(self, *, with_content: bool) -> Attributes:
        """Return the attributes of the event.

        Args:
            with_content: Whether texts that may repeat what was asked or answered are told.
        """
        words = (self.explanation, self.private if with_content else None)
        return known(
            {
                "gen_ai.evaluation.name": self.name,
                "gen_ai.evaluation.score.value": self.value,
                "gen_ai.evaluation.score.label": self.label,
                "gen_ai.evaluation.explanation": ": ".join(filter(None, words)) or None,
                "llm_tiers.tier": self.tier,
            }
        )


def verdicts_of(trace: Trace) -> Iterator[Evaluation]:
    """Yield what the judge said of each answer."""
    for attempt in trace.attempts:
        if attempt.verdict is not None:
            score = _SCORES.get(attempt.verdict)
            yield Evaluation(attempt.tier, "verdict", score, attempt.verdict, attempt.by, attempt.why)


def comparisons_of(trace: Trace, said: Mapping[str, int]) -> Iterator[Evaluation]:
    """Yield whether the other tiers' answers are the one that was returned.

    Args:
        trace: The trace of the call.
        said: Tier name to a number: equal numbers are equal answers, -1 is none.
    """
    final = trace.final
    returned = -1 if final is None else said.get(final, -1)
    for tier, number in said.items():
        if tier != final and number >= 0 and returned >= 0:
            same = number == returned
            yield Evaluation(tier, "agreement", float(same), "same" if same else "different", f"as {final}'s answer")


def disagreements(trace: Trace, said: Mapping[str, int]) -> int:
    """Return how many other answers differ from the one that was returned."""
    return sum(found.value == 0 for found in comparisons_of(trace, said))


def grades_of(grading: Grading) -> Iterator[Evaluation]:
    """Yield the grades of the answers."""
    for tier, grade in grading.grades.items():
        yield Evaluation(tier, "grade", grade, private=grading.outcomes.get(tier))

"""How right the answers of a past call are, by the most trusted source that says so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llm_tiers.history.record import GradeSource, Record

__all__ = ["SOURCES", "GraderError", "best_grades", "equal_to_top", "grader_error", "shared_grades"]

# A user's function comes before users' feedback, which may come from anybody and on any answer; a model's opinion comes
# before equality, which takes the top tier to be right.
SOURCES: tuple[GradeSource, ...] = ("check", "feedback", "grader", "equality")
"""The sources of grades, most trusted first."""


def best_grades(record: Record, top: str) -> tuple[Mapping[str, float], GradeSource | None]:
    """Return the grades of the most trusted source that graded an answer of the call, and that source.

    Sources are never mixed: a tier that this source did not grade is absent, even if a less trusted source graded it.
    If nobody graded the call, the answers that equal the top tier's count as right; whoever shows a figure based on
    these has to say so.

    Args:
        record: The past call.
        top: Name of the ladder's top tier.

    Returns:
        Tier name to grade, in [0, 1], and the source; empty and None where nothing is known.
    """
    # Mixed, one tier could be compared with another by different standards: a strict check of one answer and a lenient
    # model's opinion of the other.
    for source in SOURCES:
        grades = equal_to_top(record, top) if source == "equality" else record.grades.get(source)
        if grades:
            return grades, source
    return {}, None


def equal_to_top(record: Record, top: str) -> Mapping[str, float]:
    """Return 1 for each tier that gave the top tier's answer, 0 for the others; empty if the top tier gave none."""
    # Negative numbers stand for answers that equal nothing: a missing one, or one that cannot be compared.
    reference = record.said.get(top, -1)
    if reference < 0:
        return {}
    return {tier: float(number == reference) for tier, number in record.said.items()}


def shared_grades(record: Record, known: Mapping[str, float]) -> dict[str, float]:
    """Return the grades of some tiers' answers, extended to the tiers with equal answers: these are equally right."""
    by_answer = {record.said[tier]: right for tier, right in known.items() if record.said.get(tier, -1) >= 0}
    return {tier: by_answer[number] for tier, number in record.said.items() if number in by_answer} | dict(known)


@dataclass(frozen=True, slots=True)
class GraderError:
    """How often a grader that compares answers contradicts itself.

    Attributes:
        pairs: How many pairs it was shown in both orders.
        contradictory: For how many of them its verdict depended on the order.
    """

    pairs: int
    contradictory: int

    @property
    def share(self) -> float | None:
        """The share of contradictory pairs, in [0, 1]; None where no pair was shown in both orders."""
        return self.contradictory / self.pairs if self.pairs else None


def grader_error(records: Iterable[Record]) -> GraderError:
    """Return how often the grader contradicted itself on these past calls."""
    found = [contradicted for record in records for contradicted in record.contradicted.values()]
    return GraderError(len(found), sum(found))

"""How right the answers of a past call are, by the best source that says so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llm_tiers.history.record import GradeSource, Record

__all__ = ["SOURCES", "GraderError", "best_grades", "equal_to_top", "grader_error", "shared_grades"]

SOURCES: tuple[GradeSource, ...] = ("check", "feedback", "grader", "equality")
"""Who grades, most trusted first."""


def best_grades(record: Record, top: str) -> tuple[Mapping[str, float], GradeSource | None]:
    """Return the grades of the most trusted source that graded an answer of the call, and that source.

    Sources are never mixed: a tier that this source did not grade is absent, even where a lesser source graded it.
    Where nobody graded, the answers that equal the top tier's count as right; code that shows a figure that rests on
    these has to say so.

    Args:
        record: The past call.
        top: Name of the ladder's top tier.

    Returns:
        Tier name to grade, in [0, 1], and the source; empty and None where nothing is known.
    """
    for source in SOURCES:
        grades = equal_to_top(record, top) if source == "equality" else record.grades.get(source)
        if grades:
            return grades, source
    return {}, None


def equal_to_top(record: Record, top: str) -> Mapping[str, float]:
    """Return 1 for each tier that gave the top tier's answer and 0 for each that did not; empty without that answer."""
    reference = record.said.get(top, -1)
    if reference < 0:
        return {}
    return {tier: float(number == reference) for tier, number in record.said.items()}


def shared_grades(record: Record, known: Mapping[str, float]) -> dict[str, float]:
    """Return what is known of some tiers' answers, and of those who gave the same: equal answers are equally right."""
    by_answer = {record.said[tier]: right for tier, right in known.items() if record.said.get(tier, -1) >= 0}
    return {tier: by_answer[number] for tier, number in record.said.items() if number in by_answer} | dict(known)


@dataclass(frozen=True, slots=True)
class GraderError:
    """How often a grader that compares answers contradicts itself.

    Attributes:
        pairs: How many pairs it was shown in both orders.
        contradictory: In how many of them what it said depended on the order.
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

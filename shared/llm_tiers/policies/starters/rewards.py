"""How right a past call shows its tiers' answers to be, for a starter that learns from rewards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from llm_tiers.history.grades import SOURCES, equal_to_top, shared_grades

if TYPE_CHECKING:
    from llm_tiers.history.record import Record

__all__ = ["rights_of"]

_HALF = 0.5


def rights_of(record: Record, top: str, *, graded_only: bool = False) -> dict[str, float]:
    """Return how right each tier's answer was, in [0, 1]; a tier of which nothing is known is absent.

    The best that is known of each answer counts: its grade by a check, feedback or a grader; whether it equals the top
    tier's; the judging model's verdict; whether it equals the answer that was accepted. Equal answers are equally
    right, and a missing one is wrong. What nobody judged and nothing was compared with teaches nothing, nor does a tier
    that did not answer. The top tier's answer equals itself, which shows nothing of it.

    Args:
        record: The past call.
        top: Name of the ladder's top tier.
        graded_only: Only grades by a check, feedback or a grader count, each for the tier that it names; a missing
            answer is wrong all the same.
    """
    missing = {tier: 0.0 for tier, number in record.said.items() if number < 0}
    if graded_only:
        return missing | _graded(record)
    graded = shared_grades(record, _graded(record))
    compared = {} if graded.get(top, 1.0) <= _HALF else dict(equal_to_top(record, top))
    compared.pop(top, None)
    judged = shared_grades(record, {tier: float(valid) for tier, valid in record.verdicts.items()})
    # The least trusted first: what is known better replaces it.
    known = _agreed(record, graded, top) | judged | compared | missing | graded
    return {tier: known[tier] for tier in dict.fromkeys((*record.answered, *record.said)) if tier in known}


def _graded(record: Record) -> dict[str, float]:
    found: dict[str, float] = {}
    for source in reversed(SOURCES):
        found |= record.grades.get(source, {})
    return found


def _agreed(record: Record, graded: Mapping[str, float], top: str) -> dict[str, float]:
    """Return which answers equal the accepted one, where they can be compared and it is not known to be wrong."""
    if len(record.answered) < 2 or graded.get(record.final, 1.0) <= _HALF:  # noqa: PLR2004
        return {}
    return {tier: float(record.labels[tier]) for tier in record.answered if tier in record.labels and tier != top}

"""What a call teaches about each tier, without ground truth; and what a user's feedback changes."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from typing import TYPE_CHECKING

from llm_tiers.call.answer import Answer

if TYPE_CHECKING:
    from llm_tiers.history.record import Record

__all__ = ["labels_after_feedback", "labels_of_call"]


def labels_of_call(
    tiers: Sequence[str],
    answers: Sequence[Answer],
    accepted: Answer,
    same: Callable[[Answer, Answer], bool | None],
    rejected: Container[str] = (),
) -> dict[str, bool]:
    """Label the tiers of one call: True for valid, False for invalid.

    The accepted tier and every tier above it are valid. A tier that was tried and passed over is valid if its answer
    equals the accepted one, invalid if it does not; where that cannot be told, it is invalid if the judge rejected it.
    A tier that was not tried, or failed, has no label.

    Source: LLM-AT (arXiv 2505.20921), the history update; what cannot be told is ours.

    Args:
        tiers: Names of the tiers that could serve the call, cheapest first.
        answers: What the tiers answered.
        accepted: The answer that was returned.
        same: Says whether two answers are the same, or None where it cannot be told.
        rejected: Names of the tiers whose answer the judge found invalid.
    """
    equal = {answer.tier: same(answer, accepted) for answer in answers}
    undecided = {tier: False for tier, label in equal.items() if label is None and tier in rejected}
    tried = {tier: label for tier, label in equal.items() if label is not None}
    return tried | undecided | dict.fromkeys(tiers[tiers.index(accepted.tier) :], True)


def labels_after_feedback(record: Record, tiers: Sequence[str], *, correct: bool) -> Mapping[str, bool]:
    """Return a record's labels after the user said whether its answer was right.

    Right: the answering tier, and the tiers that gave an equal answer, are valid. Wrong: they are invalid, and the
    tiers above that were not tried lose their labels, which rested on the answer.

    Args:
        record: The record of the call.
        tiers: Names of the ladder's tiers, cheapest first.
        correct: Whether the answer was right.
    """
    labels = dict(record.labels) | dict.fromkeys((record.final, *record.agreed), correct)
    if correct:
        return labels
    above = tiers[tiers.index(record.final) + 1 :] if record.final in tiers else ()
    untried = set(above) - set(record.answered)
    return {name: label for name, label in labels.items() if name not in untried}

"""What a call teaches about each tier, without ground truth; and what a user's feedback changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from llm_tiers.answer import Answer, same_answer

if TYPE_CHECKING:
    from llm_tiers.history.record import Record

__all__ = ["labels_after_feedback", "labels_of_call"]


def labels_of_call(
    tiers: Sequence[str], answers: Sequence[Answer], accepted: Answer, *, missing_counts: bool = False
) -> dict[str, bool]:
    """Label the tiers of one call: True for valid, False for invalid.

    The accepted tier and every tier above it are valid. A tier that was tried and passed over is valid if its answer
    equals the accepted one, else invalid. A tier that was not tried, or failed, has no label.

    Source: LLM-AT (arXiv 2505.20921), the history update.

    Args:
        tiers: Names of the tiers that could serve the call, cheapest first.
        answers: What the tiers answered.
        accepted: The answer that was returned.
        missing_counts: Two missing answers are equal, as in the paper's code.
    """
    tried = {answer.tier: same_answer(answer, accepted, missing_counts=missing_counts) for answer in answers}
    return tried | dict.fromkeys(tiers[tiers.index(accepted.tier) :], True)


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

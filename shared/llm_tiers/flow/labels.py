"""What a call teaches about each tier, without ground truth; and what a user's feedback changes."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from llm_tiers.call.answer import Answer
from llm_tiers.errors import ConfigError

if TYPE_CHECKING:
    from llm_tiers.history.record import Record

__all__ = ["after_feedback", "labels_after_feedback", "labels_of_call"]


def labels_of_call(
    tiers: Sequence[str],
    answers: Sequence[Answer],
    accepted: Answer,
    same: Callable[[Answer, Answer], bool | None],
    rejected: Container[str] = (),
    failed: Container[str] = (),
    *,
    assume_above: bool = True,
) -> dict[str, bool]:
    """Label the tiers of one call: True for valid, False for invalid.

    A tier that answered is labelled by what it said, above the accepted one as well as below: it is valid if its answer
    equals the accepted one, and invalid if it does not, a missing answer included; where that is undecided, it is
    invalid if the judge rejected it. A tier that failed, or whose answer was cut or filtered, has no label. A tier that
    was not asked has none either, unless it lies above the accepted one and the policy assumes that a dearer tier is
    right where a cheaper one is.

    Source: LLM-AT (arXiv 2505.20921), the history update, which assumes that; the rest of what is labelled is ours.

    Args:
        tiers: Names of the tiers that could serve the call, cheapest first.
        answers: What the tiers answered.
        accepted: The answer that was returned.
        same: Says whether two answers are the same, or None where that is undecided.
        rejected: Names of the tiers whose answer the judge found invalid.
        failed: Names of the tiers that failed, or whose answer was cut or filtered.
        assume_above: Tiers above the accepted one that were not asked are valid.
    """
    equal = {answer.tier: same(answer, accepted) for answer in answers}
    undecided = {tier: False for tier, label in equal.items() if label is None and tier in rejected}
    tried = {tier: label for tier, label in equal.items() if label is not None}
    above = tiers[tiers.index(accepted.tier) + 1 :] if assume_above else ()
    assumed = {tier: True for tier in above if tier not in equal and tier not in failed}
    # The accepted answer stands by definition, even one that is missing and so equals nothing, not even itself.
    return tried | undecided | {accepted.tier: True} | assumed


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


def after_feedback(record: Record, tiers: Sequence[str], *, grade: float, tier: str | None = None) -> Record:
    """Return a record after the user graded an answer of the call.

    Feedback on the returned answer changes the labels as `labels_after_feedback` says, and so does feedback on the same
    answer of another tier. On another answer it labels that tier, and those that gave the same. A grade of exactly one
    half leaves the labels as they are.

    Args:
        record: The record of the call.
        tiers: Names of the ladder's tiers, cheapest first.
        grade: How right the answer was, in [0, 1].
        tier: Name of the tier whose answer is graded; None: the one that was returned.

    Raises:
        ConfigError: The tier did not answer the call.
    """
    graded = record.final if tier is None else tier
    answered = dict.fromkeys((*record.answered, record.final))
    if graded not in answered:
        names = ", ".join(map(repr, answered))
        raise ConfigError(f"tier={tier!r} did not answer the call {record.id!r}; there are answers of {names}")
    grades = {**record.grades, "feedback": {**record.grades.get("feedback", {}), graded: grade}}
    return replace(record, grades=grades, labels=_labels_after_grade(record, tiers, graded, grade))


def _labels_after_grade(record: Record, tiers: Sequence[str], graded: str, grade: float) -> Mapping[str, bool]:
    if grade == 0.5:  # noqa: PLR2004 -- neither right nor wrong
        return record.labels
    correct = grade > 0.5  # noqa: PLR2004
    if graded in (record.final, *record.agreed):
        return labels_after_feedback(record, tiers, correct=correct)
    number = record.said.get(graded, -1)
    same = [name for name, other in record.said.items() if other == number >= 0]
    return dict(record.labels) | dict.fromkeys((graded, *same), correct)

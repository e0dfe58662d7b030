"""A call of a history in sentences: by its trace or, where it was kept without one, as far as its record tells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from llm_tiers.report.ladder import ladder_of
from llm_tiers.telling.wording import count, name, percent, usd, when

if TYPE_CHECKING:
    from llm_tiers.history.reading import Found
    from llm_tiers.history.record import Record
    from llm_tiers.report.ladder import SeenLadder

__all__ = ["explained"]


def explained(found: Found) -> list[str]:
    """Return who was asked and why, what it cost, why it stopped there, and what the top tier alone would have cost.

    Args:
        found: The call.
    """
    if found.trace is None:
        return _by_record(found.record, found.near)
    # Feedback comes after the trace.
    return [*found.trace.explain().splitlines(), *_known(found.record)]


def _by_record(record: Record, near: Sequence[Record]) -> list[str]:
    ladder = ladder_of(sorted({one.id: one for one in (*near, record)}.values(), key=lambda one: one.created))
    return [
        *_outcome(record),
        *_asked(record),
        *_stopped(record, ladder),
        *_cost(record, ladder),
        *_known(record),
        (
            "A history keeps no reasons, no times, no input tokens, no failed calls and no warnings of a call without "
            "its trace: those are in that trace (on_trace=, or the answer's metadata), whose explain() says them."
        ),
    ]


def _outcome(record: Record) -> Iterator[str]:
    yield f"{name(record.final)} answered this call of node {name(record.node)} on {when(record.created)}."
    if record.is_drawn:
        yield "The call was drawn by lot to be answered by further tiers, so that what each says is known."
    else:
        rule = f", by the rule {name(record.rule)}" if record.rule else ""
        yield f"It began with {name(record.start)}{rule}."
    if record.share is not None:
        yield f"On similar past calls, tiers had differed on {percent(record.share)}."


def _asked(record: Record) -> Iterator[str]:
    for tier in record.answered:
        parts = []
        if tier in record.tokens:
            parts.append(f"{count(record.tokens[tier])} tokens out")
        parts.append(usd(record.costs[tier]) if tier in record.costs else "at an unknown cost")
        verdict = record.verdicts.get(tier)
        judged = "" if verdict is None else f"; a judging model found it {'valid' if verdict else 'invalid'}"
        yield f"{name(tier)} answered ({', '.join(parts)}){_compared(record, tier)}{judged}."


def _compared(record: Record, tier: str) -> str:
    if tier == record.final:
        return ", and this answer was returned"
    number = record.said.get(tier)
    if number is None:
        return ", with an answer that cannot be compared"
    if number < 0:
        return ", without an answer that counts"
    return ", with the same answer as the one returned" if tier in record.agreed else ", with another answer"


def _stopped(record: Record, ladder: SeenLadder) -> Iterator[str]:
    others = [tier for tier in record.agreed if tier != record.final]
    if record.is_drawn:
        yield f"Of the answers, that of {name(record.final)} was returned."
    elif record.final == ladder.top:
        yield f"It stopped there because {name(record.final)} is the top of the ladder."
    elif others:
        yield f"{name(record.final)}'s answer is the one that {', '.join(map(name, others))} gave too."
    elif record.verdicts.get(record.final):
        yield f"It stopped there because the answer of {name(record.final)} was found valid."
    else:
        yield f"Why it stopped at {name(record.final)} is not in the record."
    if record.confidence is not None:
        yield f"The chance that the answer is right was put at {percent(record.confidence)}."


def _cost(record: Record, ladder: SeenLadder) -> Iterator[str]:
    if record.cost_usd is None:
        yield "What it cost is not known, since a price or a number of tokens is missing."
        return
    grading = f", and grading it cost {usd(record.grading_usd)}" if record.grading_usd else ""
    yield f"All together the call cost {usd(record.cost_usd)}{grading}."
    if ladder.top is None:
        return
    alone = ladder.alone(record, ladder.top)
    if alone is None:
        yield f"What {name(ladder.top)} alone would have cost is not known."
        return
    guessed = "" if ladder.top in record.costs else ", by what its answers usually cost at this node"
    saved = alone - record.cost_usd - (record.grading_usd or 0.0)
    what = f"{usd(saved)} saved" if saved >= 0 else f"{usd(-saved)} more spent"
    yield f"The top tier, {name(ladder.top)}, alone would have cost {usd(alone)}{guessed}: {what}."


def _known(record: Record) -> Iterator[str]:
    for source, grades in record.grades.items():
        shown = ", ".join(f"{name(tier)} {grade:.2g}" for tier, grade in grades.items())
        yield f"Graded by {name(source)}: {shown}."
    if not record.grades:
        yield "Nobody has graded the answers."

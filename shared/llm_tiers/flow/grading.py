"""Grading the answers of a profiled call: the logic, as a generator that does no I/O, like the flow of the call."""

from __future__ import annotations

import random
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from llm_tiers.arguments import grade_of, kind_of
from llm_tiers.call.requests import Consult, Generate, ModelCall, Prompt, Request, Response, consult, generate
from llm_tiers.errors import ConfigError, TierError
from llm_tiers.policies.graders.prompt import grade_in, grading_question, is_cut, pair_question
from llm_tiers.policies.judges.case import Verdict
from llm_tiers.policies.judges.prompt import ANSWER_LIMIT
from llm_tiers.policies.judges.verdict import verdict_of
from llm_tiers.telemetry.observer import UNOBSERVED, Observed
from llm_tiers.trace import Grading

if TYPE_CHECKING:
    from llm_tiers.call.answer import Answer
    from llm_tiers.call.call import Call
    from llm_tiers.ladder.tiers import Ladder, Tier
    from llm_tiers.policies.graders.grader import Grader

__all__ = ["GradingFlow", "ToGrade", "graded"]

GradingFlow: TypeAlias = Generator[Request, Response, Grading]


@dataclass(frozen=True, slots=True)
class ToGrade:
    """The answers of a call that are to be graded.

    Attributes:
        call: The call.
        ladder: All tiers, cheapest first.
        answers: What they answered.
        said: Tier name to a number, as in a record: equal numbers are equal answers, -1 is none.
        observed: Is told of the grader's model calls, and of the grades.
    """

    call: Call
    ladder: Ladder
    answers: tuple[Answer, ...]
    said: Mapping[str, int] = field(default_factory=dict)
    observed: Observed = UNOBSERVED


@dataclass(frozen=True, slots=True)
class _Graded:
    """What came of grading one answer: a grade, or an outcome that says why there is none; both if it is doubtful."""

    grade: float | None = None
    outcome: str | None = None
    contradicted: bool | None = None


_Grade: TypeAlias = Generator[Request, Response, _Graded]


def graded(grader: Grader, given: ToGrade) -> GradingFlow:
    """Grade the answers of a call one after the other; a failure with one is named and does not stop the rest."""
    own = grader.own_names(given.ladder)
    found: dict[str, _Graded] = {}
    by_text: dict[str, _Graded] = {}
    for answer in given.answers:
        if answer.tier in own:
            found[answer.tier] = _Graded(outcome="own answer: a tier does not grade what it answered itself")
            continue
        # Tiers often answer in the same words, which need to be graded only once.
        if answer.text in by_text:
            # The pair was shown once, so it counts once in the grader's error rate.
            found[answer.tier] = replace(by_text[answer.text], contradicted=None)
        else:
            found[answer.tier] = by_text[answer.text] = yield from _grade(grader, given, answer)
    return Grading(
        state="done",
        grades={tier: one.grade for tier, one in found.items() if one.grade is not None},
        outcomes={tier: one.outcome for tier, one in found.items() if one.outcome is not None},
        contradicted={tier: one.contradicted for tier, one in found.items() if one.contradicted is not None},
    )


def _grade(grader: Grader, given: ToGrade, answer: Answer) -> _Grade:
    if grader.function is not None:
        return (yield from _by_function(grader, given.call, answer))
    if not answer.text.strip():
        return _Graded(0.0, "empty: there is no answer to ask about")
    if grader.pairwise:
        return (yield from _by_comparing(grader, given, answer))
    return (yield from _by_asking(grader, given, answer))


def _by_function(grader: Grader, call: Call, answer: Answer) -> _Grade:
    function = grader.function
    # Cannot happen: `_grade` has looked. The check is for mypy, and unlike an assert it also holds under -O.
    if function is None:
        raise TypeError("the grader has no function")
    said = yield from consult(Consult(partial(function, call, answer), grader.timeout))
    if said.error is not None:
        return _Graded(outcome=said.error)
    if said.value is None:
        return _Graded(outcome="no opinion: the function returned None")
    try:
        return _Graded(grade_of(said.value, "grade"))
    except ConfigError:
        shown = repr(said.value) if isinstance(said.value, int | float) else kind_of(said.value)
        return _Graded(outcome=f"nonsense: the function returned {shown[:80]}")


def _by_asking(grader: Grader, given: ToGrade, answer: Answer) -> _Grade:
    reply = yield from _reply(grader, given.ladder, grading_question(given.call, answer), answer.tier)
    if isinstance(reply, _Graded):
        return reply
    grade = grade_in(reply)
    return _nonsense("neither a number in [0, 1] nor yes or no") if grade is None else _Graded(grade, _cut_of(answer))


def _by_comparing(grader: Grader, given: ToGrade, answer: Answer) -> _Grade:
    """Grade an answer 1 if it is at least as good as the top tier's, 0 if not.

    Where the grader is asked in both orders and contradicts itself, the grade is one half.
    """
    top = given.ladder.top.name
    if answer.tier == top:
        return _Graded(1.0)
    reference = next((other for other in given.answers if other.tier == top and other.text.strip()), None)
    if reference is None:
        return _Graded(outcome=f"no reference: {top} gave no answer to compare with")
    # An answer that says the same needs no question. The defaults differ, so that two missing numbers are not equal.
    if answer.text == reference.text or given.said.get(answer.tier, -1) == given.said.get(top, -2) >= 0:
        return _Graded(1.0)
    # Drawn from the call's id, as all random choices are, so that sync and async draw the same. The order is random,
    # because models prefer the answer that they are shown first, or last.
    lots = random.Random(f"grade:{given.call.id}:{answer.tier}")
    reference_first, both = lots.random() < 0.5, lots.random() < grader.both_orders  # noqa: PLR2004
    says: list[bool] = []
    for order in (reference_first, not reference_first)[: 1 + both]:
        question = pair_question(given.call, answer, reference, reference_first=order)
        reply = yield from _reply(grader, given.ladder, question, answer.tier)
        if isinstance(reply, _Graded):
            return reply
        verdict = verdict_of(reply)
        if verdict is Verdict.UNCERTAIN:
            return _nonsense("neither yes nor no")
        says.append(verdict is Verdict.VALID)
    outcome = _cut_of(answer) or _cut_of(reference)
    return _Graded(sum(says) / len(says), outcome, says[0] != says[1] if both else None)


def _reply(
    grader: Grader, ladder: Ladder, question: Prompt, subject: str
) -> Generator[Request, Response, str | _Graded]:
    """Ask the grading model; a failure becomes an outcome without a grade."""
    tier: Tier | None = grader.tier(ladder)
    if tier is None:
        raise TypeError("the grader has no model")
    call = ModelCall(tier, role="grade", prompt=question, subject=subject, effort=grader.effort)
    (reply,) = yield from generate(Generate((call,)))
    if isinstance(reply, TierError):
        return _Graded(outcome=f"failed: {reply.summary}")
    return reply.text


def _nonsense(lacking: str) -> _Graded:
    # Not the reply itself: it may quote the answer, which must not get into a log.
    return _Graded(outcome=f"nonsense: the grader's reply is {lacking}")


def _cut_of(answer: Answer) -> str | None:
    if not is_cut(answer):
        return None
    return f"cut: the grader read {ANSWER_LIMIT} of the {len(answer.text)} characters of {answer.tier}'s answer"

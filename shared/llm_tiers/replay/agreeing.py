"""Cascades with a fixed rule of agreement: no history, no judge, no knob. A policy that learns must beat them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_tiers.policies.judges.case import Case, Judgement, Verdict
from llm_tiers.policies.judges.judge import Judge, Review
from llm_tiers.policies.policy import Policy
from llm_tiers.policies.starters.base import Plan, Planning
from llm_tiers.replay.answering import or_earlier

if TYPE_CHECKING:
    from llm_tiers.call.call import Call
    from llm_tiers.ladder.tiers import Ladder

__all__ = ["CheapestPair", "FirstAgreement", "agree_all", "agree_two"]

_THIRD = 2
"""Position of the tier that decides where the cheapest two differ."""


def agree_two() -> Policy:
    """Return the rule: the two cheapest tiers side by side; where they differ, the third answers, unjudged.

    In a ladder of two the top answers alone: beside it, agreement saves nothing.
    """
    return Policy("agree-two", CheapestPair(), FirstAgreement(trusted=_THIRD))


def agree_all() -> Policy:
    """Return the rule: tier by tier until any two agree, the two cheapest side by side; where none do, the top.

    Source: Agreement-Based Cascading (TMLR 2025), with one model a tier. In a ladder of two the top answers alone.
    """
    return Policy("agree-all", CheapestPair(), FirstAgreement())


class CheapestPair:
    """Always start with the two cheapest tiers side by side, or in a ladder of two with the top alone."""

    def __repr__(self) -> str:
        return "CheapestPair()"

    def plan(self, call: Call, ladder: Ladder) -> Planning:  # noqa: ARG002
        """Choose the two; the history is not asked."""
        yield from ()  # a starter is a generator, also where it asks for nothing
        first, second = ladder.names[:2]
        return Plan(start=second, reason="fixed", witnesses=() if second == ladder.top.name else (first,))


class FirstAgreement(Judge):
    """Accept the first answer that two tiers gave.

    Args:
        trusted: Position of a tier whose answer is accepted whatever the others said, or None for no such tier.
    """

    # A missing answer of the trusted tier has to come here, since an earlier answer then stands in for it.
    judges_missing = True

    def __init__(self, *, trusted: int | None = None) -> None:
        self.trusted = trusted

    def __repr__(self) -> str:
        return f"FirstAgreement(trusted={self.trusted})"

    def review(self, case: Case) -> Review:
        """Compare the answer with the earlier ones, without a model; answers that cannot be compared do not agree."""
        yield from ()
        agreeing = next((other.tier for other in case.others if case.equality.same(case.answer, other)), None)
        if agreeing is not None:
            return Judgement(Verdict.VALID, "agreement", why=f"as {agreeing}")
        if case.ladder.index(case.answer.tier) == self.trusted:
            return or_earlier(case, Judgement(Verdict.VALID, "fixed"))
        return Judgement(Verdict.UNCERTAIN, "agreement")

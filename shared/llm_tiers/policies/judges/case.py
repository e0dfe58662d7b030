"""What a judge receives and what it returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any

from llm_tiers.agreement.equality import Equality, FinalAnswers
from llm_tiers.call.answer import Answer
from llm_tiers.usage import Usage

if TYPE_CHECKING:
    from llm_tiers.call.call import Call
    from llm_tiers.ladder.tiers import Ladder, Tier

__all__ = ["Case", "Findings", "Judgement", "Verdict"]


class Verdict(StrEnum):
    """Whether an answer stands. Only a valid one is returned; uncertain ones go one tier up, as invalid ones do."""

    VALID = "valid"
    INVALID = "invalid"
    UNCERTAIN = "uncertain"


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict and its origin.

    Attributes:
        verdict: Whether the answer stands.
        by: What decided, in a word, for the trace.
        warning: What went wrong in judging, or None.
        why: What the judge found, in a few words without the answer's contents, or None.
        instead: Name of the tier whose earlier answer stands in place of this one, or None.
        skip_to: Name of the tier to go on with where the answer does not stand; None: the next one.
        confidence: Chance stated for the answer that stands, in [0, 1], as in the trace; None where the judge
            does not say.
    """

    verdict: Verdict
    by: str
    warning: str | None = None
    why: str | None = None
    instead: str | None = None
    skip_to: str | None = None
    confidence: float | None = None


@dataclass(slots=True)
class Findings:
    """What judges found by looking at answers alone, whatever the policy made of it: for the record of the call.

    A verdict that rests on comparing answers is no finding, since the record has what is the same.

    Attributes:
        checks: Tier name to what a user's function said of its answer, where it said anything.
        verdicts: Tier name to what a judging model said of its answer; absent where it left that undecided.
        verdict_costs: Tier name to what asking the judging model cost in US$, where that is known.
    """

    checks: dict[str, bool] = field(default_factory=dict)
    verdicts: dict[str, bool] = field(default_factory=dict)
    verdict_costs: dict[str, float] = field(default_factory=dict)

    def add_check(self, tier: str, verdict: Verdict) -> None:
        """Note what a user's function said of a tier's answer."""
        if verdict is not Verdict.UNCERTAIN:
            self.checks[tier] = verdict is Verdict.VALID

    def add_verdict(self, tier: str, verdict: Verdict, cost_usd: float | None) -> None:
        """Note what a judging model said of a tier's answer, and what that cost."""
        if verdict is not Verdict.UNCERTAIN:
            self.verdicts[tier] = verdict is Verdict.VALID
        if cost_usd is not None:
            self.verdict_costs[tier] = self.verdict_costs.get(tier, 0.0) + cost_usd

    def settle_verdict(self, tier: str, verdict: Verdict) -> None:
        """Note what a judge as a whole said of a tier's answer, in place of what single models in it said."""
        self.verdicts.pop(tier, None)
        # Even where nothing was paid or decided, the record then tells that the judge was asked.
        self.add_verdict(tier, verdict, 0.0)


@dataclass(frozen=True)
class Case:
    """What there is to judge.

    Attributes:
        call: The user's call.
        ladder: All tiers, cheapest first.
        answer: The answer to judge.
        others: What other tiers answered to the same call, in the order of the calls.
        equality: When two answers are the same.
        insight: What the starter of the same policy passed on.
        sameness: What is known of pairs of answers, by their tiers' names: True, False, or None where asking
            a model did not settle it. It belongs to the call, so that no pair is compared twice.
        cost: Returns what a tier's answer of so many tokens costs in US$, or None where that is not known.
        findings: What judges find out of the answers; it belongs to the call.
    """

    call: Call
    ladder: Ladder
    answer: Answer
    others: tuple[Answer, ...] = ()
    equality: Equality = field(default_factory=FinalAnswers)
    insight: Any = None
    sameness: dict[frozenset[str], bool | None] = field(default_factory=dict)
    cost: Callable[[Tier, Usage], float | None] = lambda _tier, _usage: None
    findings: Findings = field(default_factory=Findings)

    @cached_property
    def by_form(self) -> Judgement | None:
        """The verdict by the answer's form alone; None where the form decides nothing, or none is asked for."""
        # Cached, since the flow and the judges ask for it in turn, and checking a schema takes time.
        form = self.call.form
        if form is None or not form.covers(self.answer):
            return None
        flaw = form.flaw(self.answer)
        return Judgement(Verdict.VALID if flaw is None else Verdict.INVALID, "schema", why=flaw)

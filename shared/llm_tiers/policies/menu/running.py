"""A rule of the menu as the flow runs it: a starter that takes the first step, and a judge that takes the others."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from llm_tiers.policies.judges.case import Case, Judgement, Verdict
from llm_tiers.policies.judges.judge import Judge, Review
from llm_tiers.policies.judges.prompt import PromptJudge
from llm_tiers.policies.menu.rule import Accept, Ask, CallState, Rule, Step
from llm_tiers.policies.starters.base import Plan, Planning

if TYPE_CHECKING:
    from collections.abc import Callable

    from llm_tiers.call.answer import Answer
    from llm_tiers.call.call import Call
    from llm_tiers.call.requests import Request, Response
    from llm_tiers.ladder.tiers import Ladder, Tier

__all__ = ["FixedRule", "RuleJudge", "is_flawed", "plan_of"]


def plan_of(rule: Rule, reason: str) -> Plan:
    """Return the plan by which the flow begins a rule; the rule itself is passed on to the judge."""
    *witnesses, start = rule.first
    return Plan(start=start, witnesses=tuple(witnesses), reason=reason, insight=rule, rule=rule.name)


class FixedRule:
    """Answer every call by one rule.

    Args:
        rule: A function that makes the rule from the names of the ladder's tiers, cheapest first.
    """

    def __init__(self, rule: Callable[[Sequence[str]], Rule]) -> None:
        self.rule = rule

    def check(self, ladder: Ladder) -> None:
        """Check that the rule suits the ladder.

        Raises:
            ConfigError: It names a tier that the ladder lacks.
        """
        self.rule(ladder.names)

    def plan(self, call: Call, ladder: Ladder) -> Planning:  # noqa: ARG002
        """Begin the rule; the history is not asked."""
        yield from ()  # a starter is a generator, even if it asks for nothing
        rule = self.rule(ladder.names)
        return plan_of(rule, f"rule {rule.name}")


class RuleJudge(Judge):
    """Continue as the rule says that the starter passed on.

    Args:
        judge: The judge that gives the verdicts that a rule asks for.
    """

    judges_missing = True
    judges_flawed = True

    def __init__(self, judge: Judge | None = None) -> None:
        self.judge = judge or PromptJudge()

    def __repr__(self) -> str:
        return f"RuleJudge({self.judge!r})"

    def identity(self) -> str:
        """Return the identity of the judge that gives verdicts."""
        return f"RuleJudge({self.judge.identity()})"

    def own_tiers(self) -> Iterator[Tier]:
        """Yield the models outside the ladder that the judge calls."""
        yield from self.judge.own_tiers()

    def check(self, ladder: Ladder) -> None:
        """Check the judge against the ladder."""
        self.judge.check(ladder)

    def ask(self, case: Case) -> Review:
        """Ask the judge about an answer, and record its verdict."""
        # A judge may be composed of several that differ; the record keeps what they said together.
        judgement = yield from self.judge.review(case)
        case.findings.settle_verdict(case.answer.tier, judgement.verdict)
        return judgement

    def ask_below_top(self, case: Case) -> Generator[Request, Response, None]:
        """Ask the judge about an answer of a profiled call, if rules may need a verdict on it."""
        # The top tier's answer is what others are measured by, and a missing or malformed one is never accepted.
        if (
            case.answer.tier != case.ladder.top.name
            and case.answer.value is not None
            and not is_flawed(case, case.answer)
        ):
            yield from self.ask(replace(case, insight=None))

    def review(self, case: Case) -> Review:
        """Accept an answer, or continue with the tier that the rule asks next."""
        rule = case.insight
        # A profiled call has no rule. If tiers fail there, an answer that comes up for review leads on, up to the top.
        if rule is None:
            return Judgement(Verdict.UNCERTAIN, "rule", why="no rule")
        if not isinstance(rule, Rule):
            raise TypeError("RuleJudge goes with a starter that passes on a rule, such as FixedRule")
        state = _state_of(case)
        own = case.answer.tier
        step, warning = _step(rule, state, case.ladder.names, own), None
        if not isinstance(step, Accept | Ask):
            judgement = yield from self.ask(case)
            verdict, warning = judgement.verdict, judgement.warning
            said = None if verdict is Verdict.UNCERTAIN else verdict is Verdict.VALID
            state = CallState(state.said, {**state.verdicts, step.tier: said})
            step = _step(rule, state, case.ladder.names, own)
        if isinstance(step, Accept):
            instead = None if step.tier == own else step.tier
            return Judgement(Verdict.VALID, "rule", warning, why=rule.name, instead=instead)
        goes_on = step.tiers[0] if isinstance(step, Ask) else None
        # An answer that a verdict rejected, or that does not have the form asked for, is never returned.
        wrong = state.verdicts.get(own) is False or is_flawed(case, case.answer)
        verdict = Verdict.INVALID if wrong else Verdict.UNCERTAIN
        return Judgement(verdict, "rule", warning, why=f"{rule.name}: {goes_on} is next", skip_to=goes_on)

    def takes_any(self, tier: Tier, ladder: Ladder, insight: Any) -> bool:
        """Say whether the rule accepts any answer of the tier."""
        if not isinstance(insight, Rule):
            return False
        return _step(insight, CallState({tier.name: 0}), ladder.names, tier.name) == Accept(tier.name)

    def settle(self, case: Case) -> Judgement | None:
        """Return an earlier answer that the rule accepts instead of the top tier's, or None."""
        rule = case.insight
        if not isinstance(rule, Rule):
            return None
        step = _step(rule, _state_of(case), case.ladder.names, case.answer.tier)
        if not isinstance(step, Accept) or step.tier == case.answer.tier:
            return None
        return Judgement(Verdict.VALID, "rule", why=rule.name, instead=step.tier)


def _step(rule: Rule, state: CallState, names: Sequence[str], own: str) -> Step:
    """Return the rule's next step. A tier that the flow can no longer ask counts as one that gave no answer.

    Args:
        rule: The rule.
        state: What has been said so far.
        names: The ladder's tiers, cheapest first.
        own: The tier that the flow has reached.
    """
    reached = names.index(own)
    said = dict(state.said)
    while True:
        step = rule.next(CallState(said, state.verdicts))
        if not isinstance(step, Ask):
            return step
        # The flow only goes upward. A tier at or below the one reached has failed or cannot serve the call.
        below = [name for name in step.tiers if names.index(name) <= reached and name not in said]
        if not below:
            return step
        said |= dict.fromkeys(below, -1)


def _state_of(case: Case) -> CallState:
    """Number the answers so that equal ones have equal numbers; answers that cannot be compared count as different."""
    numbers: dict[str, int] = {}
    firsts: list[Answer] = []
    for answer in (*case.others, case.answer):
        if answer.value is None or is_flawed(case, answer) or case.equality.same(answer, answer) is False:
            numbers[answer.tier] = -1
            continue
        same = [case.equality.same(answer, first) is True for first in firsts]
        if True not in same:
            firsts.append(answer)
            same.append(True)
        numbers[answer.tier] = same.index(True)
    ordered = {name: numbers[name] for name in case.ladder.names if name in numbers}
    return CallState(ordered)


def is_flawed(case: Case, answer: Answer) -> bool:
    """Say whether an answer does not have the form that the call asks for."""
    form = case.call.form
    return form is not None and form.flaw(answer) is not None

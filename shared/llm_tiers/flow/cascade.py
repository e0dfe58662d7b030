"""The flow of one call, Starter -> Generator -> Judge, written once as a generator that does no I/O.

It yields requests and is sent what they bring (`requests.py`); `drive.py` performs them. What is learned on the way
it notes in the call's ledger, which the driver owns, so that a call that is cut short leaves its trace too.
"""

from __future__ import annotations

import random
from collections.abc import Generator
from dataclasses import replace
from typing import TYPE_CHECKING

from llm_tiers.call.answer import Answer
from llm_tiers.call.requests import Flow, Generate, Handoff, ModelCall, Reply, Request, Response, generate, hand_off
from llm_tiers.errors import AllTiersFailed, TierError
from llm_tiers.policies.judges.case import Case, Judgement, Verdict
from llm_tiers.policies.starters.base import Plan
from llm_tiers.trace import Role

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llm_tiers.call.call import Call
    from llm_tiers.flow.ledger import Ledger
    from llm_tiers.ladder.tiers import Tier
    from llm_tiers.policies.policy import Policy

__all__ = ["cascade"]


def cascade(policy: Policy, ledger: Ledger) -> Flow:
    """Answer the ledger's call with the cheapest tier that gets it right.

    Returns:
        The accepted answer: one that the judge found valid, or the top tier's, which is not judged. Where the top
        tier fails or has nothing to say, an earlier answer that the judge was unsure of is better than none; one that
        it rejected is never returned. An answer that was cut short or filtered goes one tier up unjudged; the top
        tier's is returned, with a warning in the trace.

    Raises:
        AllTiersFailed: No tier gave an answer that may be returned.
    """
    call = ledger.call
    if call.pin is not None:
        return (yield from _pinned(ledger.ladder[call.pin], ledger))
    serving = _serving(ledger)
    plan = yield from policy.starter.plan(call, ledger.ladder)
    ledger.plan = replace(plan, audit=True) if plan is not None and _drawn(policy, call) else plan
    return (yield from _climb(policy, ledger, _from_start(serving, ledger)))


def _drawn(policy: Policy, call: Call) -> bool:
    """Say whether the call is one of those that all tiers answer."""
    return policy.audit > 0 and random.Random(f"audit:{call.id}").random() < policy.audit


def _pinned(tier: Tier, ledger: Ledger) -> Flow:
    ledger.plan = Plan(start=tier.name, reason="pinned")
    reply = yield from hand_off(Handoff(ModelCall(tier)))
    ledger.note(reply)
    if isinstance(reply, TierError):
        raise _failure(ledger)
    _warn_of_flaw(ledger, reply)
    _warn_of_end(ledger, reply)
    return ledger.accept(reply)


def _serving(ledger: Ledger) -> tuple[Tier, ...]:
    """Return the tiers that can serve the call; the trace names the others."""
    serving = []
    for tier in ledger.ladder:
        shortfall = tier.shortfall(ledger.call.needs, ledger.call.tokens)
        if shortfall is None:
            serving.append(tier)
        else:
            ledger.warn(f"tier {tier.name} skipped: {shortfall}")
            ledger.errors.append(TierError(tier.name, f"cannot serve the call: {shortfall}"))
    if not serving:
        raise _failure(ledger)
    return tuple(serving)


def _from_start(serving: Sequence[Tier], ledger: Ledger) -> Sequence[Tier]:
    """Return the serving tiers from the planned start upward; at least the dearest one."""
    plan = ledger.plan
    if plan is None:
        raise TypeError("the starter returned no plan")
    ledger.serving = tuple(tier.name for tier in serving)
    for warning in plan.warnings:
        ledger.warn(warning)
    start = ledger.ladder.index(plan.start)
    tiers = [tier for tier in serving if ledger.ladder.index(tier.name) >= start] or [serving[-1]]
    if tiers[0].name != plan.start:
        ledger.plan = replace(plan, start=tiers[0].name, reason=f"{plan.reason}; {plan.start} cannot serve the call")
    return tiers


def _climb(policy: Policy, ledger: Ledger, tiers: Sequence[Tier]) -> Flow:
    """Ask one tier after the other until an answer stands."""
    early: dict[str, Reply] = {}
    lowest = 0
    for position, tier in enumerate(tiers):
        if ledger.ladder.index(tier.name) < lowest and tier is not tiers[-1]:
            continue
        top = tier is tiers[-1]
        beside = _beside(ledger, tiers) if position == 0 else ()
        if tier.name in early:
            reply = early.pop(tier.name)
            ledger.note(reply)
        else:
            reply, early = yield from _ask(policy, ledger, tier, beside, early, unjudged=top)
        if isinstance(reply, TierError):
            if reply.broke_off:
                # The user has half an answer; the whole of another one would be read as its end.
                raise _failure(ledger)
            continue
        if top:
            return _accept(ledger, _final(policy, ledger, reply), early)
        if reply.unfinished is not None:
            ledger.rule(reply, Judgement(Verdict.INVALID, "finish", why=reply.unfinished))
            continue
        judgement = yield from _judge(policy, ledger, reply, tier)
        ledger.rule(reply, judgement)
        if judgement.verdict is Verdict.VALID:
            return _accept(ledger, _standing(ledger, reply, judgement), early)
        lowest = 0 if judgement.skip_to is None else ledger.ladder.index(judgement.skip_to)
    earlier = _unsure(ledger)
    if earlier is None:
        raise _failure(ledger)
    return ledger.accept(earlier)


def _accept(ledger: Ledger, answer: Answer, early: dict[str, Reply]) -> Answer:
    """Accept an answer, and note those that were given early and not needed: they teach as much."""
    for reply in early.values():
        ledger.note(reply)
    return ledger.accept(answer)


def _standing(ledger: Ledger, answer: Answer, judgement: Judgement) -> Answer:
    """Return the answer that the judge found valid: the one judged, or an earlier one."""
    if judgement.instead is None:
        return answer
    earlier = next(other for other in ledger.answers if other.tier == judgement.instead)
    ledger.rule(earlier, replace(judgement, instead=None))
    return earlier


def _final(policy: Policy, ledger: Ledger, answer: Answer) -> Answer:
    """Return the top tier's answer, or an earlier one where the top has nothing to say or not in the form asked for."""
    wanting = _warn_of_flaw(ledger, answer) or (answer.value is None and not policy.missing_counts)
    # What the user has been shown already cannot be taken back.
    earlier = _unsure(ledger) if wanting and not answer.live else None
    if earlier is None:
        _warn_of_end(ledger, answer)
    return earlier or answer


def _warn_of_flaw(ledger: Ledger, answer: Answer) -> bool:
    """Say in the trace where an answer that nobody judges does not have the form asked for."""
    flaw = ledger.flaw(answer)
    if flaw is not None:
        ledger.warn(f"the answer of {answer.tier} does not have the form asked for: {flaw}")
    return flaw is not None


def _warn_of_end(ledger: Ledger, answer: Answer) -> None:
    """Say in the trace where an answer that is returned is not whole."""
    if answer.unfinished is not None:
        ledger.warn(f"the answer of {answer.tier} was {answer.unfinished}")


def _beside(ledger: Ledger, tiers: Sequence[Tier]) -> tuple[Tier, ...]:
    """Return who answers side by side with the start: its witnesses, which are cheaper, or all for an audit."""
    plan, start = ledger.plan, tiers[0]
    if plan is None:
        return ()
    cheaper = ledger.serving[: ledger.serving.index(start.name)]
    if plan.audit:
        return (*(ledger.ladder[name] for name in cheaper), *tiers[1:])
    names = [name for name in plan.witnesses if name in cheaper]
    return tuple(ledger.ladder[name] for name in names if not plan.thrifty or ledger.is_worth_it(name, start.name))


def _ask(
    policy: Policy,
    ledger: Ledger,
    tier: Tier,
    beside: tuple[Tier, ...],
    early: dict[str, Reply],
    *,
    unjudged: bool,
) -> Generator[Request, Response, tuple[Reply, dict[str, Reply]]]:
    """Let `tier` answer, others beside it, and note who answered what; a dearer tier's answer is kept for its turn."""
    # Whose answer is final must not be offered a way out of giving one.
    own = ModelCall(tier, postscript=None if unjudged else _invitation(policy, ledger, tier))
    if unjudged and not beside:
        reply = yield from hand_off(Handoff(own))
        ledger.note(reply)
        return reply, early
    cheaper = ledger.serving[: ledger.serving.index(tier.name)]
    others = tuple(
        ModelCall(
            other,
            role=_role(ledger, other, cheaper),
            postscript=_invitation(policy, ledger, other),
        )
        for other in beside
    )
    replies = yield from generate(Generate((own, *others)))
    noted = [_without_abstention(reply, call) for reply, call in zip(replies, (own, *others), strict=True)]
    for call, reply in zip((own, *others), noted, strict=True):
        if call is own or call.role == "witness":
            ledger.note(reply)
        else:
            early[call.tier.name] = reply
    return noted[0], early


def _role(ledger: Ledger, beside: Tier, cheaper: Sequence[str]) -> Role:
    """Return what a tier beside the start is asked for."""
    plan = ledger.plan
    planned = plan is not None and beside.name in plan.witnesses and beside.name in cheaper
    return "witness" if planned else "audit"


def _invitation(policy: Policy, ledger: Ledger, tier: Tier) -> str | None:
    return policy.judge.invitation(tier, ledger.ladder)


def _without_abstention(reply: Reply, call: ModelCall) -> Reply:
    """Take an abstention for what it is: a missing answer."""
    if isinstance(reply, Answer) and call.postscript is not None and _abstains(reply):
        return replace(reply, value=None)
    return reply


def _abstains(answer: Answer) -> bool:
    return answer.text.strip(" \t\n.*\"'").lower() == "abstain"


def _judge(policy: Policy, ledger: Ledger, answer: Answer, tier: Tier) -> Generator[Request, Response, Judgement]:
    """Judge an answer; an abstention, a missing answer and one of another form than asked for need no judge."""
    if answer.value is None and _abstains(answer) and _invitation(policy, ledger, tier) is not None:
        return Judgement(Verdict.INVALID, "abstained")
    if answer.value is None and not (policy.missing_counts or policy.judge.judges_missing):
        return Judgement(Verdict.INVALID, "missing")
    others = tuple(other for other in ledger.answers if other.tier != answer.tier)
    insight = ledger.plan.insight if ledger.plan is not None else None
    case = Case(ledger.call, ledger.ladder, answer, others, policy.equality, insight, ledger.sameness, ledger.cost)
    if case.by_form is not None and case.by_form.verdict is Verdict.INVALID:
        return case.by_form
    return (yield from policy.judge.review(case))


def _unsure(ledger: Ledger) -> Answer | None:
    """Return the dearest earlier answer that no judge rejected, whichever tier gave it, and say so in the trace."""
    rejected = {
        said
        for answer in ledger.answers
        if answer.tier in ledger.judgements and ledger.judgements[answer.tier].verdict is Verdict.INVALID
        for said in (answer.value, answer.text)
    }
    for tier in reversed(ledger.serving):
        for answer in ledger.answers:
            says = answer.value is not None and ledger.flaw(answer) is None
            if answer.tier == tier and says and rejected.isdisjoint({answer.value, answer.text}):
                ledger.warn(f"no tier above gave an answer: {tier}'s is returned though no judge found it valid")
                return answer
    return None


def _failure(ledger: Ledger) -> AllTiersFailed:
    tiers = ", ".join(ledger.ladder.names)
    rejected = [name for name, judgement in ledger.judgements.items() if judgement.verdict is Verdict.INVALID]
    detail = f" (rejected by the judge: {', '.join(rejected)})" if rejected else ""
    causes = "; ".join(str(error) for error in ledger.errors)
    return AllTiersFailed(f"no tier of {tiers} gave an answer that may be returned{detail}: {causes}", ledger.errors)

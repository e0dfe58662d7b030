"""The flow of one call, Starter -> Generator -> Judge, written once as a generator that does no I/O.

It yields requests and receives their replies (`requests.py`); `drive.py` performs them. What it learns on the way goes
into the call's ledger. The driver owns the ledger, so a call that is cut short has a trace too.
"""

from __future__ import annotations

import random
from collections.abc import Generator, Hashable
from dataclasses import replace
from typing import TYPE_CHECKING

from llm_tiers.call.answer import Answer
from llm_tiers.call.requests import (
    Flow,
    Generate,
    Generating,
    Handoff,
    ModelCall,
    Reply,
    Request,
    Response,
    generate,
    hand_off,
)
from llm_tiers.errors import AllTiersFailed, TierError
from llm_tiers.ladder.provider import provider_of
from llm_tiers.policies.judges.case import Case, Judgement, Verdict
from llm_tiers.policies.rollout import Serve
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
        it rejected is never returned. Where nothing comes from the start upward, the tiers that have not been asked yet
        are, dearest first, unless the limits say otherwise. An answer that was cut short or filtered goes one tier up
        unjudged; the top tier's is returned, with a warning in the trace.

    Raises:
        AllTiersFailed: No tier gave an answer that may be returned.
    """
    call = ledger.call
    if call.pin is not None:
        return (yield from _alone(ledger, Plan(start=call.pin, reason="pinned")))
    if isinstance(policy.starter, Serve):
        return (yield from _alone(ledger, (yield from policy.starter.plan(call, ledger.ladder)), raises_own=True))
    serving = _serving(ledger)
    plan = yield from policy.starter.plan(call, ledger.ladder)
    ledger.plan = plan if plan is None else _with_audit(policy, ledger, plan)
    tiers = _from_start(serving, ledger)
    _check_exhausted(ledger)
    return (yield from _climb(policy, ledger, tiers))


def _with_audit(policy: Policy, ledger: Ledger, plan: Plan) -> Plan:
    """Return the plan, as an audit where the call is one of those that all tiers answer."""
    call = ledger.call
    # Where a tier is not asked, not all can answer.
    if policy.audit <= 0 or call.down:
        return plan
    # Drawn from the call's id, as exploration is: sync and async draw the same, and no generator is shared by threads.
    # The prefix keeps this draw independent of the starter's, which is made from the same id.
    drawn = random.Random(f"audit:{call.id}").random() < policy.audit
    ledger.audit_chance = policy.audit
    return replace(plan, audit=plan.audit or drawn, lots=plan.lots.audited(policy.audit, drawn=drawn))


def _alone(ledger: Ledger, plan: Plan, *, raises_own: bool = False) -> Flow:
    """Let one tier answer as if there were no other.

    Args:
        ledger: The account of the call.
        plan: The plan, which names the tier.
        raises_own: Raise what the tier's client raised, and not that all tiers failed.
    """
    ledger.plan = plan
    # Nobody judges its answer, so it may stream live: there is no other tier to fall back on.
    reply = yield from _handed_off(ledger, ModelCall(ledger.ladder[plan.start], forced=True))
    ledger.add_reply(reply)
    if isinstance(reply, TierError):
        if raises_own and isinstance(reply.cause, Exception):
            raise reply.cause
        raise _all_failed(ledger)
    _warn_of_flaw(ledger, reply)
    _warn_of_end(ledger, reply)
    return ledger.accept(reply)


def _serving(ledger: Ledger) -> tuple[Tier, ...]:
    """Return the tiers that can serve the call; the trace names the others."""
    able, call = [], ledger.call
    for tier in ledger.ladder:
        shortfall = _lacks(call, tier)
        if shortfall is None:
            able.append(tier)
        else:
            ledger.warn(f"tier {tier.name} skipped: {shortfall}")
            # An error too: if no tier can serve the call, `AllTiersFailed` must say why for each of them.
            ledger.errors.append(TierError(tier.name, f"cannot serve the call: {shortfall}"))
    if not able:
        raise _all_failed(ledger)
    # Where all of them fail, the dearest is asked all the same.
    serving = tuple(tier for tier in able if tier.name not in call.down) or (able[-1],)
    for tier in able:
        if tier.name in call.down:
            done = "asked, since all are down" if tier in serving else "skipped"
            ledger.warn(f"breaker: {tier.name} {done}, {call.down[tier.name]}")
    return serving


def _lacks(call: Call, tier: Tier) -> str | None:
    """Say what a tier lacks to serve the call, whether or not it is asked now."""
    return tier.shortfall(call.needs, call.tokens)


def _from_start(serving: Sequence[Tier], ledger: Ledger) -> Sequence[Tier]:
    """Return the serving tiers from the planned start upward; at least the dearest one."""
    plan = ledger.plan
    if plan is None:
        raise TypeError("the starter returned no plan")
    ledger.serving = tuple(tier.name for tier in serving)
    for warning in plan.warnings:
        ledger.warn(warning)
    # The starter may plan a tier that cannot serve the call. The next dearer one that can takes its place, since the
    # estimates say that the tiers below it are too weak; where none can, the dearest of those that remain.
    start = ledger.ladder.index(plan.start)
    tiers = [tier for tier in serving if ledger.ladder.index(tier.name) >= start] or [serving[-1]]
    if tiers[0].name != plan.start:
        ledger.plan = replace(plan, start=tiers[0].name, reason=f"{plan.reason}; {plan.start} cannot serve the call")
    return tiers


def _check_exhausted(ledger: Ledger) -> None:
    """Mark an answer in place of that of a tier that fails, or raise where the user wants none.

    Not where a judge decides whether such an answer stands: what it finds valid is as good as another's.
    """
    missing = None if ledger.plan is None else ledger.plan.in_place_of
    if missing is None:
        return
    if ledger.limits.on_exhausted == "raise":
        ledger.errors.append(ledger.not_asked(ledger.ladder[missing]))
        raise _all_failed(ledger)
    ledger.degraded = True


def _climb(policy: Policy, ledger: Ledger, tiers: Sequence[Tier]) -> Flow:
    """Ask one tier after the other until an answer stands."""
    early: dict[str, Reply] = {}
    lowest = 0
    # The last tier's answer is final because no tier is above it. If one is, and only its breaker keeps it from being
    # asked, the answer is judged as below the top.
    last = ledger.ladder.index(tiers[-1].name)
    judges_last = any(name in ledger.call.down for name in ledger.ladder.names[last + 1 :])
    for position, tier in enumerate(tiers):
        # The judge may skip tiers, but never the last one: without an answer from it the call would fail.
        if ledger.ladder.index(tier.name) < lowest and tier is not tiers[-1]:
            continue
        if _is_refused_by(ledger, tier):
            continue
        top = tier is tiers[-1] and not judges_last
        beside = _beside(ledger, tiers) if position == 0 else ()
        shown = not beside and _stands_anyway(policy, ledger, tier)
        if tier.name in early:
            # In an audit this tier has answered already. Its answer is used only now, so that the call returns what it
            # would have returned without the audit.
            reply = early.pop(tier.name)
            ledger.add_reply(reply)
        else:
            unjudged = shown or (top and not _settles(ledger))
            reply = yield from _ask(policy, ledger, tier, beside, early, unjudged=unjudged)
        if isinstance(reply, TierError):
            # The user has half an answer; the whole of another one would be read as its end.
            if reply.broke_off or _is_hopeless(ledger, reply):
                raise _all_failed(ledger)
            continue
        if top:
            return (yield from _accept(policy, ledger, _final(policy, ledger, reply), early))
        judgement = yield from _judge(policy, ledger, reply, tier)
        if reply.live and judgement.verdict is not Verdict.VALID:
            # The user has read it, and would read another answer as the rest of this one.
            _warn_of_end(ledger, reply)
            ledger.warn(f"shown: the answer of {tier.name} streamed live, so it stands")
            return (yield from _accept(policy, ledger, reply, early))
        if judgement.verdict is Verdict.VALID:
            return (yield from _accept(policy, ledger, _accepted_answer(ledger, reply, judgement), early))
        lowest = 0 if judgement.skip_to is None else ledger.ladder.index(judgement.skip_to)
    return ledger.accept((yield from _left(policy, ledger, tiers[0], early)))


def _stands_anyway(policy: Policy, ledger: Ledger, tier: Tier) -> bool:
    """Say whether the tier's answer is accepted whatever it says, so that it may go out while it comes.

    That is so where its form does not count, no other tier is asked beside it or has answered, and the judge does not
    look at it.
    """
    plan, call = ledger.plan, ledger.call
    if plan is None or plan.audit or plan.profiled or call.form is not None or ledger.answers or ledger.judgements:
        return False
    return policy.judge.takes_any(tier, ledger.ladder, plan.insight)


def _left(policy: Policy, ledger: Ledger, start: Tier, early: dict[str, Reply]) -> Flow:
    """Return what is left to be returned where no tier from the start upward gave an answer that stands."""
    # On a profiled call all tiers have answered already, those below the start too.
    for reply in early.values():
        ledger.add_reply(reply)
    answer = None
    if ledger.limits.on_exhausted == "answer":
        answer = _best_unrejected(ledger) or (yield from _not_asked_yet(policy, ledger, start))
    if answer is None:
        raise _all_failed(ledger)
    ledger.degraded = True
    return answer


def _not_asked_yet(policy: Policy, ledger: Ledger, start: Tier) -> Generator[Request, Response, Answer | None]:
    """Ask the tiers that have not been asked, dearest first; None where they have no answer either.

    These are the tiers below the start, those above it that the judge has skipped, and last the dearest of those whose
    breaker is open.
    """
    asked = {answer.tier for answer in ledger.answers} | {error.tier for error in ledger.errors}
    call = ledger.call
    failing = [tier.name for tier in ledger.ladder if tier.name in call.down and not _lacks(call, tier)]
    for name in (*reversed(ledger.serving), *failing[-1:]):
        if name in asked or _is_refused_by(ledger, ledger.ladder[name]):
            continue
        if name in failing:
            ledger.warn(f"breaker: {name} asked after all, since no other tier gave an answer")
        # Not live: it has to be looked at before the user sees it.
        reply = yield from _ask(policy, ledger, ledger.ladder[name], (), {}, unjudged=False)
        if isinstance(reply, TierError):
            if _is_hopeless(ledger, reply):
                return None
            continue
        judgement = yield from _judge(policy, ledger, reply, ledger.ladder[name])
        if reply.value is not None and not _is_rejected(ledger, reply) and ledger.flaw(reply) is None:
            ledger.warn(f"degraded: no tier from {start.name} up gave an answer, so {name} answered")
            return reply if judgement.verdict is Verdict.UNCERTAIN else _accepted_answer(ledger, reply, judgement)
    return None


def _accept(policy: Policy, ledger: Ledger, answer: Answer, early: dict[str, Reply]) -> Flow:
    """Accept an answer; early answers that were not needed go into the ledger too, since they teach as much."""
    ledger.unneeded = frozenset(early)
    for reply in early.values():
        ledger.add_reply(reply)
    if ledger.plan is not None and ledger.plan.is_profiled:
        # A profiled call compares the tiers, so a function that checked some of the answers checks them all.
        for other in ledger.answers:
            if other.value is not None and other.tier not in ledger.findings.checks:
                policy.judge.note_checks(_case(ledger, other))
            yield from policy.judge.survey(_case(ledger, other))
    return ledger.accept(answer)


def _accepted_answer(ledger: Ledger, answer: Answer, judgement: Judgement) -> Answer:
    """Return the answer that the judge found valid: the one judged, or an earlier one."""
    if judgement.instead is None:
        return answer
    earlier = next(other for other in ledger.answers if other.tier == judgement.instead)
    ledger.add_judgement(earlier, replace(judgement, instead=None))
    return earlier


def _final(policy: Policy, ledger: Ledger, answer: Answer) -> Answer:
    """Return the top tier's answer, or an earlier one if the top's is missing or does not have the form asked for."""
    wanting = _warn_of_flaw(ledger, answer) or (answer.value is None and not policy.missing_counts)
    earlier = _settled(policy, ledger, answer)
    # What the user has been shown already cannot be taken back.
    if earlier is None and wanting and not answer.live:
        earlier = _best_unrejected(ledger)
    if earlier is None:
        _warn_of_end(ledger, answer)
    return earlier or answer


def _settled(policy: Policy, ledger: Ledger, answer: Answer) -> Answer | None:
    """Return the earlier answer that the judge of a profiled call prefers to the top tier's, or None."""
    judgement = policy.judge.settle(_case(ledger, answer)) if _settles(ledger) else None
    return None if judgement is None else _accepted_answer(ledger, answer, judgement)


def _settles(ledger: Ledger) -> bool:
    """Say whether the judge may find that an earlier answer stands instead of the top tier's."""
    return ledger.plan is not None and ledger.plan.profiled


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
    # A tier above the start is asked in an audit only; otherwise its answer would be paid for before it is needed.
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
) -> Generator[Request, Response, Reply]:
    """Ask `tier` and the tiers beside it, add their replies to the ledger, and return the tier's own.

    What is asked for an audit alone is kept in `early` for its turn.
    """
    # A tier whose answer is final must not be invited to abstain.
    invitation = None if unjudged else _invitation(policy, ledger, tier)
    own = ModelCall(tier, postscript=invitation, forced=tier.name in ledger.call.down)
    # Only a single call can stream live: with others beside it the driver has to wait for all of them.
    if unjudged and not beside:
        reply = yield from _handed_off(ledger, own)
        ledger.add_reply(reply)
        return reply
    cheaper = [name for name in ledger.serving if ledger.ladder.index(name) < ledger.ladder.index(tier.name)]
    others = tuple(
        ModelCall(
            other,
            role=_role(ledger, other, cheaper),
            postscript=_invitation(policy, ledger, other),
        )
        for other in beside
    )
    calls = (own, *others)
    if others and (kind := _new_kind(ledger)) is not None:
        # Alone, so that the others are spared a request that none of them would take.
        first = yield from _asked(ledger, calls[:1], early)
        if isinstance(first, Answer):
            ledger.accepted_kinds.add(kind)
        # Of another provider, which may take it, one tier is asked after the other too.
        if not (isinstance(first, TierError) and first.origin.blame in ("caller", "refused")):
            yield from _asked(ledger, others, early)
        return first
    return (yield from _asked(ledger, calls, early))


def _new_kind(ledger: Ledger) -> Hashable | None:
    """Return the kind of the call's request if no tier is known to take such requests; None if one is, or may be."""
    kind = None if ledger.call.kind is None else ledger.call.kind()
    return None if kind in ledger.accepted_kinds else kind


def _asked(
    ledger: Ledger, calls: tuple[ModelCall, ...], early: dict[str, Reply]
) -> Generator[Request, Response, Reply]:
    """Call models side by side, add their replies to the ledger or keep them for their turn, and return the first."""
    replies = yield from _side_by_side(ledger, calls)
    kept = [_without_abstention(reply, call) for reply, call in zip(replies, calls, strict=True)]
    for call, reply in zip(calls, kept, strict=True):
        if call.role in ("generate", "witness"):
            ledger.add_reply(reply)
        else:
            early[call.tier.name] = reply
        if isinstance(reply, TierError) and reply.origin.blame == "refused" and ledger.call.kind is not None:
            ledger.accepted_kinds.forget(ledger.call.kind())
    return kept[0]


def _handed_off(ledger: Ledger, call: ModelCall) -> Generator[Request, Response, Reply]:
    """Hand off to a model; once more where its client does not know a setting, since nothing has been asked then."""
    call = _with_known_settings(ledger, call)
    while True:
        reply = _blamed(ledger, call, (yield from hand_off(Handoff(call))))
        if not _knows_too_little(reply):
            return reply
        call = _with_known_settings(ledger, call)


def _side_by_side(ledger: Ledger, calls: tuple[ModelCall, ...]) -> Generating:
    """Call models side by side; those once more whose clients do not know a setting."""
    replies: dict[str, Reply] = {}
    while calls:
        calls = tuple(_with_known_settings(ledger, call) for call in calls)
        came = yield from generate(Generate(calls))
        blamed = [_blamed(ledger, call, reply) for call, reply in zip(calls, came, strict=True)]
        # A dict keeps the order in which the tiers were asked first.
        replies |= {call.tier.name: reply for call, reply in zip(calls, blamed, strict=True)}
        calls = tuple(call for call, reply in zip(calls, blamed, strict=True) if _knows_too_little(reply))
    return tuple(replies.values())


def _with_known_settings(ledger: Ledger, call: ModelCall) -> ModelCall:
    """Leave out the settings that a tier does not know and another one may; the trace says so."""
    without = ledger.taken.left_out(call.tier, ledger.call.settings)
    for name in sorted(without - call.without):
        ledger.warn(f"setting left out: {call.tier.name} does not know {name}")
    return replace(call, without=without)


def _blamed(ledger: Ledger, call: ModelCall, reply: Reply) -> Reply:
    """Learn which setting a tier does not know; where no other tier does either, it is the caller's mistake."""
    unknown = reply.origin.unknown if isinstance(reply, TierError) else None
    if not isinstance(reply, TierError) or unknown is None:
        return reply
    # A setting that was left out and is complained of all the same is not the user's.
    known = unknown in call.without
    if known or not ledger.taken.refuse(call.tier, unknown):
        reply.origin = replace(reply.origin, blame="setup" if known else "caller", unknown=None)
    return reply


def _knows_too_little(reply: Reply) -> bool:
    return isinstance(reply, TierError) and reply.origin.unknown is not None and not reply.broke_off


def _is_hopeless(ledger: Ledger, error: TierError) -> bool:
    """Say whether no other tier would do better: the mistake is the caller's."""
    if error.origin.blame == "caller":
        return True
    return error.origin.blame == "refused" and all(_is_refused_by(ledger, tier) for tier in ledger.ladder)


def _is_refused_by(ledger: Ledger, tier: Tier) -> bool:
    """Say whether the tier's provider has refused the request already, so that it would do so again."""
    # A request that one tier has answered is not one that every provider refuses.
    refusing = [] if ledger.answers else [error.tier for error in ledger.errors if error.origin.blame == "refused"]
    return any(provider_of(ledger.ladder[name].model) == provider_of(tier.model) for name in refusing)


def _role(ledger: Ledger, beside: Tier, cheaper: Sequence[str]) -> Role:
    """Return the role of a tier that answers beside the start."""
    # In an audit a planned witness stays a witness: the judge sees it, as it would without the audit. The answers of
    # the others are kept from the judge, or the audit would change the result.
    plan = ledger.plan
    planned = plan is not None and beside.name in plan.witnesses and beside.name in cheaper
    return "witness" if planned else "audit"


def _invitation(policy: Policy, ledger: Ledger, tier: Tier) -> str | None:
    return policy.judge.invitation(tier, ledger.ladder)


def _without_abstention(reply: Reply, call: ModelCall) -> Reply:
    """Treat an abstention as a missing answer, where the tier was invited to abstain.

    Without the invitation the word may be a real answer.
    """
    if isinstance(reply, Answer) and call.postscript is not None and _abstains(reply):
        return replace(reply, value=None)
    return reply


def _abstains(answer: Answer) -> bool:
    # Narrower than `refusals.declines`: the tier was asked for this one word and nothing else, and what it takes for an
    # abstention is never judged. Models add a full stop, quotes or Markdown emphasis to it.
    return answer.text.strip(" \t\n.*\"'").lower() == "abstain"


def _judge(policy: Policy, ledger: Ledger, answer: Answer, tier: Tier) -> Generator[Request, Response, Judgement]:
    """Judge an answer and add that to the ledger."""
    judgement = yield from _judgement(policy, ledger, answer, tier)
    ledger.add_judgement(answer, judgement)
    return judgement


def _judgement(policy: Policy, ledger: Ledger, answer: Answer, tier: Tier) -> Generator[Request, Response, Judgement]:
    """Judge an answer; one that was cut, an abstention, a missing one and one of another form need no judge."""
    if answer.unfinished is not None:
        return Judgement(Verdict.INVALID, "finish", why=answer.unfinished)
    if answer.value is None and _abstains(answer) and _invitation(policy, ledger, tier) is not None:
        return Judgement(Verdict.INVALID, "abstained")
    if answer.value is None and not (policy.missing_counts or policy.judge.judges_missing):
        return Judgement(Verdict.INVALID, "missing")
    case = _case(ledger, answer)
    # Before the policy's judge: a tool call that does not fit is unusable, and checking it costs nothing.
    flawed = case.by_form is not None and case.by_form.verdict is Verdict.INVALID
    if flawed and case.by_form is not None and not policy.judge.judges_flawed:
        return case.by_form
    return (yield from policy.judge.review(case))


def _case(ledger: Ledger, answer: Answer) -> Case:
    others = tuple(other for other in ledger.answers if other.tier != answer.tier)
    insight = ledger.plan.insight if ledger.plan is not None else None
    return Case(
        ledger.call,
        ledger.ladder,
        answer,
        others,
        ledger.equality,
        insight,
        ledger.sameness,
        ledger.cost,
        ledger.findings,
    )


def _best_unrejected(ledger: Ledger) -> Answer | None:
    """Return the dearest earlier answer that no judge rejected, with a warning in the trace; None if there is none."""
    for tier in reversed(ledger.serving):
        for answer in ledger.answers:
            if answer.tier != tier or answer.value is None or _is_rejected(ledger, answer):
                continue
            if ledger.flaw(answer) is None:
                ledger.warn(f"no tier above gave an answer: {tier}'s is returned though no judge found it valid")
                return answer
    return None


def _is_rejected(ledger: Ledger, answer: Answer) -> bool:
    # By contents as well as by tier: if the judge rejected one tier's answer, the same answer of another tier, which
    # was perhaps not judged, must not be returned either.
    rejected = {
        said
        for other in ledger.answers
        if other.tier in ledger.judgements and ledger.judgements[other.tier].verdict is Verdict.INVALID
        for said in (other.value, other.text)
    }
    return not rejected.isdisjoint({answer.value, answer.text})


def _all_failed(ledger: Ledger) -> AllTiersFailed:
    tiers = ", ".join(ledger.ladder.names)
    rejected = [name for name, judgement in ledger.judgements.items() if judgement.verdict is Verdict.INVALID]
    detail = f" (rejected by the judge: {', '.join(rejected)})" if rejected else ""
    causes = "; ".join(str(error) for error in ledger.errors)
    for error in ledger.errors:
        # A traceback of the group shows those of its parts, each with all that the client's libraries did before.
        # Each error is in `cause`, with its own.
        error.with_traceback(None).__suppress_context__ = True
        error.__cause__ = None
    message = f"no tier of {tiers} gave an answer that may be returned{detail}: {causes}"
    return AllTiersFailed(message, ledger.errors, _dearest_failure(ledger))


def _dearest_failure(ledger: Ledger) -> TierError | None:
    """Return the failure of the top tier; where its client raised nothing, that of the dearest whose client did."""
    raised = [error for error in ledger.errors if error.origin.kind is not Exception]
    return max(raised, key=lambda error: ledger.ladder.index(error.tier), default=None)

"""What one call has done and learned so far. It belongs to one call, so it is the only place that changes."""

from __future__ import annotations

import math
import threading
import time
from typing import TYPE_CHECKING

from llm_tiers.agreement.equality import InCall
from llm_tiers.call.answer import Answer
from llm_tiers.embedding.vector import Vector
from llm_tiers.errors import Origin, TierError
from llm_tiers.flow.accepted import Accepted
from llm_tiers.flow.deadline import Busy, Deadline, LateTiers
from llm_tiers.flow.labels import labels_of_call
from llm_tiers.flow.limits import Limits
from llm_tiers.flow.patience import HistoryTime
from llm_tiers.history.record import Record
from llm_tiers.ladder.taken import TakenSettings
from llm_tiers.policies.judges.case import Findings
from llm_tiers.telemetry.observer import UNOBSERVED, Observed
from llm_tiers.trace import Attempt, Grading, Trace
from llm_tiers.usage import TotalUsage, Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from llm_tiers.call.call import Call
    from llm_tiers.call.requests import ModelCall, Reply
    from llm_tiers.flow.breakers import Breakers
    from llm_tiers.flow.deadline import Late
    from llm_tiers.flow.grading import ToGrade
    from llm_tiers.flow.unseen import Unseen
    from llm_tiers.ladder.prices import PriceBook
    from llm_tiers.ladder.tiers import Ladder, Tier
    from llm_tiers.policies.judges.case import Judgement
    from llm_tiers.policies.policy import Policy
    from llm_tiers.policies.starters.base import Plan

__all__ = ["Ledger"]

_DEFAULT = Limits()


class Ledger:
    """The account of one call.

    The flow records plan, answers and judgements. The driver charges every model call the moment it ends, so the cost
    of a cancelled or failed call is known too. The trace and the record are made from it.

    Args:
        call: The call.
        ladder: The tiers.
        policy: The policy that answers it.
        prices: What the tiers cost.
        taken: What is known of the settings that the tiers take.
        limits: How far the call goes.
        breakers: The breakers of the tiers, or None.
        late: Counts what earlier calls asked of the history and did not wait for.
        late_tiers: Counts the model calls that earlier calls did not wait for.
        clock: Returns seconds.
        observed: Is told of the model calls.
        accepted: The kinds of requests that tiers have answered.
    """

    def __init__(
        self,
        call: Call,
        ladder: Ladder,
        policy: Policy,
        prices: PriceBook,
        taken: TakenSettings | None = None,
        limits: Limits = _DEFAULT,
        breakers: Breakers | None = None,
        late: Late | None = None,
        late_tiers: LateTiers | None = None,
        clock: Callable[[], float] = time.monotonic,
        observed: Observed = UNOBSERVED,
        accepted: Accepted | None = None,
    ) -> None:
        self.call = call
        self.ladder = ladder
        self.taken = taken or TakenSettings(ladder)
        self.limits = limits
        self.observed = observed
        self.history_time = HistoryTime(limits.history_timeout, late)
        self.deadline = Deadline(limits.deadline, clock)
        self.late_tiers = LateTiers() if late_tiers is None else late_tiers
        self.accepted_kinds = Accepted() if accepted is None else accepted
        self._breakers = breakers
        self.degraded = False
        self.serving = ladder.names
        self.plan: Plan | None = None
        self.audit_chance = 0.0
        self.unneeded: frozenset[str] = frozenset()
        self.unseen: Unseen | None = None
        self.answers: list[Answer] = []
        self.judgements: dict[str, Judgement] = {}
        self.accepted: Answer | None = None
        self.errors: list[TierError] = []
        self.vector: Vector | None = None
        self.grading: Grading | None = None
        self.to_grade: ToGrade | None = None
        self.findings = Findings()
        self.sameness: dict[frozenset[str], bool | None] = {}
        self.equality = InCall(policy.equality, call.form, self.warn)
        self.policy = policy
        self._prices = prices
        self._warnings: list[str] = []
        self._attempts: list[Attempt] = []
        self._steps: list[float] = []
        self._usages: list[Usage] = []
        self._cut_short = False
        self._lock = threading.Lock()

    def add_reply(self, reply: Reply) -> None:
        """Add what a tier answered, or its failure.

        An answer that was cut or filtered says nothing of what the tier would have answered: it is added as a failure,
        so that nothing is compared with it and nothing is learned from it.
        """
        if isinstance(reply, TierError):
            self.errors.append(reply)
        elif reply.unfinished is not None:
            self.errors.append(TierError(reply.tier, f"the answer was {reply.unfinished}", usage=reply.usage))
        else:
            self.answers.append(reply)

    def add_judgement(self, answer: Answer, judgement: Judgement) -> None:
        """Add the judge's verdict on an answer."""
        self.judgements[answer.tier] = judgement
        if judgement.warning:
            self.warn(judgement.warning)

    def flaw(self, answer: Answer) -> str | None:
        """Say why the answer does not have the form that the call asks for, or None."""
        return None if self.call.form is None else self.call.form.flaw(answer)

    def accept(self, answer: Answer) -> Answer:
        """Record which answer is returned."""
        self.accepted = answer
        return answer

    def warn(self, text: str) -> None:
        """Add something that went wrong without stopping the call."""
        # The same look-up may fail for the node and again for its parent; one line in the trace is enough.
        if text not in self._warnings:
            self._warnings.append(text)

    def is_worth_it(self, witness: str, start: str) -> bool:
        """Say whether a witness's answer costs less than the judge call that it may save; add a warning if it does not.

        The judge is the started tier: it reads question and answer, then either writes little or reasons as long as it
        did to answer. So a witness is worth it at up to half the price of the started tier's answer.
        """
        if self.ladder.costs[witness] <= self.ladder.costs[start] / 2:
            return True
        self.warn(f"witness {witness} left out: at its price, judging {start}'s answer is as cheap")
        return False

    def cost(self, tier: Tier, usage: Usage) -> float | None:
        """Return what an answer of `tier` would cost in US$, or None where its price is unknown."""
        return self._prices.cost(tier, usage)

    def same(self, one: Answer, other: Answer) -> bool | None:
        """Say whether two answers are the same: by what a judge found out, else by comparing them; None if unknown."""
        # A judge may have asked a model whether two texts say the same; comparing the texts again would lose that.
        known = self.sameness.get(frozenset((one.tier, other.tier)))
        return self.equality.same(one, other) if known is None else known

    def begin_step(self) -> int:
        """Begin a round of model calls that run side by side and return its number."""
        # The lock is for models called side by side in threads, which all charge this one ledger.
        with self._lock:
            self._steps.append(0.0)
            return len(self._steps) - 1

    def not_asked(self, tier: Tier) -> TierError:
        """Return the failure of a tier that is not asked because its breaker is open."""
        return (
            TierError(tier.name, "not asked")
            if self._breakers is None
            else self._breakers.not_asked(tier, self.call.timeout)
        )

    def refusal(self, call: ModelCall) -> TierError | None:
        """Return the failure that stands for a model call that is not made; None where it is to be made.

        It is not made after the deadline, while too many earlier ones of its tier have not ended, and while its breaker
        is open.
        """
        name = call.tier.name
        if self.deadline.left <= 0:
            return self._refused(name, "deadline", f"deadline={self.deadline.seconds:g} s is over")
        try:
            self.late_tiers.of(name).check()
        except Busy as error:
            return self._refused(name, "late", str(error))
        refusal = None if self._breakers is None else self._breakers.refusal(call, self.call.timeout)
        if refusal is not None:
            self.warn(f"breaker: {name} was not asked ({call.role})")
        return refusal

    def _refused(self, name: str, kind: str, why: str) -> TierError:
        self.warn(f"{kind}: {name} was not asked, {why}")
        return TierError(name, f"not asked: {why}", origin=Origin(blame="nobody"))

    def charge(self, call: ModelCall, reply: Reply, seconds: float, step: int) -> Attempt:
        """Account for a model call that ended, from any thread, and return it as the trace has it."""
        if self._breakers is not None:
            self._breakers.record(call, reply, self.call.timeout)
        if isinstance(reply, TierError):
            self._cut_short = self._cut_short or (reply.usage is None and reply.cut_short)
            attempt = Attempt(
                tier=call.tier.name,
                role=call.role,
                input_tokens=reply.usage and reply.usage.input_tokens,
                output_tokens=reply.usage and reply.usage.output_tokens,
                seconds=seconds,
                cost_usd=reply.usage and self._prices.cost(call.tier, reply.usage),
                error=reply.summary,
            )
        else:
            attempt = Attempt(
                tier=reply.tier,
                role=call.role,
                input_tokens=reply.usage and reply.usage.input_tokens,
                output_tokens=reply.usage and reply.usage.output_tokens,
                seconds=seconds if reply.seconds is None else reply.seconds,
                cost_usd=self._prices.cost(self._charged_tier(call, reply), reply.usage),
            )
        with self._lock:
            # Calls of one step run side by side, so the user waits for the slowest of them, not for their sum.
            self._steps[step] = max(self._steps[step], attempt.seconds)
            self._attempts.append(attempt)
            if reply.usage is not None:
                self._usages.append(reply.usage)
        return attempt

    def _charged_tier(self, call: ModelCall, reply: Answer) -> Tier:
        """Return the tier that answered, which a recording may have settled otherwise than the call asks."""
        if reply.tier == call.tier.name:
            return call.tier
        return self.ladder[reply.tier]

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """Every model call that ended, with what the judge said of it."""
        with self._lock:
            return tuple(self._with_verdict(attempt) for attempt in self._attempts)

    @property
    def cost_usd(self) -> float | None:
        """What the call cost so far, or None where the cost of an answer is unknown.

        A failed call costs nothing, unless it is known what it took. One that was cut short while it answered does cost
        something, and nobody says how much.
        """
        if self._cut_short:
            return None
        # One unknown cost makes the sum unknown: a sum without it would look cheaper than the call was.
        # What a judge said of an attempt does not change its cost.
        with self._lock:
            costs = [one.cost_usd for one in self._attempts if one.error is None or one.input_tokens]
        known = [cost for cost in costs if cost is not None]
        # Side by side, calls end in any order; unlike `sum`, `fsum` gives the same for all orders.
        return math.fsum(known) if len(known) == len(costs) else None

    def trace(self) -> Trace:
        """Return the trace of the call as it stands."""
        plan = self.plan
        saved, is_estimate = self._saving()
        return Trace(
            trace_id=self.call.id,
            node=self.call.node,
            policy=self.policy.name,
            start=plan and plan.start,
            reason=plan.reason if plan else "",
            estimates=dict(plan.estimates) if plan else {},
            neighbours=plan.neighbours if plan else 0,
            attempts=self.attempts,
            final=self.accepted and self.accepted.tier,
            degraded=self.degraded,
            confidence=self._confidence(),
            usage=self._total_usage(),
            cost_usd=self.cost_usd,
            saved_usd=saved,
            saved_is_estimate=is_estimate,
            seconds=sum(self._steps),
            warnings=tuple(self._warnings),
            certificate=plan.certificate if plan else None,
            grading=self.grading,
        )

    @property
    def serves_whole(self) -> bool:
        """Whether an answer is returned that is whole, so that others can be compared with it."""
        return self.accepted is not None and self.accepted.unfinished is None

    @property
    def own_usage(self) -> TotalUsage | None:
        """The tokens of the model calls that were made for this account; None where no provider reported any."""
        return self._total_usage()

    def adopt(self, attempts: Sequence[Attempt]) -> None:
        """Add model calls that were made elsewhere; their tokens are a part of the cost alone."""
        with self._lock:
            self._attempts += attempts

    @property
    def needed_usd(self) -> float | None:
        """What the call would have cost without an audit, or None where the cost of an answer is unknown."""
        if self._cut_short:
            return None
        needed = [one for one in self.attempts if one.role == "judge" or one.tier not in self.unneeded]
        costs = [one.cost_usd for one in needed if one.error is None or one.input_tokens]
        return None if None in costs else math.fsum(cost for cost in costs if cost is not None)

    def alike(self, answer: Answer) -> tuple[str, ...]:
        """Return the names of the tiers that gave the same answer, its own among them."""
        return tuple(
            other.tier for other in self.answers if other.tier == answer.tier or self.same(other, answer) is True
        )

    def record(self, ended: float, *, always: bool = False) -> Record | None:
        """Return what the call teaches, or None where it teaches nothing.

        A pinned call, a call without an answer, and an answer that was returned only because no tier above gave one
        (or one that is missing itself, cut or filtered) say nothing about the tiers.

        Args:
            ended: When the call ended, in seconds since 1970.
            always: Whether a call that says nothing about the tiers counts too.
        """
        answer, plan = self.accepted, self.plan
        if answer is None or plan is None or self.call.pin is not None:
            return None
        teaches = self._may_teach(answer)
        # A profiled call says what all tiers answered, a top tier that gave nothing included, whichever answer stood.
        if not teaches and not ((plan.is_profiled or always) and answer.unfinished is None):
            return None
        checks, said = self.findings.checks, self.said()
        return Record(
            id=self.call.id,
            node=self.call.node,
            created=ended,
            labels=self._labels(answer) if teaches else {},
            start=plan.start,
            final=answer.tier,
            answered=tuple(other.tier for other in self.answers),
            agreed=self.alike(answer),
            cost_usd=self.cost_usd,
            said=said,
            tokens={other.tier: other.usage.output_tokens for other in self.answers if other.usage is not None},
            costs=self._costs(),
            share=plan.share,
            confidence=self._confidence(),
            audited=plan.audit,
            profiled=plan.is_profiled,
            grades={"check": {tier: float(right) for tier, right in checks.items()}} if checks else {},
            verdicts=dict(self.findings.verdicts),
            verdict_costs=dict(self.findings.verdict_costs),
            rule=plan.rule,
            chance=plan.lots.plan,
            complete_chance=plan.lots.complete(said, self.audit_chance),
            principal=self.call.principal,
            trace=self.trace(),
            text=self.call.query,
            vector=self.vector,
        )

    def _labels(self, accepted: Answer) -> dict[str, bool]:
        """Label the tiers by the accepted answer; one that nobody found valid would teach the tiers' errors."""
        return labels_of_call(
            self.serving,
            self.answers,
            accepted,
            self.same,
            {tier for tier, judgement in self.judgements.items() if judgement.verdict == "invalid"},
            {error.tier for error in self.errors},
            assume_above=getattr(self.policy.starter, "assumes_above", True),
        )

    def _confidence(self) -> float | None:
        if self.accepted is None or self.plan is None:
            return None
        judged = self.judgements.get(self.accepted.tier)
        if judged is not None:
            return judged.confidence
        return self.plan.confidence if self.accepted.tier == self.ladder.top.name else None

    def said(self) -> dict[str, int]:
        """Number the answers such that equal ones have equal numbers; one that cannot be compared is left out."""
        said: dict[str, int] = {}
        leaders: list[Answer] = []
        for answer in self.answers:
            # A refusal or an abstention equals nothing, itself included.
            if answer.value is None or self.flaw(answer) is not None or self.same(answer, answer) is False:
                said[answer.tier] = -1
                continue
            same = [self.same(answer, leader) for leader in leaders]
            if True in same:
                said[answer.tier] = same.index(True)
            # An answer that cannot be compared gets no number: a new one would claim that it differs from the others.
            elif None not in same:
                said[answer.tier] = len(leaders)
                leaders.append(answer)
        return {name: said[name] for name in self.ladder.names if name in said}

    def _costs(self) -> dict[str, float]:
        """Return what each tier's answer cost, where that is known."""
        return {
            attempt.tier: attempt.cost_usd
            for attempt in self.attempts
            if attempt.role != "judge" and attempt.error is None and attempt.cost_usd is not None
        }

    def _total_usage(self) -> TotalUsage | None:
        if not self._usages:
            return None
        return TotalUsage(
            **{name: sum(getattr(usage, name) for usage in self._usages) for name in TotalUsage.model_fields}
        )

    def _may_teach(self, answer: Answer) -> bool:
        if answer.unfinished is not None:
            return False
        if answer.value is None and not self.policy.missing_counts:
            return False
        if self.flaw(answer) is not None:
            return False
        # Without a judgement only the top tier's answer counts: the flow returns it without judging it.
        judgement = self.judgements.get(answer.tier)
        return judgement.verdict == "valid" if judgement else answer.tier == self.serving[-1]

    def _with_verdict(self, attempt: Attempt) -> Attempt:
        judgement = self.judgements.get(attempt.tier)
        if judgement is None or attempt.role == "judge" or attempt.error is not None:
            return attempt
        return attempt.model_copy(update={"verdict": judgement.verdict.value, "by": judgement.by, "why": judgement.why})

    def _saving(self) -> tuple[float | None, bool]:
        """Return what the top tier alone would have cost less what the call cost, and whether that is an estimate."""
        answer, cost = self.accepted, self.cost_usd
        if answer is None or cost is None:
            return None, False
        # Calls of the top tier as a judge are left out: their tokens are not those of an answer.
        top = self.ladder.top
        with self._lock:
            own = [attempt for attempt in self._attempts if attempt.tier == top.name and attempt.role != "judge"]
        answered = [attempt.cost_usd for attempt in own if attempt.error is None]
        # What the top tier really cost, if it answered; else its price for the tokens of the answer returned.
        alone = answered[0] if answered else self._prices.cost(top, answer.usage)
        return (None if alone is None else alone - cost), not answered

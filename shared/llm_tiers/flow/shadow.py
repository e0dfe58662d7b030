"""What tiering would have done on a call that the present tier served: the flow of the call, with that answer given."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from llm_tiers.call.requests import Flow, Generate, Handoff, ModelCall, Reply, Request, Response
from llm_tiers.errors import AllTiersFailed
from llm_tiers.flow.cascade import cascade

if TYPE_CHECKING:
    from llm_tiers.call.answer import Answer
    from llm_tiers.flow.ledger import Ledger
    from llm_tiers.history.record import Record
    from llm_tiers.policies.policy import Policy

__all__ = ["Shadow", "ShadowFlow", "shadow"]


@dataclass(frozen=True, slots=True)
class Shadow:
    """What tiering would have done.

    Attributes:
        asked: Whether the other tiers were asked.
        tiered: Name of the tier whose answer it would have returned; None where nobody was asked, or all failed.
        tiered_usd: What it would have cost in US$; None where that is not known.
    """

    asked: bool = False
    tiered: str | None = None
    tiered_usd: float | None = None

    def record(self, ledger: Ledger, served: Answer, ended: float, chance: float) -> Record | None:
        """Return the record of the call: what was served, beside what tiering would have done.

        Args:
            ledger: The account of the shadow, with what the served answer cost.
            served: The answer that the user has.
            ended: When the call ended, in seconds since 1970.
            chance: The chance with which the other tiers were asked, in [0, 1].
        """
        record, plan = ledger.record(ended, always=True), ledger.plan
        if record is None or plan is None:
            return None
        return replace(
            record,
            start=served.tier,
            final=served.tier,
            agreed=ledger.alike(served),
            # What one tier served teaches nothing about a rule.
            rule=record.rule if self.asked else None,
            chance=chance if self.asked else 1 - chance,
            complete_chance=chance,
            confidence=None,
            planned=plan.rule or plan.start,
            tiered=self.tiered,
            tiered_usd=self.tiered_usd,
        )


ShadowFlow: TypeAlias = Generator[Request, Response, Shadow]


def shadow(policy: Policy, ledger: Ledger, served: Answer, *, asks: bool) -> ShadowFlow:
    """Find out what a policy would have done on a call that another tier served.

    Args:
        policy: The policy.
        ledger: An account of its own.
        served: The answer that the user has.
        asks: Ask the other tiers too, all of them, as in an audit; else only the plan is made.
    """
    # What was shown to the user was shown of one tier alone; the flow would let it stand for that.
    given = replace(served, live=False, chunks=())
    starter = getattr(policy.starter, "undrawn", lambda: policy.starter)()
    policy = replace(policy, starter=starter, audit=1.0 if asks else 0.0)
    if not asks:
        ledger.plan = yield from starter.plan(ledger.call, ledger.ladder)
        ledger.add_reply(given)
        ledger.accept(given)
        return Shadow()
    try:
        accepted = yield from _with_answer(cascade(policy, ledger), given)
    except AllTiersFailed:
        # Tiering would have failed here; the user has an answer all the same.
        ledger.accept(given)
        return Shadow(asked=True, tiered_usd=ledger.needed_usd)
    return Shadow(asked=True, tiered=accepted.tier, tiered_usd=ledger.needed_usd)


def _with_answer(flow: Flow, given: Answer) -> Flow:
    """Run a flow in which one tier has answered already: it is not asked again."""
    with closing(flow):
        response: Any = None
        while True:
            try:
                request = next(flow) if response is None else flow.send(response)
            except StopIteration as stop:
                return cast("Answer", stop.value)
            match request:
                case Handoff(call) if _is_of(call, given):
                    response = given
                case Generate(calls):
                    others = tuple(call for call in calls if not _is_of(call, given))
                    came = iter(cast("tuple[Reply, ...]", (yield Generate(others)) if others else ()))
                    response = tuple(given if _is_of(call, given) else next(came) for call in calls)
                case _:
                    response = yield request


def _is_of(call: ModelCall, answer: Answer) -> bool:
    """Say whether a model call asks the tier for the answer that it has given."""
    return call.prompt is None and call.tier.name == answer.tier

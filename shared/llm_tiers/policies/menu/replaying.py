"""What a rule would have done on a call that all tiers answered, and what it would have cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llm_tiers.policies.menu.rule import Accept, Ask, CallState, Rule

if TYPE_CHECKING:
    from llm_tiers.history.record import Record

__all__ = ["Profiled", "Replayed", "profiled", "replayed"]


@dataclass(frozen=True, slots=True)
class Profiled:
    """What is known of a call that all tiers answered, or all that a rule asks.

    Attributes:
        said: Tier name to a number; equal numbers are equal answers, -1 is none.
        costs: Tier name to what its answer cost in US$, where that is known.
        verdicts: Tier name to the verdict on its answer, None for an undecided one; absent if nobody was asked.
        verdict_costs: Tier name to what the verdict cost in US$, where that is known.
    """

    said: Mapping[str, int]
    costs: Mapping[str, float]
    verdicts: Mapping[str, bool | None]
    verdict_costs: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a rule would have done on a call.

    Attributes:
        accepted: Name of the tier whose answer it would have returned.
        asked: Names of the tiers that it would have asked, in that order.
        judged: Names of the tiers on whose answers it would have asked for a verdict, in that order.
        cost: What that would have cost in US$, verdicts included; None where a cost is unknown.
    """

    accepted: str
    asked: tuple[str, ...]
    cost: float | None
    judged: tuple[str, ...] = ()


def profiled(record: Record) -> Profiled:
    """Return what a record says of a profiled call."""
    # An answer that cannot be compared has no number in the record. In the flow it agrees with no other answer, so it
    # gets a number of its own here: one beyond those in use.
    unlike = len(record.said)
    said = {name: record.said.get(name, unlike + place) for place, name in enumerate(record.answered)}
    return Profiled(said, record.costs, record.verdicts, record.verdict_costs)


def replayed(rule: Rule, call: Profiled) -> Replayed | None:
    """Return what `rule` would have done; None if it needs an answer or a verdict that the call does not have."""
    # The rule sees only what it has asked for so far, as in the flow.
    said: dict[str, int] = {}
    verdicts: dict[str, bool | None] = {}
    while True:
        step = rule.next(CallState(said, verdicts))
        if isinstance(step, Accept):
            return Replayed(step.tier, tuple(said), _cost(call, said, verdicts), tuple(verdicts))
        if isinstance(step, Ask):
            if any(name not in call.said for name in step.tiers):
                return None
            said |= {name: call.said[name] for name in step.tiers}
        elif step.tier not in call.verdicts:
            return None
        else:
            verdicts[step.tier] = call.verdicts[step.tier]


def _cost(call: Profiled, said: Mapping[str, int], verdicts: Mapping[str, bool | None]) -> float | None:
    spent = [call.costs.get(name) for name in said] + [call.verdict_costs.get(name) for name in verdicts]
    # A sum over the known costs alone would make a rule look cheap because a price is missing.
    known = [cost for cost in spent if cost is not None]
    return sum(known) if len(known) == len(spent) else None

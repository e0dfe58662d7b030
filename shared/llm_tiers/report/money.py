"""What calls cost, and what single tiers would have cost instead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llm_tiers.history.record import Record
    from llm_tiers.report.ladder import SeenLadder

__all__ = ["Alone", "Money", "money_of"]


@dataclass(frozen=True, slots=True)
class Alone:
    """What one tier alone would have cost on the priced calls.

    Attributes:
        tier: Its name.
        usd: The sum, in US$.
        estimated: On how many calls the tier did not answer, so that its usual cost stands for what it would have cost.
    """

    tier: str
    usd: float
    estimated: int


@dataclass(frozen=True)
class Money:
    """What calls cost, in US$.

    Attributes:
        calls: Number of calls.
        priced: Calls whose cost is known; the other figures are of these.
        spent: What they cost: answers, witnesses, judges, learning and grading.
        grading: The part of it that grading cost.
        alone: Tier name to what that tier alone would have cost; a tier of which no cost is known is absent.
    """

    calls: int = 0
    priced: int = 0
    spent: float = 0.0
    grading: float = 0.0
    alone: Mapping[str, Alone] = field(default_factory=dict)

    def saved(self, tier: str | None) -> float | None:
        """Return what was saved against a tier alone, in US$, less than 0 where tiering cost more."""
        other = self.alone.get(tier or "")
        return None if other is None else other.usd - self.spent

    def saved_share(self, tier: str | None) -> float | None:
        """Return what was saved as a share of what the tier alone would have cost."""
        saved, other = self.saved(tier), self.alone.get(tier or "")
        return None if saved is None or other is None or not other.usd else saved / other.usd


def money_of(records: Sequence[Record], ladder: SeenLadder) -> Money:
    """Add up what some calls cost.

    Args:
        records: The calls.
        ladder: Their tiers, with the usual costs.
    """
    spent = grading = 0.0
    priced = 0
    sums = dict.fromkeys(ladder.names, 0.0)
    guessed = dict.fromkeys(ladder.names, 0)
    for record in records:
        if record.cost_usd is None:
            continue
        priced += 1
        # What grading cost may be unknown; then it is left out, and the call is still priced.
        judging = record.grading_usd or 0.0
        spent += record.cost_usd + judging
        grading += judging
        for tier in ladder.names:
            known = record.costs.get(tier)
            if known is None:
                guessed[tier] += 1
                known = ladder.usual_at(record.node, tier)
            sums[tier] += known or 0.0
    alone = {tier: Alone(tier, sums[tier], guessed[tier]) for tier in ladder.names if tier in ladder.usual}
    return Money(len(records), priced, spent, grading, alone)

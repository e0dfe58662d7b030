"""SMART as published, for comparison: it profiles items, stops, and mixes tiers for the rest."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from llm_tiers.arguments import require, require_number
from llm_tiers.call.requests import Recall, recall
from llm_tiers.policies.guarantee.clopper import EVERY, Counted, Smart
from llm_tiers.policies.menu import RuleJudge, Single, plan_of
from llm_tiers.policies.starters.base import Lots, Plan, Planning

if TYPE_CHECKING:
    from llm_tiers.call.call import Call
    from llm_tiers.history.record import Record
    from llm_tiers.ladder.tiers import Ladder

__all__ = ["SMART"]


@dataclass(frozen=True, slots=True)
class _Profile:
    """What is known of a node's items.

    Attributes:
        tiers: What is known of each tier below the top.
        n: How many items were profiled.
        mix: The share of the remaining items that each tier answers; None while items are profiled.
    """

    tiers: tuple[Counted, ...]
    n: int = 0
    mix: tuple[float, ...] | None = None

    def after(self, equal: Sequence[bool], profiler: Smart) -> _Profile:
        """Return the profile after one more item; `equal` has an entry for each tier below the top."""
        counted = tuple(
            replace(tier, equal=tier.equal + same, n=tier.n + 1) if tier.status == "open" else tier
            for tier, same in zip(self.tiers, equal, strict=True)
        )
        grown = replace(self, tiers=counted, n=self.n + 1)
        if grown.n % EVERY:
            return grown
        looked = replace(grown, tiers=profiler.after_look(counted))
        if not profiler.stops(looked.tiers, looked.n):
            return looked
        return replace(looked, mix=profiler.mix(looked.tiers, looked.n))


@dataclass(frozen=True, slots=True)
class _ProfileOf:
    """The study that makes a node's profile from its records."""

    ladder: tuple[str, ...]
    profiler: Smart
    node: str

    def start(self) -> _Profile:
        return _Profile(tuple(Counted() for _ in self.ladder[:-1]))

    def learn(self, result: _Profile, record: Record) -> _Profile:
        top = record.said.get(self.ladder[-1], -1)
        needed = [name for name, tier in zip(self.ladder, result.tiers, strict=False) if tier.status == "open"]
        # Once the mix is fixed nothing more is learned, as published: there are no audits.
        if record.node != self.node or result.mix is not None or top < 0:
            return result
        if any(name not in record.answered for name in needed):
            return result
        return result.after([record.said.get(name, -1) == top for name in self.ladder[:-1]], self.profiler)

    def revise(self, result: _Profile, before: Record, after: Record) -> _Profile:  # noqa: ARG002
        """Return the profile as it is: what tiers said does not change."""
        return result


class SMART(RuleJudge):
    """SMART: outputs equal to the top tier's on at least `1 - delta` of the items, by mixing tiers.

    `SMART.paper(...)` is the published method with its faults, for comparison; to be used there is `Guarantee`. The
    stated confidence does not hold: the interval is one for a fixed number of items, but it is looked at after every
    ten, and profiling stops at the first that suits.

    Source: Jo and Trummer, "SMART: Automatically Scaling Down Language Models with Accuracy Guarantees for Reduced
    Processing Fees" (arXiv 2403.13835), sections 4 (profiling) and 5 (ModelMix).
    """

    assumes_above = False
    needs_grades = False
    needs_prices = True

    def __init__(self, delta: float, *, items: int, confidence: float = 0.95) -> None:
        super().__init__()
        for argument, value in (("delta", delta), ("confidence", confidence)):
            require_number(value, argument)
            require(0 < value < 1, f"{argument}={value!r} must lie between 0 and 1, without them")
        whole = isinstance(items, int) and not isinstance(items, bool)
        require(whole and items >= 1, f"items={items!r} must be a whole number of at least 1")
        self.delta, self.items, self.confidence = float(delta), items, float(confidence)

    @classmethod
    def paper(cls, delta: float, *, items: int, confidence: float = 0.95) -> Self:
        """Return the published method.

        Args:
            delta: Share of items whose output may differ from the top tier's, in (0, 1).
            items: How many items there will be; the paper knows them all beforehand.
            confidence: Stated chance that this is so, in (0, 1).

        Raises:
            ConfigError: An argument is out of its range.
        """
        return cls(delta, items=items, confidence=confidence)

    def __repr__(self) -> str:
        return f"SMART.paper({self.delta}, items={self.items}, confidence={self.confidence})"

    def identity(self) -> str:
        """Return all settings."""
        return repr(self)

    def study(self, ladder: Ladder, node: str) -> _ProfileOf:
        """Return the study by which a history makes a profile from a node's records."""
        costs = tuple(ladder.costs[name] for name in ladder.names)
        return _ProfileOf(ladder.names, Smart(self.delta, 1 - self.confidence, costs, self.items), node)

    def plan(self, call: Call, ladder: Ladder) -> Planning:
        """Profile the item, or draw the tier that answers it."""
        study = self.study(ladder, call.node)
        near = yield from recall(Recall(call.query, call.node, 0, study))
        profile = near.learned if isinstance(near.learned, _Profile) else study.start()
        if profile.mix is None:
            open_ones = tuple(
                name for name, tier in zip(ladder.names, profile.tiers, strict=False) if tier.status == "open"
            )
            lots = Lots(all_asked=float({*open_ones, ladder.top.name} == {*ladder.names}))
            return Plan(ladder.top.name, f"profiling: {profile.n} items so far", open_ones, lots=lots)
        # The call's id decides, so sync and async draw the same. What rounding leaves of the shares goes to the top
        # tier.
        lot = random.Random(f"smart:{call.id}").random()
        tier = ladder.top.name
        for name, share in zip(ladder.names, profile.mix, strict=True):
            lot -= share
            if lot < 0:
                tier = name
                break
        chance = dict(zip(ladder.names, profile.mix, strict=True))[tier]
        plan = plan_of(Single(ladder.names, tier), f"mix after {profile.n} items: {tier}")
        return replace(plan, lots=Lots(chance or 1.0))

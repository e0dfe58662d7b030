"""The ladder that records show, and what its tiers usually cost: a history holds calls, not the model's settings."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llm_tiers.history.record import Record

__all__ = ["SeenLadder", "ladder_of"]

_NEWEST = 200
_ENOUGH = 8
"""Costs of a tier at a node from which on its usual cost is that of the node."""


@dataclass(frozen=True)
class SeenLadder:
    """The tiers of some calls.

    Attributes:
        names: The tiers of today's ladder, cheapest first.
        former: Tiers that older calls name.
        usual: Tier name to what one of its answers costs on average, in US$.
        by_node: Node to the same, where the node has enough answers of the tier.
    """

    names: tuple[str, ...]
    former: tuple[str, ...] = ()
    usual: Mapping[str, float] = field(default_factory=dict)
    by_node: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @property
    def top(self) -> str | None:
        """The dearest tier, or None where no call names a tier."""
        return self.names[-1] if self.names else None

    @property
    def everybody(self) -> tuple[str, ...]:
        """The tiers of today and then the former ones."""
        return (*self.names, *self.former)

    def alone(self, record: Record, tier: str) -> float | None:
        """Return what a tier alone would have cost on a call: what its answer did cost, else its usual cost."""
        known = record.costs.get(tier)
        return known if known is not None else self.usual_at(record.node, tier)

    def usual_at(self, node: str, tier: str) -> float | None:
        """Return what an answer of a tier usually costs at a node, in US$; None where no cost of it is known."""
        return self.by_node.get(node, {}).get(tier, self.usual.get(tier))


def ladder_of(records: Sequence[Record]) -> SeenLadder:
    """Return the ladder that the records show.

    Args:
        records: The calls, oldest first.
    """
    names = _names(records)
    counts: Counter[str] = Counter()
    for record in records:
        counts.update(record.answered)
    former = tuple(name for name, _ in counts.most_common() if name not in names)
    usual, by_node = _usual(records)
    return SeenLadder(names, former, usual, by_node)


def _names(records: Sequence[Record]) -> tuple[str, ...]:
    # The newest calls alone, since the ladder may have changed. A profiled call names all tiers in the ladder's order.
    profiled = [record for record in records if record.is_drawn][-_NEWEST:]
    ladders = Counter(tuple(record.said) for record in profiled if len(record.said) > 1)
    if ladders:
        most = ladders.most_common(1)[0][1]
        # A shorter one lacks a tier that failed, or a top tier that was spared.
        longest = max(ladders, key=lambda names: (len(names), ladders[names]))
        return longest if ladders[longest] * 20 >= most else max(ladders, key=lambda names: ladders[names])
    return _merged(records[-5 * _NEWEST :])


def _merged(records: Iterable[Record]) -> tuple[str, ...]:
    """Return the tiers in an order that no call contradicts, as far as there is one: each call names some in order."""
    before: defaultdict[str, Counter[str]] = defaultdict(Counter)
    names: dict[str, None] = {}
    for record in records:
        order = list(dict.fromkeys((*record.said, *record.answered, record.final)))
        names.update(dict.fromkeys(order))
        for place, name in enumerate(order):
            before[name].update(order[:place])
    costs, _ = _usual(records)
    # How many tiers come before it; where calls never name two together, the dearer one is above.
    return tuple(sorted(names, key=lambda name: (len(before[name]), costs.get(name, 0.0), name)))


def _usual(records: Iterable[Record]) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Return the mean cost of each tier's answers, in all and by node."""
    # A dear tier is asked where queries are hard, so its answers on profiled calls, drawn by lot, show better what one
    # costs. They count alone where there are enough.
    lots: dict[bool, dict[str, dict[str, tuple[float, int]]]] = {True: {}, False: {}}
    for record in records:
        of_node = lots[record.audited].setdefault(record.node, {})
        for tier, cost in record.costs.items():
            total, count = of_node.get(tier, (0.0, 0))
            of_node[tier] = (total + cost, count + 1)
    nodes = dict.fromkeys((*lots[True], *lots[False]))
    by_node = {
        node: {
            tier: total / count
            for tier, (total, count) in _drawn_first(lots[True].get(node, {}), lots[False].get(node, {})).items()
            if count >= _ENOUGH
        }
        for node in nodes
    }
    pooled = _drawn_first(_pooled(lots[True]), _pooled(lots[False]))
    return {tier: total / count for tier, (total, count) in pooled.items()}, by_node


def _drawn_first(
    drawn: Mapping[str, tuple[float, int]], others: Mapping[str, tuple[float, int]]
) -> dict[str, tuple[float, int]]:
    enough = {tier: sums for tier, sums in drawn.items() if sums[1] >= _ENOUGH}
    rest = {
        tier: (
            drawn.get(tier, (0.0, 0))[0] + others.get(tier, (0.0, 0))[0],
            drawn.get(tier, (0.0, 0))[1] + others.get(tier, (0.0, 0))[1],
        )
        for tier in {**drawn, **others}
    }
    return rest | enough


def _pooled(by_node: Mapping[str, Mapping[str, tuple[float, int]]]) -> dict[str, tuple[float, int]]:
    sums: dict[str, tuple[float, int]] = {}
    for of_node in by_node.values():
        for tier, (total, count) in of_node.items():
            held = sums.get(tier, (0.0, 0))
            sums[tier] = (held[0] + total, held[1] + count)
    return sums

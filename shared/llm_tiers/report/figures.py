"""All figures of a report, made from records alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llm_tiers.policies.rollout.observed import Observed, Tally, tally_of
from llm_tiers.report.answers import Answers, Calibration, answers_of, calibration_of
from llm_tiers.report.frontier import Frontier, Sample, frontier_of, sample_of
from llm_tiers.report.ladder import SeenLadder, ladder_of
from llm_tiers.report.money import Money, money_of
from llm_tiers.report.proofs import Proof, proof_of
from llm_tiers.report.times import Period, periods_of

if TYPE_CHECKING:
    from llm_tiers.history.record import Record
    from llm_tiers.policies.guarantee.study import Measure

__all__ = ["Node", "Promised", "Report", "report_of"]

MOST_NODES = 24
"""Nodes with figures of their own; the calls of the others are counted together."""


@dataclass(frozen=True, slots=True)
class Promised:
    """The promise for which the report shows what the records prove."""

    delta: float
    confidence: float = 0.95
    of: Measure = "equality"


@dataclass(frozen=True)
class Node:
    """The figures of one node.

    Attributes:
        name: The node; None for the nodes beyond the busiest, together.
        ladder: Its tiers.
        money: What its calls cost.
        answers: What they show.
        sample: What its profiled calls show; None where there are too few.
        rule: The rule that answers now; None where the policy has none.
        proof: What its records prove; None where that was not asked.
        nodes: How many nodes these are.
        observed: What tiering would have done on its calls that one tier served; None without any.
    """

    name: str | None
    ladder: SeenLadder
    money: Money
    answers: Answers
    sample: Sample | None
    rule: str | None
    proof: Proof | None
    nodes: int = 1
    observed: Observed | None = None


@dataclass(frozen=True)
class Report:
    """What a history shows.

    Attributes:
        where: The history's folder or URL.
        namespace: The part of it.
        first: When its first call ended, in seconds since 1970.
        last: When its last one did.
        ladder: The tiers.
        money: What all calls cost.
        answers: What they show.
        calibration: Whether the stated confidence is kept; None where no graded call states one.
        frontier: The rules and "you are here"; None where too few calls were profiled.
        periods: The calls over time.
        nodes: The nodes, most calls first.
        observed: What tiering would have done on calls that one tier served (`mode="observe"`); None without any.
    """

    where: str
    namespace: str
    first: float
    last: float
    ladder: SeenLadder
    money: Money
    answers: Answers
    calibration: Calibration | None
    frontier: Frontier | None
    periods: tuple[Period, ...]
    nodes: tuple[Node, ...]
    observed: Observed | None = None

    @property
    def top(self) -> str | None:
        """The dearest tier."""
        return self.ladder.top

    @property
    def best_single(self) -> str | None:
        """The tier that is right most often alone, where grades say so; else the top tier."""
        # Without grades the top tier is what the others are measured by, so that no other can come out better.
        if self.frontier is None or self.frontier.source is None:
            return self.top
        return self.frontier.best_single.name


def report_of(
    records: Sequence[Record],
    *,
    where: str = "",
    namespace: str = "default",
    promised: Promised | None = None,
    on_node: Callable[[str], object] | None = None,
) -> Report:
    """Make all figures.

    Args:
        records: The calls, oldest first; at least one.
        where: The history's folder or URL.
        namespace: The part of it.
        promised: The promise for which to show what the records prove.
        on_node: Called with each node's name once it is done.
    """
    ladder = ladder_of(records)
    by_node: dict[str, list[Record]] = {}
    for record in records:
        by_node.setdefault(record.node, []).append(record)
    # Once for each node: of all nodes they are added.
    tallies = {name: tally_of(own) for name, own in by_node.items()}
    nodes = _nodes(by_node, tallies, ladder, promised, on_node)
    same = {
        node.name or "": node.sample for node in nodes if node.sample is not None and node.ladder.names == ladder.names
    }
    return Report(
        where=where,
        namespace=namespace,
        first=records[0].created,
        last=records[-1].created,
        ladder=ladder,
        money=money_of(records, ladder),
        answers=answers_of(records, ladder),
        calibration=calibration_of(records),
        frontier=frontier_of(same, ladder, len(records)),
        periods=tuple(periods_of(records, ladder)),
        nodes=nodes,
        observed=_observed(tallies.values()),
    )


def _observed(tallies: Iterable[Tally]) -> Observed | None:
    found = sum(tallies, Tally())
    return found.observed() if found.calls else None


def _nodes(
    by_node: Mapping[str, Sequence[Record]],
    tallies: Mapping[str, Tally],
    ladder: SeenLadder,
    promised: Promised | None,
    on_node: Callable[[str], object] | None,
) -> tuple[Node, ...]:
    order = sorted(by_node, key=lambda name: (-len(by_node[name]), name))
    found = []
    for name in order[:MOST_NODES]:
        found.append(_node(name, by_node[name], ladder, promised, _observed([tallies[name]])))
        if on_node is not None:
            on_node(name)
    rest = [record for name in order[MOST_NODES:] for record in by_node[name]]
    if rest:
        number = len(order) - MOST_NODES
        money, answers = money_of(rest, ladder), answers_of(rest, ladder)
        observed = _observed(tallies[name] for name in order[MOST_NODES:])
        found.append(Node(None, ladder, money, answers, None, None, None, nodes=number, observed=observed))
    return tuple(found)


def _node(
    name: str, records: Sequence[Record], ladder: SeenLadder, promised: Promised | None, observed: Observed | None
) -> Node:
    own = _own_ladder(records, ladder)
    rules = Counter(record.rule for record in records[-50:] if record.rule is not None)
    proof = (
        None
        if promised is None
        else proof_of(records, own, delta=promised.delta, confidence=promised.confidence, of=promised.of)
    )
    return Node(
        name=name,
        ladder=own,
        money=money_of(records, own),
        answers=answers_of(records, own),
        sample=sample_of(records, own),
        rule=rules.most_common(1)[0][0] if rules else None,
        proof=proof,
        observed=observed,
    )


def _own_ladder(records: Sequence[Record], ladder: SeenLadder) -> SeenLadder:
    """Return the ladder of a node: two models may share a history, each with its own tiers."""
    own = ladder_of(records)
    # A node whose calls never asked some of the tiers does not show its whole ladder.
    return ladder if set(own.names) <= set(ladder.names) else own


def used(counts: Mapping[str, int], ladder: SeenLadder) -> dict[str, int]:
    """Return the counts of all tiers, those of the ladder first."""
    order = dict.fromkeys((*ladder.everybody, *counts))
    return {tier: counts.get(tier, 0) for tier in order}

"""What a guarantee would prove from the records: certificates follow from the calls, so they need not be stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llm_tiers.policies.guarantee.standing import Promise
from llm_tiers.policies.guarantee.study import StandingOf

if TYPE_CHECKING:
    from llm_tiers.history.record import Record
    from llm_tiers.policies.guarantee.study import Measure
    from llm_tiers.report.ladder import SeenLadder

__all__ = ["Proof", "proof_of"]


@dataclass(frozen=True, slots=True)
class Proof:
    """What a node's records prove.

    Attributes:
        delta: Share of the calls on which answers may be worse than the top tier's.
        confidence: The chance that a proof is right.
        of: What counts as worse.
        rules: Name of a rule to the share of the calls that it may answer; empty where nothing cheaper than the top
            tier is proved.
        calls: On how many profiled calls that rests.
        since: When it was proved, in seconds since 1970; None where nothing is.
        withdrawals: How often a proof was withdrawn.
    """

    delta: float
    confidence: float
    of: Measure
    rules: Mapping[str, float]
    calls: int
    since: float | None
    withdrawals: int


def proof_of(
    records: Sequence[Record], ladder: SeenLadder, *, delta: float, confidence: float, of: Measure = "equality"
) -> Proof | None:
    """Return what `Guarantee(delta, confidence=confidence, of=of)` would prove from a node's records.

    Args:
        records: The node's calls, oldest first.
        ladder: Its tiers, whose usual costs take the place of the price list.
        delta: As in `Guarantee`.
        confidence: As in `Guarantee`.
        of: As in `Guarantee`.

    Returns:
        The proof; None where the ladder has fewer than two tiers.
    """
    if len(ladder.names) < 2 or not records:  # noqa: PLR2004
        return None
    node = records[0].node
    listed = tuple(ladder.usual_at(node, name) or 0.0 for name in ladder.names)
    study = StandingOf(ladder.names, listed, Promise(delta, 1 - confidence, makes_up=of != "equality"), of, node)
    standing = study.start()
    for record in records:
        standing = study.learn(standing, record)
    shares = standing.mixture.shares().items() if standing.since is not None else ()
    rules = {study.menu[place].name: share for place, share in shares}
    return Proof(delta, confidence, of, rules, standing.profiled, standing.since, standing.withdrawals)

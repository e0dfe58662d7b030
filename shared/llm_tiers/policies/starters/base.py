"""What a starter receives and what it decides."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from llm_tiers.call.requests import Request, Response

if TYPE_CHECKING:
    from llm_tiers.call.call import Call
    from llm_tiers.ladder.tiers import Ladder
    from llm_tiers.trace import Certificate

__all__ = ["Lots", "Plan", "Planning", "Starter"]


@dataclass(frozen=True, slots=True)
class Lots:
    """With what chance a call is answered as it is, for the record: by it, other policies can be replayed later.

    Attributes:
        plan: The chance, in (0, 1], with which the plan was drawn; 1 where nothing was left to chance.
        all_asked: The chance, in [0, 1], with which the starter lets all tiers answer such a call.
        asks_top: Takes what the tiers below the top said, as in a record, and returns the chance, in (0, 1], that the
            top tier is asked then; None where it always is.
    """

    plan: float = 1.0
    all_asked: float = 0.0
    asks_top: Callable[[Mapping[str, int]], float] | None = None

    def audited(self, share: float, *, drawn: bool) -> Lots:
        """Return the lots where, whatever the plan, all tiers answer with a chance of `share` more; and they do."""
        return Lots(self.plan * (share if drawn else 1 - share), self.all_asked, self.asks_top)

    def complete(self, said: Mapping[str, int], audit: float) -> float:
        """Return the chance that all tiers are asked on a call, in [0, 1].

        Args:
            said: What the tiers said, where it is known.
            audit: The chance that they are asked whatever the plan, in [0, 1].
        """
        own = self.all_asked * (1.0 if self.asks_top is None else self.asks_top(said))
        return 1 - (1 - own) * (1 - audit)


@dataclass(frozen=True, slots=True)
class Plan:
    """What the starter decided.

    Attributes:
        start: Name of the tier that answers first.
        reason: Why, in a few words, for the trace.
        witnesses: Names of cheaper tiers that answer side by side with it.
        thrifty: The witnesses are only there to save a judge, so one that costs as much is left out.
        estimates: Each tier's chance to get the query right, in [0, 1].
        neighbours: How many similar past calls the estimates rest on.
        warnings: What the user should know, such as a history that cannot be read.
        share: How often tiers differed on similar past calls, in [0, 1], for the record; None where it did not look.
        audit: All tiers answer side by side with the start, so that the record has every tier's answer.
        profiled: The call is recorded as a profiled one though not all tiers are asked: the judge settles who is, and
            whose answer stands.
        in_place_of: Name of a tier that would have answered but is not asked because it fails; the planned one stands
            in for it.
        rule: Name of the rule of the menu that answers, or on a profiled call would have answered.
        insight: What the starter passes on to a judge of the same policy.
        confidence: The chance that is stated for the top tier's answer, which no judge sees; None where none is.
        certificate: What the policy has proved at the call's node, for the trace; None where nothing.
        lots: With what chance the call is answered as it is.
    """

    start: str
    reason: str
    witnesses: tuple[str, ...] = ()
    thrifty: bool = False
    estimates: Mapping[str, float] = field(default_factory=dict)
    neighbours: int = 0
    warnings: tuple[str, ...] = ()
    share: float | None = None
    audit: bool = False
    profiled: bool = False
    in_place_of: str | None = None
    rule: str | None = None
    insight: Any = None
    confidence: float | None = None
    certificate: Certificate | None = None
    lots: Lots = field(default_factory=Lots)

    @property
    def is_profiled(self) -> bool:
        """Whether the call's record compares the tiers: all of them, or all that its judge asks."""
        return self.audit or self.profiled


Planning: TypeAlias = Generator[Request, Response, Plan]


class Starter(Protocol):
    """Chooses the tier that answers first. One object serves all calls, so it keeps nothing of a call."""

    def plan(self, call: Call, ladder: Ladder) -> Planning:
        """Choose for `call` among the tiers that can serve it, asking for a `Recall` where that helps."""

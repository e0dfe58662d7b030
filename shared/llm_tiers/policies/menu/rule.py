"""A rule: it decides what is done next, from what has been said on a call so far. It does no I/O and has no state.

The flow runs a rule (`running.py`), and a profile replays it on calls that all tiers answered (`replaying.py`), so what
a rule would have done, and what it would have cost, is known without asking a model again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from llm_tiers.errors import ConfigError

__all__ = ["Accept", "Ask", "AskVerdict", "CallState", "Cascade", "Judged", "Rule", "Single", "Step"]


@dataclass(frozen=True, slots=True)
class CallState:
    """What has been said on a call so far.

    Attributes:
        said: Tier name to a number; tiers with equal numbers gave the same answer, -1 gave none.
        verdicts: Tier name to what a judging model said of its answer; None if it left that undecided.
    """

    said: Mapping[str, int] = field(default_factory=dict)
    verdicts: Mapping[str, bool | None] = field(default_factory=dict)

    def answered(self, tier: str) -> bool:
        """Say whether a tier gave an answer."""
        return self.said.get(tier, -1) >= 0

    def agree(self, one: str, other: str) -> bool:
        """Say whether two tiers gave the same answer; a missing one equals nothing."""
        return self.answered(one) and self.said[one] == self.said.get(other, -1)


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask these tiers side by side, cheapest first."""

    tiers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AskVerdict:
    """Ask a judging model about this tier's answer."""

    tier: str


@dataclass(frozen=True, slots=True)
class Accept:
    """Return this tier's answer."""

    tier: str


Step: TypeAlias = Ask | AskVerdict | Accept


@dataclass(frozen=True)
class Rule(ABC):
    """Decides what is done next on a call.

    All rules treat a missing answer in the same way: it is not accepted, and the next tier up is asked, until one
    answers. If even the top tier gives none, the answer of the dearest tier that no verdict rejected is returned.

    Attributes:
        ladder: Names of all tiers, cheapest first.
    """

    ladder: tuple[str, ...]

    @property
    @abstractmethod
    def name(self) -> str:
        """The rule's name in traces, tables and certificates."""

    @property
    @abstractmethod
    def tiers(self) -> tuple[str, ...]:
        """Names of the tiers that the rule itself asks, cheapest first; missing answers may make it ask others."""

    @abstractmethod
    def next(self, state: CallState) -> Step:
        """Return what to do next."""

    @property
    def first(self) -> tuple[str, ...]:
        """The tiers that are asked first, side by side."""
        step = self.next(CallState())
        if not isinstance(step, Ask):
            raise TypeError(f"rule {self.name!r} must ask a tier first")
        return step.tiers

    def settle(self, tier: str, state: CallState) -> Step:
        """Accept a tier's answer; if it is missing, continue upward from the dearest tier that was asked."""
        if state.answered(tier):
            return Accept(tier)
        # That may be a tier above the rule's own: it was asked because this one gave no answer.
        dearest = max(map(self.ladder.index, state.said))
        if state.answered(self.ladder[dearest]) and dearest > self.ladder.index(tier):
            return Accept(self.ladder[dearest])
        if dearest + 1 < len(self.ladder):
            return Ask((self.ladder[dearest + 1],))
        earlier = [name for name in self.ladder if state.answered(name) and state.verdicts.get(name) is not False]
        return Accept(earlier[-1] if earlier else self.ladder[-1])

    def _check(self, tiers: Sequence[str]) -> None:
        for tier in tiers:
            if tier not in self.ladder:
                raise ConfigError(f"rule: no tier is called {tier!r}; the ladder has {', '.join(self.ladder)}")
        if list(tiers) != sorted(set(tiers), key=self.ladder.index):
            raise ConfigError(f"rule: the tiers {', '.join(tiers)} must be different ones, cheapest first")


@dataclass(frozen=True)
class Single(Rule):
    """One tier answers.

    Attributes:
        tier: Its name.
    """

    tier: str

    def __post_init__(self) -> None:
        self._check((self.tier,))

    @property
    def name(self) -> str:
        """The tier's name."""
        return self.tier

    @property
    def tiers(self) -> tuple[str, ...]:
        """The tier."""
        return (self.tier,)

    def next(self, state: CallState) -> Step:
        """Ask the tier, and accept its answer."""
        return self.settle(self.tier, state) if self.tier in state.said else Ask((self.tier,))


@dataclass(frozen=True)
class Cascade(Rule):
    """Two tiers answer side by side. If they differ, dearer tiers are asked one after the other until any two agree.

    Of two that agree, the dearer one's answer is accepted. The last tier's answer is accepted whatever the others said.

    Source: Agreement-Based Cascading (TMLR 2025), with one model for each tier.

    Attributes:
        members: Names of three or more tiers, cheapest first: `("a", "b", "c")` is "a and b agree: b, else c".
    """

    members: tuple[str, ...]

    def __post_init__(self) -> None:
        self._check(self.members)
        if len(self.members) < 3:  # noqa: PLR2004
            raise ConfigError("rule: a cascade needs three tiers; with two, both are always asked and nothing is saved")

    @property
    def name(self) -> str:
        """The members, such as `a+b>c>d`."""
        first, *rest = self.members
        return f"{first}+{'>'.join(rest)}"

    @property
    def tiers(self) -> tuple[str, ...]:
        """The members."""
        return self.members

    def next(self, state: CallState) -> Step:
        """Accept if two agree or the last has answered; otherwise ask the next member."""
        if not all(name in state.said for name in self.members[:2]):
            return Ask(self.members[:2])
        for place, name in enumerate(self.members[1:], 1):
            if name not in state.said:
                return Ask((name,))
            if any(state.agree(name, other) for other in self.members[:place]):
                return Accept(name)
        return self.settle(self.members[-1], state)


@dataclass(frozen=True)
class Judged(Rule):
    """One tier answers and a judging model gives a verdict on it. Unless that is "valid", a dearer tier answers.

    Attributes:
        tier: Name of the tier that is judged.
        otherwise: Name of the tier that answers if the verdict is not "valid".
    """

    tier: str
    otherwise: str

    def __post_init__(self) -> None:
        self._check((self.tier, self.otherwise))

    @property
    def name(self) -> str:
        """The two tiers, such as `a?c`."""
        return f"{self.tier}?{self.otherwise}"

    @property
    def tiers(self) -> tuple[str, ...]:
        """Both tiers."""
        return (self.tier, self.otherwise)

    def next(self, state: CallState) -> Step:
        """Ask the tier, then for a verdict on its answer, then perhaps the other tier."""
        if self.otherwise in state.said:
            return self.settle(self.otherwise, state)
        if self.tier not in state.said:
            return Ask((self.tier,))
        # A missing answer needs no verdict.
        if not state.answered(self.tier):
            return Ask((self.otherwise,))
        if self.tier not in state.verdicts:
            return AskVerdict(self.tier)
        return Accept(self.tier) if state.verdicts[self.tier] is True else Ask((self.otherwise,))

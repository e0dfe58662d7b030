"""The rule that a profiled call follows: all tiers answer, but a top tier whose answer is foreseen."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from llm_tiers.policies.menu.pattern import Pattern, in_order
from llm_tiers.policies.menu.replaying import Profiled, replayed
from llm_tiers.policies.menu.rule import Accept, Ask, CallState, Rule, Step

__all__ = ["ASKED_SHARE", "NOTHING_FORESEEN", "Foreseen", "Profiling", "foreseen_in"]

ASKED_SHARE = 0.25
"""On how many of the profiled calls, at most, the top tier is asked though its answer is foreseen. They stand for the
others."""

_SEEN = 3
"""A pattern may be foreseen from this many calls on that all tiers answered. Two cheap tiers may share their errors,
which nobody knows until a dearer one has been heard."""


@dataclass(frozen=True, slots=True)
class Foreseen:
    """When the top tier's answer is foreseen.

    Attributes:
        patterns: What the tiers below the top say then.
        share: On how many of the profiled calls the top tier is asked all the same.
    """

    patterns: frozenset[Pattern] = frozenset()
    share: float = ASKED_SHARE


NOTHING_FORESEEN = Foreseen()


def foreseen_in(said: Iterable[Pattern]) -> Foreseen:
    """Return when the top tier's answer is foreseen.

    That is where the two dearest tiers below the top agree, and on most of the calls that show it, the top tier agreed
    too. The more surely it does, the fewer calls have to show it: a stratum's samples are in proportion to its standard
    deviation (Neyman, 1934).

    Args:
        said: What all tiers said on calls that all of them answered.
    """
    seen: Counter[Pattern] = Counter()
    agreed: Counter[Pattern] = Counter()
    for *below, top in said:
        if len(below) > 1 and below[-1] == below[-2] >= 0:
            seen[tuple(below)] += 1
            agreed[tuple(below)] += top == below[-1]
    patterns = frozenset(below for below, number in seen.items() if number >= _SEEN and 2 * agreed[below] > number)
    number = sum(seen[below] for below in patterns)
    differed = (number - sum(agreed[below] for below in patterns) + 1) / (number + 2)
    return Foreseen(patterns, min(0.5 * math.sqrt(differed * (1 - differed)), ASKED_SHARE))


@dataclass(frozen=True)
class Profiling(Rule):
    """All tiers below the top answer; the top answers too, unless that is foreseen and the node's rule spares it.

    Attributes:
        rule: The rule that answers where the top tier is not asked.
        surest: The rule that answers where all tiers did.
        foreseen: On what the tiers below the top say its answer is foreseen.
    """

    rule: Rule
    surest: Rule
    foreseen: frozenset[Pattern]

    @property
    def name(self) -> str:
        """The name of the rule that answers as a rule."""
        return self.rule.name

    @property
    def tiers(self) -> tuple[str, ...]:
        """All tiers."""
        return self.ladder

    def next(self, state: CallState) -> Step:
        """Ask all tiers below the top, then perhaps the top; accept what one of the two rules would."""
        *below, top = self.ladder
        if not all(name in state.said for name in below):
            return Ask(tuple(below))
        if top in state.said:
            # The surest rule may be one of tiers that gave no answer; then the dearest that did is accepted.
            return self.settle(_accepted(self.surest, state) or top, state)
        accepted = _accepted(self.rule, state) if self._is_foreseen(state) else None
        return Ask((top,)) if accepted is None else Accept(accepted)

    def spares_top(self, said: Mapping[str, int]) -> bool:
        """Say whether the top tier is not asked after this; not where an answer below it is unknown."""
        below = {name: said[name] for name in self.ladder[:-1] if name in said}
        return len(below) == len(self.ladder) - 1 and isinstance(self.next(CallState(below)), Accept)

    def _is_foreseen(self, state: CallState) -> bool:
        """Say whether the top tier's answer is foreseen."""
        return in_order(state.said[name] for name in self.ladder[:-1]) in self.foreseen


def _accepted(rule: Rule, state: CallState) -> str | None:
    """Return the tier whose answer a rule accepts; None where it asks for more than was said."""
    found = replayed(rule, Profiled(state.said, {}, state.verdicts, {}))
    return None if found is None else found.accepted

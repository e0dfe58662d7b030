"""The rule that a profiled call follows: all tiers answer, but a top tier whose answer is foreseen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llm_tiers.policies.menu.replaying import Profiled, replayed
from llm_tiers.policies.menu.rule import Accept, Ask, CallState, Rule, Step

__all__ = ["ASKED_SHARE", "Profiling", "are_foreseen"]

ASKED_SHARE = 0.25
"""On how many of the profiled calls the top tier is asked though its answer is foreseen. Those calls stand for the
others: a stratum in which little varies needs few samples (Neyman, 1934)."""


def are_foreseen(said: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Say whether the top tier's answers are foreseen: the two dearest tiers below it agree.

    Args:
        said: What the tiers below the top said, calls x tiers; equal numbers are equal answers, negative ones none.
    """
    if said.shape[1] < 2:  # noqa: PLR2004
        return np.zeros(len(said), dtype=np.bool_)
    return np.asarray((said[:, -1] == said[:, -2]) & (said[:, -1] >= 0))


@dataclass(frozen=True)
class Profiling(Rule):
    """All tiers below the top answer; the top answers too, unless that is foreseen and the node's rule spares it.

    Attributes:
        rule: The rule that answers where the top tier is not asked.
        surest: The rule that answers where all tiers did.
    """

    rule: Rule
    surest: Rule

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
        foreseen = are_foreseen(np.array([[state.said[name] for name in below]])).all()
        accepted = _accepted(self.rule, state) if foreseen else None
        return Ask((top,)) if accepted is None else Accept(accepted)


def _accepted(rule: Rule, state: CallState) -> str | None:
    """Return the tier whose answer a rule accepts; None where it asks for more than was said."""
    found = replayed(rule, Profiled(state.said, {}, state.verdicts, {}))
    return None if found is None else found.accepted

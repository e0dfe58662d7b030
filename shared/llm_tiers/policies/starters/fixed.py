"""The starter that needs no history."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_tiers.errors import ConfigError
from llm_tiers.policies.starters.base import Plan, Planning

if TYPE_CHECKING:
    from llm_tiers.call.call import Call
    from llm_tiers.ladder.tiers import Ladder

__all__ = ["FixedStarter"]


class FixedStarter:
    """Always start at one tier.

    Args:
        tier: Name of the tier; by default the cheapest.
    """

    def __init__(self, tier: str | None = None) -> None:
        self.tier = tier

    def __repr__(self) -> str:
        return f"FixedStarter({self.tier!r})"

    def check(self, ladder: Ladder) -> None:
        """Check that the ladder has the tier.

        Raises:
            ConfigError: The ladder does not have it.
        """
        # When the model is made, not at the first call: a wrong name is bad input.
        if self.tier is not None and self.tier not in ladder:
            names = ", ".join(map(repr, ladder.names))
            raise ConfigError(f"starter: FixedStarter({self.tier!r}) is no tier; the ladder has {names}")

    def plan(self, call: Call, ladder: Ladder) -> Planning:  # noqa: ARG002
        """Choose the fixed tier; the history is not asked."""
        yield from ()  # a starter is a generator, also where it asks for nothing
        return Plan(start=ladder[self.tier or ladder.names[0]].name, reason="fixed")

"""The rule "the top tier, backed by a cheaper tier that is asked at the same time"."""

from __future__ import annotations

from dataclasses import dataclass

from llm_tiers.errors import ConfigError
from llm_tiers.policies.menu.rule import Ask, CallState, Rule, Step

__all__ = ["Backed"]


@dataclass(frozen=True)
class Backed(Rule):
    """The top tier answers. A cheaper tier is asked at the same time, and its answer is returned if the top gives none.

    Attributes:
        tier: Name of the cheaper tier.
    """

    tier: str

    def __post_init__(self) -> None:
        self._check((self.tier,))
        if self.tier == self.ladder[-1]:
            raise ConfigError(f"rule: {self.tier!r} is the top tier; it is backed by a cheaper one")

    @property
    def name(self) -> str:
        """The two tiers, such as `c~a`."""
        return f"{self.ladder[-1]}~{self.tier}"

    @property
    def tiers(self) -> tuple[str, ...]:
        """The tier and the top."""
        return (self.tier, self.ladder[-1])

    def next(self, state: CallState) -> Step:
        """Ask both, and accept the top tier's answer if there is one."""
        # `settle` finds no tier above the top to ask, and so falls back on the cheaper tier's answer.
        return self.settle(self.ladder[-1], state) if self.ladder[-1] in state.said else Ask(self.tiers)

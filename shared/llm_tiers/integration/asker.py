"""Asking one tier of a framework's model, past the policy and the history: what a profile is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from llm_tiers.embedding import Embedding, as_embedding

if TYPE_CHECKING:
    from llm_tiers.agreement.equality import Equality
    from llm_tiers.call.call import Call
    from llm_tiers.call.performer import AsyncPerformer
    from llm_tiers.flow.engine import Engine, Outcome
    from llm_tiers.ladder.prices import PriceBook
    from llm_tiers.ladder.tiers import Ladder

__all__ = ["Asker", "Describe", "Message"]

Message: TypeAlias = Mapping[str, Any]
"""A message with `role` and `content`, as OpenAI's protocol has it."""

Describe: TypeAlias = "Callable[[Sequence[Message], str, str | None], tuple[Call, AsyncPerformer]]"
"""Takes messages, the name of the tier that must answer, and the node or None; returns the call and who performs it."""


class Asker:
    """Asks single tiers of a model, each with the model's own clients and settings; nothing is learned from it.

    Args:
        engine: The model's engine.
        describe: The framework's way to make a call of messages.
    """

    def __init__(self, engine: Engine, describe: Describe) -> None:
        self._engine = engine
        self._describe = describe

    @property
    def ladder(self) -> Ladder:
        """The tiers, with the settings that the model gives them."""
        return self._engine.ladder

    @property
    def prices(self) -> PriceBook:
        """What the tiers cost."""
        return self._engine.prices

    @property
    def equality(self) -> Equality:
        """When two answers are the same, as the model's policy has it."""
        return self._engine.policy.equality

    @property
    def embedding(self) -> Embedding:
        """What makes vectors of queries for the model's history; the default where that has none of its own."""
        own = getattr(self._engine.history, "embedding", None)
        return own if isinstance(own, Embedding) else as_embedding(None)

    def call(self, messages: Sequence[Message], node: str | None) -> Call:
        """Return the call that messages make.

        Raises:
            ConfigError: The framework cannot read the messages.
        """
        return self._describe(messages, self.ladder.top.name, node)[0]

    async def ask(self, messages: Sequence[Message], tier: str, node: str | None) -> Outcome:
        """Ask one tier.

        Raises:
            AllTiersFailed: It failed; the error holds its `TierError` and the trace.
        """
        return await self._engine.arun(*self._describe(messages, tier, node))

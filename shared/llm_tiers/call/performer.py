"""The interface that an integration implements: how to call a model of its framework."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from llm_tiers.call.answer import Answer
    from llm_tiers.call.requests import ModelCall

__all__ = ["AsyncPerformer", "Detachable", "Performer"]


class Performer(Protocol):
    """Calls models for one call of the user, whose messages, tools and settings it holds.

    Both methods raise `TierError` if the model's client fails; any other exception is a bug and ends the call. One that
    has its answers at hand may say so by an attribute `answers_at_once`, which is true.
    """

    def generate(self, call: ModelCall) -> Answer:
        """Call a model and wait for its answer."""

    def stream(self, call: ModelCall) -> Generator[Any, None, Answer]:
        """Call a model, yield its chunks as they come, and return the whole answer."""


class AsyncPerformer(Protocol):
    """The same for asyncio."""

    async def agenerate(self, call: ModelCall) -> Answer:
        """Call a model and wait for its answer."""

    def astream(self, call: ModelCall) -> AsyncGenerator[Any, None]:
        """Call a model, yield its chunks as they come and, last, the whole `Answer`."""


@runtime_checkable
class Detachable(Protocol):
    """A performer that can ask the same after the user's call has ended."""

    def detached(self) -> Performer:
        """Return a performer of the same request, in no run of the user's and without streaming."""

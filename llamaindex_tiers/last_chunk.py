"""The trace and the tokens on the last chunk of a stream: no chunk is added for them, and none with news waits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llama_index.core.base.llms.types import ChatResponse, CompletionResponse

from llamaindex_tiers.pieces import carried

if TYPE_CHECKING:
    from llm_tiers.flow.engine import Outcome

__all__ = ["LastChunk"]

_WITH_NEWS = frozenset({"thinking_delta"})
"""Keywords of a chunk that show the user something beside its text."""


class LastChunk:
    """Follows the chunks of one stream, so that the last one carries the trace.

    Which chunk is the last is known only when the stream has ended. One that shows nothing new, as providers send with
    the tokens, waits for what follows it. A chunk that shows something goes out at once; if it turns out to be the last
    one, the trace is written on it afterwards, while the consumer has it.
    """

    def __init__(self) -> None:
        self._last: Any = None
        self._waiting = False

    def passing(self, chunk: Any) -> tuple[Any, ...]:
        """Return what goes out now that there is one more chunk."""
        waited = (self._last,) if self._waiting else ()
        self._waiting = _shows_nothing_new(chunk, self._last)
        self._last = chunk
        return waited if self._waiting else (*waited, chunk)

    def ending(self, outcome: Outcome) -> tuple[Any, ...]:
        """Write the trace on the last chunk, and return it if it has not gone out; objects have no room for it."""
        if isinstance(self._last, ChatResponse | CompletionResponse):
            # In place, since the consumer may have it already; and never without the tier, which it may be asking for.
            kwargs = self._last.additional_kwargs
            told = carried(outcome, kwargs)
            kwargs.update(told)
            for name in kwargs.keys() - told.keys():
                del kwargs[name]
        return (self._last,) if self._waiting else ()


def _shows_nothing_new(chunk: Any, before: Any) -> bool:
    if not isinstance(chunk, ChatResponse | CompletionResponse) or chunk.delta:
        return False
    if _WITH_NEWS & chunk.additional_kwargs.keys():
        return False
    # Parts of a tool call and thoughts come without a delta.
    return not isinstance(chunk, ChatResponse) or (
        isinstance(before, ChatResponse)
        and chunk.message.blocks == before.message.blocks
        and chunk.message.additional_kwargs.get("tool_calls") == before.message.additional_kwargs.get("tool_calls")
    )

"""The responses of models inside a call of LlamaIndex that returns an object and nothing else."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import closing, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.instrumentation.events.llm import (
    LLMChatEndEvent,
    LLMChatInProgressEvent,
    LLMCompletionEndEvent,
    LLMCompletionInProgressEvent,
)
from llama_index_instrumentation import root_dispatcher

from llamaindex_tiers.pieces import finish_of
from llm_tiers.owned import owned

if TYPE_CHECKING:
    from llm_tiers.call.answer import Finish

__all__ = ["Recorded", "arecording_each", "record_responses", "recording", "recording_each"]

Item = TypeVar("Item")


@dataclass(slots=True)
class Recorded:
    """What models said inside a call, and why each ended.

    Attributes:
        responses: The whole responses.
        finishes: The reasons, where a provider says one; in a stream it may stand before the last chunk.
        piece: The latest chunk of a stream.
    """

    responses: list[Any] = field(default_factory=list)
    finishes: list[Finish] = field(default_factory=list)
    piece: Any = None


_recorded: ContextVar[Recorded | None] = ContextVar("llm_tiers_recorded_responses", default=None)
_END = object()

_ENDS = LLMChatEndEvent | LLMCompletionEndEvent
_PIECES = LLMChatInProgressEvent | LLMCompletionInProgressEvent


class _ResponseRecorder(BaseEventHandler):
    """Appends the responses of models to the list that `recording` has set, if any."""

    @classmethod
    def class_name(cls) -> str:
        return "LlmTiersListener"

    def handle(self, event: BaseEvent, **_: Any) -> None:
        # The root dispatcher passes on every event of the process, most of which belong to no call of ours.
        recorded = _recorded.get()
        if recorded is None or not isinstance(event, _ENDS | _PIECES):
            return
        if isinstance(event, _ENDS):
            recorded.responses.append(event.response)
        else:
            recorded.piece = event.response
        finish = finish_of(event.response)
        if finish is not None:
            recorded.finishes.append(finish)


_recorder = _ResponseRecorder()


def record_responses() -> None:
    """Register the handler that records responses; once for each process."""
    # By identity: handlers are pydantic models, which are compared by their contents otherwise.
    if not any(handler is _recorder for handler in root_dispatcher.event_handlers):
        root_dispatcher.add_event_handler(_recorder)


@contextmanager
def recording(recorded: Recorded) -> Iterator[None]:
    """Record the responses of models inside the block, in this thread or task and those begun in it."""
    token = _recorded.set(recorded)
    try:
        yield
    finally:
        _recorded.reset(token)


def recording_each(items: Generator[Item], recorded: Recorded) -> Generator[Item]:
    """Take items, recording only while each is made: a generator shares its context with its consumer."""
    with closing(items):
        while True:
            with recording(recorded):
                item = next(items, _END)
            if item is _END:
                return
            yield item  # type: ignore[misc]


async def arecording_each(items: AsyncGenerator[Item], recorded: Recorded) -> AsyncGenerator[Item]:
    """Take items in asyncio; as `recording_each`."""
    async with owned(items) as inside:
        while True:
            with recording(recorded):
                item = await anext(inside, _END)
            if item is _END:
                return
            yield item  # type: ignore[misc]

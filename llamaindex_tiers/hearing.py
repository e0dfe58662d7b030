"""What the models say inside a call of LlamaIndex's that returns an object and nothing else."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import aclosing, closing, contextmanager
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

if TYPE_CHECKING:
    from llm_tiers.call.answer import Finish

__all__ = ["Heard", "hearing", "hearing_all", "hearing_each", "listen"]

Item = TypeVar("Item")


@dataclass(slots=True)
class Heard:
    """What models said, and why each ended.

    Attributes:
        responses: The whole responses.
        finishes: The reasons, where a provider says one; in a stream it may stand before the last chunk.
    """

    responses: list[Any] = field(default_factory=list)
    finishes: list[Finish] = field(default_factory=list)


_heard: ContextVar[Heard | None] = ContextVar("llm_tiers_heard", default=None)
_END = object()

_ENDS = LLMChatEndEvent | LLMCompletionEndEvent
_PIECES = LLMChatInProgressEvent | LLMCompletionInProgressEvent


class _Listener(BaseEventHandler):
    """Hands on the responses of models to whoever is hearing."""

    @classmethod
    def class_name(cls) -> str:
        return "LlmTiersListener"

    def handle(self, event: BaseEvent, **_: Any) -> None:
        heard = _heard.get()
        if heard is None or not isinstance(event, _ENDS | _PIECES):
            return
        if isinstance(event, _ENDS):
            heard.responses.append(event.response)
        finish = finish_of(event.response)
        if finish is not None:
            heard.finishes.append(finish)


_listener = _Listener()


def listen() -> None:
    """Hear the events from now on."""
    if not any(handler is _listener for handler in root_dispatcher.event_handlers):
        root_dispatcher.add_event_handler(_listener)


@contextmanager
def hearing(heard: Heard) -> Iterator[None]:
    """Note what models say meanwhile, in this thread or task and those begun in it."""
    token = _heard.set(heard)
    try:
        yield
    finally:
        _heard.reset(token)


def hearing_each(items: Generator[Item], heard: Heard) -> Generator[Item]:
    """Take items, hearing only while each is made: a generator shares its context with whoever takes its items."""
    with closing(items):
        while True:
            with hearing(heard):
                item = next(items, _END)
            if item is _END:
                return
            yield item  # type: ignore[misc]


async def hearing_all(items: AsyncGenerator[Item], heard: Heard) -> AsyncGenerator[Item]:
    """Take items in asyncio; as `hearing_each`."""
    async with aclosing(items):
        while True:
            with hearing(heard):
                item = await anext(items, _END)
            if item is _END:
                return
            yield item  # type: ignore[misc]

"""What the models say inside a call of LlamaIndex's that returns an object and nothing else."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import aclosing, closing, contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.instrumentation.events.llm import LLMChatEndEvent, LLMCompletionEndEvent
from llama_index_instrumentation import root_dispatcher

__all__ = ["hearing", "hearing_all", "hearing_each", "listen"]

Item = TypeVar("Item")

_heard: ContextVar[list[Any] | None] = ContextVar("llm_tiers_heard", default=None)
_END = object()


class _Listener(BaseEventHandler):
    """Hands on the responses of models to whoever is hearing."""

    @classmethod
    def class_name(cls) -> str:
        return "LlmTiersListener"

    def handle(self, event: BaseEvent, **_: Any) -> None:
        responses = _heard.get()
        if responses is not None and isinstance(event, LLMChatEndEvent | LLMCompletionEndEvent):
            responses.append(event.response)


_listener = _Listener()


def listen() -> None:
    """Hear the events from now on."""
    if not any(handler is _listener for handler in root_dispatcher.event_handlers):
        root_dispatcher.add_event_handler(_listener)


@contextmanager
def hearing(responses: list[Any]) -> Iterator[None]:
    """Add to a list what models say meanwhile, in this thread or task and those begun in it."""
    token = _heard.set(responses)
    try:
        yield
    finally:
        _heard.reset(token)


def hearing_each(items: Generator[Item], responses: list[Any]) -> Generator[Item]:
    """Take items, hearing only while each is made: a generator shares its context with whoever takes its items."""
    with closing(items):
        while True:
            with hearing(responses):
                item = next(items, _END)
            if item is _END:
                return
            yield item  # type: ignore[misc]


async def hearing_all(items: AsyncGenerator[Item], responses: list[Any]) -> AsyncGenerator[Item]:
    """Take items in asyncio; as `hearing_each`."""
    async with aclosing(items):
        while True:
            with hearing(responses):
                item = await anext(items, _END)
            if item is _END:
                return
            yield item  # type: ignore[misc]

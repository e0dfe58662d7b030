"""The responses of models inside a call of LlamaIndex that returns an object and nothing else."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import aclosing, closing, contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.instrumentation.events.llm import LLMChatEndEvent, LLMCompletionEndEvent
from llama_index_instrumentation import root_dispatcher

__all__ = ["arecording_each", "record_responses", "recording", "recording_each"]

Item = TypeVar("Item")

_recorded: ContextVar[list[Any] | None] = ContextVar("llm_tiers_recorded_responses", default=None)
_END = object()


class _ResponseRecorder(BaseEventHandler):
    """Appends the responses of models to the list that `recording` has set, if any."""

    @classmethod
    def class_name(cls) -> str:
        return "LlmTiersListener"

    def handle(self, event: BaseEvent, **_: Any) -> None:
        responses = _recorded.get()
        if responses is not None and isinstance(event, LLMChatEndEvent | LLMCompletionEndEvent):
            responses.append(event.response)


_recorder = _ResponseRecorder()


def record_responses() -> None:
    """Register the handler that records responses; once for each process."""
    # By identity: handlers are pydantic models, which are compared by their contents otherwise.
    if not any(handler is _recorder for handler in root_dispatcher.event_handlers):
        root_dispatcher.add_event_handler(_recorder)


@contextmanager
def recording(responses: list[Any]) -> Iterator[None]:
    """Append to a list the responses of models meanwhile, in this thread or task and those begun in it."""
    token = _recorded.set(responses)
    try:
        yield
    finally:
        _recorded.reset(token)


def recording_each(items: Generator[Item], responses: list[Any]) -> Generator[Item]:
    """Take items, recording only while each is made: a generator shares its context with its consumer."""
    with closing(items):
        while True:
            with recording(responses):
                item = next(items, _END)
            if item is _END:
                return
            yield item  # type: ignore[misc]


async def arecording_each(items: AsyncGenerator[Item], responses: list[Any]) -> AsyncGenerator[Item]:
    """Take items in asyncio; as `recording_each`."""
    async with aclosing(items):
        while True:
            with recording(responses):
                item = await anext(items, _END)
            if item is _END:
                return
            yield item  # type: ignore[misc]

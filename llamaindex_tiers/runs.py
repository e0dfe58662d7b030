"""How a call stands among LlamaIndex's spans, events and callbacks, and how those inside it hang on it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, replace
from inspect import signature
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llama_index.core.callbacks import CallbackManager
from llama_index.core.instrumentation.events.exception import ExceptionEvent
from llama_index.core.instrumentation.events.llm import LLMChatEndEvent, LLMCompletionEndEvent
from llama_index.core.instrumentation.span import active_span_id
from llama_index_instrumentation import get_dispatcher
from llama_index_instrumentation.dispatcher import active_instrument_tags

from llamaindex_tiers.pieces import response_for_event
from llm_tiers.owned import owned

if TYPE_CHECKING:
    from llama_index.core.llms import LLM

    from llamaindex_tiers.request import Request
    from llamaindex_tiers.spans import Place
    from llm_tiers.flow.engine import Outcome

__all__ = ["OuterRun", "own_span_id"]

Item = TypeVar("Item")

_INSIDE = "TieredLLM.tiers"
"""The name of the span that a stream is made in."""

_own_span_id: ContextVar[str | None] = ContextVar("llm_tiers_own_span_id", default=None)
_END = object()
_dispatcher = get_dispatcher(__name__)


def own_span_id() -> str | None:
    """Return the id of the span of the call that is being answered here."""
    return _own_span_id.get() or active_span_id.get()


@dataclass(frozen=True, slots=True)
class OuterRun:
    """The user's call, and what the tiers' models are given of it.

    Attributes:
        place: Where it stands among the spans.
        callbacks: The callback manager of the LLM around the tiers: its handlers are called for each model call.
        rate_limiter: The rate limiter of the LLM around, for tiers without one.
        system_prompt: The system prompt of the LLM around, for tiers that make their messages themselves.
        inside: The id of the span that a stream is made in, or None.
    """

    place: Place
    callbacks: CallbackManager
    rate_limiter: Any = None
    system_prompt: str | None = None
    inside: str | None = None

    def detached(self) -> OuterRun:
        """Return a run that asks the same, with nobody around it."""
        alone = replace(self.place, span_id=None, tags={}, around=())
        return replace(self, place=alone, callbacks=CallbackManager(), inside=None)

    @contextmanager
    def open_inside(self) -> Iterator[OuterRun]:
        """Open a span below the call's for the time that a stream is made.

        The call's own has been left by then, and observers take it for ended with the first stream that ends below it:
        what follows would be lost to them.
        """
        span_id, nothing = f"{_INSIDE}-{uuid4()}", signature(lambda: None).bind()
        # In a context of its own: an observer may make the span the current one, and the consumer is not inside it.
        copy_context().run(_dispatcher.span_enter, id_=span_id, bound_args=nothing, parent_id=self.place.span_id)
        try:
            yield replace(self, inside=span_id)
        except BaseException as error:
            _dispatcher.span_drop(id_=span_id, bound_args=nothing, err=error)
            raise
        _dispatcher.span_exit(id_=span_id, bound_args=nothing)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Make the call's span the one that spans and events inside hang on."""
        own = _own_span_id.set(self.place.span_id)
        span = active_span_id.set(self.inside or self.place.span_id)
        tags = active_instrument_tags.set(dict(self.place.tags))
        try:
            yield
        finally:
            active_instrument_tags.reset(tags)
            active_span_id.reset(span)
            _own_span_id.reset(own)

    def each_in_span(self, items: Generator[Item]) -> Generator[Item]:
        """Take items, in the call's span only while each is made: the consumer's own spans are not inside it."""
        try:
            while True:
                with self.entered():
                    item = next(items, _END)
                if item is _END:
                    return
                yield item  # type: ignore[misc]
        finally:
            # Closing runs the code of the models' generators, whose spans and events belong inside as well.
            with self.entered(), closing(items):
                pass

    async def aeach_in_span(self, items: AsyncGenerator[Item]) -> AsyncGenerator[Item]:
        """Take items in asyncio; as `each_in_span`."""
        inside = owned(items)
        try:
            while True:
                with self.entered():
                    item = await anext(inside, _END)
                if item is _END:
                    return
                yield item  # type: ignore[misc]
        finally:
            with self.entered():
                await inside.aclose()

    @contextmanager
    def connected(self, model: LLM, changes: Mapping[str, Any]) -> Iterator[LLM]:
        """Give a tier's model with some settings changed, connected to the handlers of the LLM around.

        A copy, so that calls with different handlers may run at once; the model itself where nothing is changed.
        """
        changes = {**self._changes(model), **changes}
        if not changes:
            yield model
            return
        twin = model.model_copy(update=changes)
        try:
            yield twin
        finally:
            _hand_back(model, twin)

    def _changes(self, model: LLM) -> dict[str, Any]:
        changes: dict[str, Any] = {}
        if self.rate_limiter is not None and getattr(model, "rate_limiter", None) is None:
            changes["rate_limiter"] = self.rate_limiter
        if self.system_prompt is not None and model.system_prompt != self.system_prompt:
            changes["system_prompt"] = self.system_prompt
        own = model.callback_manager.handlers
        # Each handler once, or it would count the call twice.
        others = [handler for handler in self.callbacks.handlers if not any(handler is mine for mine in own)]
        if others:
            changes["callback_manager"] = CallbackManager()
            # Not through the constructor, which refuses a handler of the global one's kind.
            changes["callback_manager"].set_handlers([*own, *others])
        return changes

    @contextmanager
    def reported_errors(self) -> Iterator[None]:
        """Dispatch an event where a stream ends early: its span has been left long ago."""
        try:
            yield
        except BaseException as error:
            _dispatcher.event(ExceptionEvent(exception=error, span_id=self.place.span_id))
            raise

    def report_end(self, request: Request, outcome: Outcome) -> None:
        """Dispatch the event that a stream has ended."""
        response = response_for_event(outcome)
        if isinstance(response, ChatResponse):
            # Copies, because an observer may change what it is shown.
            messages = [*map(ChatMessage.model_copy, request.messages)]
            _dispatcher.event(LLMChatEndEvent(messages=messages, response=response, span_id=self.place.span_id))
        else:
            prompt = str(request.messages[0].content)
            _dispatcher.event(LLMCompletionEndEvent(prompt=prompt, response=response, span_id=self.place.span_id))


def _hand_back(model: LLM, twin: LLM) -> None:
    """Give a model what its copy made at its first call, such as a client, so that the next copy has it too."""
    own, made = model.__pydantic_private__, twin.__pydantic_private__
    if own is not None and made is not None:
        own.update({name: value for name, value in made.items() if own.get(name) is None and value is not None})

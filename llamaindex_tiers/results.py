"""What calls of the LLM leave on the results of LlamaIndex's components: the tier that answered, and the trace id."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import closing
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from llama_index.core.base.llms.types import ChatResponse, CompletionResponse
from llama_index.core.base.response.schema import (
    AsyncStreamingResponse,
    PydanticResponse,
    Response,
    StreamingResponse,
)
from llama_index.core.chat_engine.types import AgentChatResponse, StreamingAgentChatResponse
from llama_index.core.llms.structured_llm import StructuredLLM
from pydantic import BaseModel

from llamaindex_tiers.by_identity import ByIdentity
from llamaindex_tiers.pieces import TRACE
from llm_tiers.owned import owned

if TYPE_CHECKING:
    from llm_tiers.trace import Trace

__all__ = ["Calls", "keep_trace", "reading_stream", "tiers_of"]

_MOST = 50
"""Most calls that one result names; the last ones."""

_WITH_METADATA = (Response, StreamingResponse, AsyncStreamingResponse, PydanticResponse, AgentChatResponse)

_END = object()

_reading: ContextVar[tuple[Calls, ...]] = ContextVar("llm_tiers_reading_stream", default=())

_kept: ByIdentity[dict[str, Any]] = ByIdentity()
"""The traces of objects: their classes are the user's, or have no room for them."""


def tiers_of(result: Any) -> dict[str, Any] | None:
    """Return which tier gave a result, and under which trace id; None where no tiered LLM did.

    It knows responses of the LLM and of LlamaIndex's query and chat engines, the output of agents, and the objects of
    `structured_predict` and of structured LLMs. LlamaIndex's evaluators open no span: an evaluation is known where one
    is opened around it, as in `get_dispatcher().span(evaluator.evaluate)(query=..., response=...)`.

    Args:
        result: The result.

    Returns:
        The trace of an LLM's response or of an object; for components the `trace_id` and the `tier` of the last call
        in them, and `calls`: these and the `node` of up to 50 calls, the last one last. `feedback` takes the trace id.
    """
    for place in ("additional_kwargs", "metadata"):
        held = getattr(result, place, None)
        if isinstance(held, Mapping) and TRACE in held:
            return dict(held[TRACE])
    if _is_agent_output(result):
        return result.get(TRACE)  # type: ignore[no-any-return]
    kept = _kept.get(result)
    if kept is not None:
        return dict(kept)
    # A structured LLM streams its objects in responses.
    return tiers_of(result.raw) if isinstance(result, ChatResponse | CompletionResponse) and result.raw else None


def keep_trace(value: Any, trace: Trace) -> None:
    """Keep the trace of an object for as long as there is the object."""
    if isinstance(value, BaseModel) and not isinstance(value, ChatResponse | CompletionResponse):
        _kept[value] = trace.to_dict()


class Calls:
    """The calls of the LLM inside one of LlamaIndex's spans, and the result of that span."""

    def __init__(self) -> None:
        self._calls: deque[dict[str, Any]] = deque(maxlen=_MOST)
        self._last: dict[str, Any] = {}
        self._result: Any = None

    def add(self, trace: Trace) -> None:
        """Take a call that has ended; of a stream it may be later than the span."""
        self._calls.append({"trace_id": trace.trace_id, "tier": trace.final, "node": trace.node})
        self._last = trace.to_dict()
        self._mark()

    def end(self, instance: Any, result: Any) -> None:
        """Take the result of the span."""
        if isinstance(result, StreamingResponse | AsyncStreamingResponse):
            self._watch(result)
        # A streaming chat response writes itself to the history, and asks the LLM for its pieces meanwhile.
        if isinstance(instance, StreamingAgentChatResponse):
            self._take(instance)
        elif (
            isinstance(result, (*_WITH_METADATA, StreamingAgentChatResponse))
            or _is_agent_output(result)
            or _is_evaluation(result)
            or isinstance(instance, StructuredLLM)
        ):
            self._take(result)
        elif _is_agent_output(output := getattr(result, "result", None)) and output.get(TRACE) is None:  # type: ignore[union-attr]
            # What a tool returned directly: the step that made it of that asked no LLM, but the run did.
            self._take(output)

    def _take(self, result: Any) -> None:
        self._result = result
        self._mark()

    def _watch(self, response: StreamingResponse | AsyncStreamingResponse) -> None:
        """Notice the calls that are made while a stream is read: by then its spans are closed."""
        stream: Any = response.response_gen
        code = getattr(stream, "gi_code", None) or getattr(stream, "ag_code", None)
        # Several spans have the same result.
        if isinstance(stream, Generator) and code is not _each_inside.__code__:
            response.response_gen = _each_inside(stream, self)
        elif isinstance(stream, AsyncGenerator) and code is not _aeach_inside.__code__:
            response.response_gen = _aeach_inside(stream, self)

    def _mark(self) -> None:
        if self._result is None or not self._calls:
            return
        calls = self._known()
        summary = {"trace_id": calls[-1]["trace_id"], "tier": calls[-1]["tier"], "calls": calls}
        if isinstance(self._result, _WITH_METADATA):
            self._result.metadata = {**(self._result.metadata or {}), TRACE: summary}
        elif _is_agent_output(self._result):
            self._result[TRACE] = summary
        elif isinstance(self._result, StreamingAgentChatResponse) or _is_evaluation(self._result):
            _kept[self._result] = summary
        elif isinstance(self._result, ChatResponse | CompletionResponse):
            self._result.additional_kwargs[TRACE] = self._last

    def _known(self) -> list[dict[str, Any]]:
        """Return the calls, those that other spans have named on the same result before them."""
        named = getattr(self._result, "metadata", None) or {}
        mine = {call["trace_id"] for call in self._calls}
        others = [call for call in named.get(TRACE, {}).get("calls", ()) if call["trace_id"] not in mine]
        return [*others, *self._calls][-_MOST:]


def reading_stream() -> tuple[Calls, ...]:
    """Return the calls of the stream whose next piece is being made here, if any."""
    return _reading.get()


def _each_inside(items: Generator[Any, None, None], calls: Calls) -> Generator[Any, None, None]:
    # Only while a piece is made: a generator shares its context with its consumer.
    with closing(items):
        while True:
            token = _reading.set((calls,))
            try:
                item = next(items, _END)
            finally:
                _reading.reset(token)
            if item is _END:
                return
            yield item


async def _aeach_inside(items: AsyncGenerator[Any, None], calls: Calls) -> AsyncGenerator[Any, None]:
    async with owned(items) as inside:
        while True:
            token = _reading.set((calls,))
            try:
                item = await anext(inside, _END)
            finally:
                _reading.reset(token)
            if item is _END:
                return
            yield item


def _is_agent_output(result: Any) -> bool:
    return _is_llamaindex_s(result, "AgentOutput")


def _is_evaluation(result: Any) -> bool:
    # Evaluators open no span; whoever opens one around an evaluation learns which calls it took.
    return _is_llamaindex_s(result, "EvaluationResult")


def _is_llamaindex_s(result: Any, name: str) -> bool:
    # By name: an application without agents and evaluators need not load them.
    return type(result).__name__ == name and type(result).__module__.startswith("llama_index.")

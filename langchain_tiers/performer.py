"""How the core calls a LangChain chat model: the performer of one call."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Generator, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

from langchain_core.exceptions import OutputParserException
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    message_chunk_to_message,
)
from langchain_core.messages.ai import add_ai_message_chunks
from langchain_core.messages.tool import invalid_tool_call, tool_call_chunk
from langchain_core.runnables.config import set_config_context

from langchain_tiers.messages import read_text, with_postscript
from langchain_tiers.received import Received
from langchain_tiers.request import Request
from langchain_tiers.runs import OuterRun, ain_context, in_context
from llm_tiers.call.answer import Answer, ToolCall
from llm_tiers.call.json_text import is_too_deep, read_json
from llm_tiers.integration.chunks import afrom_first_word, from_first_word, result_last, withholding
from llm_tiers.integration.failures import tier_errors
from llm_tiers.integration.finish import finish_in, last_finish
from llm_tiers.integration.models import knows
from llm_tiers.owned import owned
from llm_tiers.usage import Usage

if TYPE_CHECKING:
    from langchain_core.runnables import Runnable

    from langchain_tiers.structured import Shape
    from llm_tiers.call.requests import ModelCall
    from llm_tiers.ladder.tiers import Ladder, Tier

__all__ = ["ChatPerformer", "answer_of"]

_EFFORTS = ("reasoning_effort", "effort")
"""How chat models call their setting for the effort of reasoning."""


@dataclass(frozen=True, slots=True)
class ChatPerformer:
    """Calls chat models for one call of the user.

    Attributes:
        request: What the user asks.
        run: The user's run, and which handlers are called for the calls inside it.
        streaming: The user takes the answer in chunks, so every tier is asked for them; a judge is not.
        judging: The tiers as they judge, without the settings that are meant for answers; by default as they are.
        trace_id: The id of the user's call, or None.
    """

    request: Request
    run: OuterRun = field(default_factory=OuterRun)
    streaming: bool = False
    judging: Ladder | None = None
    trace_id: str | None = None

    def generate(self, call: ModelCall) -> Answer:
        """Call a model and wait for its answer."""
        if self._in_chunks(call):
            # The user streams, so the answer is kept in its chunks, to be shown in them if it is accepted.
            return withholding(list(result_last(self.stream(call))))
        config = self.run.child_config(call, self.trace_id)
        with self._tier_errors(call), set_config_context(config) as context:
            # In the child's context: a `RunnableBinding` merges the callbacks of the context that it runs in into its
            # config, and would bring back the handlers that `quiet_config` leaves out.
            message = context.run(self._model(call).invoke, self._input(call), config, **self._settings(call))
        return self._answer(call, message)

    async def agenerate(self, call: ModelCall) -> Answer:
        """Call a model and wait for its answer."""
        if self._in_chunks(call):
            return withholding([item async for item in self.astream(call)])
        config = self.run.child_config(call, self.trace_id)
        with self._tier_errors(call), set_config_context(config) as context:
            invoked = self._model(call).ainvoke(self._input(call), config, **self._settings(call))
            message = await asyncio.create_task(_awaited(invoked), context=context)
        return self._answer(call, message)

    def stream(self, call: ModelCall) -> Generator[AIMessageChunk, None, Answer]:
        """Call a model, yield its chunks as they come, and return the whole answer."""
        config = self.run.child_config(call, self.trace_id)
        received = Received()

        def chunks() -> Generator[AIMessageChunk]:
            opened = self._model(call).stream(self._input(call), config, **self._settings(call))
            with closing(in_context(config, cast("Generator[AIMessage]", opened))) as messages:
                for message in messages:
                    yield received.add(_as_chunk(message))

        with self._tier_errors(call):
            blank = yield from from_first_word(chunks(), _says)
        return replace(self._answer(call, _joined(received), received.chunks), chunks=blank)

    async def astream(self, call: ModelCall) -> AsyncGenerator[AIMessageChunk | Answer, None]:
        """Call a model, yield its chunks as they come and, last, the whole `Answer`."""
        config = self.run.child_config(call, self.trace_id)
        received = Received()
        blank: list[AIMessageChunk] = []

        async def chunks() -> AsyncGenerator[AIMessageChunk]:
            opened = self._model(call).astream(self._input(call), config, **self._settings(call))
            async with owned(ain_context(config, cast("AsyncGenerator[AIMessage]", opened))) as messages:
                async for message in messages:
                    yield received.add(_as_chunk(message))

        with self._tier_errors(call):
            async with owned(afrom_first_word(chunks(), _says, blank)) as shown:
                async for chunk in shown:
                    yield chunk
        yield replace(self._answer(call, _joined(received), received.chunks), chunks=tuple(blank))

    def detached(self) -> ChatPerformer:
        """Return a performer of the same request, in no run of the user's and without streaming."""
        return replace(self, run=OuterRun(None, self.run.node), streaming=False)

    def _tier_errors(self, call: ModelCall) -> AbstractContextManager[None]:
        settings = self.request.names if call.prompt is None else ()
        return tier_errors(call.tier, (OutputParserException,), _interrupts, settings)

    def _in_chunks(self, call: ModelCall) -> bool:
        return self.streaming and call.prompt is None

    def _model(self, call: ModelCall) -> Runnable[Any, Any]:
        if call.prompt is None:
            return self.request.model_for(call.tier, call.without)
        # A judge is asked without the user's `temperature` and `max_tokens`, which are meant for answers.
        judges = self.judging or ()
        tier = next((tier for tier in judges if tier.name == call.tier.name), call.tier)
        model: Runnable[Any, Any] = tier.model
        return model

    def _input(self, call: ModelCall) -> list[BaseMessage]:
        if call.prompt is not None:
            return [SystemMessage(call.prompt.system), HumanMessage(call.prompt.user)]
        messages = self.request.messages_for(call.tier)
        return with_postscript(messages, call.postscript) if call.postscript else messages

    def _settings(self, call: ModelCall) -> dict[str, Any]:
        settings = self.request.settings_for(call.tier, call.without) if call.prompt is None else {}
        # One name at most: both are the same setting, as different providers call it.
        known = [name for name in _EFFORTS if knows(call.tier.model, name)]
        return settings | dict.fromkeys(known[:1] if call.effort is not None else (), call.effort)

    def _answer(self, call: ModelCall, message: AIMessage, chunks: Sequence[AIMessageChunk] = ()) -> Answer:
        structured = self.request.structured if call.prompt is None else None
        answer = answer_of(call.tier, message, None if structured is None else structured.shape)
        # LangChain joins the texts in the metadata of chunks, and two reasons make none.
        finish = last_finish(finish_in(chunk.response_metadata) for chunk in chunks)
        return answer if finish is None else replace(answer, finish=finish)


async def _awaited(result: Awaitable[AIMessage]) -> AIMessage:
    return await result


def _as_chunk(message: AIMessage) -> AIMessageChunk:
    """Return a chunk; a model that does not stream gives its whole message instead."""
    if isinstance(message, AIMessageChunk):
        return message
    whole = [(call["name"], json.dumps(call["args"]), call["id"]) for call in message.tool_calls]
    broken = [(call["name"], call["args"], call["id"]) for call in message.invalid_tool_calls]
    parts = [
        tool_call_chunk(name=name, args=args, id=identity, index=index)
        for index, (name, args, identity) in enumerate([*whole, *broken])
    ]
    # `type` names the class, which is another one here.
    rest = message.model_dump(exclude={"type", "tool_calls", "invalid_tool_calls"})
    return AIMessageChunk(**rest, tool_call_chunks=parts)


def _says(chunk: AIMessageChunk) -> bool:
    """Say whether a chunk shows the user more than blanks: a word, a part of a tool call, a thought."""
    if isinstance(chunk.content, str) and chunk.content.strip():
        return True
    blocks = chunk.content if isinstance(chunk.content, list) else []
    # A block without text counts as something said: it is a thought, an image or part of a call.
    texts = (block.strip() if isinstance(block, str) else block.get("text", "·").strip() for block in blocks)
    return bool(any(texts) or chunk.tool_call_chunks or any(chunk.additional_kwargs.values()))


def _joined(received: Received) -> AIMessage:
    if not received.chunks:
        return AIMessage("")
    if received.chunks[-1].chunk_position != "last":
        received.end()
    whole = add_ai_message_chunks(*received.chunks)
    message = cast("AIMessage", message_chunk_to_message(whole))
    taken_out = received.taken_out()
    # LangChain completes arguments that were cut short, to show them while they stream; as an answer they are broken.
    cut = {
        chunk["id"]: taken_out.get(chunk["index"] or 0, chunk["args"])
        for chunk in whole.tool_call_chunks
        if chunk["index"] in taken_out or not _is_json(chunk["args"] or "{}")
    }
    broken = [
        invalid_tool_call(name=call["name"], id=call["id"], args=cut[call["id"]], error="cut short")
        for call in message.tool_calls
        if call["id"] in cut
    ]
    return message.model_copy(
        update={
            "tool_calls": [call for call in message.tool_calls if call["id"] not in cut],
            "invalid_tool_calls": [*message.invalid_tool_calls, *broken],
        }
    )


def _is_json(text: str) -> bool:
    try:
        read_json(text)
    except ValueError:
        return False
    return True


def answer_of(tier: Tier, message: AIMessage, shape: Shape | None = None) -> Answer:
    """Return what a tier answered; a refusal and a message without text or tool call are missing answers.

    Args:
        tier: The tier.
        message: What its model said.
        shape: The object that it was asked for: then the answer is that object, however the provider wraps it.
    """
    wrapped = None if shape is None else _object_text(message, shape)
    text = wrapped or read_text(message) or str(message.additional_kwargs.get("refusal") or "")
    return Answer(
        tier=tier.name,
        text=text,
        value=None if _refuses(message) else text or None,
        usage=_usage(message),
        message=message,
        tool_calls=() if wrapped else _tool_calls(message),
        finish=finish_in(message.response_metadata),
    )


def _object_text(message: AIMessage, shape: Shape) -> str | None:
    """Return the object in a message as JSON with sorted keys, so that equal objects read the same."""
    try:
        value = shape.read(message)
    except OutputParserException:
        return None
    return None if value is None or is_too_deep(value) else json.dumps(value, sort_keys=True, ensure_ascii=False)


def _tool_calls(message: AIMessage) -> tuple[ToolCall, ...]:
    return (
        *(ToolCall(call["name"], _readable(call["args"])) for call in message.tool_calls),
        # None stands for arguments that cannot be parsed, for which the form rejects the call.
        *(ToolCall(call["name"] or "", None) for call in message.invalid_tool_calls),
    )


def _readable(arguments: dict[str, Any]) -> dict[str, Any] | None:
    """Return arguments; None for those that are nested so deeply that nobody can read them."""
    return None if is_too_deep(arguments) else arguments


def _refuses(message: AIMessage) -> bool:
    blocks = message.content if isinstance(message.content, list) else []
    return (
        # OpenAI's chat completions put a refusal here, its Responses API into a block.
        bool(message.additional_kwargs.get("refusal"))
        or any(isinstance(block, dict) and block.get("type") == "refusal" for block in blocks)
        or finish_in(message.response_metadata) == "filter"
    )


def _usage(message: AIMessage) -> Usage | None:
    usage = message.usage_metadata
    if usage is None:
        return None
    read, written = usage.get("input_token_details", {}), usage.get("output_token_details", {})
    return Usage(
        input_tokens=usage["input_tokens"],
        output_tokens=usage["output_tokens"],
        # A detail may be missing, and may be None.
        cached_tokens=read.get("cache_read") or 0,
        cache_write_tokens=read.get("cache_creation") or 0,
        reasoning_tokens=written.get("reasoning") or 0,
    )


def _interrupts(error: Exception) -> bool:
    """Say whether an error is LangGraph's way to interrupt a graph, and no failure."""
    # By name, because LangGraph need not be installed.
    return any(kind.__name__ == "GraphBubbleUp" for kind in type(error).__mro__)

"""How the core calls a LangChain chat model: the performer of one call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    message_chunk_to_message,
)
from langchain_core.messages.ai import add_ai_message_chunks
from langchain_core.runnables.config import set_config_context
from pydantic import SecretStr

from langchain_tiers.messages import read_text, with_postscript
from langchain_tiers.runs import RunManager, child_config
from llm_tiers.answer import Answer, Usage
from llm_tiers.errors import TierError

if TYPE_CHECKING:
    from llm_tiers.requests import ModelCall
    from llm_tiers.tiers import Tier

__all__ = ["ChatPerformer", "answer_of"]

_EFFORTS = ("reasoning_effort", "effort")
"""How chat models call their setting for the effort of reasoning."""


@dataclass(frozen=True, slots=True)
class ChatPerformer:
    """Calls chat models for one call of the user.

    Attributes:
        messages: The user's messages.
        settings: The user's settings of this call, such as `stop` and `tools`; a judge does not get them.
        run_manager: The user's run, or None.
    """

    messages: Sequence[BaseMessage]
    settings: Mapping[str, Any]
    run_manager: RunManager | None = None

    def generate(self, call: ModelCall) -> Answer:
        """Call a model and wait for its answer."""
        config = child_config(self.run_manager, call)
        invoke = partial(call.tier.model.invoke, self._input(call), config, **self._settings(call))
        with _tier_errors(call.tier), set_config_context(config) as context:
            message = context.run(invoke)
        return answer_of(call.tier, message)

    async def agenerate(self, call: ModelCall) -> Answer:
        """Call a model and wait for its answer."""
        config = child_config(self.run_manager, call)
        invoke = partial(call.tier.model.ainvoke, self._input(call), config, **self._settings(call))
        with _tier_errors(call.tier), set_config_context(config) as context:
            message = await asyncio.create_task(invoke(), context=context)
        return answer_of(call.tier, message)

    def stream(self, call: ModelCall) -> Generator[AIMessageChunk, None, Answer]:
        """Call a model, yield its chunks as they come, and return the whole answer."""
        config = child_config(self.run_manager, call)
        stream = partial(call.tier.model.stream, self._input(call), config, **self._settings(call))
        received: list[AIMessageChunk] = []
        with _tier_errors(call.tier), set_config_context(config) as context:
            chunks = context.run(stream)
            try:
                while (chunk := context.run(next, chunks, None)) is not None:
                    received.append(chunk)
                    yield chunk
            finally:
                context.run(chunks.close)
        return answer_of(call.tier, _joined(received))

    async def astream(self, call: ModelCall) -> AsyncGenerator[AIMessageChunk | Answer, None]:
        """Call a model, yield its chunks as they come and, last, the whole `Answer`."""
        config = child_config(self.run_manager, call)
        stream = partial(call.tier.model.astream, self._input(call), config, **self._settings(call))
        received: list[AIMessageChunk] = []
        with _tier_errors(call.tier), set_config_context(config) as context:
            chunks = stream()
            try:
                while (chunk := await asyncio.create_task(_next(chunks), context=context)) is not None:
                    received.append(chunk)
                    yield chunk
            finally:
                await asyncio.create_task(chunks.aclose(), context=context)
        yield answer_of(call.tier, _joined(received))

    def _input(self, call: ModelCall) -> list[BaseMessage]:
        if call.prompt is not None:
            return [SystemMessage(call.prompt.system), HumanMessage(call.prompt.user)]
        return with_postscript(self.messages, call.postscript) if call.postscript else list(self.messages)

    def _settings(self, call: ModelCall) -> dict[str, Any]:
        settings = dict(self.settings) if call.prompt is None else {}
        known = [name for name in _EFFORTS if name in type(call.tier.model).model_fields]
        return settings | dict.fromkeys(known[:1] if call.effort is not None else (), call.effort)


async def _next(chunks: AsyncGenerator[AIMessageChunk, None]) -> AIMessageChunk | None:
    return await anext(chunks, None)


def _joined(chunks: Sequence[AIMessageChunk]) -> AIMessage:
    whole = message_chunk_to_message(add_ai_message_chunks(*chunks)) if chunks else AIMessage("")
    return cast("AIMessage", whole)


def answer_of(tier: Tier, message: AIMessage) -> Answer:
    """Return what a tier answered; a refusal and a message without text or tool call are missing answers."""
    text = read_text(message)
    value = None if _refuses(message) else text or None
    return Answer(tier=tier.name, text=text, value=value, usage=_usage(message), message=message)


def _refuses(message: AIMessage) -> bool:
    blocks = message.content if isinstance(message.content, list) else []
    return (
        bool(message.additional_kwargs.get("refusal"))
        or any(isinstance(block, dict) and block.get("type") == "refusal" for block in blocks)
        or message.response_metadata.get("finish_reason") == "content_filter"
        or message.response_metadata.get("stop_reason") == "refusal"
    )


def _usage(message: AIMessage) -> Usage | None:
    usage = message.usage_metadata
    if usage is None:
        return None
    read, written = usage.get("input_token_details", {}), usage.get("output_token_details", {})
    return Usage(
        input_tokens=usage["input_tokens"],
        output_tokens=usage["output_tokens"],
        cached_tokens=read.get("cache_read") or 0,
        cache_write_tokens=read.get("cache_creation") or 0,
        reasoning_tokens=written.get("reasoning") or 0,
    )


@contextmanager
def _tier_errors(tier: Tier) -> Iterator[None]:
    """Turn whatever the tier's client raises into a `TierError`, without the client's keys."""
    try:
        yield
    except Exception as error:  # the boundary to the tier: clients raise whatever they like
        text = str(error)
        for secret in _secrets(tier.model):
            text = text.replace(secret, "***")
        if text == str(error):
            raise TierError(tier.name, error) from error
        raise TierError(tier.name, f"{type(error).__name__}: {text}") from None


def _secrets(model: Any) -> Iterator[str]:
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, SecretStr) and value.get_secret_value():
            yield value.get_secret_value()

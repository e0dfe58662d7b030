"""What the core needs of LangChain's messages: the human ask, the conversation before it, and an answer as text."""

from __future__ import annotations

import json
from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from llm_tiers.call.json_text import is_too_deep
from llm_tiers.integration.ask import Ask, Turn, position_of_ask, read_turns

__all__ = ["needs_of", "read_ask", "read_text", "shape_of", "with_postscript"]

_IMAGES = frozenset({"image", "image_url", "input_image"})
"""The types of image blocks: LangChain's own and those of the providers."""

_AUDIO = frozenset({"audio", "input_audio"})
_FILES = frozenset({"file", "input_file", "document"})
_OF_MEDIA = {"application/pdf": "pdf"}


def read_ask(messages: Sequence[BaseMessage], *, closing: int = 0) -> Ask:
    """Find the ask: the last human message, or the last message where no human speaks.

    Args:
        messages: The messages.
        closing: How many of the last ones are the same in every call, such as an instruction to rephrase the question
            before it: similar calls are then found by that question.
    """
    turns = [_turn(message) for message in messages]
    ask = read_turns(turns)
    before = turns[: len(turns) - closing]
    if not closing or not any(turn.asks for turn in before):
        return ask
    return replace(ask, query=read_turns(before).query)


def read_text(message: BaseMessage) -> str:
    """Return the text parts of a message and its tool calls.

    The arguments of a tool call are JSON with sorted keys, so that equal calls read the same.
    """
    # `text` is a subclass of str that can still be called, as in LangChain 0.x; `str` makes it a plain one.
    parts = [str(message.text).strip()]
    if isinstance(message, AIMessage):
        parts += [f"{call['name']}({_written(call['args'])})" for call in message.tool_calls]
        # As the model wrote them, so that a judge sees what is broken.
        parts += [f"{call['name']}({call['args'] or ''})" for call in message.invalid_tool_calls]
    return "\n".join(filter(None, parts))


def _written(arguments: dict[str, Any]) -> str:
    # `json.dumps` calls itself for each level and raises RecursionError.
    return "" if is_too_deep(arguments) else json.dumps(arguments, sort_keys=True)


def needs_of(messages: Sequence[BaseMessage], *, tools: bool, structured: bool = False) -> frozenset[str]:
    """Return what a tier must be able to do to serve a call with these messages.

    Args:
        messages: The messages.
        tools: Whether tools are offered.
        structured: Whether the provider itself is to keep the answer to a schema.
    """
    asked = {"tools": tools, "structured_output": structured}
    of_blocks = {need for message in messages for block in _blocks(message) if (need := _need_of(block))}
    return frozenset(need for need, needed in asked.items() if needed) | of_blocks


def shape_of(message: BaseMessage) -> Hashable:
    """Return what a message is like besides its text, as far as a provider may refuse it for that."""
    blocks = frozenset(str(block.get("type")) for block in _blocks(message))
    return message.type, bool(message.name), blocks, bool(getattr(message, "tool_calls", None))


def with_postscript(messages: Sequence[BaseMessage], postscript: str) -> list[BaseMessage]:
    """Return the messages with a sentence of ours added to the ask."""
    position = _position_of_ask(messages)
    ask = messages[position]
    # In a block of its own, since the ask may be a list of texts and images already.
    content = [ask.content] if isinstance(ask.content, str) else ask.content
    blocks = [{"type": "text", "text": block} if isinstance(block, str) else block for block in content]
    added = ask.model_copy(update={"content": [*blocks, {"type": "text", "text": postscript}]})
    return [*messages[:position], added, *messages[position + 1 :]]


def _position_of_ask(messages: Sequence[BaseMessage]) -> int:
    return position_of_ask([isinstance(message, HumanMessage) for message in messages])


def _turn(message: BaseMessage) -> Turn:
    return Turn(
        speaker=message.type,
        text=read_text(message),
        words=str(message.text).strip(),
        asks=isinstance(message, HumanMessage),
        talks=not isinstance(message, SystemMessage | ToolMessage),
    )


def _blocks(message: BaseMessage) -> list[dict[str, Any]]:
    content = message.content if isinstance(message.content, list) else []
    return [block for block in content if isinstance(block, dict)]


def _need_of(block: dict[str, Any]) -> str | None:
    """Return what a tier must be able to read for a block; None for a text, and for what no profile speaks of."""
    kind = block.get("type")
    if kind in _IMAGES:
        return "images"
    if kind in _AUDIO:
        return "audio"
    return _OF_MEDIA.get(_media_type(block).partition(";")[0]) if kind in _FILES else None


def _media_type(block: dict[str, Any]) -> str:
    """Return the media type of a file, wherever its provider puts it; that of a PDF where nothing is said."""
    inner: dict[str, Any] = next((block[key] for key in ("file", "source") if isinstance(block.get(key), dict)), {})
    for name in ("mime_type", "media_type"):
        told = block.get(name) or inner.get(name)
        if isinstance(told, str):
            return told
    data = block.get("file_data") or inner.get("file_data") or block.get("url")
    # What OpenAI and Anthropic call a file or a document is a PDF, unless it says otherwise.
    return data.removeprefix("data:") if isinstance(data, str) and data.startswith("data:") else "application/pdf"

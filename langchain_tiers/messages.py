"""What the core needs of LangChain's messages: the human ask, the conversation before it, and an answer as text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from llm_tiers.call.json_text import is_too_deep
from llm_tiers.integration.ask import Ask, Turn, position_of_ask, read_turns

__all__ = ["needs_of", "read_ask", "read_text", "with_postscript"]

_IMAGES = frozenset({"image", "image_url", "input_image"})
"""The types of image blocks: LangChain's own and those of the providers."""


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


def needs_of(messages: Sequence[BaseMessage], *, tools: bool) -> frozenset[str]:
    """Return what a tier must be able to do to serve a call with these messages.

    Args:
        messages: The messages.
        tools: Whether tools are offered.
    """
    images = any(_has_image(message) for message in messages)
    return frozenset(need for need, needed in (("images", images), ("tools", tools)) if needed)


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


def _has_image(message: BaseMessage) -> bool:
    content = message.content if isinstance(message.content, list) else []
    return any(isinstance(block, dict) and block.get("type") in _IMAGES for block in content)

"""What the core needs of LlamaIndex's messages: the human ask, the conversation around it, and a message as text."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Sequence
from copy import deepcopy
from typing import Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    CitableBlock,
    CitationBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    ToolCallBlock,
)

from llm_tiers.call.answer import ToolCall
from llm_tiers.call.json_text import is_too_deep, read_json
from llm_tiers.integration.ask import Ask, Turn, position_of_ask, read_turns

__all__ = [
    "conversation_of",
    "copied",
    "needs_of",
    "phase_of",
    "read_ask",
    "read_text",
    "shape_of",
    "tokens_of",
    "tool_calls_of",
    "with_postscript",
]

_SILENT = frozenset({MessageRole.SYSTEM, MessageRole.DEVELOPER, MessageRole.TOOL, MessageRole.FUNCTION})
"""Roles of what neither a human nor a model says."""

_OF_TOOLS = ("Observation: ", "Result of executing the code given:")
"""How what a tool gave back begins where LlamaIndex's agents say it in the user's name."""

_HANDOFF = "handoff"
"""How LlamaIndex calls the tool by which one agent gives the task to another."""

_CHARACTERS_A_TOKEN = 4


def read_ask(messages: Sequence[ChatMessage]) -> Ask:
    """Find the ask: the last human message, or the last message where no human speaks."""
    return read_turns([_turn(message) for message in messages])


def read_text(message: ChatMessage) -> str:
    """Return the text of a message and its tool calls.

    The arguments of a tool call are JSON with sorted keys, so that equal calls read the same.
    """
    called = (f"{call.name}({_written(call)})" for call in tool_calls_of(message))
    return "\n".join(filter(None, (_words(message), *called)))


def tool_calls_of(message: ChatMessage) -> tuple[ToolCall, ...]:
    """Return the tools that a message calls; arguments that are no whole JSON object are None."""
    # Integrations that write blocks may keep the older form beside them, so only one of the two is read.
    blocks = [block for block in message.blocks if isinstance(block, ToolCallBlock)]
    if blocks:
        return tuple(ToolCall(block.tool_name, _arguments(block.tool_kwargs)) for block in blocks)
    return tuple(map(_legacy_call, message.additional_kwargs.get("tool_calls") or ()))


def needs_of(messages: Iterable[ChatMessage], *, tools: bool) -> frozenset[str]:
    """Return what a tier must be able to do to serve a call with these messages.

    Args:
        messages: The messages.
        tools: Whether tools are offered.
    """
    images = any(isinstance(block, ImageBlock) for message in messages for block in message.blocks)
    return frozenset(need for need, needed in (("images", images), ("tools", tools)) if needed)


def shape_of(message: ChatMessage) -> Hashable:
    """Return what a message is like besides its text, as far as a provider may refuse it for that."""
    return message.role, frozenset(type(block) for block in message.blocks), frozenset(message.additional_kwargs)


def tokens_of(messages: Iterable[ChatMessage]) -> int:
    """Return about how many tokens the messages have."""
    # Each tier counts in its own way; this estimate only decides which windows are too small.
    return sum(len(read_text(message)) for message in messages) // _CHARACTERS_A_TOKEN


def conversation_of(messages: Sequence[ChatMessage]) -> str:
    """Return what the calls of a conversation share: how it begins."""
    # Not the system's message, which many conversations share and which may hold the time of day.
    of_system = (MessageRole.SYSTEM, MessageRole.DEVELOPER)
    first = next((message for message in messages if message.role not in of_system), None)
    text = "" if first is None else _words(first)
    return f"begins:{text}" if text else ""


def phase_of(messages: Sequence[ChatMessage]) -> str:
    """Return where an agent is: `first_turn`, or `after_tools` where one has answered since a human last spoke.

    An agent that another one has handed the task to is at its first turn.
    """
    answered = False
    for message in reversed(messages):
        answered |= message.role in (MessageRole.TOOL, MessageRole.FUNCTION) or _words(message).startswith(_OF_TOOLS)
        calls = tool_calls_of(message) if message.role is MessageRole.ASSISTANT else ()
        if calls and all(call.name == _HANDOFF for call in calls):
            break
        if answered and (calls or _words(message).startswith(_OF_TOOLS)):
            return "after_tools"
        if _asks(message):
            break
    return "first_turn"


def with_postscript(messages: Sequence[ChatMessage], postscript: str) -> list[ChatMessage]:
    """Return the messages with a sentence of ours added to the ask."""
    position = position_of_ask([*map(_asks, messages)])
    ask = messages[position]
    # A copy: the message is the user's, and may stay in a chat history.
    added = ask.model_copy(update={"blocks": [*ask.blocks, TextBlock(text=postscript)]})
    return [*messages[:position], added, *messages[position + 1 :]]


def copied(value: Any) -> Any:
    """Return a copy of an argument for a model's method, which may change what it is given.

    Messages, lists and dicts are copied, and what is in them; anything else is passed on as it is.
    """
    if isinstance(value, ChatMessage):
        blocks = [block.model_copy() for block in value.blocks]
        # Deep here, because OpenAI's integration appends to the list of tool calls in it.
        return value.model_copy(update={"blocks": blocks, "additional_kwargs": deepcopy(value.additional_kwargs)})
    if isinstance(value, dict):
        return {key: copied(item) for key, item in value.items()}
    return [copied(item) for item in value] if isinstance(value, list | tuple) else value


def _turn(message: ChatMessage) -> Turn:
    return Turn(
        speaker=message.role.value,
        text=read_text(message),
        words=_words(message),
        asks=_asks(message),
        talks=message.role not in _SILENT and not _words(message).startswith(_OF_TOOLS),
    )


def _asks(message: ChatMessage) -> bool:
    # ReAct and code agents report what a tool gave back as a message of the user's.
    return message.role is MessageRole.USER and not _words(message).startswith(_OF_TOOLS)


def _words(message: ChatMessage) -> str:
    return "\n".join(filter(None, map(_text_of, message.blocks))).strip()


def _text_of(block: Any) -> str:
    if isinstance(block, TextBlock):
        return block.text
    if isinstance(block, CitableBlock):
        return "\n".join(filter(None, map(_text_of, block.content)))
    return _text_of(block.cited_content) if isinstance(block, CitationBlock) else ""


def _arguments(given: Any) -> dict[str, Any] | None:
    if isinstance(given, str):
        try:
            given = read_json(given)
        except ValueError:
            return None
    return given if isinstance(given, dict) and not is_too_deep(given) else None


def _legacy_call(call: Any) -> ToolCall:
    """Read a tool call as older integrations store it: as LlamaIndex's own selection, or as OpenAI's client has it."""
    if hasattr(call, "tool_name"):
        return ToolCall(call.tool_name, _arguments(call.tool_kwargs))
    function = call.get("function") if isinstance(call, dict) else getattr(call, "function", None)
    if isinstance(function, dict):
        return ToolCall(function.get("name", ""), _arguments(function.get("arguments")))
    return ToolCall(getattr(function, "name", None) or "", _arguments(getattr(function, "arguments", None)))


def _written(call: ToolCall) -> str:
    return "" if call.arguments is None else json.dumps(call.arguments, sort_keys=True)

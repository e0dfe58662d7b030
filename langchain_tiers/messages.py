"""What the core needs of LangChain's messages: the human ask, the conversation before it, and an answer as text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

__all__ = ["Ask", "needs_of", "read_ask", "read_text", "with_postscript"]

_SHORT = 16
"""Most characters of an ask such as "yes" or "go ahead", which means nothing without the turn before it."""

_IMAGES = frozenset({"image", "image_url", "input_image"})
"""The types of image blocks: LangChain's own and those of the providers."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What the human wants.

    Attributes:
        text: The human ask.
        query: The text to embed: the ask, with the turn before it where the ask alone says too little.
        context: The conversation before the ask, as a judge reads it.
        since: What was done since the ask, tool calls and what the tools said, as a judge reads it.
    """

    text: str = field(repr=False)
    query: str = field(repr=False)
    context: str = field(repr=False)
    since: str = field(repr=False)


def read_ask(messages: Sequence[BaseMessage]) -> Ask:
    """Find the ask: the last human message, or the last message where no human speaks."""
    position = _position_of_ask(messages)
    text = read_text(messages[position])
    before, after = messages[:position], messages[position + 1 :]
    return Ask(text, _query(text, before), _conversation(before), _conversation(after))


def read_text(message: BaseMessage) -> str:
    """Return the text parts of a message and its tool calls.

    The arguments of a tool call are JSON with sorted keys, so that equal calls read the same.
    """
    parts = [str(message.text).strip()]
    if isinstance(message, AIMessage):
        parts += [f"{call['name']}({json.dumps(call['args'], sort_keys=True)})" for call in message.tool_calls]
        parts += [f"{call['name']}({call['args'] or ''})" for call in message.invalid_tool_calls]
    return "\n".join(filter(None, parts))


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
    content = [ask.content] if isinstance(ask.content, str) else ask.content
    blocks = [{"type": "text", "text": block} if isinstance(block, str) else block for block in content]
    added = ask.model_copy(update={"content": [*blocks, {"type": "text", "text": postscript}]})
    return [*messages[:position], added, *messages[position + 1 :]]


def _position_of_ask(messages: Sequence[BaseMessage]) -> int:
    human = [position for position, message in enumerate(messages) if isinstance(message, HumanMessage)]
    return human[-1] if human else len(messages) - 1


def _query(ask: str, before: Sequence[BaseMessage]) -> str:
    if len(ask) > _SHORT:
        return ask
    turns = (str(message.text).strip() for message in reversed(before) if _is_turn(message))
    return "\n".join(filter(None, (next(filter(None, turns), ""), ask)))


def _is_turn(message: BaseMessage) -> bool:
    return not isinstance(message, SystemMessage | ToolMessage)


def _conversation(messages: Sequence[BaseMessage]) -> str:
    return "\n\n".join(map(_rendered, messages))


def _rendered(message: BaseMessage) -> str:
    return f"{message.type}: {read_text(message)}"


def _has_image(message: BaseMessage) -> bool:
    content = message.content if isinstance(message.content, list) else []
    return any(isinstance(block, dict) and block.get("type") in _IMAGES for block in content)

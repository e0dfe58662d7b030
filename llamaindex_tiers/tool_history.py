"""A history of tool calls that one provider's class made, as every other provider's class can read it.

LlamaIndex's classes write a call in different ways: its arguments as a text or as an object, with an id or without one,
and once more among the message's keywords in the provider's own objects. Each class reads its own way without fail, and
some fail over another's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llama_index.core.base.llms.types import ChatMessage, MessageRole, ThinkingBlock, ToolCallBlock

from llamaindex_tiers.messages import tool_calls_of

if TYPE_CHECKING:
    from llm_tiers.ladder.tiers import Ladder

__all__ = ["is_mixed", "portable"]

_CALLS = "tool_calls"
_IDS = ("tool_call_id", "call_id")
_SIGNATURE = "signature"
"""What Anthropic's thoughts have, and must have to be sent back."""


def is_mixed(ladder: Ladder) -> bool:
    """Say whether the tiers' classes belong to different providers, so that one may not read what another wrote."""
    return len({_family(tier.model) for tier in ladder}) > 1


def portable(messages: Sequence[ChatMessage], model: Any) -> list[ChatMessage]:
    """Return messages with all tool calls in the form that every class reads.

    That is a block with the arguments as an object and an id of its own, which the tool's answer has as well; nothing
    stands among the keywords. Messages without a call, and calls that cannot be read, stay as they are.

    Args:
        messages: The messages, which are not changed.
        model: The model that is to read them.
    """
    told: list[ChatMessage] = []
    # What answers to the calls that had no id of their own name, oldest first: the tool's name, and the new id.
    waiting: list[tuple[str, str]] = []
    for place, message in enumerate(messages):
        if message.role is MessageRole.ASSISTANT:
            made, waiting = _with_calls(_without_foreign_thoughts(message, model), place)
            told.append(made)
        elif message.role in (MessageRole.TOOL, MessageRole.FUNCTION):
            told.append(_answering(message, waiting))
        else:
            told.append(message)
    return told


def _family(model: Any) -> str:
    """Return the module of the class that says how a model's messages are written."""
    # OpenAI's two classes write calls in different ways, and all that are like it in the same.
    kinds = [kind for kind in type(model).__mro__ if kind.__module__.startswith("llama_index.llms.")]
    return kinds[-1].__module__ if kinds else type(model).__module__


def _with_calls(message: ChatMessage, place: int) -> tuple[ChatMessage, list[tuple[str, str]]]:
    calls, blocks = tool_calls_of(message), [b for b in message.blocks if isinstance(b, ToolCallBlock)]
    if not calls or any(call.arguments is None for call in calls):
        return message, []
    given = [block.tool_call_id for block in blocks] if blocks else [*map(_id_of, message.additional_kwargs[_CALLS])]
    # Ollama gives no ids; its class takes the tool's name for one, and a name may stand there twice.
    ids = [
        known if known and known != call.name else f"call_{place}_{at}"
        for at, (call, known) in enumerate(zip(calls, given, strict=True))
    ]
    written = [
        ToolCallBlock(tool_call_id=own, tool_name=call.name, tool_kwargs=dict(call.arguments or {}))
        for own, call in zip(ids, calls, strict=True)
    ]
    others = [block for block in message.blocks if not isinstance(block, ToolCallBlock)]
    kwargs = {name: value for name, value in message.additional_kwargs.items() if name != _CALLS}
    made = message.model_copy(update={"blocks": [*others, *written], "additional_kwargs": kwargs})
    pairs = zip(calls, given, ids, strict=True)
    return made, [(known or call.name, own) for call, known, own in pairs if own != known]


def _answering(message: ChatMessage, waiting: list[tuple[str, str]]) -> ChatMessage:
    kwargs = message.additional_kwargs
    said = next((kwargs[name] for name in _IDS if kwargs.get(name)), None)
    match = next((pair for pair in waiting if said in (None, pair[0])), None)
    if match is not None:
        waiting.remove(match)
    answered = said if match is None else match[1]
    if answered is None:
        return message
    rest = {name: value for name, value in kwargs.items() if name not in _IDS}
    return message.model_copy(update={"additional_kwargs": {**rest, _IDS[0]: answered}})


def _without_foreign_thoughts(message: ChatMessage, model: Any) -> ChatMessage:
    """Leave out the thoughts of other providers for Anthropic, which takes its own alone."""
    if "anthropic" not in _family(model):
        return message
    kept = [b for b in message.blocks if not isinstance(b, ThinkingBlock) or b.additional_information.get(_SIGNATURE)]
    return message if len(kept) == len(message.blocks) else message.model_copy(update={"blocks": kept})


def _id_of(call: Any) -> str | None:
    """Return the id of a call among a message's keywords, whichever provider's object it is."""
    names = ("call_id", "id", "tool_id")
    values = (call.get(name) if isinstance(call, dict) else getattr(call, name, None) for name in names)
    return next((value for value in values if isinstance(value, str) and value), None)

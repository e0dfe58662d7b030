"""A response as the core takes it, and an answer as LlamaIndex takes it, whole or in pieces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse, MessageRole, TextBlock
from pydantic import BaseModel

from llamaindex_tiers.messages import read_text, tool_calls_of
from llamaindex_tiers.structured import Unreadable, object_text
from llamaindex_tiers.usage import as_mapping, sum_of, total_of, usage_of, without_usage
from llm_tiers.call.answer import Answer
from llm_tiers.integration.finish import finish_in, last_finish

if TYPE_CHECKING:
    from llm_tiers.call.answer import Finish
    from llm_tiers.flow.engine import Outcome
    from llm_tiers.ladder.tiers import Tier

__all__ = [
    "TIER",
    "TRACE",
    "answer_of",
    "as_response",
    "carried",
    "finish_of",
    "joined",
    "response_for_event",
    "says",
    "tagged_chunk",
    "unreadable",
]

TIER = "tier"
"""Where a response carries the name of the tier that gave it."""

TRACE = "tiers"
"""Where a response carries the trace of the call."""


def answer_of(tier: Tier, response: Any, inner: Sequence[Any] = ()) -> Answer:
    """Return what a tier answered; a refusal and a response that says nothing are missing answers.

    Args:
        tier: The tier.
        response: What its model's method returned: a chat or completion response, an object, or what is none.
        inner: The responses of the models while it was made: an object does not carry its tokens.
    """
    calls = tool_calls_of(response.message) if isinstance(response, ChatResponse) else ()
    text = _text(response)
    return Answer(
        tier=tier.name,
        text=text or _refusal(response),
        value=None if _refusal(response) or finish_of(response) == "filter" else text or None,
        usage=usage_of(response) or sum_of(map(usage_of, inner)),
        message=response,
        tool_calls=calls,
        finish=finish_of(response),
    )


def finish_of(response: Any) -> Finish | None:
    """Return why a response or a chunk ends, from what the provider sent; None where it does not say."""
    raw = getattr(response, "raw", None)
    # The last event of OpenAI's Responses API holds the response as a whole. Anthropic's streams say it in the
    # message, and in the change that an event describes.
    message = getattr(response, "message", None)
    places = (
        getattr(message, "additional_kwargs", None),
        getattr(response, "additional_kwargs", None),
        raw,
        getattr(raw, "response", None),
        as_mapping(raw).get("delta"),
        _choice(response),
    )
    return last_finish(finish_in(as_mapping(place)) for place in places)


def says(chunk: Any) -> bool:
    """Say whether a chunk shows the user more than blanks: a word, a part of a tool call, a thought, an object."""
    if isinstance(chunk, CompletionResponse):
        return bool((chunk.delta or chunk.text or "").strip())
    if not isinstance(chunk, ChatResponse):
        return True
    message = chunk.message
    silent = all(isinstance(block, TextBlock) and not block.text.strip() for block in message.blocks)
    return not silent or bool((chunk.delta or "").strip() or message.additional_kwargs.get("tool_calls"))


def unreadable(inner: Sequence[Any], error: Exception) -> Unreadable:
    """Return what a model said in place of an object."""
    return Unreadable("\n".join(filter(None, map(_text, inner))), error)


def tagged_chunk(tier: Tier, chunk: Any) -> Any:
    """Return a chunk as it is now, with the name of its tier; objects of a stream are as they are."""
    if not isinstance(chunk, ChatResponse | CompletionResponse):
        return chunk
    changes: dict[str, Any] = {"additional_kwargs": {**chunk.additional_kwargs, TIER: tier.name}}
    if isinstance(chunk, ChatResponse):
        # OpenAI's integration lets the tool calls of all chunks be one list, which grows.
        kwargs = deepcopy(chunk.message.additional_kwargs)
        changes["message"] = chunk.message.model_copy(update={"additional_kwargs": kwargs})
    return chunk.model_copy(update=changes)


def joined(chunks: Sequence[Any]) -> Any:
    """Return the whole of a stream, which its last chunk is in LlamaIndex."""
    if not chunks:
        return None
    end = chunks[-1]
    if isinstance(end, CompletionResponse):
        # Not all integrations keep to it with texts.
        return end.model_copy(update={"text": max(end.text, "".join(c.delta or "" for c in chunks), key=len)})
    return end


def as_response(outcome: Outcome) -> Any:
    """Return an answer as the tier gave it, with the trace and the tokens of all model calls; an object as it is."""
    response = outcome.answer.message
    if not isinstance(response, ChatResponse | CompletionResponse):
        return response
    # A copy, since a cache of the tier's may hold the response itself.
    return response.model_copy(update={"additional_kwargs": carried(outcome, response.additional_kwargs)})


def carried(outcome: Outcome, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a response carries along, with the trace and the tokens of all model calls in place of its own."""
    return {
        **without_usage(kwargs),
        **total_of(outcome.trace),
        TIER: outcome.answer.tier,
        TRACE: outcome.trace.to_dict(),
    }


def response_for_event(outcome: Outcome) -> ChatResponse | CompletionResponse:
    """Return the response for the event at the end of a stream, without tokens: the events of the tiers report them."""
    response = as_response(outcome)
    if isinstance(response, ChatResponse | CompletionResponse):
        kwargs = without_usage(response.additional_kwargs)
        # Token counters read `raw` as well as the keywords.
        return response.model_copy(update={"raw": None, "delta": "", "additional_kwargs": kwargs})
    message = ChatMessage(role=MessageRole.ASSISTANT, content=outcome.answer.text)
    return ChatResponse(message=message, additional_kwargs={TRACE: outcome.trace.to_dict()})


def _text(response: Any) -> str:
    if isinstance(response, ChatResponse):
        return read_text(response.message)
    if isinstance(response, CompletionResponse | Unreadable):
        return response.text.strip()
    if isinstance(response, str):  # what some versions return where an object cannot be made
        return response
    return object_text(response) if isinstance(response, BaseModel) else ""


def _refusal(response: Any) -> str:
    """Return what a model says instead of an answer, which LlamaIndex leaves in the provider's own response."""
    message = getattr(_choice(response), "message", None)
    return str(getattr(message, "refusal", None) or "")


def _choice(response: Any) -> Any:
    choices = as_mapping(getattr(response, "raw", None)).get("choices")
    return choices[0] if isinstance(choices, list) and choices else None

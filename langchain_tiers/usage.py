"""How many tokens a call took in all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from langchain_core.messages import AIMessage
from langchain_core.messages.ai import UsageMetadata

__all__ = ["with_total_usage", "without_usage"]

Message = TypeVar("Message", bound=AIMessage)

_OF_PROVIDERS = ("token_usage", "usage")
"""Where providers put the tokens of one model call in the response metadata."""


def without_usage(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return response metadata without the tokens of the one model call that it comes from, and without its trace."""
    return {key: value for key, value in metadata.items() if key not in (*_OF_PROVIDERS, "tiers")}


def with_total_usage(answer: Message) -> Message:
    """Return an answer with the usage of all model calls that led to it, as far as the providers told it.

    It is added to what the caller gets and not to what the run's handlers get: those that count tokens have seen each
    model call, and would count the sum once more.
    """
    usage = answer.response_metadata.get("tiers", {}).get("usage")
    if usage is None:
        return answer
    taken, given = usage.get("input_tokens", 0), usage.get("output_tokens", 0)
    total = UsageMetadata(
        input_tokens=taken,
        output_tokens=given,
        total_tokens=taken + given,
        input_token_details={
            "cache_read": usage.get("cached_tokens", 0),
            "cache_creation": usage.get("cache_write_tokens", 0),
        },
        output_token_details={"reasoning": usage.get("reasoning_tokens", 0)},
    )
    # A cache of LangChain's notes here that the answer cost nothing this time.
    return answer.model_copy(update={"usage_metadata": {**(answer.usage_metadata or {}), **total}})

"""How many tokens a call took in all."""

from __future__ import annotations

from langchain_core.messages import AIMessage
from langchain_core.messages.ai import UsageMetadata

__all__ = ["with_total_usage"]


def with_total_usage(answer: AIMessage) -> AIMessage:
    """Return an answer with the usage of all model calls that led to it, as far as the providers told it.

    It is added after the run has ended: callbacks that count tokens have seen each model call by then, and would count
    the sum once more.
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
    return answer.model_copy(update={"usage_metadata": total})

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
    attempts = answer.response_metadata.get("tiers", {}).get("attempts", ())
    known = [attempt for attempt in attempts if attempt["input_tokens"] is not None]
    if not known:
        return answer
    taken = sum(attempt["input_tokens"] for attempt in known)
    given = sum(attempt["output_tokens"] for attempt in known)
    usage = UsageMetadata(input_tokens=taken, output_tokens=given, total_tokens=taken + given)
    return answer.model_copy(update={"usage_metadata": usage})

"""How many tokens a call took in all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from langchain_core.messages import AIMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, LLMResult

from llm_tiers.trace import cached_trace

__all__ = ["result_with_total_usage", "with_cached_usage", "with_total_usage", "without_usage"]

Message = TypeVar("Message", bound=AIMessage)

_OF_PROVIDERS = ("token_usage", "usage")
"""Where providers put the tokens of one model call in the response metadata."""


def without_usage(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return response metadata without the tokens of the one model call that it comes from, and without its trace."""
    # A tier may be a tiered model itself, whose trace is not the user's.
    return {key: value for key, value in metadata.items() if key not in (*_OF_PROVIDERS, "tiers")}


def with_total_usage(answer: Message) -> Message:
    """Return an answer with the usage of all model calls that led to it, as far as the providers report it.

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
    # The message's own usage stays below ours: LangChain's caches put `total_cost: 0` there.
    return answer.model_copy(update={"usage_metadata": {**(answer.usage_metadata or {}), **total}})


def result_with_total_usage(result: LLMResult) -> LLMResult:
    """Return a result with `with_total_usage` applied to every answer.

    For the caller alone, by which time the run is closed: its handlers would count the sum and the inner runs.
    """
    generations = [[_generation_with_usage(generation) for generation in row] for row in result.generations]
    return result.model_copy(update={"generations": generations})


def _generation_with_usage(generation: Any) -> Any:
    return generation.model_copy(update={"message": with_total_usage(generation.message)})


def with_cached_usage(generation: ChatGeneration) -> ChatGeneration:
    """Return an answer from a cache with a usage of no tokens, and a trace that says so and costs nothing.

    LangChain records a cost of 0 there and no tokens, and handlers that count tokens fail where numbers are missing.
    """
    message = cast("AIMessage", generation.message)
    none = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
    usage = {**none, **(message.usage_metadata or {})}
    metadata = dict(message.response_metadata)
    if "tiers" in metadata:
        metadata["tiers"] = cached_trace(metadata["tiers"])
    generation.message = message.model_copy(update={"usage_metadata": usage, "response_metadata": metadata})
    return generation

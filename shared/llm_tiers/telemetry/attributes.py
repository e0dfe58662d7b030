"""A call as the attributes of its span, by OpenTelemetry's conventions for generative AI."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from llm_tiers.errors import AllTiersFailed, TierError
from llm_tiers.ladder.provider import provider_of

if TYPE_CHECKING:
    from llm_tiers.call.requests import ModelCall, Reply
    from llm_tiers.ladder.tiers import Tier
    from llm_tiers.trace import Attempt, Trace
    from llm_tiers.usage import Usage

__all__ = [
    "OWN_NAME",
    "Attributes",
    "Served",
    "attributes_of",
    "attributes_of_model_call",
    "attributes_of_reply",
    "error_type",
    "escalations",
    "known",
]

Attributes: TypeAlias = dict[str, str | bool | int | float | list[str]]

OWN_NAME = "llm-tiers"
"""How the model over the ladder is called: it is requested, and nobody's client knows it."""

_CHAT = "chat"

# In this order: Azure serves OpenAI's models, and Vertex Google's.
_PROVIDERS = {
    "azure": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "vertex": "gcp.vertex_ai",
    "google": "gcp.gemini",
    "gemini": "gcp.gemini",
    "anthropic": "anthropic",
    "mistral": "mistral_ai",
    "cohere": "cohere",
    "deepseek": "deepseek",
    "groq": "groq",
    "perplexity": "perplexity",
    "xai": "x_ai",
    "watsonx": "ibm.watsonx.ai",
    "openai": "openai",
}
"""What the classes of clients have in their names, and what the conventions call their providers."""


@dataclass(frozen=True, slots=True)
class Served:
    """Who serves a tier.

    Attributes:
        model: The model's own name; the tier's where it has none.
        provider: The provider's name in the conventions; the package of the client's class where they have none.
    """

    model: str
    provider: str

    @classmethod
    def by(cls, tier: Tier) -> Served:
        """Return who serves a tier."""
        kind = provider_of(tier.model)[0].lower()
        named = (provider for part, provider in _PROVIDERS.items() if part in kind)
        return cls(tier.model_name or tier.name, next(named, kind.partition(".")[0]))


def attributes_of(trace: Trace, served: Mapping[str, Served]) -> Attributes:
    """Return what the span of a call says at its end; tokens are left to the spans of the model calls.

    Args:
        trace: The trace of the call.
        served: Who serves each tier, by its name.
    """
    final = trace.final
    answered = None if final is None else served.get(final)
    return known(
        {
            "gen_ai.operation.name": _CHAT,
            "gen_ai.provider.name": OWN_NAME,
            "gen_ai.request.model": OWN_NAME,
            "gen_ai.response.model": answered.model if answered else final,
            "llm_tiers.trace_id": trace.trace_id,
            "llm_tiers.node": trace.node,
            "llm_tiers.policy": trace.policy,
            "llm_tiers.start_tier": trace.start,
            "llm_tiers.answered_tier": final,
            "llm_tiers.reason": trace.reason,
            "llm_tiers.confidence": trace.confidence,
            "llm_tiers.escalations": escalations(trace),
            "llm_tiers.cost_usd": trace.cost_usd,
            "llm_tiers.saved_usd": trace.saved_usd,
            "llm_tiers.saved_is_estimate": trace.saved_is_estimate,
            "llm_tiers.audit": any(attempt.role == "audit" for attempt in trace.attempts) or trace.grading is not None,
            "llm_tiers.degraded": trace.degraded,
        }
    )


def attributes_of_model_call(call: ModelCall, served: Served) -> Attributes:
    """Return what the span of a model call says at its beginning."""
    return {
        "gen_ai.operation.name": _CHAT,
        "gen_ai.provider.name": served.provider,
        "gen_ai.request.model": served.model,
        "llm_tiers.tier": call.tier.name,
        "llm_tiers.role": call.role,
    }


def attributes_of_reply(attempt: Attempt, reply: Reply) -> Attributes:
    """Return what the span of a model call says at its end."""
    # Not by the name that the call's span has: a sum over spans would count it twice.
    told = known({"gen_ai.usage.cost": attempt.cost_usd}) | _tokens(reply.usage)
    if isinstance(reply, TierError):
        return told | {"error.type": error_type(reply)}
    return told if reply.finish is None else told | {"gen_ai.response.finish_reasons": [reply.finish]}


def _tokens(usage: Usage | None) -> Attributes:
    if usage is None:
        return {}
    parts = {
        "gen_ai.usage.cache_read.input_tokens": usage.cached_tokens,
        "gen_ai.usage.cache_creation.input_tokens": usage.cache_write_tokens,
        "gen_ai.usage.reasoning.output_tokens": usage.reasoning_tokens,
    }
    return {
        "gen_ai.usage.input_tokens": usage.input_tokens,
        "gen_ai.usage.output_tokens": usage.output_tokens,
        **{name: tokens for name, tokens in parts.items() if tokens},
    }


def escalations(trace: Trace) -> int:
    """Return how many tiers were asked for the answer after the first."""
    asked = {attempt.tier for attempt in trace.attempts if attempt.role == "generate"} | {trace.final, trace.start}
    return max(0, len(asked - {None}) - 1)


def error_type(error: BaseException) -> str:
    """Return the kind of an error in a word: the HTTP status of a provider's, else the class of what was raised."""
    if isinstance(error, AllTiersFailed):
        # Its class is made while the program runs.
        return "AllTiersFailed"
    if not isinstance(error, TierError):
        return type(error).__name__
    if error.origin.status is not None:
        return str(error.origin.status)
    if isinstance(error.cause, BaseException):
        return type(error.cause).__name__
    return "cancelled" if error.cut_short else error.origin.kind.__name__


def known(attributes: Mapping[str, str | bool | float | list[str] | None]) -> Attributes:
    """Return the attributes that have a value."""
    return {name: value for name, value in attributes.items() if value is not None}

"""Why an answer ends, wherever and however a provider says it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llm_tiers.call.answer import Finish

__all__ = ["finish_in", "last_finish"]

_REASONS = ("finish_reason", "stop_reason", "stopReason", "done_reason")
"""Where providers put the reason: OpenAI, Anthropic, Bedrock, Ollama."""

_LENGTH = frozenset(
    {"length", "max_tokens", "max_output_tokens", "model_length", "model_context_window_exceeded", "incomplete"}
)
_FILTER = frozenset(
    {
        "content_filter",
        "content_filtered",
        "guardrail_intervened",
        "refusal",
        "safety",
        "recitation",
        "blocklist",
        "prohibited_content",
        "spii",
        "error_toxic",
    }
)


def finish_in(place: Mapping[str, Any] | None) -> Finish | None:
    """Return why an answer ends, from the metadata that a provider sends with it; None where it does not say.

    The Responses API says it in two steps, as a status and its details.
    """
    if not place:
        return None
    # A dict or the client's own object, depending on the framework.
    details = place.get("incomplete_details")
    if details or place.get("status") == "incomplete":
        reason = details.get("reason") if isinstance(details, Mapping) else getattr(details, "reason", None)
        return _as_finish(reason or "incomplete")
    return last_finish(_as_finish(place.get(name)) for name in _REASONS)


def last_finish(finishes: Iterable[Finish | None]) -> Finish | None:
    """Return the last reason given: a stream may say it before its last chunk."""
    said = [finish for finish in finishes if finish is not None]
    return said[-1] if said else None


def _as_finish(reason: object) -> Finish | None:
    # Google's clients have enumerations, whose names are the reasons.
    given = getattr(reason, "name", reason)
    if not isinstance(given, str) or not given:
        return None
    name = given.lower()
    if name in _LENGTH:
        return "length"
    # Any other reason, such as `tool_calls`, ends a whole answer.
    return "filter" if name in _FILTER else "stop"

"""How many tokens a response took, wherever a provider's integration records it, and how many a call took in all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from llm_tiers.usage import Usage

if TYPE_CHECKING:
    from llm_tiers.trace import Trace

__all__ = ["AskedForUs", "as_mapping", "is_for_us", "sum_of", "total_of", "usage_of", "without_usage"]

_INPUT = ("prompt_tokens", "input_tokens", "prompt_token_count")
_OUTPUT = ("completion_tokens", "output_tokens", "candidates_token_count")
_TOTAL = "total_tokens"
_USAGE = "usage"
_OF_GIVEN = ("prompt_tokens_details", "input_tokens_details")
_OF_WRITTEN = ("completion_tokens_details", "output_tokens_details")


def usage_of(response: Any) -> Usage | None:
    """Return the tokens of a chat or completion response, or None where it does not say."""
    raw = as_mapping(getattr(response, "raw", None))
    kwargs = as_mapping(getattr(response, "additional_kwargs", None))
    # Streams of OpenAI's Responses API have the tokens in the keywords of the last chunk, or in its event.
    event = as_mapping(raw.get("response"))
    places = (raw.get("usage"), raw.get("usage_metadata"), kwargs.get(_USAGE), event.get("usage"), kwargs)
    return next(filter(None, (_read(as_mapping(place)) for place in places)), None)


def sum_of(usages: Iterable[Usage | None]) -> Usage | None:
    """Add up the tokens of several model calls, as far as they are known."""
    known = [usage for usage in usages if usage is not None]
    names = ("input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens")
    return Usage(**{name: sum(getattr(usage, name) for usage in known) for name in names}) if known else None


def total_of(trace: Trace) -> dict[str, int]:
    """Return the tokens of all model calls of a call, by the names that LlamaIndex's OpenAI gives them."""
    usage = trace.usage
    if usage is None:
        return {}
    tokens = usage.input_tokens, usage.output_tokens
    return {_INPUT[0]: tokens[0], _OUTPUT[0]: tokens[1], _TOTAL: sum(tokens)}


def without_usage(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a response carries along without the tokens of the one model call that it comes from."""
    return {name: value for name, value in kwargs.items() if name not in (*_INPUT, *_OUTPUT, _TOTAL, _USAGE)}


class AskedForUs(dict[str, Any]):
    """A model's `stream_options` that its user did not set."""


def is_for_us(chunk: Any, model: Any) -> bool:
    """Say whether a chunk has tokens and nothing else, which the model, as its user made it, would not have sent."""
    if not isinstance(as_mapping(getattr(model, "additional_kwargs", None)).get("stream_options"), AskedForUs):
        return False
    raw = as_mapping(getattr(chunk, "raw", None))
    return raw.get("choices") == [] and raw.get("usage") is not None


def _read(usage: Mapping[str, Any]) -> Usage | None:
    # Gemini counts thoughts apart from the answer; one that is all thoughts has no answer to count.
    thoughts = _first(usage, ("thoughts_token_count",)) or 0
    given, written = _first(usage, _INPUT), _first(usage, _OUTPUT)
    if given is None or (written is None and not thoughts):
        return None
    before, after = _details(usage, _OF_GIVEN), _details(usage, _OF_WRITTEN)
    # Anthropic's input tokens leave out those that its cache read or wrote; the other providers' include them.
    read, cached = usage.get("cache_read_input_tokens") or 0, usage.get("cache_creation_input_tokens") or 0
    included = before.get("cached_tokens") or usage.get("cached_content_token_count") or 0
    return Usage(
        input_tokens=given + read + cached,
        output_tokens=(written or 0) + thoughts,
        cached_tokens=included + read,
        cache_write_tokens=cached + (before.get("cache_write_tokens") or 0),
        reasoning_tokens=(after.get("reasoning_tokens") or 0) + thoughts,
    )


def _details(usage: Mapping[str, Any], names: Iterable[str]) -> Mapping[str, Any]:
    return next(filter(None, (as_mapping(usage.get(name)) for name in names)), {})


def _first(usage: Mapping[str, Any], names: Iterable[str]) -> int | None:
    return next((usage[name] for name in names if isinstance(usage.get(name), int)), None)


def as_mapping(value: Any) -> Mapping[str, Any]:
    """Return what a provider sent as names and values, whichever kind of object its client makes of it."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, BaseModel):
        # Not a dump, which would copy a whole response for the sake of a few numbers.
        return dict(value)
    return vars(value) if hasattr(value, "__dict__") else {}

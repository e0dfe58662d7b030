"""Tokens: of one model call, and of all calls together."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

__all__ = ["TotalUsage", "Usage"]


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one model call, as the provider counts them.

    Attributes:
        input_tokens: All input tokens, cached ones included.
        output_tokens: All output tokens, reasoning included.
        cached_tokens: Input tokens read from the provider's cache.
        cache_write_tokens: Input tokens written to the provider's cache.
        reasoning_tokens: Output tokens that the user does not see.
    """

    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0


class TotalUsage(BaseModel):
    """Tokens of all model calls together, as far as the providers reported them; see `Usage`."""

    # A pydantic model, since it is a part of the trace and is serialised with it.
    model_config = ConfigDict(frozen=True)

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0

    def plus(self, other: TotalUsage | None) -> TotalUsage:
        """Return the sum with the tokens of other model calls; None adds none."""
        if other is None:
            return self
        return TotalUsage(**{name: getattr(self, name) + getattr(other, name) for name in TotalUsage.model_fields})

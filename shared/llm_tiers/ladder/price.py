"""The price of a model, in US$ per million tokens."""

from __future__ import annotations

import math
from dataclasses import dataclass

from llm_tiers.errors import ConfigError
from llm_tiers.usage import Usage

__all__ = ["STEP", "Price", "as_price"]

STEP = 4.0
"""Assumed ratio of a tier's price to that of the tier below, where no price is known."""


_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Price:
    """A price in US$ per million tokens.

    Attributes:
        input: Input tokens.
        output: Output tokens, reasoning included.
        cached_input: Input tokens read from the provider's cache; by default as `input`.
    """

    input: float
    output: float
    cached_input: float | None = None

    def cost(self, usage: Usage) -> float:
        """Return what `usage` costs, in US$."""
        cached = min(usage.cached_tokens, usage.input_tokens)
        cached_price = self.input if self.cached_input is None else self.cached_input
        # Cached tokens are among the input tokens, so they are taken off before the full price applies.
        fresh = usage.input_tokens - cached
        return (fresh * self.input + cached * cached_price + usage.output_tokens * self.output) / _MILLION


def as_price(price: Price | tuple[float, float] | None, argument: str) -> Price | None:
    """Return a price from any form in which a user may give it.

    Raises:
        ConfigError: It is not a pair of numbers, or one is negative; the message begins with `argument`.
    """
    if price is None:
        return None
    fix = f"{argument}={_shown(price)} must be (input, output) in US$ per million tokens, neither negative"
    # A text of two digits would unpack into a pair of numbers.
    if not isinstance(price, Price):
        if isinstance(price, str):
            raise ConfigError(fix)
        try:
            price = Price(*map(float, price))
        except (TypeError, ValueError):
            raise ConfigError(fix) from None
    parts = (price.input, price.output, price.cached_input or 0)
    if not all(isinstance(part, int | float) and 0 <= part < math.inf for part in parts):
        raise ConfigError(fix)
    return price


def _shown(price: object) -> str:
    """Return a price as an error may show it: what is no number may be a key, given in the wrong place."""
    if isinstance(price, Price):
        price = (price.input, price.output, price.cached_input)
    if isinstance(price, list | tuple):
        return f"({', '.join(map(_shown, price))})"
    return repr(price) if price is None or isinstance(price, int | float) else f"<{type(price).__name__}>"

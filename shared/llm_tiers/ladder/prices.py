"""What a model call costs: the user's own prices first, then genai-prices by model name."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from llm_tiers.errors import ConfigError
from llm_tiers.ladder.price import STEP, Price, as_price
from llm_tiers.usage import Usage

if TYPE_CHECKING:
    from llm_tiers.ladder.tiers import Tier

__all__ = ["PriceBook"]


logger = logging.getLogger("llm_tiers.prices")

_NOTHING = Usage(0, 0)
_USUAL = Usage(1_000, 300)
_ALMOST_FREE = 1e-3

_MOST_PREFIXES = 2
"""As in `openrouter/openai/gpt-4.1`."""


class PriceBook:
    """Prices by tier or model name.

    Args:
        prices: The user's own, by tier name or model name; they win over the public list, and a tier's own
            `price` wins over both.

    Raises:
        ConfigError: A price is not an (input, output) pair of US$ per million tokens.
    """

    def __init__(self, prices: Mapping[str, Price | tuple[float, float]] | None = None) -> None:
        if prices is not None and not isinstance(prices, Mapping):
            raise ConfigError(f"prices must map tier or model names to (input, output), not a {type(prices).__name__}")
        given = {name: as_price(price, f"prices[{name!r}]") for name, price in (prices or {}).items()}
        self._prices = {name: price for name, price in given.items() if price is not None}
        self._unknown: set[str] = set()
        self._lock = threading.Lock()

    def cost(self, tier: Tier, usage: Usage | None) -> float | None:
        """Return what a call of `tier` cost in US$, or None where its tokens or its price are unknown."""
        if usage is None:
            self._say_once(
                f"usage of {tier.name}", f"tier {tier.name!r} reports no token usage, so its cost is unknown"
            )
            return None
        own = self._own(tier)
        if own is not None:
            return own.cost(usage)
        public = self._public_cost(tier, usage)
        if public is None:
            self._say_once(
                f"price of {tier.name}",
                f"no price is known for tier {tier.name!r} (model {tier.model_name!r}), so its cost is unknown; "
                f"give one: Tier(model, price=(input, output)) in US$ per million tokens",
            )
        return public

    def usual(self, tiers: Iterable[Tier]) -> dict[str, float]:
        """Return by tier name what an answer of 300 tokens to 1,000 costs, in US$.

        A tier without a price is taken to cost four times the one below; where no tier has one, the unit is the
        cheapest tier's answer.
        """
        known: dict[str, float | None] = {}
        for tier in tiers:
            own = self._own(tier)
            known[tier.name] = self._public_cost(tier, _USUAL) if own is None else own.cost(_USUAL)
        return _filled(known)

    def load(self, tiers: Iterable[Tier]) -> None:
        """Load the public list if a tier needs it, so that no call has to wait for it."""
        unpriced = next((tier for tier in tiers if tier.model_name and self._own(tier) is None), None)
        if unpriced is not None:
            self._public_cost(unpriced, _NOTHING)

    def _own(self, tier: Tier) -> Price | None:
        # A tier's price is a `Price` already, which the type of the attribute does not say.
        price = tier.price if isinstance(tier.price, Price) else None
        return price or self._prices.get(tier.name) or self._prices.get(tier.model_name or "")

    def _public_cost(self, tier: Tier, usage: Usage) -> float | None:
        """Ask the public list; a failure is logged, since the user's answer does not depend on prices."""
        try:
            return _public_cost(tier.model_name, usage) if tier.model_name else None
        except Exception as error:  # noqa: BLE001 -- the boundary to the price list
            self._say_once("the list", f"the public price list failed: {type(error).__name__}: {error}")
            return None

    def _say_once(self, subject: str, message: str) -> None:
        # Once: the same fact holds for every call of the tier, and would fill the log.
        with self._lock:
            if subject in self._unknown:
                return
            self._unknown.add(subject)
        logger.warning(message)


def _filled(known: Mapping[str, float | None]) -> dict[str, float]:
    """Fill in unknown costs from the nearest tier with a known one; a free tier costs next to nothing."""
    # Next to nothing and not 0, since policies divide by these costs.
    priced = {place: cost for place, cost in enumerate(known.values()) if cost}
    if not priced:
        return {name: STEP**place for place, name in enumerate(known)}
    filled = {}
    for place, (name, cost) in enumerate(known.items()):
        nearest = min(priced, key=lambda other: abs(other - place))
        guess = priced[nearest] * STEP ** (place - nearest)
        filled[name] = guess if cost is None else cost or _ALMOST_FREE * min(priced.values())
    return filled


def _public_cost(model_name: str, usage: Usage) -> float | None:
    # A local import: the price list takes some 0.1 s to load, and users with prices of their own never need it.
    from genai_prices import Usage as PricedUsage
    from genai_prices import calc_price

    cached = min(usage.cached_tokens, usage.input_tokens)
    tokens = PricedUsage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=cached,
        cache_write_tokens=min(usage.cache_write_tokens, usage.input_tokens - cached),
        output_reasoning_tokens=min(usage.reasoning_tokens, usage.output_tokens),
    )
    for provider, model in _refs(model_name):
        try:
            return float(calc_price(tokens, model_ref=model, provider_id=provider).total_price)
        except LookupError:
            # The list does not know the model by this name. Any other error is a fault of the list, which is logged.
            continue
    return None


def _refs(model_name: str) -> Iterator[tuple[str | None, str]]:
    """Yield what a model may be called in the list, as provider and name: gateways put the provider before the name."""
    yield None, model_name
    for _ in range(_MOST_PREFIXES):
        provider, slash, model_name = model_name.partition("/")
        if not slash or not model_name:
            return
        yield provider, model_name
        yield None, model_name

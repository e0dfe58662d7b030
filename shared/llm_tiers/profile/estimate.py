"""What a profile will cost: before it starts, and before each question."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llm_tiers.errors import ConfigError
from llm_tiers.ladder.price import Price
from llm_tiers.usage import Usage

if TYPE_CHECKING:
    from llm_tiers.ladder.prices import PriceBook
    from llm_tiers.ladder.tiers import Ladder, Tier
    from llm_tiers.profile.progress import Paid

__all__ = ["ASSUMED_OUTPUT", "Costs", "Estimate", "prices_of"]

ASSUMED_OUTPUT = 300
"""Output tokens of an answer before any was measured; `PriceBook.usual` assumes the same."""

_FEWEST_MEASURED = 3
"""Answers of a tier that must be known before their mean length replaces the assumed one."""

_MARGIN = 2.0
"""Without a setting that bounds an answer, it is taken to be at most this many times as long as the longest so far."""

_PRICED_TOKENS = 1_000
"""Tokens for which a price is looked up: some providers charge more for long prompts, none for prompts this short."""

# One setting by the names that different clients give it.
_BOUNDS = ("max_completion_tokens", "max_tokens", "max_output_tokens")


def prices_of(ladder: Ladder, book: PriceBook) -> dict[str, Price]:
    """Return each tier's price.

    Raises:
        ConfigError: A tier has none.
    """
    return {tier.name: _price_of(tier, book) for tier in ladder}


def _price_of(tier: Tier, book: PriceBook) -> Price:
    # The price book returns what a number of tokens costs, not a rate, since a rate may depend on the number.
    costs = [book.cost(tier, usage) for usage in (Usage(_PRICED_TOKENS, 0), Usage(0, _PRICED_TOKENS))]
    if costs[0] is None or costs[1] is None:
        raise ConfigError(
            f"no price is known for tier {tier.name!r} (model {tier.model_name!r}), so neither an estimate nor a "
            "replay file can be made; give one: Tier(model, price=(input, output)) in US$ per million tokens"
        )
    return Price(costs[0] * 1e6 / _PRICED_TOKENS, costs[1] * 1e6 / _PRICED_TOKENS)


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the calls that are left will cost.

    Attributes:
        by_tier: Tier name to US$.
        calls: How many calls are left.
        lengths: Tier name to the output tokens assumed for an answer, and whether they were measured.
    """

    by_tier: Mapping[str, float]
    calls: int
    lengths: Mapping[str, tuple[float, bool]]

    @property
    def usd(self) -> float:
        """All tiers together, in US$."""
        return sum(self.by_tier.values())

    def in_words(self) -> str:
        """Return the estimate and what it is based on, in one sentence."""
        parts = ", ".join(f"{tier} {usd:.4g}" for tier, usd in self.by_tier.items())
        lengths = ", ".join(
            f"{tier} {length:.0f} {'measured' if measured else 'assumed'}"
            for tier, (length, measured) in self.lengths.items()
        )
        return (
            f"{self.calls} calls, about US$ {self.usd:.4g} ({parts}); from prices, input tokens counted here, and "
            f"output tokens per answer: {lengths}"
        )


@dataclass(slots=True)
class _Outputs:
    """The output tokens of a tier's answers so far."""

    count: int = 0
    total: int = 0
    longest: int = 0

    def add(self, tokens: int) -> None:
        self.count += 1
        self.total += tokens
        self.longest = max(self.longest, tokens)


class Costs:
    """What calls will probably cost, judging by the answers so far.

    Args:
        ladder: The tiers.
        prices: Tier name to price.
        inputs: Question id to its input tokens as counted here.
        seen: Answers of an earlier run.
    """

    def __init__(
        self, ladder: Ladder, prices: Mapping[str, Price], inputs: Mapping[str, int], seen: Iterable[Paid] = ()
    ) -> None:
        self._prices = prices
        self.inputs = inputs
        self._bounds = {tier.name: _bound_of(tier) for tier in ladder}
        # Sums instead of the answers: a bound is asked for before every question, over all answers so far.
        self._outputs = {tier.name: _Outputs() for tier in ladder}
        # The provider's count of input tokens over ours, the largest so far: its tokenizer is not the one used here,
        # and it also counts tools and the chat template.
        self._token_ratio = dict.fromkeys(self._outputs, 1.0)
        for paid in seen:
            self.learn(paid)

    def learn(self, paid: Paid) -> None:
        """Take the length of one more answer into account."""
        self._outputs[paid.tier].add(paid.output_tokens)
        counted = max(self.inputs[paid.id], 1)
        self._token_ratio[paid.tier] = max(self._token_ratio[paid.tier], paid.input_tokens / counted)

    def estimate(self, left: Sequence[tuple[str, str]]) -> Estimate:
        """Return what calls will cost.

        Args:
            left: For each call, the question's id and the tier's name.
        """
        lengths = {tier: self._length(tier) for tier in self._outputs}
        by_tier = dict.fromkeys(self._outputs, 0.0)
        for question, tier in left:
            by_tier[tier] += self._usd(tier, self.inputs[question], lengths[tier][0])
        return Estimate(by_tier, len(left), lengths)

    def at_most(self, question: str, tier: str) -> float:
        """Return what a call should cost at most, in US$.

        It is certain only where the model's settings bound the length of an answer.
        """
        longest = _MARGIN * max(ASSUMED_OUTPUT, self._outputs[tier].longest)
        bound = self._bounds[tier]
        return self._usd(tier, self.inputs[question] * self._token_ratio[tier], longest if bound is None else bound)

    def of(self, tier: str, usage: Usage) -> float:
        """Return the cost in US$ of a call whose tokens are estimated."""
        return self._prices[tier].cost(usage)

    def _usd(self, tier: str, inputs: float, outputs: float) -> float:
        return (inputs * self._prices[tier].input + outputs * self._prices[tier].output) / 1e6

    def _length(self, tier: str) -> tuple[float, bool]:
        outputs = self._outputs[tier]
        if outputs.count >= _FEWEST_MEASURED:
            return outputs.total / outputs.count, True
        bound = self._bounds[tier]
        return (ASSUMED_OUTPUT if bound is None else min(ASSUMED_OUTPUT, bound)), False


def _bound_of(tier: Tier) -> int | None:
    found = (getattr(tier.model, name, None) for name in _BOUNDS)
    return next((bound for bound in found if isinstance(bound, int) and bound > 0), None)

"""The models to choose from: a tier, and the ladder of tiers from cheapest to dearest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, field
from numbers import Real
from typing import Any

from llm_tiers.errors import ConfigError
from llm_tiers.ladder.price import STEP, Price, as_price

__all__ = ["DEFAULT_TIMEOUT", "Ladder", "Tier"]

DEFAULT_TIMEOUT = 300.0
"""Seconds that a tier without a time-out of its own gets: nobody waits for ever."""

_NAME_ATTRIBUTES = ("model_name", "model", "model_id", "deployment_name")


@dataclass(frozen=True, slots=True)
class Tier:
    """One model of the ladder and what is known about it.

    A history knows a tier by its name, so a name must always mean the same model with the same settings.

    Attributes:
        model: The framework's model.
        name: How the trace, the labels and a pin call this tier; by default the model's own name.
        prior: Share of queries that the tier gets right, in [0, 1], before anything is learned.
        price: US$ per million tokens, as a `Price` or an (input, output) pair; by default looked up by model name.
        context_window: Most input tokens that the tier takes, or None for no limit.
        capabilities: What the tier can do of `"tools"`, `"images"`, `"audio"`, `"pdf"` and `"structured_output"`; None
            for everything.
        timeout: Seconds to wait for an answer, or for the next piece of one that streams live, before the call goes
            one tier up; `math.inf` for no limit. None: 300 seconds, which in sync code the model's own client keeps, as
            far as its class has a time-out.

    Raises:
        ConfigError: No name can be found, or another argument is out of its range.
    """

    model: Any = field(repr=False, compare=False)
    _: KW_ONLY
    name: str = ""
    prior: float | None = None
    price: Price | tuple[float, float] | None = None
    context_window: int | None = None
    capabilities: frozenset[str] | None = None
    timeout: float | None = None

    def __post_init__(self) -> None:
        name = self.name or self.model_name
        if not name:
            raise ConfigError(
                f"tiers: {type(self.model).__name__} has no model name to be known by; "
                "wrap it: Tier(model, name='small')"
            )
        if self.prior is not None and not (isinstance(self.prior, Real) and 0 <= self.prior <= 1):
            raise ConfigError(f"Tier {name!r}: prior={self.prior!r} must lie in [0, 1]")
        if self.context_window is not None and not (isinstance(self.context_window, int) and self.context_window > 0):
            raise ConfigError(f"Tier {name!r}: context_window={self.context_window!r} must be at least 1 token")
        if self.timeout is not None and not (isinstance(self.timeout, Real) and self.timeout > 0):
            raise ConfigError(f"Tier {name!r}: timeout={self.timeout!r} must be more than 0 seconds")
        # The dataclass is frozen, since tiers are shared by all calls; only here may it be completed.
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "price", as_price(self.price, f"Tier {name!r}: price"))
        # A text is iterable as well: "tools" would become a set of letters.
        if isinstance(self.capabilities, str):
            raise ConfigError(f"Tier {name!r}: capabilities must be a set, such as {{{self.capabilities!r}}}")
        if self.capabilities is not None:
            object.__setattr__(self, "capabilities", frozenset(self.capabilities))

    @property
    def model_name(self) -> str | None:
        """The model's own name, by which its price is looked up."""
        if isinstance(self.model, str):  # `provider:model`, which an integration makes a model of
            return self.model.rpartition(":")[2] or None
        for attribute in _NAME_ATTRIBUTES:
            value = getattr(self.model, attribute, None)
            if isinstance(value, str) and value:
                return value
        return None

    def shortfall(self, needs: frozenset[str], tokens: int | None = None) -> str | None:
        """Say why the tier cannot serve a call, or None where it can.

        Args:
            needs: What the call needs, such as `"tools"` or `"images"`.
            tokens: Length of the call's input in tokens, or None where it is not known.
        """
        if self.context_window is not None and tokens is not None and tokens > self.context_window:
            return f"context window {self.context_window} < {tokens} tokens"
        # Unknown is taken as able: a wrong guess costs one failed call, while skipping would never use the tier.
        lacking = needs - self.capabilities if self.capabilities is not None else frozenset()
        return f"no {', '.join(sorted(lacking))}" if lacking else None


class Ladder:
    """Two or more tiers, cheapest first.

    Args:
        tiers: The tiers, cheapest first; names must differ.
        costs: By tier, what a usual answer costs, in any unit; without it each tier costs four times the one below.

    Raises:
        ConfigError: There are fewer than two tiers, or two share a name.
    """

    def __init__(self, tiers: Iterable[Tier], costs: Mapping[str, float] | None = None) -> None:
        self._tiers = tuple(tiers)
        _check_length(self._tiers)
        self._by_name = {tier.name: tier for tier in self._tiers}
        if len(self._by_name) < len(self._tiers):
            names = [tier.name for tier in self._tiers]
            twice = sorted({name for name in names if names.count(name) > 1})
            raise ConfigError(
                f"tiers: {', '.join(map(repr, twice))} stands more than once; "
                f"tell them apart: Tier(model, name='{twice[0]}-low'), Tier(model, name='{twice[0]}-high')"
            )
        self.costs = costs or {tier.name: STEP**position for position, tier in enumerate(self._tiers)}

    @property
    def names(self) -> tuple[str, ...]:
        """The tiers' names, cheapest first."""
        return tuple(self._by_name)

    @property
    def top(self) -> Tier:
        """The dearest tier, whose answer is never judged."""
        return self._tiers[-1]

    def __len__(self) -> int:
        return len(self._tiers)

    def __iter__(self) -> Iterator[Tier]:
        return iter(self._tiers)

    def __repr__(self) -> str:
        return f"Ladder({', '.join(self.names)})"

    def __getitem__(self, name: str) -> Tier:
        """Return the tier called `name`.

        Raises:
            ConfigError: There is none.
        """
        try:
            return self._by_name[name]
        except KeyError:
            raise ConfigError(
                f"no tier is called {name!r}; the ladder has {', '.join(map(repr, self.names))}"
            ) from None

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def index(self, name: str) -> int:
        """Return the position of the tier called `name`, 0 being the cheapest."""
        return self._tiers.index(self[name])

    def below(self, name: str) -> Tier | None:
        """Return the next cheaper tier, or None for the cheapest."""
        position = self.index(name)
        return self._tiers[position - 1] if position else None

    def above(self, name: str) -> Tier | None:
        """Return the next dearer tier, or None for the top."""
        return next(iter(self._tiers[self.index(name) + 1 :]), None)


def _check_length(tiers: tuple[Tier, ...]) -> None:
    if not tiers:
        raise ConfigError("tiers: the ladder is empty; give two or more models, cheapest first")
    if len(tiers) == 1:
        raise ConfigError(
            f"tiers: the ladder has only {tiers[0].name!r}; give two or more models, cheapest first "
            "(a single model needs no tiering)"
        )

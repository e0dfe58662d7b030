"""Which settings of a call a tier's model takes: by its class, its client, and what was seen."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from llm_tiers.ladder.provider import provider_of

if TYPE_CHECKING:
    from llm_tiers.ladder.tiers import Ladder, Tier

__all__ = ["TakenSettings", "knows"]

_STANDARD = frozenset({"temperature", "max_tokens"})
"""Settings that most models have as a field; where one has not, its client does not know it either."""

_CLIENTS = ("client", "_client", "async_client", "_async_client")
_METHODS = ("create", "chat.completions.create", "messages.create")
"""Where models keep their clients, and what asks a client for an answer."""


def knows(model: Any, setting: str) -> bool:
    """Say whether a model has a setting of this name."""
    fields = getattr(type(model), "model_fields", {})
    return setting in fields or any(field.alias == setting for field in fields.values())


class TakenSettings:
    """What is known of the settings that the tiers of a ladder take.

    That a tier does not take a setting is learned when its client says so, before it asks for anything. So the first
    call with it asks the tier twice, and no later one.

    Args:
        ladder: The tiers.
    """

    def __init__(self, ladder: Ladder) -> None:
        self._ladder = ladder
        self._refused: frozenset[tuple[str, str]] = frozenset()

    def left_out(self, tier: Tier, settings: Collection[str]) -> frozenset[str]:
        """Return those of a call's settings that a tier does not know and another one may."""
        return frozenset(
            name
            for name in settings
            if (name in _STANDARD and _lacks(tier.model, name))
            or ((tier.name, name) in self._refused and self._is_taken_elsewhere(tier, name))
        )

    def refuse(self, tier: Tier, setting: str) -> bool:
        """Learn that a tier does not take a setting, and say whether another one may.

        Where none does, it is the caller's mistake.
        """
        # A new set each time, so that calls in other threads read a whole one.
        self._refused |= {(tier.name, setting)}
        return self._is_taken_elsewhere(tier, setting)

    def _is_taken_elsewhere(self, tier: Tier, setting: str) -> bool:
        return any(self._may_take(other, setting, tier) for other in self._ladder if other is not tier)

    def _may_take(self, other: Tier, setting: str, refusing: Tier) -> bool:
        if (other.name, setting) in self._refused:
            return False
        if knows(other.model, setting):
            return True
        stated = _stated(other.model, setting)
        if stated is not None:
            return stated
        # Nothing is known of it; what serves both alike refuses both alike.
        return provider_of(other.model)[0] != provider_of(refusing.model)[0]


def _lacks(model: Any, setting: str) -> bool:
    # A model without fields says nothing of what it takes.
    return hasattr(type(model), "model_fields") and not knows(model, setting)


def _stated(model: Any, setting: str) -> bool | None:
    """Say whether the method that a model's client is asked by names a setting; None where that cannot be seen."""
    for method in _methods(model):
        try:
            parameters = inspect.signature(method).parameters
        except (TypeError, ValueError):
            return None
        if any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values()):
            return None
        return setting in parameters
    return None


def _methods(model: Any) -> Iterator[Callable[..., Any]]:
    for name in _CLIENTS:
        for path in _METHODS:
            try:
                method = attrgetter(f"{name}.{path}")(model)
            except AttributeError:
                continue
            if callable(method):
                yield method

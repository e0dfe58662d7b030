"""Pickling chat models whose clients cannot be pickled, such as those of OpenAI's."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from langchain_core.language_models import BaseChatModel

from langchain_tiers.rebuild import arguments_of

__all__ = ["packed", "unpacked"]


@dataclass(frozen=True, slots=True)
class _Recipe:
    """What to make a chat model of."""

    kind: type[BaseChatModel]
    arguments: Mapping[str, Any] = field(repr=False)


def packed(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return a tiered model's arguments such that they can be pickled, where the tiers' models allow it at all."""
    tiers = [replace(tier, model=_packed(tier.model)) for tier in arguments["tiers"]]
    return {**arguments, "tiers": tiers}


def unpacked(kind: type[BaseChatModel], arguments: Mapping[str, Any]) -> BaseChatModel:
    """Make the tiered model again."""
    tiers = [replace(tier, model=_unpacked(tier.model)) for tier in arguments["tiers"]]
    return kind(**{**arguments, "tiers": tiers})


def _packed(model: BaseChatModel) -> BaseChatModel | _Recipe:
    try:
        pickle.dumps(model)
    except (TypeError, AttributeError, pickle.PicklingError):
        return _Recipe(type(model), arguments_of(model))
    return model


def _unpacked(packed: BaseChatModel | _Recipe) -> BaseChatModel:
    return packed.kind(**packed.arguments) if isinstance(packed, _Recipe) else packed

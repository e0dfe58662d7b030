"""Making a framework's model anew with other settings, as if it had been given them to begin with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel

__all__ = ["Model", "arguments_of", "known_settings", "knows", "rebuilt"]

Model = TypeVar("Model", bound=BaseModel)

_CLIENTS = frozenset({"client", "async_client", "root_client", "root_async_client"})
"""Fields that models fill themselves, from their other settings."""


def knows(model: BaseModel, setting: str) -> bool:
    """Say whether a model has a setting of this name."""
    fields = type(model).model_fields
    return setting in fields or any(field.alias == setting for field in fields.values())


def known_settings(model: BaseModel, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the settings that the model knows."""
    return {name: value for name, value in settings.items() if knows(model, name)}


def rebuilt(model: Model, settings: Mapping[str, Any]) -> Model:
    """Return the model with those of the settings that it knows, or itself where it knows none.

    The model's class makes it anew: only so do a client's time-out and retries change, and only so does the class apply
    its own rules, such as that a reasoning model takes no temperature.
    """
    known = known_settings(model, settings)
    return type(model)(**_without(arguments_of(model), known, model), **known) if known else model


def arguments_of(model: BaseModel) -> dict[str, Any]:
    """Return what a model was made with, by the names that its constructor takes."""
    fields = type(model).model_fields
    return {
        fields[name].alias or name: getattr(model, name)
        for name in model.model_fields_set
        if name in fields and not (name in _CLIENTS and fields[name].exclude)
    }


def _without(arguments: dict[str, Any], settings: Mapping[str, Any], model: BaseModel) -> dict[str, Any]:
    """Leave out what the settings replace, under whichever of its two names."""
    fields = type(model).model_fields
    replaced = {name for key in settings for name, field in fields.items() if key in (name, field.alias)}
    names = replaced | {fields[name].alias for name in replaced}
    return {name: value for name, value in arguments.items() if name not in names}

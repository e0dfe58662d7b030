"""The name by which a history identifies an embedding: the same in every process, and different for each model."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import urlsplit

__all__ = ["has_lasting_name", "name_of_chroma_function", "name_of_function", "name_of_object"]

_MODEL_ATTRIBUTES = ("model_name", "model", "model_id", "deployment", "repo_id", "_model_name", "model_path")
"""Where embedding classes keep their model's name. Only strings count, so that no client object is shown."""


def name_of_chroma_function(source: object) -> str:
    """Return the name that a Chroma embedding function gives itself, with its model."""
    with warnings.catch_warnings():
        # Chroma's base class warns in a `name` that was not overridden, and returns NotImplemented.
        warnings.simplefilter("ignore", DeprecationWarning)
        name = source.name()  # type: ignore[attr-defined]
    return _with_model(name if isinstance(name, str) else type(source).__qualname__, source)


def name_of_object(source: object) -> str:
    """Return the class of an embedding object, with its model."""
    return _with_model(type(source).__qualname__, source)


def _with_model(name: str, source: object) -> str:
    """Add the model's name, because one class serves models whose vectors cannot be compared."""
    for attribute in _MODEL_ATTRIBUTES:
        model = getattr(source, attribute, None)
        if isinstance(model, str) and model:
            return f"{name}:{_without_credentials(model)}"
    return name


def _without_credentials(model: str) -> str:
    if "://" not in model:
        return model
    parts = urlsplit(model)
    # The port stays, because servers on one machine may serve different models. A query may hold a key, so it goes.
    host = parts.netloc.rpartition("@")[2].lower()
    return f"{parts.scheme}://{host}{parts.path}"


def has_lasting_name(function: Callable[..., Any]) -> bool:
    """Return whether the name means the same in another process; a lambda's does not."""
    return not isinstance(function, partial) and "<" not in name_of_function(function)


def name_of_function(function: Callable[..., Any]) -> str:
    """Return `module.qualified_name`; for an object with `__call__` its class, with its model."""
    qualified = getattr(function, "__qualname__", None)
    if not isinstance(qualified, str):  # an object with __call__
        kind = type(function)
        return _with_model(f"{kind.__module__}.{kind.__qualname__}", function)
    owner = getattr(function, "__self__", None)
    name = f"{getattr(function, '__module__', None) or type(owner).__module__}.{qualified}"
    return name if owner is None or isinstance(owner, type) else _with_model(name, owner)

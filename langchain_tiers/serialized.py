"""What LangChain tells tracers of a tier's model, without what may be secret."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from langchain_core.language_models import BaseChatModel

__all__ = ["discreet"]

_PRIVATE = re.compile(r"headers|query|organization|project|key|token\Z|secret|password", re.IGNORECASE)
"""Names of settings whose values nobody but the provider is to see."""

_ATTRIBUTE = "_serialized"
"""Where LangChain keeps what it tells of a model."""


def discreet(model: BaseChatModel) -> BaseChatModel:
    """Return a model that tells tracers neither its headers nor its organisation; itself where it would not.

    LangChain hides the keys that a class names and shows the other settings.
    """
    told: Any = getattr(model, _ATTRIBUTE, None)
    settings = told.get("kwargs") if isinstance(told, dict) else None
    if not isinstance(settings, dict):
        return model
    hidden = {name: _hidden(value) if _PRIVATE.search(name) else value for name, value in settings.items()}
    if hidden == settings:
        return model
    # A copy, which has the same clients: the user may go on using the model, whose traces are the user's own affair.
    copied = model.model_copy()
    copied.__dict__[_ATTRIBUTE] = {**told, "kwargs": hidden}
    return copied


def _hidden(value: Any) -> Any:
    if isinstance(value, dict):
        # What LangChain itself has hidden is only a name.
        told = value.get("type") == "secret" and "lc" in value
        return value if told else {key: _hidden(item) for key, item in value.items()}
    # A hash, since LangChain's caches tell models apart by what they tell of themselves.
    return f"***{hashlib.sha256(value.encode()).hexdigest()[:8]}" if isinstance(value, str) else value

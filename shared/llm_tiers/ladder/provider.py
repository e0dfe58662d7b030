"""Who serves a model: the class of its client, the address that it asks, and its keys; how long its client waits."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from pydantic import BaseModel, SecretStr

__all__ = ["Provider", "provider_of", "secrets_of", "timeout_of"]

_SHORTEST_SECRET = 8
"""Fewest characters of a secret: a dummy such as "x" is none, and would be found in every word."""

_SECRET = re.compile(r"(?:\A|_)(?:key|token|secret|password)\Z", re.IGNORECASE)
"""Names of fields that hold a secret as plain text."""

_TIMEOUTS = ("timeout", "request_timeout", "default_request_timeout")
"""How models call the setting."""

Provider: TypeAlias = tuple[str, str]
"""The class of a model's client, and the address that it asks, without what may be secret; `""` for its usual one."""

_ADDRESS = re.compile(r"(?:base|endpoint|url|host)", re.IGNORECASE)
"""What the names of settings that hold an address have in common."""


def provider_of(model: Any) -> Provider:
    """Return who serves a model."""
    kind = type(model)
    return f"{kind.__module__}.{kind.__qualname__}", next(_addresses(model), "")


def timeout_of(model: Any) -> float | None:
    """Return the seconds that a model's client waits for an answer, or None where that is not stated."""
    for name in _TIMEOUTS:
        value = getattr(model, name, None)
        # httpx's object tells the phases of a request apart.
        seconds = getattr(value, "read", value)
        if isinstance(seconds, int | float) and not isinstance(seconds, bool):
            return seconds
    return None


def _addresses(model: Any) -> Iterator[str]:
    fields = getattr(type(model), "model_fields", None) or getattr(model, "__dict__", {})
    for name in fields:
        value = getattr(model, name, None)
        if _ADDRESS.search(name) and isinstance(value, str) and value:
            parts = urlsplit(value if "//" in value else f"//{value}")
            # Not the whole: a user, a password and a query may be keys.
            yield f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"


def secrets_of(model: Any) -> Iterator[str]:
    """Yield the keys that a model holds."""
    for name in type(model).model_fields if isinstance(model, BaseModel) else ():
        value = getattr(model, name, None)
        if isinstance(value, SecretStr):
            value = value.get_secret_value()
        # Keys may be given as headers as well, such as `default_headers`.
        elif isinstance(value, Mapping) and name.endswith("headers"):
            yield from filter(_is_secret, map(str, value.values()))
            continue
        elif not _SECRET.search(name):
            continue
        if isinstance(value, str) and _is_secret(value):
            yield value


def _is_secret(text: str) -> bool:
    return len(text) >= _SHORTEST_SECRET

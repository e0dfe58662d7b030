"""Who serves a model: the class of its client, and the address that it asks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Provider", "provider_of"]

Provider: TypeAlias = tuple[str, str]
"""The class of a model's client, and the address that it asks, without what may be secret; `""` for its usual one."""

_ADDRESS = re.compile(r"(?:base|endpoint|url|host)", re.IGNORECASE)
"""What the names of settings that hold an address have in common."""


def provider_of(model: Any) -> Provider:
    """Return who serves a model."""
    kind = type(model)
    return f"{kind.__module__}.{kind.__qualname__}", next(_addresses(model), "")


def _addresses(model: Any) -> Iterator[str]:
    fields = getattr(type(model), "model_fields", None) or getattr(model, "__dict__", {})
    for name in fields:
        value = getattr(model, name, None)
        if _ADDRESS.search(name) and isinstance(value, str) and value:
            parts = urlsplit(value if "//" in value else f"//{value}")
            # Not the whole: a user, a password and a query may be keys.
            yield f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"

"""What a request is like besides its texts: where a provider has taken one such, it will hardly refuse the next."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable
from typing import Any

__all__ = ["request_kind"]


def request_kind(settings: Any, messages: Iterable[Hashable]) -> Hashable:
    """Return what stands for requests of one kind.

    Args:
        settings: All that the provider is told besides the messages, such as settings with their values and tools.
        messages: What each message is like besides its text, such as its role and the types of its blocks.
    """
    # What is no data, such as a class, stands by its name: a hash of the object would differ from call to call.
    told = json.dumps(settings, default=_name_of, skipkeys=True)
    return hash((told, frozenset(messages)))


def _name_of(value: Any) -> str:
    return str(getattr(value, "__qualname__", type(value).__qualname__))

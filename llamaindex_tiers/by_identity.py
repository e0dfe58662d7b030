"""What is known of objects whose classes have no room for it, for as long as there are the objects."""

from __future__ import annotations

import weakref
from typing import Any, Generic, TypeVar

__all__ = ["ByIdentity"]

Value = TypeVar("Value")


class ByIdentity(Generic[Value]):
    """A dictionary by the identity of its keys, which need not have a hash. It keeps no key alive."""

    def __init__(self) -> None:
        self._kept: dict[int, tuple[weakref.ref[Any], Value]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def __setitem__(self, key: Any, value: Value) -> None:
        """Keep a value; not for an object that cannot be referred to weakly, as of a class with slots."""
        place = id(key)
        try:
            # Taken out with the object, since another may get its identity.
            reference = weakref.ref(key, lambda _: self._kept.pop(place, None))
        except TypeError:
            return
        self._kept[place] = (reference, value)

    def get(self, key: Any) -> Value | None:
        """Return what is kept for an object, or None."""
        kept = self._kept.get(id(key))
        return kept[1] if kept is not None and kept[0]() is key else None

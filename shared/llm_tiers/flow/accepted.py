"""The kinds of requests that a provider has taken, so that one which none would take is sent once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable

__all__ = ["Accepted"]


class Accepted:
    """The kinds of requests that a tier has answered. Any number of threads may use it.

    Tiers that are asked side by side would all get a request that every provider refuses. So of a kind that nobody has
    answered yet the first tier is asked alone.

    Args:
        most: So many kinds are remembered, the latest.
    """

    def __init__(self, most: int = 256) -> None:
        self._most = most
        self._kinds: OrderedDict[Hashable, None] = OrderedDict()
        self._lock = threading.Lock()

    def __contains__(self, kind: Hashable) -> bool:
        return kind in self._kinds

    def add(self, kind: Hashable) -> None:
        """Remember that a tier has answered such a request."""
        with self._lock:
            self._kinds[kind] = None
            self._kinds.move_to_end(kind)
            while len(self._kinds) > self._most:
                self._kinds.popitem(last=False)

    def forget(self, kind: Hashable) -> None:
        """Ask the first tier alone the next time, since one has refused such a request."""
        with self._lock:
            self._kinds.pop(kind, None)

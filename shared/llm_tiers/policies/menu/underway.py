"""Which profiled calls of a node have begun and not yet ended: what they will cost is spent already."""

from __future__ import annotations

import threading

__all__ = ["Underway"]

_FORGOTTEN = 200
"""After so many further calls of its node, one that has not ended is taken to have failed or to have been cancelled."""


class Underway:
    """The profiled calls of a node that are under way. Any number of threads may use it.

    Without it, calls that begin side by side would each see a node that has learned nothing yet, and all be profiled.
    """

    def __init__(self) -> None:
        self._begun: dict[str, int] = {}
        self._lock = threading.Lock()

    def begin(self, call_id: str, count: int) -> None:
        """Take a call that is profiled.

        Args:
            call_id: Its trace id.
            count: How many calls of the node have ended by now.
        """
        with self._lock:
            self._begun[call_id] = count

    def end(self, call_id: str) -> None:
        """Take a call that has ended, profiled or not."""
        with self._lock:
            self._begun.pop(call_id, None)

    def number(self, count: int) -> int:
        """Return how many are under way.

        Args:
            count: How many calls of the node have ended by now.
        """
        with self._lock:
            # Oldest first: a dict keeps the order in which it was filled.
            while self._begun and count - next(iter(self._begun.values())) >= _FORGOTTEN:
                del self._begun[next(iter(self._begun))]
            return len(self._begun)

"""Who made the latest calls of a node, and whose calls are left out of what others read."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Iterable

__all__ = ["LATEST", "Crowd"]

LATEST = 1_000
"""The number of calls that are looked at, as many as most studies begin with."""

_LEAST, _SHARE = 10, 4
"""A principal may crowd a node with more than a quarter of its latest calls, and at least this many."""

_PEERS, _MORE = 2, 1.5
"""It does not while this many others have each made a share as large, give or take: it made at most so many times the
calls of each. One of three equally busy users has a third of the calls, and does not settle alone what they show."""


class Crowd:
    """The principals of a node's latest calls.

    Whoever makes many more of them than others would settle how their calls are answered. So what the node shows to
    others is made without the calls of a principal that crowds it, and what it shows to that principal is made of all.
    A principal that counts made a quarter of the latest calls at most, or among peers three sevenths.
    """

    def __init__(self, principals: Iterable[str | None] = ()) -> None:
        self._latest: deque[str | None] = deque(principals, maxlen=LATEST)
        self._counts = Counter(self._latest)
        self._lock = threading.Lock()

    def add(self, principal: str | None) -> None:
        """Count one more call; None is nobody in particular."""
        with self._lock:
            if len(self._latest) == LATEST:
                oldest = self._latest[0]
                self._counts[oldest] -= 1
                if not self._counts[oldest]:
                    del self._counts[oldest]
            self._latest.append(principal)
            self._counts[principal] += 1

    def left_out(self, reader: str | None) -> frozenset[str]:
        """Return the principals whose calls a reader is not shown; none where the reader is nobody in particular."""
        if reader is None:
            return frozenset()
        with self._lock:
            # One more, as nobody in particular may be among them.
            most = self._counts.most_common(_PEERS + 2)
            busiest = [(one, number) for one, number in most if one is not None]
            least = max(_LEAST - 1, len(self._latest) / _SHARE)
            if len(busiest) > _PEERS:
                # The busiest and the second have the third for the lesser peer; all others have two busier ones.
                least = max(least, _MORE * busiest[_PEERS][1])
            return frozenset(one for one, number in busiest[:_PEERS] if number > least and one != reader)

    def number_of(self, principals: frozenset[str]) -> int:
        """Return how many of the latest calls these made."""
        with self._lock:
            return sum(self._counts[one] for one in principals)

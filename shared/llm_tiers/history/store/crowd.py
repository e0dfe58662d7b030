"""Who made the latest calls of a node, and whose calls are left out of what others read."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from llm_tiers.history.packed import Packed
from llm_tiers.history.store.studies import NEWEST

if TYPE_CHECKING:
    from llm_tiers.history.record import Record

__all__ = ["CROWD", "LATEST", "Crowd", "CrowdOf"]

LATEST = NEWEST
"""The number of calls that are looked at, as many as most studies begin with."""

_LEAST, _SHARE = 10, 4
"""A principal may crowd a node with more than a quarter of its latest calls, and at least this many."""

_PEERS, _MORE = 2, 1.5
"""It does not while this many others have each made a share as large, give or take: it made at most so many times the
calls of each. One of three equally busy users has a third of the calls, and does not settle alone what they show."""


@dataclass(frozen=True)
class Crowd:
    """The principals of a node's latest calls.

    Whoever makes many more of them than others would settle how their calls are answered. So what the node shows to
    others is made without the calls of a principal that crowds it, and what it shows to that principal is made of all.
    A principal that counts made a quarter of the latest calls at most, or among peers three sevenths.

    Attributes:
        latest: Whose the calls were, oldest first; None is nobody in particular.
    """

    latest: tuple[str | None, ...] = ()

    @cached_property
    def _counts(self) -> Counter[str | None]:
        return Counter(self.latest)

    def after(self, principal: str | None) -> Crowd:
        """Return the crowd after one more call."""
        return Crowd((*self.latest, principal)[-LATEST:])

    def left_out(self, reader: str | None) -> frozenset[str]:
        """Return the principals whose calls a reader is not shown; none where the reader is nobody in particular."""
        if reader is None:
            return frozenset()
        # One more, as nobody in particular may be among them.
        most = self._counts.most_common(_PEERS + 2)
        busiest = [(one, number) for one, number in most if one is not None]
        least = max(_LEAST - 1, len(self.latest) / _SHARE)
        if len(busiest) > _PEERS:
            # The busiest and the second have the third for the lesser peer; all others have two busier ones.
            least = max(least, _MORE * busiest[_PEERS][1])
        return frozenset(one for one, number in busiest[:_PEERS] if number > least and one != reader)

    def number_of(self, principals: frozenset[str]) -> int:
        """Return how many of the latest calls these made."""
        return sum(self._counts[one] for one in principals)


@dataclass(frozen=True, slots=True)
class CrowdOf:
    """The study that makes a node's crowd from its records."""

    def start(self) -> Crowd:
        """Return the crowd of no calls."""
        return Crowd()

    def learn(self, result: Crowd, record: Record) -> Crowd:
        """Return the crowd after one more call."""
        return result.after(record.principal)

    def identity(self) -> str:
        """Return which study it is."""
        return "crowd 1"

    def pack(self, result: Crowd) -> Packed:
        """Return a crowd as it is kept."""
        names = list(dict.fromkeys(result.latest))
        places = {name: place for place, name in enumerate(names)}
        return Packed({"names": names, "latest": [places[name] for name in result.latest]})

    def unpack(self, packed: Packed) -> Crowd:
        """Return the crowd that was packed; where something else was, one of `REFUSALS` is raised."""
        names, latest = packed.items("names"), packed.items("latest")
        if not all(name is None or isinstance(name, str) for name in names):
            raise TypeError("a principal that is no name")
        return Crowd(tuple(names[place] for place in latest)[-LATEST:])


CROWD = CrowdOf()

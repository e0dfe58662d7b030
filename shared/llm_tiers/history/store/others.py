"""What other processes add to a node and change there, learned by the studies of this one while it runs."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from llm_tiers.history.store import facts
from llm_tiers.history.store.studies import NEWEST

if TYPE_CHECKING:
    from llm_tiers.history.record import Record
    from llm_tiers.history.store.keeping import Keeping
    from llm_tiers.history.store.pending import Addition, Pending
    from llm_tiers.history.store.shelf import Shelf
    from llm_tiers.history.store.studies import Studies

__all__ = ["Others"]

_REST, _LONGEST_REST = 9.0, 1.0
"""After a look none is taken for so many times as long, or so many seconds: where a node has 100,000 records a look
takes 40 ms, and a busy process writes several times a second."""

_SLICE = 64
"""Records that the studies learn at a time, which takes some milliseconds in which no call can add one."""

_MARGIN = 30.0
"""Seconds by which clocks may differ, or a revision may be stored later than another one that is dated after it."""

_MOST_TOLD = 20_000
"""Records of which it is kept in which state they were learned, each for each of its nodes. What others change in an
older one is not learned."""


@dataclass(slots=True)
class _Followed:
    """How much of a node all its studies have learned: what was stored up to `last`, and `own`.

    Attributes:
        last: Id of a stored record; None while nothing that is stored was learned.
        place: Where it was last seen, in the order of addition.
        own: This process's records that may be stored after it.
        revised: The latest revision that was looked at, in seconds since 1970.
        due: When it is to be looked again, by the monotonic clock.
    """

    last: str | None = None
    place: int = 0
    own: set[str] = field(default_factory=set)
    revised: float = field(default_factory=time.time)
    due: float = 0.0


class Others:
    """Lets the studies of a library learn what other processes store, each record and each revision once.

    All studies of a node have learned the same records in the same states. Which records, is known by their order in
    the collection, which is the same for all processes; which states, is kept here, since a revision is learned by its
    difference to what was learned before. So no clock decides whether something is learned twice.

    What changes it is called while the studies are at rest, and `passed` and `catch_up` while the library's write lock
    is held.
    """

    def __init__(self, studies: Studies, pending: Pending, keeping: Keeping) -> None:
        self._studies = studies
        self._pending = pending
        self._keeping = keeping
        self._nodes: dict[str, _Followed] = {}
        self._told: OrderedDict[tuple[str, str], facts.Packed] = OrderedDict()

    def forget_stored(self) -> None:
        """Take notice that what is stored is gone."""
        with self._studies.at_rest():
            self._told.clear()
            for followed in self._nodes.values():
                followed.last = None

    # What this process does

    def adding(self, trace_id: str, nodes: Iterable[str]) -> None:
        """Take a record that the studies learn as it is queued."""
        for node in nodes:
            followed = self._followed(node)
            if followed is not None:
                followed.own.add(trace_id)

    def _followed(self, node: str) -> _Followed | None:
        # Studies of a node that had no records are followed as soon as there are some.
        if node not in self._nodes and self._studies.has_any(node):
            self._nodes[node] = _Followed()
        return self._nodes.get(node)

    def beginning(
        self, node: str, records: Iterable[Record], waiting: Collection[str], *, last: str | None = None
    ) -> Iterator[Record]:
        """Yield the records with which a study begins, such that it has learned what the node's other studies have.

        Args:
            node: The node.
            records: The records as they are stored or wait, oldest first.
            waiting: The ids of those that wait.
            last: The last record that the study has learned before.
        """
        followed = self._followed(node)
        if followed is not None:
            yield from self._as_far_as(followed, node, records, waiting, last)
            return
        followed = _Followed(last, own=set(waiting))
        newest: deque[Record] = deque(maxlen=NEWEST)
        for record in records:
            if record.id not in waiting:
                followed.last = record.id
                newest.append(record)
            yield record
        for record in newest:
            self._tell(node, record)
        self._nodes[node] = followed

    def _as_far_as(
        self, followed: _Followed, node: str, records: Iterable[Record], waiting: Collection[str], last: str | None
    ) -> Iterator[Record]:
        passed = followed.last in {None, last}
        # Without a complete study nobody has learned the revisions since.
        up_to_date = self._studies.needs_vectors(node)
        for record in records:
            told = self._told.get((node, record.id))
            if told is not None and up_to_date:
                yield replace(facts.unpack(record.id, told), vector=record.vector)
            elif told is not None or not passed or record.id in followed.own or record.id in waiting:
                if told is not None:
                    self._tell(node, record)
                yield record
            passed = passed or record.id == followed.last

    def began(self, node: str, last: str) -> bool:
        """Take notice that a study has learned all up to `last`; False where the node's others know more or less."""
        followed = self._followed(node)
        if followed is None:
            self._nodes[node] = _Followed(last)
            return True
        return followed.last == last and not followed.own

    def knows(self, node: str, trace_id: str) -> bool:
        """Whether it is known in which state a node's studies have learned a record."""
        return self._pending.vector(trace_id) is not None or (node, trace_id) in self._told

    def replacing(self, node: str, record: Record, after: Record, *, learned: bool) -> Record | None:
        """Return a record as a node's studies have learned it, which now learn another state; None where it is unknown.

        Args:
            node: The node.
            record: The record as it was found, which may not be as it was learned.
            after: The record as it will be.
            learned: Whether they have learned it for certain, even if it is not known here in which state.
        """
        told = self._told.get((node, record.id))
        if self._pending.vector(record.id) is not None:
            # It waits to be added, so nobody else has changed it.
            return record
        if told is None and not learned:
            return None
        self._tell(node, after)
        return record if told is None else facts.unpack(record.id, told)

    def _tell(self, node: str, record: Record) -> None:
        self._told[node, record.id] = facts.pack(record)
        self._told.move_to_end((node, record.id))
        while len(self._told) > _MOST_TOLD:
            self._told.popitem(last=False)

    def written(self, additions: Mapping[str, Addition]) -> None:
        """Take records that are stored and still queued, maybe with later labels."""
        with self._studies.at_rest():
            for trace_id, addition in additions.items():
                record = self._pending.find(trace_id) or addition.row.record
                for node in addition.nodes:
                    if node in self._nodes:
                        self._tell(node, record)

    def passed(self, node: str, fresh: list[str]) -> None:
        """Take notice that this process alone has added records, which are the last of a node."""
        followed = self._nodes.get(node)
        if followed is not None and fresh:
            with self._studies.at_rest():
                followed.last = fresh[-1]
                self._settle(followed)

    def _settle(self, followed: _Followed) -> None:
        # What is stored lies before the last record that was looked at; what waits may be stored once more.
        followed.own = {trace_id for trace_id in followed.own if self._pending.find(trace_id) is not None}

    # What the others do

    def catch_up(self, shelves: Iterable[Shelf], *, seconds: float | None) -> bool:
        """Let the studies of some nodes learn what others have stored there, and say whether that is all.

        Args:
            shelves: The nodes' shelves.
            seconds: How long this may take, about, so that what is left is learned next time; None to learn all.
        """
        deadline = None if seconds is None else time.monotonic() + seconds
        with self._studies.at_rest():
            found = [(held, shelf) for shelf in shelves if (held := self._followed(shelf.title.node)) is not None]
        # In this order, so that none is left out each time that the time is up.
        for followed, shelf in sorted(found, key=lambda pair: pair[0].due):
            started = time.monotonic()
            try:
                if not self._learn_added(followed, shelf, deadline):
                    return False
                if self._studies.needs_vectors(shelf.title.node):
                    self._learn_revised(followed, shelf)
            finally:
                ended = time.monotonic()
                followed.due = ended + min(_REST * (ended - started), _LONGEST_REST)
        return True

    def is_due(self, node: str) -> bool:
        """Whether it is to be looked at a node after a write."""
        followed = self._nodes.get(node)
        return followed is None or time.monotonic() >= followed.due

    def _learn_added(self, followed: _Followed, shelf: Shelf, deadline: float | None) -> bool:
        """Learn what was added, and say whether that was all."""
        node = shelf.title.node
        for place, ids in _in_slices(shelf.ids_after(followed.last, followed.place)):
            new = [i for i in ids if i not in followed.own and (node, i) not in self._told]
            records = shelf.fetch(new, vectors=self._studies.needs_vectors(node)) if new else {}
            with self._studies.at_rest():
                # In the order of addition; some may have been removed since.
                for record in (records[trace_id] for trace_id in new if trace_id in records):
                    self._studies.learn(record, (node,))
                    self._tell(node, record)
                    self._keeping.heard(node)
                followed.last, followed.place = ids[-1], place + len(ids) - 1
            if _is_over(deadline):
                return False
        with self._studies.at_rest():
            self._settle(followed)
        return True

    def _learn_revised(self, followed: _Followed, shelf: Shelf) -> None:
        node = shelf.title.node
        found = shelf.revised_since(followed.revised - _MARGIN)
        changed = [trace_id for trace_id, (_, record) in found.items() if self._differs(node, record)]
        vectors = shelf.fetch(changed, vectors=True) if changed else {}
        with self._studies.at_rest():
            for after in (vectors[trace_id] for trace_id in changed if trace_id in vectors):
                # Looked at once more: this process may have revised it meanwhile.
                if self._differs(node, after):
                    before = facts.unpack(after.id, self._told[node, after.id])
                    self._studies.revise(replace(before, vector=after.vector), after, node)
                    self._tell(node, after)
        # No later than now, or one clock that is ahead would hide what is revised after.
        followed.revised = min(max([followed.revised, *(when for when, _ in found.values())]), time.time())

    def _differs(self, node: str, record: Record) -> bool:
        """Whether a stored record is not as it was learned, and that is known and no matter of this process."""
        told = self._told.get((node, record.id))
        same = told is None or told[1] == facts.pack(record)[1]
        return not same and self._pending.find(record.id) is None


def _in_slices(pages: Iterable[tuple[int, list[str]]]) -> Iterator[tuple[int, list[str]]]:
    """Yield pages of ids in smaller ones."""
    for place, ids in pages:
        for start in range(0, len(ids), _SLICE):
            yield place + start, ids[start : start + _SLICE]


def _is_over(deadline: float | None) -> bool:
    return deadline is not None and time.monotonic() > deadline

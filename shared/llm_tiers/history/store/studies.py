"""What studies made of the records of each node, kept up to date."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from llm_tiers.history.record import CompleteStudy, KeptStudy

if TYPE_CHECKING:
    from llm_tiers.embedding.vector import Vector
    from llm_tiers.history.record import Record, Study

__all__ = ["NEWEST", "NOBODY", "Studies"]

NEWEST = 1_000
"""Stored records that a study starts with, unless it is complete: some tenths of a second's work, once a process and
node."""


NOBODY: frozenset[str] = frozenset()
"""No principal is left out."""

_MISSING = object()

_MOST_EMPTY = 100
"""Nodes without records whose results are kept: anything may be asked for as a node."""

_MOST_WITHOUT = 4
"""Results of one study and node that are kept without some principals; the one not asked for the longest goes."""


class Studies:
    """The results of studies, by node, of all records and without those of some principals.

    A result is replaced, never changed, so readers may keep the one they have.
    """

    def __init__(self) -> None:
        self._results: dict[tuple[str, Study, frozenset[str]], Any] = {}
        # Of the nodes without records, oldest first.
        self._empty: dict[tuple[str, Study, frozenset[str]], None] = {}
        # Entered again by what is done `at_rest`.
        self._lock = threading.RLock()
        self._complete = False

    @property
    def complete(self) -> bool:
        """Whether a study was asked for that needs the records' vectors."""
        return self._complete

    def of(
        self,
        node: str,
        study: Study,
        begin: Callable[[], tuple[Any, Iterable[Record]]],
        without: frozenset[str] = NOBODY,
    ) -> Any:
        """Return the result for a node, made by `begin` where it is asked for the first time.

        Args:
            node: The node.
            study: The study.
            begin: Returns the result to begin with, and the records that it has not learned yet, oldest first.
            without: The principals whose records it leaves out.
        """
        key = (node, study, without)
        # The first check takes no lock: every recall comes through here, and only the first one of a node starts a
        # study.
        result = self._results.get(key, _MISSING)
        if result is _MISSING:
            with self._lock:
                if key not in self._results:
                    # Before the first record is read: one that is added from here on is stored with its vector.
                    self._complete = self._complete or isinstance(study, CompleteStudy)
                    result, records = begin()
                    for record in records:
                        if record.principal not in without:
                            result = study.learn(result, record)
                    self._make_room(key)
                    self._results[key] = result
                return self._results[key]
        return result

    def _make_room(self, key: tuple[str, Study, frozenset[str]]) -> None:
        node, study, without = key
        alike = [other for other in self._results if other[:2] == (node, study) and other[2]]
        for other in alike[: len(alike) - _MOST_WITHOUT + 1] if without else ():
            del self._results[other]

    def of_nothing(self, node: str, study: Study, is_empty: Callable[[], bool]) -> Any:
        """Return the result of no records, for a node that has none; that of the latest such nodes is kept.

        It is None where the node is not empty any more, which is looked at while nothing is learned.

        Calls that begin side by side at a new node so have the same.
        """
        with self._lock:
            if not is_empty():
                return None
            result = self.of(node, study, lambda: (study.start(), ()))
            self._empty[node, study, NOBODY] = None
            while len(self._empty) > _MOST_EMPTY:
                oldest = next(iter(self._empty))
                del self._empty[oldest]
                self._results.pop(oldest, None)
        return result

    def known(self, node: str, study: Study, without: frozenset[str] = NOBODY) -> Any:
        """Return the result for a node, or None where it was not asked for yet."""
        return self._results.get((node, study, without))

    def has_any(self, node: str) -> bool:
        """Say whether there is a result for a node."""
        return any(key[0] == node for key in list(self._results))

    def needs_vectors(self, node: str) -> bool:
        """Say whether a study of a node is a complete one, which needs vectors and learns what changes."""
        return any(key[0] == node and isinstance(key[1], CompleteStudy) for key in list(self._results))

    @contextmanager
    def at_rest(self) -> Iterator[dict[tuple[str, KeptStudy, frozenset[str]], Any]]:
        """Yield the results that can be kept, by node, study and who is left out, while nothing is learned."""
        with self._lock:
            yield {
                (node, study, without): result
                for (node, study, without), result in self._results.items()
                if isinstance(study, KeptStudy)
            }

    @contextmanager
    def learning(self, record: Record, nodes: Iterable[str], vector: Vector | None = None) -> Iterator[None]:
        """Let every study of these nodes learn a record that is added in the meantime.

        No study starts while it is added, so that none learns it twice.
        """
        with self._lock:
            yield
            self.learn(replace(record, vector=vector), nodes)

    def learn(self, record: Record, nodes: Iterable[str]) -> None:
        """Let every study of these nodes learn a record, which has its vector where one of them needs that."""
        with self._lock:
            for key in list(self._results):
                node, study, without = key
                if node in nodes:
                    self._empty.pop(key, None)
                if node in nodes and record.principal not in without:
                    self._results[key] = study.learn(self._results[key], record)

    @contextmanager
    def revising(
        self,
        before: Callable[[str], Record | None],
        after: Record,
        nodes: Iterable[str],
        vector: Callable[[], Vector | None],
    ) -> Iterator[None]:
        """Let every complete study of these nodes learn what a record is changed to in the meantime.

        Args:
            before: Returns the record as the studies of a node have learned it; None where they have not. It is called
                once for each node with a complete study.
            after: The record as it will be.
            nodes: The nodes.
            vector: Returns its vector.
        """
        with self._lock:
            concerned = [node for node in nodes if self.needs_vectors(node)]
            # Before anything is changed: where it cannot be read, nothing is.
            new = replace(after, vector=vector() if concerned else None)
            yield
            for node in concerned:
                held = before(node)
                if held is not None:
                    self.revise(replace(held, vector=new.vector), new, node)

    def revise(self, before: Record, after: Record, node: str) -> None:
        """Let every complete study of a node learn that a record changed; both states have its vector."""
        with self._lock:
            for key in list(self._results):
                study = key[1]
                if key[0] == node and isinstance(study, CompleteStudy) and before.principal not in key[2]:
                    self._results[key] = study.revise(self._results[key], before, after)

"""What studies made of the records of each node, kept up to date."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from llm_tiers.history.record import CompleteStudy

if TYPE_CHECKING:
    from llm_tiers.embedding.vector import Vector
    from llm_tiers.history.record import Record, Study

__all__ = ["NEWEST", "Studies"]

NEWEST = 1_000
"""Stored records that a study starts with, unless it is complete: some tenths of a second's work, once a process and
node."""


class Studies:
    """The results of studies, by node. A result is replaced, never changed, so readers may keep the one they have."""

    def __init__(self) -> None:
        self._results: dict[tuple[str, Study], Any] = {}
        self._lock = threading.Lock()
        self._complete = False

    @property
    def complete(self) -> bool:
        """Whether a study was asked for that needs the records' vectors."""
        return self._complete

    def of(self, node: str, study: Study, newest: Callable[[], Iterable[Record]]) -> Any:
        """Return the result for a node, made of `newest()`, oldest first, where it is asked for the first time."""
        key = (node, study)
        # The first check takes no lock: every recall comes through here, and only the first one of a node starts a
        # study.
        if key not in self._results:
            with self._lock:
                if key not in self._results:
                    # Before the first record is read: one that is added from here on is stored with its vector.
                    self._complete = self._complete or isinstance(study, CompleteStudy)
                    result = study.start()
                    for record in newest():
                        result = study.learn(result, record)
                    self._results[key] = result
        return self._results[key]

    @contextmanager
    def learning(self, record: Record, nodes: Iterable[str], vector: Vector | None = None) -> Iterator[None]:
        """Let every study of these nodes learn a record that is added in the meantime.

        No study starts while it is added, so that none learns it twice.
        """
        with self._lock:
            yield
            seen = replace(record, vector=vector)
            for node, study in list(self._results):
                if node in nodes:
                    learned = study.learn(self._results[node, study], seen)
                    self._results[node, study] = learned

    @contextmanager
    def revising(
        self, before: Record, after: Record, nodes: Iterable[str], vector: Callable[[], Vector | None]
    ) -> Iterator[None]:
        """Let every complete study of these nodes learn what a record is changed to in the meantime."""
        with self._lock:
            yield
            concerned = [key for key in self._results if key[0] in nodes and isinstance(key[1], CompleteStudy)]
            if not concerned:
                return
            known = vector()
            old, new = replace(before, vector=known), replace(after, vector=known)
            for node, study in concerned:
                if isinstance(study, CompleteStudy):
                    self._results[node, study] = study.revise(self._results[node, study], old, new)

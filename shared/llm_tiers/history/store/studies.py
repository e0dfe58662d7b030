"""What studies made of the records of each node, kept up to date."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llm_tiers.history.record import Record, Study

__all__ = ["NEWEST", "Studies"]

NEWEST = 1_000
"""Stored records that a study starts with: some tenths of a second's work, once a process and node."""


class Studies:
    """The results of studies, by node. A result is replaced, never changed, so readers may keep the one they have."""

    def __init__(self) -> None:
        self._results: dict[tuple[str, Study], Any] = {}
        self._lock = threading.Lock()

    def of(self, node: str, study: Study, newest: Callable[[], Iterable[Record]]) -> Any:
        """Return the result for a node, made of `newest()`, oldest first, where it is asked for the first time."""
        key = (node, study)
        # The first check takes no lock: every recall comes through here, and only the first one of a node starts a
        # study.
        if key not in self._results:
            with self._lock:
                if key not in self._results:
                    result = study.start()
                    for record in newest():
                        result = study.learn(result, record)
                    self._results[key] = result
        return self._results[key]

    @contextmanager
    def learning(self, record: Record, nodes: Iterable[str]) -> Iterator[None]:
        """Let every study of these nodes learn a record that is added in the meantime.

        No study starts while it is added, so that none learns it twice.
        """
        with self._lock:
            yield
            for node, study in list(self._results):
                if node in nodes:
                    self._results[node, study] = study.learn(self._results[node, study], record)

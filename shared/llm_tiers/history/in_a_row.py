"""Adding many records in a row, which come faster than they can be written."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from llm_tiers.history.chroma import ChromaHistory
from llm_tiers.history.store import library

if TYPE_CHECKING:
    from llm_tiers.history.record import History, Record

__all__ = ["in_a_row"]


def in_a_row(history: History) -> Callable[[Record], None]:
    """Return what adds a record, and waits for the writer in time.

    A call must not wait for the writer, so `remember` refuses a record where too many wait to be written. Whoever adds
    a file of them would rather wait.
    """
    waiting = 0

    def remember(record: Record) -> None:
        nonlocal waiting
        history.remember(record)
        waiting += 1
        # Well before there is no room: calls may add records beside these.
        if isinstance(history, ChromaHistory) and waiting >= library.MOST_PENDING / 10:
            history.flush()
            waiting = 0

    return remember

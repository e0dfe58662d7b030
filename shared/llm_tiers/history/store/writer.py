"""The background thread that writes what waits."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from llm_tiers.errors import HistoryError
from llm_tiers.history.store.library import BATCH

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llm_tiers.history.store.library import Library

__all__ = ["Writer"]

_LOGGER = logging.getLogger("llm_tiers.history")

_SECONDS_TO_WAIT = 0.5
_ENOUGH = BATCH // 2
_SECONDS_IDLE = 5.0
_LONGEST_RETRY = 30.0


class Writer:
    """Writes the libraries of one place: each half second, or as soon as a large enough batch waits.

    The thread starts with the first record and ends when nothing came for some seconds, so a history that is not used
    costs none. It is a daemon: the exit of the program does not wait for it, but for what it left to write.

    Args:
        libraries: The libraries, by namespace.
        least: How many records must wait, or a library's capacity where that is less, for them to be written.

    Attributes:
        trouble: Why the last write failed; None since one succeeded.
    """

    def __init__(self, libraries: Mapping[str, Library], *, least: int = 1) -> None:
        self._libraries = libraries
        self._least = least
        self._enough = max(_ENOUGH, least)
        self._thread: threading.Thread | None = None
        self._changed = threading.Condition()
        self._stopping = False
        self._failures = 0
        self.trouble: str | None = None

    def notify(self) -> None:
        """Say that something waits to be written."""
        with self._changed:
            if self._stopping:
                return
            if self._thread is None:
                if self._is_due():
                    self._thread = threading.Thread(target=self._run, name="llm-tiers-history", daemon=True)
                    self._thread.start()
            # Otherwise the thread is left asleep: it looks by itself each half second, and batches cost less a record.
            elif self._waiting() >= self._enough:
                self._changed.notify_all()

    def stop(self) -> None:
        """End the thread, after the batch that it is writing."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _waiting(self) -> int:
        return sum(library.pending for library in list(self._libraries.values()))

    def _is_due(self) -> bool:
        libraries = list(self._libraries.values())
        return any(library.pending >= min(self._least, library.capacity) for library in libraries)

    def _run(self) -> None:
        idle_since = time.monotonic()
        while self._sleep():
            if self._is_due():
                self._write()
                idle_since = time.monotonic()
            elif time.monotonic() - idle_since > _SECONDS_IDLE and self._retire():
                return

    def _sleep(self) -> bool:
        """Wait for the next round; False where there is none."""
        with self._changed:
            # After a failure it sleeps even with a full queue, longer each time, so that a dead server is not hammered.
            if not self._stopping and (self._failures or self._waiting() < self._enough):
                pause = _SECONDS_TO_WAIT * 2.0 ** min(self._failures, 10)
                self._changed.wait(min(pause, _LONGEST_RETRY))
            return not self._stopping

    def _retire(self) -> bool:
        # Checked under the lock: a record added just before would otherwise wait for a thread that has ended.
        with self._changed:
            if self._is_due():
                return False
            self._thread = None
            return True

    def _write(self) -> None:
        for library in list(self._libraries.values()):
            try:
                library.write_batch()
            except HistoryError as error:
                self._failures += 1
                # The first of a row only: retries would repeat the same every few seconds.
                if self._failures == 1:
                    _LOGGER.warning("the history could not write; its records wait for the next try: %s", error)
                self.trouble = str(error)
                return
        if self._failures:
            _LOGGER.info("the history writes again")
        self._failures = 0
        self.trouble = None

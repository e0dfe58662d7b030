"""Work that follows a call, in threads that a model owns: the user does not wait for it."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

__all__ = ["SECONDS_AT_END", "Background", "Work", "wait_at_exit"]

if TYPE_CHECKING:
    from llm_tiers.flow.deadline import Late

logger = logging.getLogger("llm_tiers")

_SECONDS_IDLE = 5.0
SECONDS_AT_END = 5.0
"""How long the end of a model, or of the program, waits for work that is left: a grader's answer may take seconds,
while a user who ends a program, or a server that is told to stop, cannot wait for a provider that hangs."""


@dataclass(frozen=True, slots=True)
class Work:
    """Something to do.

    Attributes:
        run: Does it.
        drop: Is called instead where it is not going to be done.
    """

    run: Callable[[], None]
    drop: Callable[[], None]


class Background:
    """A few threads and a bounded queue.

    The threads start with the first work and end when nothing came for some seconds. They are daemons: work that hangs
    does not keep the program from ending.

    Args:
        doing: What the work does, for the log, such as `"grading"`.
        threads: Most threads.
        capacity: Most work that waits.
    """

    def __init__(self, doing: str = "work", threads: int = 4, capacity: int = 256) -> None:
        self._doing = doing
        self._most_threads = threads
        self._capacity = capacity
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._changed = threading.Condition()
        self._queue: deque[Work] = deque()
        self._threads: set[threading.Thread] = set()
        self._idle = 0
        self._running = 0

    def submit(self, work: Work) -> bool:
        """Queue some work; False where too much waits already."""
        if self._is_of_parent():
            self._begin()
        with self._changed:
            if len(self._queue) >= self._capacity:
                return False
            self._queue.append(work)
            if self._idle < len(self._queue) and len(self._threads) < self._most_threads:
                thread = threading.Thread(target=self._serve, name="llm-tiers-grading", daemon=True)
                self._threads.add(thread)
                thread.start()
            self._changed.notify_all()
        _finish_at_exit(self)
        return True

    def wait(self, seconds: float) -> bool:
        """Wait until all work is done, but no longer than `seconds`, and say whether it is."""
        if self._is_of_parent():
            return True
        with self._changed:
            # Work that waits for work would wait for itself.
            if threading.current_thread() in self._threads:
                return self._is_done()
            return self._changed.wait_for(self._is_done, seconds)

    def finish(self, seconds: float) -> None:
        """Wait until all work is done, but no longer than `seconds`; give up the rest, and log how much that was."""
        done = self.wait(seconds)
        # What was given up once is not waited for again when the program ends.
        _open.discard(self)
        if done or self._is_of_parent():
            return
        waiting = self.drop()
        under_way = self._under_way()
        if waiting or under_way:
            logger.warning(
                "%s: given up for %d calls (%d under way), after %.3g s; flush_grades() before the end waits for them, "
                "and so does close(timeout=...)",
                self._doing,
                waiting + under_way,
                under_way,
                seconds,
            )

    def drop(self) -> int:
        """Give up the work that waits, and return how much that was."""
        if self._is_of_parent():
            return 0
        with self._changed:
            left = list(self._queue)
            self._queue.clear()
            self._changed.notify_all()
        for work in left:
            work.drop()
        return len(left)

    def _under_way(self) -> int:
        with self._changed:
            # Work that ends the model itself is none that is given up.
            return self._running - (threading.current_thread() in self._threads)

    def _is_of_parent(self) -> bool:
        """Say whether this is a forked child: it has none of the threads, and the parent does the work that waits."""
        return self._process != os.getpid()

    def _is_done(self) -> bool:
        return not self._queue and not self._running

    def _serve(self) -> None:
        while (work := self._next()) is not None:
            try:
                work.run()
            except Exception:
                # The boundary of a thread: the caller has gone, and the next work must be done.
                logger.exception("work after a call failed; the call is not affected")
            finally:
                with self._changed:
                    self._running -= 1
                    self._changed.notify_all()

    def _next(self) -> Work | None:
        with self._changed:
            self._idle += 1
            self._changed.wait_for(lambda: self._queue, _SECONDS_IDLE)
            self._idle -= 1
            if not self._queue:
                self._threads.discard(threading.current_thread())
                return None
            self._running += 1
            return self._queue.popleft()


_open: weakref.WeakSet[Background] = weakref.WeakSet()
_registering = threading.Lock()
_registered = False


def _finish_at_exit(background: Background) -> None:
    # Registered late, so that it runs before the hook that closes the histories, where the work leaves its results.
    global _registered  # noqa: PLW0603 -- one hook for the process
    with _registering:
        _open.add(background)
        if not _registered:
            _registered = True
            atexit.register(_finish_all)


def _finish_all() -> None:
    _finish(_open)


def _finish(unfinished: Iterable[Background | Late]) -> None:
    deadline = time.monotonic() + SECONDS_AT_END
    for one in list(unfinished):
        one.finish(max(0.0, deadline - time.monotonic()))


_late: weakref.WeakSet[Late] = weakref.WeakSet()


def wait_at_exit(late: Late) -> None:
    """Let the end of the program wait for late work, `SECONDS_AT_END` for all of it together."""
    with _registering:
        _late.add(late)
        _register_for_late()


@cache
def _register_for_late() -> None:
    # The hook by which Python's pools shut down, where there is one: histories write what waits as the exit begins, and
    # what is registered last runs first. It is private to Python, hence `getattr`. It refuses where the exit has begun.
    with suppress(RuntimeError):
        getattr(threading, "_register_atexit", atexit.register)(_wait_for_late)


def _wait_for_late() -> None:
    _finish(_late)

"""Running work in another thread, and waiting for it no longer than a time-out; and how long a call may take."""

from __future__ import annotations

import asyncio
import contextvars
import math
import os
import threading
import time
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Future
from contextlib import asynccontextmanager
from typing import Any, TypeVar

__all__ = ["Busy", "Deadline", "Late", "LateTiers", "TooLate", "awithin", "in_thread", "within"]

Result = TypeVar("Result")


class TooLate(TimeoutError):  # noqa: N818
    """Work did not end in time; a time-out inside the work is another error."""


class Busy(Exception):  # noqa: N818
    """Work was not begun: too much that nobody waits for any more has not ended."""


class Late:
    """Counts work that nobody waits for any more: each keeps a thread until it ends by itself.

    Args:
        most: So much of it at a time; after that nothing new is begun.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._number = 0
        self._changed = threading.Condition()

    def _begin_in_child(self) -> None:
        # The parent's threads do not run in a forked child.
        if self._process != os.getpid():
            self._begin()

    def __len__(self) -> int:
        self._begin_in_child()
        return self._number

    def check(self) -> None:
        """Say that there is room for more.

        Raises:
            Busy: There is none.
        """
        if len(self) >= self._most:
            raise Busy(f"{self._most} earlier calls have not ended")

    def add(self, work: Future[Any]) -> None:
        """Count some work until it ends."""
        self._begin_in_child()
        with self._changed:
            self._number += 1
        work.add_done_callback(self._remove)

    def finish(self, seconds: float) -> bool:
        """Wait at most `seconds` until all of it has ended, and say whether it has."""
        self._begin_in_child()
        with self._changed:
            return self._changed.wait_for(lambda: not self._number, seconds)

    def _remove(self, _: Future[Any]) -> None:
        with self._changed:
            self._number -= 1
            self._changed.notify_all()


class LateTiers:
    """The model calls that nobody waits for any more, by the name of the tier.

    Args:
        most: So many for each tier.
    """

    def __init__(self, most: int = 16) -> None:
        self._most = most
        self._by_name: dict[str, Late] = {}

    def of(self, name: str) -> Late:
        """Return the count of a tier."""
        return self._by_name.setdefault(name, Late(self._most))


class Deadline:
    """How long a call may take in all.

    Args:
        seconds: So long from now on; None has no limit.
        clock: Returns seconds.
    """

    def __init__(self, seconds: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self._clock = clock
        self._began = clock()

    @property
    def left(self) -> float:
        """Seconds that are left, at least 0."""
        return math.inf if self.seconds is None else max(0.0, self.seconds - (self._clock() - self._began))


def in_thread(work: Callable[[], Result], name: str) -> Future[Result]:
    """Begin some work in a thread of its own, which does not keep the process alive.

    Args:
        work: What to do. It sees a copy of the caller's context.
        name: The thread's name.
    """
    # A plain thread and a bare future, not an executor: Python joins an executor's threads at exit, so a client that
    # hangs would hold up the end of the program.
    outcome: Future[Result] = Future()
    context = contextvars.copy_context()

    def run() -> None:
        try:
            outcome.set_result(context.run(work))
        except BaseException as error:  # noqa: BLE001 -- raised where it is waited for
            outcome.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return outcome


def within(seconds: float | None, work: Callable[[], Result], late: Late | None = None) -> Result:
    """Do some work and return its result, but wait for it no longer than `seconds`.

    A thread cannot be cancelled: late work continues until it ends by itself, and its result is lost. It does not keep
    the process alive.

    Args:
        seconds: The time-out; None does the work in this thread.
        work: What to do. It sees a copy of the caller's context.
        late: Counts the late work, or None.

    Raises:
        TooLate: The work did not end in time.
    """
    if seconds is None or seconds == math.inf:
        return work()
    outcome = in_thread(work, "llm-tiers-deadline")
    try:
        return outcome.result(seconds)
    except BaseException as error:
        if outcome.done():
            raise
        # Not only after a time-out: whoever is interrupted leaves the work behind as well.
        if late is not None:
            late.add(outcome)
        if isinstance(error, TimeoutError):
            raise TooLate from error
        raise


@asynccontextmanager
async def awithin(seconds: float | None) -> AsyncGenerator[None]:
    """Wait no longer than `seconds` for what is done in asyncio, which is cancelled then.

    Raises:
        TooLate: It did not end in time.
    """
    try:
        async with asyncio.timeout(seconds) as scope:
            yield
    except TimeoutError as error:
        if scope.expired():
            raise TooLate from error
        raise

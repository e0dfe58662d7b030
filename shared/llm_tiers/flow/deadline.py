"""Running work in another thread, and waiting for it no longer than a time-out."""

from __future__ import annotations

import contextvars
import math
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

__all__ = ["Busy", "Late", "within"]

Result = TypeVar("Result")


class Busy(Exception):  # noqa: N818
    """Work was not begun: too much that nobody waits for any more has not ended."""


class Late:
    """Counts work that nobody waits for any more: each keeps a thread until it ends by itself.

    Args:
        most: So much of it at a time; after that nothing new is begun.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._number = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self._number

    def check(self) -> None:
        """Say that there is room for more.

        Raises:
            Busy: There is none.
        """
        if self._number >= self._most:
            raise Busy(f"{self._most} earlier calls have not ended")

    def add(self, work: Future[Any]) -> None:
        """Count some work until it ends."""
        with self._lock:
            self._number += 1
        work.add_done_callback(self._remove)

    def _remove(self, _: Future[Any]) -> None:
        with self._lock:
            self._number -= 1


def within(seconds: float | None, work: Callable[[], Result], late: Late | None = None) -> Result:
    """Do some work and return its result, but wait for it no longer than `seconds`.

    A thread cannot be cancelled: late work continues until it ends by itself, and its result is lost. It does not keep
    the process alive.

    Args:
        seconds: The time-out; None does the work in this thread.
        work: What to do. It sees a copy of the caller's context.
        late: Counts the late work, and bounds it; None has no bound.

    Raises:
        TimeoutError: The work did not end in time.
        Busy: It was not begun, since too much late work has not ended.
    """
    if seconds is None or seconds == math.inf:
        return work()
    if late is not None:
        late.check()
    # A plain thread and a bare future, not an executor: Python joins an executor's threads at exit, so a client that
    # hangs would hold up the end of the program.
    outcome: Future[Result] = Future()
    context = contextvars.copy_context()

    def run() -> None:
        try:
            outcome.set_result(context.run(work))
        except BaseException as error:  # noqa: BLE001 -- raised where it is waited for
            outcome.set_exception(error)

    threading.Thread(target=run, name="llm-tiers-deadline", daemon=True).start()
    try:
        return outcome.result(seconds)
    except BaseException:
        # Not only a time-out: whoever is interrupted leaves the work behind as well.
        if late is not None and not outcome.done():
            late.add(outcome)
        raise

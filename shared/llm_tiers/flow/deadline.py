"""Running work in another thread, and waiting for it no longer than a time-out."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

__all__ = ["within"]

Result = TypeVar("Result")


def within(seconds: float | None, work: Callable[[], Result]) -> Result:
    """Do some work and return its result, but wait for it no longer than `seconds`.

    A thread cannot be cancelled: late work continues until it ends by itself, and its result is lost. It does not keep
    the process alive.

    Args:
        seconds: The time-out; None does the work in this thread.
        work: What to do. It sees a copy of the caller's context.

    Raises:
        TimeoutError: The work did not end in time.
    """
    if seconds is None:
        return work()
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
    return outcome.result(seconds)

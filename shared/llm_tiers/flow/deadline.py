"""Waiting no longer than a time-out for work in the caller's thread's stead."""

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

    A thread cannot be cancelled: late work goes on until it ends by itself, and its result is lost. It keeps no
    process alive.

    Args:
        seconds: The time-out; None does the work in this thread.
        work: What to do. It sees a copy of the caller's context.

    Raises:
        TimeoutError: The work did not end in time.
    """
    if seconds is None:
        return work()
    outcome: Future[Result] = Future()
    context = contextvars.copy_context()

    def run() -> None:
        try:
            outcome.set_result(context.run(work))
        except BaseException as error:  # noqa: BLE001 -- raised where it is waited for
            outcome.set_exception(error)

    threading.Thread(target=run, name="llm-tiers-deadline", daemon=True).start()
    return outcome.result(seconds)

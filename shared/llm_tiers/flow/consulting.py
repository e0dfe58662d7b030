"""Calling a user's function, sync or async, for no longer than a time-out."""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
import time
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any

from llm_tiers.call.requests import Consult, Consulted
from llm_tiers.flow.deadline import within

__all__ = ["Consultant"]

_MOST_LATE = 8
"""The most calls of functions at a time, including late ones: a call that never ends keeps its thread."""

_LONGEST_MESSAGE = 160
"""Characters of an error's message that go into the trace, which must stay small."""


class Consultant:
    """Calls the functions of one model, and counts the calls that have not ended."""

    def __init__(self) -> None:
        self._running = 0
        self._lock = threading.Lock()

    def __call__(self, request: Consult) -> Consulted:
        """Return what a function returned, or the name of what it raised."""
        with self._lock:
            if self._running >= _MOST_LATE:
                return Consulted(error=f"busy: {_MOST_LATE} earlier calls of the function have not ended")
            self._running += 1
        began = threading.Event()

        def counted() -> Any:
            began.set()
            try:
                return request.function()
            finally:
                # In the function's own thread: a late call counts until it ends, not until it is given up.
                self._end()

        ends = time.monotonic() + request.seconds
        try:
            said = within(request.seconds, counted)
            # One time-out for both parts: an async function may do some of its work before it returns its coroutine.
            if inspect.isawaitable(said):
                said = _awaited(said, max(0.0, ends - time.monotonic()))
        except TimeoutError as error:
            # The function may raise a TimeoutError of its own, such as a client's.
            late = time.monotonic() >= ends
            return Consulted(error=f"timed out: no grade within {request.seconds:g} s" if late else _shown(error))
        except BaseException as error:  # noqa: BLE001 -- the boundary to the user's function, in a thread of ours
            # The system may refuse a new thread: then the function never began, and will not end either.
            if not began.is_set():
                self._end()
            return Consulted(error=_shown(error))
        return Consulted(said)

    def _end(self) -> None:
        with self._lock:
            self._running -= 1


def _shown(error: BaseException) -> str:
    return f"raised: {type(error).__name__}: {str(error)[:_LONGEST_MESSAGE]}"


@dataclass(frozen=True, slots=True)
class _Exit:
    """An exception that must not reach the event loop."""

    error: BaseException


class _Loop:
    """An event loop in a thread of its own: it lives as long as the process, and so do clients that are bound to it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process = 0
        self._loop: asyncio.AbstractEventLoop | None = None

    def running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            # After a fork the child has the loop, but not the thread that runs it.
            if self._loop is None or self._process != os.getpid():
                self._process = os.getpid()
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="llm-tiers-async", daemon=True).start()
            return self._loop


_loop = _Loop()


def _awaited(awaitable: Awaitable[Any], seconds: float) -> Any:
    """Wait for the result of an async function, and cancel it if it is late.

    Raises:
        TimeoutError: It did not end in time.
    """

    async def waiting() -> Any:
        try:
            return await awaitable
        except (SystemExit, KeyboardInterrupt) as error:
            # asyncio lets these two end the loop, which other models use too.
            return _Exit(error)

    waited = asyncio.run_coroutine_threadsafe(waiting(), _loop.running())
    try:
        said = waited.result(seconds)
    except TimeoutError:
        waited.cancel()
        raise
    if isinstance(said, _Exit):
        raise said.error
    return said

"""Calling a user's function, sync or async, for no longer than a time-out."""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from llm_tiers.call.requests import Consult, Consulted
from llm_tiers.flow.deadline import within

__all__ = ["Consultant"]

_MOST_LATE = 8
"""Most calls of functions at a time, late ones included: each that never ends keeps a thread."""

_MOST_OF_A_MESSAGE = 160


class Consultant:
    """Calls the functions of one model, and counts those that have not ended."""

    def __init__(self) -> None:
        self._running = 0
        self._lock = threading.Lock()

    def __call__(self, request: Consult) -> Consulted:
        """Return what a function returned; whatever it raises is named."""
        with self._lock:
            if self._running >= _MOST_LATE:
                return Consulted(error=f"busy: {_MOST_LATE} earlier calls of the function have not ended")
            self._running += 1
        ends = time.monotonic() + request.seconds
        try:
            said = within(request.seconds, lambda: self._counted(request.function))
            if inspect.isawaitable(said):
                said = _awaited(said, max(0.0, ends - time.monotonic()))
        except TimeoutError as error:
            late = time.monotonic() >= ends
            return Consulted(error=f"timed out: no grade within {request.seconds:g} s" if late else _shown(error))
        except BaseException as error:  # noqa: BLE001 -- the boundary to the user's function, in a thread of ours
            return Consulted(error=_shown(error))
        return Consulted(said)

    def _counted(self, function: Callable[[], Any]) -> Any:
        try:
            return function()
        finally:
            with self._lock:
                self._running -= 1


def _shown(error: BaseException) -> str:
    return f"raised: {type(error).__name__}: {str(error)[:_MOST_OF_A_MESSAGE]}"


@dataclass(frozen=True, slots=True)
class _Exit:
    error: BaseException


class _Loop:
    """An event loop in a thread of its own: it lives as long as the process, and so do clients that are bound to it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process = 0
        self._loop: asyncio.AbstractEventLoop | None = None

    def running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            # A forked child inherits the loop, but not the thread that runs it.
            if self._loop is None or self._process != os.getpid():
                self._process = os.getpid()
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="llm-tiers-async", daemon=True).start()
            return self._loop


_loop = _Loop()


def _awaited(awaitable: Awaitable[Any], seconds: float) -> Any:
    """Wait for what an async function returns; it is cancelled where it is late.

    Raises:
        TimeoutError: It did not end in time.
    """

    async def waiting() -> Any:
        try:
            return await awaitable
        except (SystemExit, KeyboardInterrupt) as error:
            # asyncio would end the loop, which belongs to others too.
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

"""How long a call waits for its history."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from llm_tiers.flow.deadline import TooLate, within

if TYPE_CHECKING:
    from llm_tiers.flow.deadline import Late
    from llm_tiers.history.record import History

__all__ = ["HistoryTime", "HistoryTooSlow", "prepare"]

Result = TypeVar("Result")


class HistoryTooSlow(Exception):  # noqa: N818
    """A history did not answer in the time that the call has for it."""


class HistoryTime:
    """The time that one call has for its history: all that it asks of it together.

    Args:
        seconds: The number of seconds; None for no limit.
        late: Counts what nobody waits for any more.
        clock: Returns seconds.
    """

    def __init__(
        self, seconds: float | None, late: Late | None = None, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._clock = clock
        self._seconds = seconds
        self._late = late
        self._spent = 0.0

    def within(self, history: History, work: Callable[[], Result], *, last: bool = False) -> Result:
        """Do some work with a history in the time that is left.

        Args:
            history: The history.
            work: What to do.
            last: Whether to begin it even if no time is left; it then continues after the call.

        Raises:
            HistoryTooSlow: There was not enough time.
            Busy: It was not begun, since too much of earlier calls has not ended.
        """
        if self._seconds is None:
            return work()
        if self._late is not None:
            self._late.check()
        left = self._seconds - self._spent
        if left <= 0 and not last:
            raise self._too_slow
        started = self._clock()
        # A thread costs more than such a history takes, and makes sense only where one may have to be left behind.
        seconds = None if getattr(history, "quick", False) else max(left, 0.0)
        try:
            return within(seconds, work, self._late)
        except TooLate as error:
            raise self._too_slow from error
        finally:
            self._spent += self._clock() - started

    @property
    def _too_slow(self) -> HistoryTooSlow:
        return HistoryTooSlow(f"no answer within history_timeout={self._seconds:g} s")


def prepare(history: History) -> None:
    """Let a history load what it loads once, so that the first call has what it has learned."""
    load = getattr(history, "prepare", None)
    if load is not None:
        load()

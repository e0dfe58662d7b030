"""A circuit breaker: what fails is not asked for a while. Logic alone, without I/O; `circuits.py` has the tiers'.

```
closed --failures--> open --wait is over--> half-open: one call tries
   ^                  ^                        |    |
   |                  +---- it fails: twice the wait |
   +------------------------- it answers ------------+
```
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from llm_tiers.arguments import kind_of, require, require_number

__all__ = ["Breaker", "Circuit", "State", "as_breaker"]

State: TypeAlias = Literal["closed", "open", "half-open"]

_LONGEST_RETRY_AFTER = 600.0
"""Seconds; a provider that asks for more has closed for the day, and is tried now and then all the same."""

_FEWEST = 10
"""Outcomes without which a share says nothing."""


@dataclass(frozen=True, slots=True)
class Breaker:
    """When a tier that fails is not asked for a while; `breaker=` of both models.

    A wrong key, an unknown model and an error of the client's own code open it at once. A tier that says how long to
    wait (`Retry-After`) is left alone so long.

    Attributes:
        failures: So many failures in a row open it.
        share: So large a share of failures among the last `of` outcomes opens it, in (0, 1].
        of: How many outcomes are remembered; the share counts from ten on.
        seconds: How long it is open at first; twice as long after each trial that fails.
        longest: How long it is open at most, in seconds.
        clock: Returns seconds.

    Raises:
        ConfigError: An argument is out of its range.
    """

    failures: int = 3
    share: float = 0.5
    of: int = 20
    seconds: float = 5.0
    longest: float = 300.0
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)

    def __post_init__(self) -> None:
        for name in ("failures", "share", "of", "seconds", "longest"):
            require_number(getattr(self, name), f"breaker: {name}")
        require(self.failures >= 1, f"breaker: failures={self.failures!r} must be at least 1")
        require(0 < self.share <= 1, f"breaker: share={self.share!r} must lie in (0, 1]")
        require(self.of >= _FEWEST, f"breaker: of={self.of!r} must be at least {_FEWEST}")
        require(0 < self.seconds < math.inf, f"breaker: seconds={self.seconds!r} must be more than 0, and finite")
        require(self.longest >= self.seconds, f"breaker: longest={self.longest!r} must be at least {self.seconds:g}")


def as_breaker(given: object) -> Breaker | None:
    """Return what a user gives as `breaker=`.

    Raises:
        ConfigError: It is no `Breaker`.
    """
    if given is None or isinstance(given, Breaker):
        return given
    fix = "breaker must be a Breaker, such as Breaker(failures=5), or None for none"
    require(False, f"{fix}, not {kind_of(given)}")  # noqa: FBT003
    return None


class Circuit:
    """The state of one breaker. Any number of threads may use it.

    Args:
        settings: When it opens, and for how long.
    """

    def __init__(self, settings: Breaker) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._outcomes: deque[bool] = deque(maxlen=settings.of)
        self._in_a_row = 0
        self._wait = settings.seconds
        self._until: float | None = None
        self._trying = False
        self._opened = 0
        self._why = ""
        self.kind: type[BaseException] = Exception

    def seconds_left(self) -> float | None:
        """Return for how long no call may ask the tier, or None where one may."""
        now = self._settings.clock()
        with self._lock:
            return None if self._until is None or now >= self._until else self._until - now

    def admits(self) -> bool:
        """Say whether a call may ask the tier now; of those that may after the wait, the first one tries for all."""
        now = self._settings.clock()
        with self._lock:
            if self._until is None:
                return True
            if now < self._until:
                return False
            # Until it has ended the others wait as before; if it never does, the next one tries.
            self._until = now + self._wait
            self._trying = True
            return True

    def answered(self) -> bool:
        """Record an answer, or another sign of life, and say whether that closed it."""
        with self._lock:
            self._outcomes.append(True)
            self._in_a_row = 0
            closed = self._until is not None
            if closed:
                self._outcomes.clear()
            self._until, self._trying, self._wait = None, False, self._settings.seconds
            return closed

    def failed(self, why: str, *, at_once: bool = False, retry_after: float | None = None) -> float | None:
        """Record a failure.

        Args:
            why: What it was, for those who ask.
            at_once: No further request would do better.
            retry_after: Seconds that the tier asks to wait, or None.

        Returns:
            For how long it is open now, if this opened it; None if it is closed still, or was open already.
        """
        now = self._settings.clock()
        with self._lock:
            self._outcomes.append(False)
            self._in_a_row += 1
            asked = None if not retry_after else min(retry_after, _LONGEST_RETRY_AFTER)
            if self._until is not None:
                self._fail_again(now, why, asked)
                return None
            if not (at_once or asked or self._is_too_much()):
                return None
            self._opened += 1
            self._open(now, why, asked)
            return asked or self._wait

    def cancelled(self) -> None:
        """Record that a call ended without an outcome; if it was a trial, the next call tries."""
        now = self._settings.clock()
        with self._lock:
            if self._trying:
                self._trying, self._until = False, now

    def stats(self) -> dict[str, Any]:
        """Return the state as data."""
        now = self._settings.clock()
        with self._lock:
            return {
                "state": self._state(now),
                "failures_in_a_row": self._in_a_row,
                "opened": self._opened,
                "seconds_left": 0.0 if self._until is None else max(0.0, round(self._until - now, 3)),
                "why": self._why if self._until is not None else None,
            }

    @property
    def why(self) -> str:
        """What opened it."""
        return self._why

    def _state(self, now: float) -> State:
        if self._until is None:
            return "closed"
        return "half-open" if self._trying or now >= self._until else "open"

    def _is_too_much(self) -> bool:
        failed = self._outcomes.count(False)
        share = len(self._outcomes) >= _FEWEST and failed >= self._settings.share * len(self._outcomes)
        return share or self._in_a_row >= self._settings.failures

    def _fail_again(self, now: float, why: str, asked: float | None) -> None:
        # Calls that were begun before it opened fail as well, and say nothing new. A trial does.
        if self._trying:
            self._wait = min(2 * self._wait, self._settings.longest)
            self._open(now, why, asked)
        elif asked:
            self._until = max(self._until or now, now + asked)

    def _open(self, now: float, why: str, asked: float | None) -> None:
        self._trying, self._why, self._until = False, why, now + (asked or self._wait)

"""How fast tiers are asked, and what is done when a provider says that it was too fast."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus

import httpx

from llm_tiers.errors import AllTiersFailed, TierError
from llm_tiers.integration.faults import http_of

__all__ = ["Fault", "Pace"]

# The same statuses that OpenAI's and Anthropic's clients retry. The tiers' clients may have retries of their own; these
# come on top, because a client alone gives up after seconds, while a limit per minute takes up to a minute to pass.
_RETRYABLE = frozenset({408, 409, 429})
"""Statuses after which the same request may succeed, besides those from 500 on."""

_HOPELESS = frozenset({401, 403, 404})
"""Statuses that every further request to the tier would get as well: a wrong key, no access, no such model."""

_LONGEST_BACKOFF = 60.0
"""Seconds; limits are usually counted per minute, so that a longer wait gains nothing."""

_LONGEST_WAIT = 600.0
"""Seconds; a provider that asks for more has a daily limit, and the run can go on tomorrow."""


class Pace:
    """Spaces the requests to one tier.

    Args:
        per_minute: Most requests in a minute; None for no limit.
        clock: Returns seconds.
    """

    def __init__(self, per_minute: float | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        # Even gaps rather than a count for each minute: a burst at the turn of the minute would exceed the limit of a
        # provider whose minute begins elsewhere.
        self._gap = 0.0 if per_minute is None else 60.0 / per_minute
        self._clock = clock
        self._next = 0.0

    def take(self) -> float:
        """Take the next turn and return 0, or return the seconds until there is one."""
        now = self._clock()
        if now < self._next:
            return self._next - now
        self._next = now + self._gap
        return 0.0

    def pause(self, seconds: float) -> None:
        """Grant no turn for this many seconds."""
        # The longest pause wins: replies that were under way come back with shorter ones.
        self._next = max(self._next, self._clock() + seconds)


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a tier gave no answer.

    Attributes:
        message: The error in one line, without keys.
        status: The HTTP status, or None where there was none.
        retry_after: Seconds that the provider asks to wait, or None.
        lost: Whether the connection failed or timed out.
        cost_usd: What the call cost all the same, or None.
    """

    message: str
    status: int | None = None
    retry_after: float | None = None
    lost: bool = False
    cost_usd: float | None = None

    @classmethod
    def of(cls, error: AllTiersFailed) -> Fault:
        """Return what can be read from the errors that the framework's client raised."""
        failed = next(one for one in error.exceptions if isinstance(one, TierError))
        cost = None if error.trace is None else error.trace.cost_usd
        chain = tuple(_causes(failed))
        status, after = http_of(chain)
        lost = any(isinstance(cause, httpx.TransportError | OSError) for cause in chain)
        return cls(str(failed), status, after, lost, cost)

    @property
    def is_final(self) -> bool:
        """Whether every further request to the tier would fail as well: a wrong key, an unknown model."""
        return self.status in _HOPELESS

    def wait(self, retry: int) -> float | None:
        """Return the seconds to wait before the same request is made again, or None if a retry is pointless.

        Args:
            retry: How many retries there were already.
        """
        temporary = self.status in _RETRYABLE or (self.status or 0) >= HTTPStatus.INTERNAL_SERVER_ERROR
        # A lost connection has no status; with one, the server did answer, whatever else is in the chain of errors.
        if not temporary and not (self.lost and self.status is None):
            return None
        # A wait of 0, or until a time that is past by our clock, would use up all retries within a second.
        if self.retry_after is not None and self.retry_after > 0:
            return self.retry_after if self.retry_after <= _LONGEST_WAIT else None
        return min(2.0**retry, _LONGEST_BACKOFF)


def _causes(failed: TierError) -> Iterator[BaseException]:
    """Yield the exceptions that led to a failure, the nearest first."""
    # If the error's text held a key, `cause` is only the cleaned text; the error itself is then in `__context__`.
    error = failed.cause if isinstance(failed.cause, BaseException) else failed.__context__
    # Bounded, since exceptions can be chained in a circle.
    for _ in range(10):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__

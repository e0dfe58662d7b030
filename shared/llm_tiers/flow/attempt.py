"""One model call while it lasts: how long it may take, and what it is charged as when it ends."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from llm_tiers.call.answer import Answer
from llm_tiers.call.requests import ModelCall, Reply
from llm_tiers.errors import CANCELLED, Origin, TierError
from llm_tiers.flow.deadline import TooLate
from llm_tiers.ladder.tiers import DEFAULT_TIMEOUT

if TYPE_CHECKING:
    from llm_tiers.flow.deadline import Late
    from llm_tiers.flow.ledger import Ledger
    from llm_tiers.telemetry.observer import ObservedModelCall

__all__ = ["Attempt"]

_NOBODY = Origin(blame="nobody")


@dataclass(slots=True)
class Attempt:
    """One model call while it lasts, the same for all four ways to perform it.

    Attributes:
        call: The model call.
        ledger: The account of the user's call.
        step: The round of model calls that it belongs to.
        reply: How it ended, or None while it lasts.
        live: The user has been given a chunk of it.
        had: Seconds that it had to the deadline when it began.
        observed: Is told how it ends.
    """

    call: ModelCall
    ledger: Ledger
    step: int
    reply: Reply | None = None
    live: bool = False
    had: float = field(init=False)
    observed: ObservedModelCall = field(init=False)

    def __post_init__(self) -> None:
        self.had = self.ledger.deadline.left
        self.observed = self.ledger.observed.model_call(self.call)

    @property
    def given(self) -> float | None:
        """The time-out that was given: one of the user's call takes precedence over the tier's own."""
        return self.call.tier.timeout if self.ledger.call.timeout is None else self.ledger.call.timeout

    @property
    def limit(self) -> float:
        """The time-out, given or not."""
        return DEFAULT_TIMEOUT if self.given is None else self.given

    @property
    def seconds(self) -> float | None:
        """How long to wait for the next of it: to the time-out, or to the deadline; None for as long as it takes."""
        seconds = min(self.limit, self.ledger.deadline.left)
        return None if seconds == math.inf else seconds

    @property
    def thread_seconds(self) -> float | None:
        """The same for sync code, which needs a thread for it: None where nobody asked for a time-out."""
        return self.seconds if self.given is not None or self.ledger.limits.interrupts else None

    @property
    def late(self) -> Late:
        """Counts the calls of the tier that nobody waits for any more."""
        return self.ledger.late_tiers.of(self.call.tier.name)

    @property
    def outcome(self) -> Reply:
        """How the call ended."""
        if self.reply is None:
            raise RuntimeError("the model call has not ended")
        return self.reply

    def is_chunk(self, item: Any) -> bool:
        """Keep what a stream gave: True for a chunk, which goes to the user, False for the answer at the end."""
        if isinstance(item, Answer):
            self.reply = replace(item, live=self.live)
            return False
        self.live = True
        return True

    @contextmanager
    def charged(self) -> Iterator[None]:
        """Charge the call to the ledger when it ends, however it ends; a failure of the tier becomes the reply.

        The clock is that of the wall: a tier that keeps the user waiting is slow, whatever it computes meanwhile.
        """
        charge = self._begin_charging()
        name = self.call.tier.name
        try:
            yield
        except TooLate:
            self.reply = self._too_late()
        except TierError as error:
            # After the first chunk no other tier may answer: the user would read its answer as the rest of this one.
            error.broke_off = error.broke_off or self.live
            self.reply = error
        except (asyncio.CancelledError, GeneratorExit, KeyboardInterrupt):
            # The provider may bill the tokens of a call that is cut short, so the trace has to name it.
            charge(TierError(name, CANCELLED, origin=_NOBODY))
            raise
        except BaseException as bug:
            charge(TierError(name, bug, origin=_NOBODY))
            raise
        charge(self.outcome)

    def _begin_charging(self) -> Callable[[Reply], None]:
        started = time.perf_counter()

        def charge(reply: Reply) -> None:
            charged = self.ledger.charge(self.call, reply, time.perf_counter() - started, self.step)
            self.observed.end(charged, reply)

        return charge

    def _too_late(self) -> TierError:
        name, deadline = self.call.tier.name, self.ledger.deadline
        if deadline.left > 0 or deadline.seconds is None:
            slow = Origin(kind=TimeoutError)
            return TierError(name, f"no answer within {self.limit:g} s", broke_off=self.live, origin=slow)
        # One that had less than half of the time need not be slow.
        origin = Origin(kind=TimeoutError, blame="tier" if self.had >= deadline.seconds / 2 else "nobody")
        return TierError(name, f"no answer before deadline={deadline.seconds:g} s", broke_off=self.live, origin=origin)

"""The circuits of this process's tiers: failures count for everybody, time-outs for those who wait no longer."""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llm_tiers.errors import TierError
from llm_tiers.ladder.breaker import Breaker, Circuit
from llm_tiers.ladder.provider import provider_of, secrets_of, timeout_of
from llm_tiers.ladder.tiers import DEFAULT_TIMEOUT

if TYPE_CHECKING:
    from llm_tiers.ladder.tiers import Tier

__all__ = ["CallersCircuit", "Circuits", "circuits_of", "forget_circuits", "patience_with"]

_MOST_TIERS = 1_000
"""Tiers that a process remembers; one that makes clients with new keys all day would remember ever more."""

_MOST_PATIENCES = 16
"""Time-outs of one tier that are told apart; the shortest of more is forgotten."""

_STATES = ("closed", "half-open", "open")

_TIMEOUT = re.compile(r"time(?:d_?)?out", re.IGNORECASE)
"""What the classes of clients' errors have in common that say that nothing came in time."""


class Circuits:
    """What is known of one tier; all models of the process on this tier share it.

    A caller who waits a second finds a tier slow that answers others in five. So time-outs are counted apart, by how
    long was waited, and keep those alone from asking who would not have waited longer.

    Args:
        settings: When a circuit opens, and for how long.
    """

    def __init__(self, settings: Breaker) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._of_failures = Circuit(settings)
        self._of_timeouts: dict[float, Circuit] = {}

    def seen_by(self, patience: float) -> CallersCircuit:
        """Return the circuit as it is for a caller.

        Args:
            patience: Seconds that the caller waits for an answer.
        """
        with self._lock:
            longer = [circuit for waited, circuit in self._of_timeouts.items() if waited >= patience]
        return CallersCircuit(self, patience, (self._of_failures, *longer))

    def of_timeouts(self, patience: float) -> Circuit:
        """Return the circuit that counts the time-outs of those who wait so long."""
        with self._lock:
            circuit = self._of_timeouts.setdefault(patience, Circuit(self._settings))
            if len(self._of_timeouts) > _MOST_PATIENCES:
                del self._of_timeouts[min(self._of_timeouts)]
            return circuit


@dataclass(frozen=True, slots=True)
class CallersCircuit:
    """The circuit of a tier as it is for one caller: open where one of those that count for the caller is.

    Attributes:
        circuits: All that is known of the tier.
        patience: Seconds that the caller waits.
        counting: The circuits that count: that of failures first, and those of time-outs after so long a wait.
    """

    circuits: Circuits
    patience: float
    counting: tuple[Circuit, ...]

    def seconds_left(self) -> float | None:
        """Return for how long the caller may not ask the tier, or None where it may."""
        return max((left for circuit in self.counting if (left := circuit.seconds_left()) is not None), default=None)

    def admits(self) -> bool:
        """Say whether the caller may ask the tier now; where that is a trial, only one of many callers may."""
        # First without taking the trial of one, which another might refuse.
        return self.seconds_left() is None and all(circuit.admits() for circuit in self.counting)

    @property
    def worst(self) -> Circuit:
        """The one that has most to say: open before half-open before closed, and most failures in a row."""

        def weight(circuit: Circuit) -> tuple[int, float, int]:
            state = circuit.stats()
            return _STATES.index(state["state"]), state["seconds_left"], state["failures_in_a_row"]

        return max(self.counting, key=weight)

    def stats(self) -> dict[str, Any]:
        """Return the state as data."""
        return self.worst.stats()

    def record(self, reply: object) -> float | None:
        """Record how a model call of the caller ended.

        Args:
            reply: The tier's answer, or its failure.

        Returns:
            For how long the tier is not asked now, if this opened a circuit; else None.
        """
        failed = reply if isinstance(reply, TierError) and reply.origin.blame in ("tier", "setup") else None
        counts = None if failed is None else self._counts(failed)
        for circuit in self.counting:
            if failed is None and _is_sign_of_life(reply):
                circuit.answered()
            elif circuit is not counts:
                # A trial that has come to nothing is left to the next call.
                circuit.cancelled()
        return None if failed is None or counts is None else _failed(counts, failed)

    def _counts(self, failed: TierError) -> Circuit:
        timeout = failed.origin.status is None and _is_timeout(failed.origin.kind)
        return self.circuits.of_timeouts(self.patience) if timeout else self.counting[0]


def _is_sign_of_life(reply: object) -> bool:
    """Say whether a tier is there: it answers, or refuses the request."""
    return not isinstance(reply, TierError) or (reply.origin.blame != "nobody" and reply.origin.status is not None)


def _failed(circuit: Circuit, error: TierError) -> float | None:
    origin = error.origin
    # A text of our own says more than the class, such as after how many seconds.
    kind = error.cause if isinstance(error.cause, str) else origin.kind.__name__
    circuit.kind = origin.kind
    why = str(kind) if origin.status is None else f"{kind} (status {origin.status})"
    return circuit.failed(why, at_once=origin.blame == "setup", retry_after=origin.retry_after)


def _is_timeout(kind: type[BaseException]) -> bool:
    return any(_TIMEOUT.search(base.__name__) for base in kind.__mro__)


def patience_with(tier: Tier, timeout: float | None = None, deadline: float | None = None) -> float:
    """Return the seconds that a call waits for a tier.

    Args:
        tier: The tier.
        timeout: The call's own time-out, or None.
        deadline: Seconds for the whole call, or None.
    """
    given = tier.timeout if timeout is None else timeout
    own = timeout_of(tier.model)
    return min(
        DEFAULT_TIMEOUT if given is None else given,
        math.inf if own is None else own,
        math.inf if deadline is None else deadline,
    )


_circuits: dict[Hashable, Circuits] = {}
_circuits_lock = threading.Lock()


def circuits_of(tier: Tier, settings: Breaker) -> Circuits:
    """Return what is known of a tier, which all models of this process share that have this tier and these settings."""
    # Tiers with other keys may be refused where this one is not. Python's hash of a text is salted anew in each
    # process; it is compared and never shown.
    keys = hash(tuple(sorted(secrets_of(tier.model))))
    name = tier.model_name or tier.name
    with _circuits_lock:
        circuits = _circuits.pop((provider_of(tier.model), name, keys, settings), None) or Circuits(settings)
        # Put back as the latest, so that those that nobody asks for any more are the first to go.
        _circuits[provider_of(tier.model), name, keys, settings] = circuits
        while len(_circuits) > _MOST_TIERS:
            del _circuits[next(iter(_circuits))]
        return circuits


def forget_circuits() -> None:
    """Close all breakers of this process, for tests."""
    with _circuits_lock:
        _circuits.clear()

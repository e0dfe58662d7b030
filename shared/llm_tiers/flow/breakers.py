"""The breakers of a ladder's tiers: who is not asked, and what a call's outcome changes."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from llm_tiers.errors import Origin, TierError
from llm_tiers.ladder.circuits import CallersCircuit, circuits_of, patience_with

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llm_tiers.call.requests import ModelCall, Reply
    from llm_tiers.ladder.breaker import Breaker
    from llm_tiers.ladder.tiers import Ladder, Tier

__all__ = ["Breakers"]

logger = logging.getLogger("llm_tiers")


class Breakers:
    """The breakers of a ladder's tiers, shared with all models of this process that have the same tiers.

    Args:
        ladder: The tiers.
        settings: When a breaker opens; None for no breakers.
        deadline: Seconds that a call takes at most, or None.
    """

    def __init__(self, ladder: Ladder, settings: Breaker | None, deadline: float | None = None) -> None:
        self._settings = settings
        self._deadline = deadline
        self._circuits = {} if settings is None else {tier.name: circuits_of(tier, settings) for tier in ladder}
        self._ladder = ladder

    def down(self, timeout: float | None = None) -> Mapping[str, str]:
        """Return the tiers that are not asked now, each with the reason.

        Args:
            timeout: The call's own time-out in seconds, or None.
        """
        seen = {tier.name: self._circuit(tier, timeout) for tier in self._ladder}
        return {
            name: f"its breaker is open for {seconds:.3g} s more after {circuit.worst.why}"
            for name, circuit in seen.items()
            if circuit is not None and (seconds := circuit.seconds_left()) is not None
        }

    def refusal(self, call: ModelCall, timeout: float | None = None) -> TierError | None:
        """Return the failure that stands for a model call that is not made, or None where it is to be made."""
        circuit = self._circuit(call.tier, timeout)
        # Counted as a trial also where it is asked whatever its breaker says.
        if circuit is None or circuit.admits() or call.forced:
            return None
        return self.not_asked(call.tier, timeout)

    def not_asked(self, tier: Tier, timeout: float | None = None) -> TierError:
        """Return the failure of a tier that is not asked, of the class of its last one."""
        circuit = self._circuit(tier, timeout)
        kind = Exception if circuit is None else circuit.worst.kind
        return TierError(tier.name, "not asked: its breaker is open", origin=Origin(kind=kind, blame="nobody"))

    def record(self, call: ModelCall, reply: Reply, timeout: float | None = None) -> None:
        """Record how a model call ended; where that opens a breaker, the log says so, once."""
        circuit = self._circuit(call.tier, timeout)
        seconds = None if circuit is None else circuit.record(reply)
        if circuit is not None and seconds is not None:
            # Asked anew: the first time-out of a kind has made a circuit of its own.
            circuit = self._circuit(call.tier, timeout) or circuit
            logger.warning(
                "tier %s fails: %s; it is not asked for %.3g s, and then tried (its breaker is open)",
                call.tier.name,
                circuit.worst.why,
                seconds,
            )

    def stats(self) -> dict[str, dict[str, Any]]:
        """Return the state of each tier's breaker by the tier's name; nothing where there are none."""
        seen = {tier.name: self._circuit(tier, None) for tier in self._ladder}
        return {name: circuit.stats() for name, circuit in seen.items() if circuit is not None}

    def _circuit(self, tier: Tier, timeout: float | None) -> CallersCircuit | None:
        if self._settings is None:
            return None
        # A judge may have a model of its own, of any name.
        own = tier.name in self._ladder and self._ladder[tier.name].model is tier.model
        circuits = self._circuits[tier.name] if own else circuits_of(tier, self._settings)
        return circuits.seen_by(patience_with(tier, timeout, self._deadline))

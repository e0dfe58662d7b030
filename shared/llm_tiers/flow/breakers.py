"""The breakers of a ladder's tiers: who is not asked, and what a call's outcome changes."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from llm_tiers.errors import Origin, TierError
from llm_tiers.ladder.breaker import Breaker, Circuit, circuit_of, record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llm_tiers.call.requests import ModelCall, Reply
    from llm_tiers.ladder.tiers import Ladder, Tier

__all__ = ["Breakers"]

logger = logging.getLogger("llm_tiers")


class Breakers:
    """The breakers of a ladder's tiers, shared with all models of this process that have the same tiers.

    Args:
        ladder: The tiers.
        settings: When a breaker opens; None for no breakers.
    """

    def __init__(self, ladder: Ladder, settings: Breaker | None) -> None:
        self._settings = settings
        self._circuits = {} if settings is None else {tier.name: circuit_of(tier, settings) for tier in ladder}
        self._ladder = ladder

    def down(self) -> Mapping[str, str]:
        """Return the tiers that are not asked now, each with the reason."""
        left = {name: circuit.seconds_left() for name, circuit in self._circuits.items()}
        return {
            name: f"its breaker is open for {seconds:.3g} s more after {self._circuits[name].why}"
            for name, seconds in left.items()
            if seconds is not None
        }

    def refusal(self, call: ModelCall) -> TierError | None:
        """Return the failure that stands for a model call that is not made, or None where it is to be made."""
        circuit = self._circuit(call.tier)
        # Counted as a trial also where it is asked whatever its breaker says.
        if circuit is None or circuit.admits() or call.forced:
            return None
        return self.not_asked(call.tier)

    def not_asked(self, tier: Tier) -> TierError:
        """Return the failure of a tier that is not asked, of the class of its last one."""
        circuit = self._circuit(tier)
        kind = Exception if circuit is None else circuit.kind
        return TierError(tier.name, "not asked: its breaker is open", origin=Origin(kind=kind, blame="nobody"))

    def record(self, call: ModelCall, reply: Reply) -> None:
        """Record how a model call ended; where that opens a breaker, the log says so, once."""
        circuit = self._circuit(call.tier)
        seconds = None if circuit is None else record(circuit, reply)
        if circuit is not None and seconds is not None:
            logger.warning(
                "tier %s fails: %s; it is not asked for %.3g s, and then tried (its breaker is open)",
                call.tier.name,
                circuit.why,
                seconds,
            )

    def stats(self) -> dict[str, dict[str, Any]]:
        """Return the state of each tier's breaker by the tier's name; nothing where there are none."""
        return {name: circuit.stats() for name, circuit in self._circuits.items()}

    def _circuit(self, tier: Tier) -> Circuit | None:
        if self._settings is None:
            return None
        # A judge may have a model of its own, of any name.
        own = tier.name in self._ladder and self._ladder[tier.name].model is tier.model
        return self._circuits[tier.name] if own else circuit_of(tier, self._settings)

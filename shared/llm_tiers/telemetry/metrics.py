"""The metrics of all calls together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from llm_tiers.telemetry.attributes import escalations, known
from llm_tiers.telemetry.evaluations import disagreements

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter

    from llm_tiers.trace import Trace

__all__ = ["Metrics"]


class Metrics:
    """Counts calls, escalations, disagreements, and what was spent and saved.

    Args:
        meter: Makes the instruments.
    """

    def __init__(self, meter: Meter) -> None:
        self._calls = meter.create_counter("llm_tiers.calls", "{call}", "Calls, failed ones included")
        self._escalations = meter.create_counter(
            "llm_tiers.escalations", "{tier}", "Tiers asked for an answer after the first"
        )
        self._disagreements = meter.create_counter(
            "llm_tiers.disagreements", "{answer}", "Answers that differ from the one that was returned"
        )
        # Grading is paid for after the call, so what a call saved may fall.
        self._cost = meter.create_counter("llm_tiers.cost_usd", "USD", "What calls cost, where it is known")
        self._saved = meter.create_up_down_counter(
            "llm_tiers.saved_usd", "USD", "What the top tier alone would have cost, less what calls cost"
        )

    def count(self, trace: Trace, said: Mapping[str, int], error: str | None = None) -> None:
        """Count a call that has ended.

        Args:
            trace: Its trace.
            said: Tier name to a number: equal numbers are equal answers, -1 is none.
            error: The kind of error that ended it, or None.
        """
        by = _attributes(trace)
        self._calls.add(1, by | known({"error.type": error}))
        for counter, number in (
            (self._escalations, escalations(trace)),
            (self._disagreements, disagreements(trace, said)),
        ):
            if number:
                counter.add(number, by)
        if trace.cost_usd is not None:
            self._cost.add(trace.cost_usd, by)
        if trace.saved_usd is not None:
            self._saved.add(trace.saved_usd, by)

    def count_grading(self, trace: Trace) -> None:
        """Count what grading the answers of a call cost afterwards."""
        cost = trace.grading and trace.grading.cost_usd
        if cost:
            self._cost.add(cost, _attributes(trace))
            self._saved.add(-cost, _attributes(trace))


def _attributes(trace: Trace) -> dict[str, str | bool | int | float | list[str]]:
    return known(
        {"llm_tiers.node": trace.node, "llm_tiers.policy": trace.policy, "llm_tiers.answered_tier": trace.final}
    )

"""What a user says about telemetry."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

from llm_tiers.arguments import kind_of, require

__all__ = ["Telemetry", "as_telemetry"]


@dataclass(frozen=True, slots=True)
class Telemetry:
    """Where OpenTelemetry's spans, metrics and events go, and whether each model call has a span.

    Attributes:
        tier_spans: Whether each model call has a span of its own with its tokens and its cost. None: where nobody else
            makes one, such as an instrumentation of the framework or of the provider's client; tokens would be counted
            twice.
        tracer_provider: Makes the spans; by default the process's.
        meter_provider: Makes the metrics; by default the process's.
        logger_provider: Takes the events; by default the process's. Where there is none, spans carry the events.

    Raises:
        ConfigError: `tier_spans` is neither None nor a bool.
    """

    tier_spans: bool | None = None
    tracer_provider: Any = field(default=None, repr=False)
    meter_provider: Any = field(default=None, repr=False)
    logger_provider: Any = field(default=None, repr=False)

    def __post_init__(self) -> None:
        given = self.tier_spans
        require(given is None or isinstance(given, bool), f"tier_spans must be True, False or None, not {given!r:.80}")

    def __reduce__(self) -> tuple[Any, ...]:
        # Providers have threads and locks; in another process, that process's are used.
        return partial(Telemetry, tier_spans=self.tier_spans), ()


def as_telemetry(given: object) -> Telemetry | None:
    """Return the settings that a user gives as `telemetry=`; None where it is switched off.

    Raises:
        ConfigError: It is neither a bool, nor None, nor a `Telemetry`.
    """
    if isinstance(given, Telemetry):
        return given
    known = given is None or isinstance(given, bool)
    require(known, f"telemetry must be True, False, None or a Telemetry(...), not {kind_of(given)}")
    return None if given is False else Telemetry()

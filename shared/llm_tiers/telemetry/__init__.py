"""What a call tells OpenTelemetry: spans, events and metrics. Nothing is told where no SDK is configured."""

from llm_tiers.telemetry.settings import Telemetry

__all__ = ["Telemetry"]

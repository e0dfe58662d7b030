"""What instrumentation hears of a call."""

from __future__ import annotations

from typing import Any

from llama_index.core.instrumentation.events import BaseEvent
from pydantic import Field

__all__ = ["TierDecision"]


class TierDecision(BaseEvent):
    """Which tier answered a call, and why; dispatched at the end of every call, failed and cancelled ones included.

    Its `span_id` is that of the call's span.

    Attributes:
        trace: The trace as JSON-ready data under 2 kB, as an answer carries it in `additional_kwargs["tiers"]`.
    """

    trace: dict[str, Any] = Field(default_factory=dict)

    @classmethod
    def class_name(cls) -> str:
        """Return the name of the event."""
        return "TierDecision"

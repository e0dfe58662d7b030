"""The instrumentation event of a call."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from llama_index.core.instrumentation.events import BaseEvent
from llama_index_instrumentation import get_dispatcher
from pydantic import Field

from llamaindex_tiers.runs import own_span_id

if TYPE_CHECKING:
    from llm_tiers.trace import Trace

__all__ = ["TierDecision", "dispatch_decision"]

# The dispatcher of the class: a handler that a user has attached to its spans gets the event too.
dispatcher = get_dispatcher("llamaindex_tiers.llm")

_OPENINFERENCE = logging.getLogger("openinference.instrumentation.llama_index._handler")


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


def dispatch_decision(trace: Trace) -> None:
    """Dispatch the event of a call that has ended."""
    dispatcher.event(TierDecision(trace=trace.to_dict(), span_id=own_span_id()))


def _is_news(record: logging.LogRecord) -> bool:
    return record.getMessage() != "Unhandled event of type TierDecision"


# OpenInference logs a warning for each event of a class that it does not know: one for every call.
_OPENINFERENCE.addFilter(_is_news)

"""What was asked and answered, which is told only where the standard switch asks for it."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llm_tiers.call.answer import Answer
    from llm_tiers.call.call import Call
    from llm_tiers.telemetry.attributes import Attributes

__all__ = ["content_of", "is_told"]

SWITCH = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
_ON = ("true", "1", "span_only", "span_and_event", "event_only")
_ON_SPANS = _ON[:-1]


def is_told(*, on_spans: bool = False) -> bool:
    """Say whether the user wants texts to be told, in spans or anywhere."""
    return os.environ.get(SWITCH, "").strip().lower() in (_ON_SPANS if on_spans else _ON)


def content_of(call: Call, answer: Answer | None) -> Attributes:
    """Return question and answer as the conventions have them in a span's attributes."""
    told: Attributes = {"gen_ai.input.messages": json.dumps([_message("user", call.question)])}
    if answer is not None:
        said = _message("assistant", answer.text) | {"finish_reason": answer.finish or "stop"}
        told["gen_ai.output.messages"] = json.dumps([said])
    return told


def _message(role: str, text: str) -> dict[str, object]:
    return {"role": role, "parts": [{"type": "text", "content": text}]}

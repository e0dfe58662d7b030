"""What happened on one call and why, small enough to travel with the answer."""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from llm_tiers.requests import Role

__all__ = ["Attempt", "Trace"]

_LIMIT = 2_000
_TEXT_LENGTHS = (160, 80, 40)


class Attempt(BaseModel):
    """One model call.

    Attributes:
        tier: Name of the tier.
        role: What the call was for.
        verdict: What the judge said of this answer; None where nobody judged it.
        by: What decided the verdict, such as `"prompt"`, or None.
        input_tokens: Input tokens, None where the provider does not say.
        output_tokens: Output tokens, None where the provider does not say.
        seconds: How long the call took.
        cost_usd: What the call cost, None where its tokens or its price are unknown.
        error: Why the call failed, or None.
    """

    model_config = ConfigDict(frozen=True)

    tier: str
    role: Role
    verdict: Literal["valid", "invalid", "uncertain"] | None = None
    by: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    seconds: float = 0.0
    cost_usd: float | None = None
    error: str | None = None


class Trace(BaseModel):
    """What happened on one call and why.

    Attributes:
        trace_id: What `feedback` takes.
        node: Where in the user's graph the call came from.
        policy: Name of the policy.
        start: Name of the tier that answered first; None where the call ended before one was chosen.
        reason: Why the starter chose it.
        estimates: Each tier's chance to get the query right, as the starter saw it.
        neighbours: How many similar past calls the estimates rest on.
        attempts: Every model call, in the order of their ends.
        final: Name of the tier whose answer was returned; None where none was.
        cost_usd: What the call cost, judge and witnesses included; None where one attempt's cost is unknown.
        saved_usd: What the top tier alone would have cost, less `cost_usd`; negative where tiering cost more.
        saved_is_estimate: The top tier did not answer, so its cost is estimated from the tokens of the answer that
            was returned. A dearer tier often writes more, so this errs on the low side.
        seconds: How long the model calls took; side by side the longest counts.
        warnings: What went wrong without stopping the call, and what was left out.
    """

    model_config = ConfigDict(frozen=True)

    trace_id: str
    node: str = ""
    policy: str
    start: str | None = None
    reason: str = ""
    estimates: dict[str, float] = {}
    neighbours: int = 0
    attempts: tuple[Attempt, ...] = ()
    final: str | None = None
    cost_usd: float | None = None
    saved_usd: float | None = None
    saved_is_estimate: bool = False
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the trace as JSON-ready data under 2 kB: it ends up in checkpoints.

        Numbers are rounded; where many calls failed at length, their error texts and the warnings are cut short.
        """
        data: dict[str, Any] = _rounded(self.model_dump(mode="json"))
        for length in _TEXT_LENGTHS:
            if len(json.dumps(data).encode()) <= _LIMIT:
                break
            data = _shortened(data, length)
        return data


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _shortened(data: dict[str, Any], length: int) -> dict[str, Any]:
    attempts = [{**attempt, "error": _cut(attempt["error"], length)} for attempt in data["attempts"]]
    return {**data, "attempts": attempts, "warnings": [_cut(text, length) for text in data["warnings"][:5]]}


def _cut(text: str | None, length: int) -> str | None:
    return text if text is None or len(text) <= length else text[: length - 1] + "…"

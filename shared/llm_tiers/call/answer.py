"""What a tier gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from llm_tiers.usage import Usage

__all__ = ["Answer", "Finish", "ToolCall"]

Finish: TypeAlias = Literal["stop", "length", "filter"]
"""Why an answer ends: the model was done, a limit on tokens cut it short, or the provider filtered it."""

# "stop" is absent, and so is None: a provider that gives no reason has most likely returned the whole answer.

_UNFINISHED: dict[Finish | None, str] = {
    "length": "cut short at the limit of tokens",
    "filter": "filtered by the provider",
}


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call in an answer.

    Attributes:
        name: Name of the tool.
        arguments: The arguments; None if they are not a JSON object.
    """

    name: str
    arguments: Mapping[str, Any] | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """What one tier answered.

    Attributes:
        tier: Name of the tier.
        text: The answer as a judge reads it.
        value: What decides whether two answers are equal; None for a missing answer, such as an empty one or a refusal.
        usage: The tokens, or None if the provider does not report them.
        message: The framework's own object, which is returned to the user.
        seconds: How long the call took; None lets the driver's clock decide.
        tool_calls: The tools that the answer calls.
        chunks: The chunks as the provider streamed them, if it did; the framework's own objects.
        live: Whether the user has already received the chunks as they came.
        finish: Why the answer ends; None if the provider does not say.
    """

    tier: str
    text: str = field(repr=False)
    value: str | None = field(repr=False)
    usage: Usage | None = None
    message: Any = field(default=None, repr=False, compare=False)
    seconds: float | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    chunks: tuple[Any, ...] = field(default=(), repr=False, compare=False)
    live: bool = field(default=False, compare=False)
    finish: Finish | None = None

    @property
    def unfinished(self) -> str | None:
        """Why this is not the model's whole answer; None if it is, as far as the provider says."""
        return _UNFINISHED.get(self.finish)

"""What a tier gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from llm_tiers.usage import Usage

__all__ = ["Answer", "ToolCall"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call in an answer.

    Attributes:
        name: Name of the tool.
        arguments: The arguments; None where they are no JSON object.
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
        usage: The tokens, or None where the provider does not say.
        message: The framework's own object, which is returned to the user.
        seconds: How long the call took; None lets the driver's clock decide.
        tool_calls: The tools that the answer calls.
        chunks: The pieces as the provider streamed them, where it did; the framework's own objects.
        live: The user has been shown the chunks as they came.
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

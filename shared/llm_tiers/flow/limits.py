"""How far a model goes to answer a call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from llm_tiers.arguments import require

__all__ = ["Limits", "OnExhausted"]

OnExhausted: TypeAlias = Literal["answer", "raise"]
"""What is done where no tier from the start upward gave an answer that stands."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How far a model goes to answer a call.

    Attributes:
        on_exhausted: Where no tier from the start upward gives an answer that stands: `"answer"` takes one that no
            judge rejected from another tier, those below the start included, and the trace says that it is degraded;
            `"raise"` raises `AllTiersFailed`.

    Raises:
        ConfigError: An argument is out of its range.
    """

    on_exhausted: OnExhausted = "answer"

    def __post_init__(self) -> None:
        require(
            self.on_exhausted in ("answer", "raise"),
            f"on_exhausted={self.on_exhausted!r} must be 'answer' (a tier below may answer) or 'raise'",
        )

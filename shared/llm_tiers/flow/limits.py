"""How far a model goes to answer a call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, cast

from llm_tiers.arguments import require, require_number

__all__ = ["DEADLINE", "Limits", "OnExhausted"]

OnExhausted: TypeAlias = Literal["answer", "raise"]
"""What is done where no tier from the start upward gave an answer that stands."""


DEADLINE = 900.0
"""Seconds that a call takes at most by default."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How far a model goes to answer a call.

    Attributes:
        on_exhausted: Where no tier from the start upward gives an answer that stands: `"answer"` takes one that no
            judge rejected from another tier, those below the start included, and the trace says that it is degraded;
            `"raise"` raises `AllTiersFailed`.
        history_timeout: Seconds for all that a call asks of its history, and for making vectors of the query; then the
            call goes on without it. What is loaded once, such as the default embedding and a folder, does not count.
            None has no limit.
        deadline: Seconds for the whole call; after that no further model is asked. The model call under way is cut
            short too in asyncio. In sync code it is cut short only if the deadline is not the default, since that takes
            a thread for each call. None has no limit.

    Raises:
        ConfigError: An argument is out of its range.
    """

    on_exhausted: OnExhausted = "answer"
    history_timeout: float | None = 0.25
    deadline: float | None = DEADLINE

    def __post_init__(self) -> None:
        require(
            self.on_exhausted in ("answer", "raise"),
            f"on_exhausted={self.on_exhausted!r} must be 'answer' (a tier below may answer) or 'raise'",
        )
        _check_seconds(self.history_timeout, "history_timeout")
        _check_seconds(self.deadline, "deadline")

    @property
    def interrupts(self) -> bool:
        """Whether sync code cuts a model call short at the deadline; such calls are made in another thread."""
        return self.deadline is not None and self.deadline != DEADLINE


def _check_seconds(seconds: object, name: str) -> None:
    if seconds is not None:
        require_number(seconds, name)
        require(cast("float", seconds) > 0, f"{name}={seconds!r} must be more than 0 seconds, or None for no limit")

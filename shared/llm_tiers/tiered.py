"""What a framework's model over a ladder does beside answering: feedback, closing, copies."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, Field

if TYPE_CHECKING:
    from llm_tiers.engine import Engine

    Base = BaseModel
else:
    Base = object

__all__ = ["Tiered", "hidden_setting", "standard_setting"]


def hidden_setting(default: Any = None) -> Any:
    """Return a field that no dump or representation shows: models hold keys, and a history's URL may."""
    return Field(default=default, exclude=True, repr=False, frozen=True)


def standard_setting() -> Any:
    """Return a field for a setting that goes to the tiers; another one needs another model (`model_copy`)."""
    return Field(default=None, frozen=True)


class Tiered(Base):
    """For a pydantic model of a framework that holds an engine; it stands first among the bases.

    The model has a field `history`, and notes in `_given_history` which history and which embedding it was given: its
    copies are made of its fields, and have to share what was learned.
    """

    if TYPE_CHECKING:
        _engine: Engine
        _given_history: tuple[Any, Any]
        history: Any

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await asyncio.to_thread(self.close)

    def close(self) -> None:
        """Write what the history has pending and close it; a `History` that was given and the tiers stay open.

        Raises:
            HistoryError: Something could not be written. The history is let go of all the same.
        """
        given, _ = self._given_history
        if given is None or isinstance(given, str | os.PathLike):
            self._engine.close()

    def feedback(self, trace_id: str, *, correct: bool) -> None:
        """Tell whether an answer was right; the next estimates change accordingly.

        Args:
            trace_id: The `trace_id` in the answer's trace.
            correct: Whether the answer was right.

        Raises:
            UnknownTrace: The history has no record of the call.
        """
        self._engine.feedback(trace_id, correct=correct)

    async def afeedback(self, trace_id: str, *, correct: bool) -> None:
        """Tell in asyncio whether an answer was right; as `feedback`."""
        await asyncio.to_thread(self.feedback, trace_id, correct=correct)

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """Return another model over the same tiers and the same history."""
        return self.model_copy(deep=True)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return another model, with some arguments changed; it shares what is learned, unless it gets a history.

        Raises:
            ConfigError: An argument is wrong.
        """
        if not update and not deep:
            return super().model_copy()
        shared = {"history": self.history, "embedding": None}
        return type(self)(**{**self._arguments(), **shared, **(update or {})})

    def _arguments(self) -> dict[str, Any]:
        history, embedding = self._given_history
        arguments = {name: getattr(self, name) for name in self.model_fields_set}
        return arguments | {"history": history, "embedding": embedding}

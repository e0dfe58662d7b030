"""Answers that come in chunks."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from llm_tiers.call.answer import Answer

__all__ = ["result_last", "withholding"]


def result_last(live: Generator[Any, None, Any]) -> Generator[Any]:
    """Yield what a generator yields and then what it returns, as its twin in asyncio does."""
    with closing(live):
        yield (yield from live)


def withholding(items: Sequence[Any]) -> Answer:
    """Return the answer at the end of a stream with its chunks, so that they can be shown later.

    Args:
        items: The chunks and, last, the answer.
    """
    *chunks, answer = items
    return replace(cast("Answer", answer), chunks=tuple(chunks))

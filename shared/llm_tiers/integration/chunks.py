"""Answers that come in chunks."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

from llm_tiers.owned import owned

if TYPE_CHECKING:
    from llm_tiers.call.answer import Answer

__all__ = ["afrom_first_word", "from_first_word", "result_last", "withholding"]

Chunk = TypeVar("Chunk")


def result_last(live: Generator[Any, None, Any]) -> Generator[Any]:
    """Yield what a generator yields and then what it returns, as its twin in asyncio does."""
    with closing(live):
        # An asynchronous generator cannot return a value, so both kinds give the result as their last item.
        yield (yield from live)


def withholding(items: Sequence[Any]) -> Answer:
    """Return the answer at the end of a stream with its chunks, so that they can be shown later.

    Args:
        items: The chunks and, last, the answer.
    """
    # The blank chunks that the stream held back are in the answer already.
    *chunks, answer = items
    return replace(cast("Answer", answer), chunks=(*chunks, *cast("Answer", answer).chunks))


def from_first_word(
    chunks: Generator[Chunk], says: Callable[[Chunk], bool]
) -> Generator[Chunk, None, tuple[Chunk, ...]]:
    """Yield chunks as they come, but the blank ones at the beginning only together with the first that says something.

    What the user has been shown cannot be taken back, and a tier that has nothing to say must leave room for an earlier
    answer.

    Args:
        chunks: The chunks; they are closed at the end.
        says: Says of a chunk whether it shows more than blanks.

    Returns:
        The chunks that were held back to the end: all of a stream that says nothing.
    """
    held: list[Chunk] = []
    with closing(chunks):
        for chunk in chunks:
            held.append(chunk)
            if says(chunk):
                yield from held
                held.clear()
                # From here on every chunk goes out as it comes, blank or not: nothing can be taken back any more.
                yield from chunks
    return tuple(held)


async def afrom_first_word(
    chunks: AsyncGenerator[Chunk], says: Callable[[Chunk], bool], held: list[Chunk]
) -> AsyncGenerator[Chunk]:
    """Yield chunks in asyncio as `from_first_word` does; in `held` remains what was held back to the end."""
    async with owned(chunks) as inside:
        async for chunk in inside:
            held.append(chunk)
            if says(chunk):
                for early in held:
                    yield early
                held.clear()
                async for late in inside:
                    yield late

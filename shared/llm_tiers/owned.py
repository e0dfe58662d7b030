"""Async generators inside others: only the one around closes them."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Awaitable
from typing import Generic, Self, TypeVar

__all__ = ["owned"]

Item_co = TypeVar("Item_co", covariant=True)


class owned(Generic[Item_co]):  # noqa: N801 -- used as `contextlib.aclosing` is
    """Closes an async generator at the end of a block, as `contextlib.aclosing` does, and keeps it from the event loop.

    A loop that ends closes every generator that it knows, all at once. Where one of them is closing another just then,
    Python raises, and the loop logs an error for each: a program that leaves a stream half read would end with a
    screenful of them. The loop knows those whose first item is asked for while its hooks are set, so they are not.

    ```python
    async with owned(chunks) as chunks:
        async for chunk in chunks: ...
    ```

    Args:
        items: The generator, of which nothing has been asked yet.
    """

    def __init__(self, items: AsyncGenerator[Item_co, None]) -> None:
        self._items = items
        self._begun = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    def __anext__(self) -> Awaitable[Item_co]:
        """Ask for the next item."""
        if self._begun:
            return self._items.__anext__()
        self._begun = True
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(None, None)
        try:
            return self._items.__anext__()
        finally:
            sys.set_asyncgen_hooks(*hooks)

    async def aclose(self) -> None:
        """Close the generator."""
        await self._items.aclose()

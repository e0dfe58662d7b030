"""A model that is loaded at its first text, once per process."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, ClassVar

__all__ = ["Lazy"]

Load = Callable[..., Callable[[str], Any]]


class Lazy:
    """A function from a text to its vector that `load(*arguments)` makes at the first text.

    Args:
        load: A function of a module, so that the object can be pickled.
        arguments: What `load` takes; hashable. The same arguments give the same loaded model.
    """

    _loaded: ClassVar[dict[tuple[Load, tuple[Any, ...]], Callable[[str], Any]]] = {}
    _loading: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, load: Load, *arguments: Any) -> None:
        self._load = load
        self._arguments = arguments

    def __call__(self, text: str) -> Any:
        """Return the vector of `text`; the first call loads the model."""
        key = self._load, self._arguments
        model = self._loaded.get(key)
        if model is None:
            with Lazy._loading:
                # Looked up once more: another thread may have loaded it while this one waited for the lock.
                model = self._loaded.get(key) or self._loaded.setdefault(key, self._load(*self._arguments))
        return model(text)

    @classmethod
    def renew_lock(cls) -> None:
        """Replace the lock, which another thread may have held when the process forked and would never release."""
        cls._loading = threading.Lock()


# Windows has no forks.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=Lazy.renew_lock)

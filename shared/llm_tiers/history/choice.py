"""The history that a user names."""

from __future__ import annotations

import os
from typing import Any

from llm_tiers.embedding.choice import as_embedding
from llm_tiers.errors import ConfigError
from llm_tiers.history.chroma import ChromaHistory
from llm_tiers.history.record import History

__all__ = ["as_history"]

_METHODS = ("recall", "remember", "revise", "close")


def as_history(history: object, embedding: object, namespace: str | None = None) -> History:
    """Open the history that a user names: None, a folder, a URL, or a history as it is.

    Args:
        history: What the user gives.
        embedding: What makes vectors of texts.
        namespace: The part of the place that it uses; None for the usual one.

    Raises:
        ConfigError: `history` is something else, or comes with an embedding that it cannot take any more.
        HistoryError: The folder or the server cannot be used, or another embedding made what is there.
    """
    if history is None or isinstance(history, str | os.PathLike):
        chosen = as_embedding(embedding)
        try:
            if namespace is not None:
                return ChromaHistory(history, embedding=chosen, namespace=namespace)
            return ChromaHistory(history, embedding=chosen)
        except ConfigError as error:
            if str(error).startswith("namespace"):
                raise
            # `ChromaHistory` names its own argument, `where`; here the user gave it as `history`.
            raise ConfigError(f"history: {error}") from error
    # By methods, not by type: `History` is a protocol, and a user's own history need not inherit from anything.
    if not all(callable(getattr(history, method, None)) for method in _METHODS):
        raise ConfigError(
            f"history must be a folder, the URL of a Chroma server, a History, or None, not a {type(history).__name__}"
        )
    if namespace is not None:
        raise ConfigError("namespace: give it to the history: ChromaHistory(..., namespace=...)")
    if embedding is not None:
        raise ConfigError("embedding: give it to the history: ChromaHistory(..., embedding=...)")
    kept: Any = history
    return kept  # type: ignore[no-any-return]  # it has the methods of the protocol

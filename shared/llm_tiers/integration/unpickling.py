"""Making a model again in another process, which may not have the folder of its history."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from llm_tiers.errors import HistoryLocked

__all__ = ["made_again"]

Model = TypeVar("Model")

logger = logging.getLogger("llm_tiers")


def made_again(kind: Callable[..., Model], arguments: Mapping[str, Any]) -> Model:
    """Make a model of its arguments; where another process holds the folder, with a history in memory.

    A process of a pool that fails while it unpickles what it is given is replaced by one that fails as well, for ever.

    Args:
        kind: The model's class.
        arguments: What it was made of.
    """
    try:
        return kind(**arguments)
    except HistoryLocked as error:
        _say(error)
        return kind(**{**arguments, "history": None})


_said: list[str] = []


def _say(error: HistoryLocked) -> None:
    # Once in each process: a pool passes its models with each task.
    if not _said:
        _said.append(str(error))
        logger.warning(
            "an unpickled model works without its history's folder, which another process holds: it neither knows nor "
            "keeps what others learn (logged once); give it the URL of a Chroma server to share it (%s)",
            error,
        )

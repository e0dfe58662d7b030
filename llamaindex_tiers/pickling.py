"""Pickling a tiered LLM: the arguments that it was made of, and making it again."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Mapping
from typing import Any, TypeVar

from llama_index.core.llms import LLM

from llm_tiers.integration.unpickling import made_again

__all__ = ["remake", "without_unpicklable_callbacks"]

Model = TypeVar("Model", bound=LLM)

logger = logging.getLogger("llm_tiers")


def without_unpicklable_callbacks(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out callback handlers that cannot be pickled, as LlamaIndex's LLMs do."""
    rest = dict(arguments)
    manager = rest.pop("callback_manager", None)
    try:
        # There is no other way to know: a handler may hold anything, such as a lock or a connection.
        pickle.dumps(manager)
    except (TypeError, AttributeError, pickle.PicklingError):
        logger.warning("the callback manager cannot be pickled and is left out")
        return rest
    return rest if manager is None else {**rest, "callback_manager": manager}


def remake(kind: type[Model], arguments: Mapping[str, Any]) -> Model:
    """Make the LLM again: the constructor takes its arguments by name, which `__reduce__` cannot pass."""
    return made_again(kind, arguments)

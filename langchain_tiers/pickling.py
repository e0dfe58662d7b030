"""Pickling chat models whose clients cannot be pickled, such as those of OpenAI's."""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from typing import Any

from langchain_core.language_models import BaseChatModel

from llm_tiers.integration.models import arguments_of
from llm_tiers.integration.unpickling import made_again

__all__ = ["packed", "unpacked"]


def packed(arguments: Mapping[str, Any]) -> bytes:
    """Pickle a tiered model's arguments; chat models that cannot be pickled as what they were made of.

    Raises:
        TypeError: Something else cannot be pickled.
    """
    # A pickle inside the pickle, since `reducer_override` needs a pickler of our own and the user's is another.
    buffer = io.BytesIO()
    _Pickler(buffer).dump(dict(arguments))
    return buffer.getvalue()


def unpacked(kind: type[BaseChatModel], arguments: bytes) -> BaseChatModel:
    """Make the tiered model again."""
    return made_again(kind, pickle.loads(arguments))  # noqa: S301 -- part of a pickle that is being loaded


class _Pickler(pickle.Pickler):
    def reducer_override(self, value: Any) -> Any:
        if not isinstance(value, BaseChatModel) or _pickles(value):
            # Pickle then goes its usual way.
            return NotImplemented
        return _remake, (type(value), arguments_of(value))


def _pickles(model: BaseChatModel) -> bool:
    try:
        # There is no other way to know: a client may hold locks and connections anywhere inside.
        pickle.dumps(model)
    # Which of these it is depends on the object that pickle stops at.
    except (TypeError, AttributeError, pickle.PicklingError):
        return False
    return True


def _remake(kind: type[BaseChatModel], arguments: Mapping[str, Any]) -> BaseChatModel:
    return kind(**arguments)

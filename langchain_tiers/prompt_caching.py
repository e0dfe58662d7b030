"""Anthropic's prompt caching: its marks reach the tiers of Anthropic's, and no others.

A middleware asks the model's class whether to mark a request, so a ladder with a tier of Anthropic's is an instance of
that tier's class as well. What it marks then goes to all tiers, and the others' providers refuse it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from langchain_core.messages import BaseMessage

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from llm_tiers.ladder.tiers import Tier

__all__ = ["MARK", "Faced", "is_marked_for", "without_marks"]

MARK = "cache_control"
"""What a setting, a block of a message and a tool's extras are called that ask Anthropic to cache."""

_CLASS = "ChatAnthropic"


def is_marked_for(model: BaseChatModel) -> bool:
    """Say whether a model takes Anthropic's marks: its own API's, or that of a cloud that serves its models."""
    # As LangChain's own middlewares ask, since the clouds' classes lie in other packages and share no base.
    return model._llm_type.startswith("anthropic")  # noqa: SLF001


def without_marks(messages: Iterable[BaseMessage]) -> list[BaseMessage]:
    """Return messages as they were before they were marked."""
    return [_without_marks(message) for message in messages]


def _without_marks(message: BaseMessage) -> BaseMessage:
    blocks = message.content
    if isinstance(blocks, str) or not any(isinstance(block, Mapping) and MARK in block for block in blocks):
        return message
    bare = [_without(block) if isinstance(block, Mapping) else block for block in blocks]
    only = bare[0] if len(bare) == 1 else None
    # A text becomes a block only to be marked, and not every server takes blocks.
    is_text = isinstance(only, Mapping) and only.keys() == {"type", "text"}
    return message.model_copy(update={"content": only["text"] if is_text and isinstance(only, Mapping) else bare})


def _without(block: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in block.items() if key != MARK}


class Faced:
    """A model over a ladder that is an instance of Anthropic's class too, where a tier is; a base beside pydantic's.

    By its `__class__` alone, which `isinstance` asks: `type(model)` is the model's own class, and so are its fields and
    methods.
    """

    tiers: Any

    @property  # type: ignore[misc]  # nobody sets a model's class
    def __class__(self) -> type[Any]:
        """The class that `isinstance` asks."""
        # While pydantic makes the model it has no tiers yet.
        own: Any = type(self)
        face: type[Any] = _face(own, _class_in(self.__dict__.get("tiers", ())))
        return face


def _class_in(tiers: Sequence[Tier]) -> Any:
    """Return Anthropic's class where a tier's model is an instance of it."""
    kinds = (kind for tier in tiers for kind in type(tier.model).__mro__)
    # By name, because Anthropic's package need not be installed.
    return next((kind for kind in kinds if kind.__name__ == _CLASS), None)


@lru_cache(maxsize=32)
def _face(own: Any, other: Any) -> Any:
    """Return a class that is both, of which there is never an instance; `own` itself where there is no other."""
    if other is None:
        return own
    # Without pydantic, which would merge the fields of both.
    named = {"__module__": own.__module__, "__qualname__": own.__qualname__, "__doc__": own.__doc__}
    return type.__new__(type(own), own.__name__, (own, other), named)

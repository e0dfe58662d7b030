"""Prompt caching by Anthropic's, Bedrock's and Fireworks' middlewares: it reaches their tiers, and no others.

A middleware asks for the model's class, so a ladder with a tier of such a class is an instance of that class as well.
Anthropic's then marks messages, tools and settings, which go to all tiers, and the others' providers refuse them.
Bedrock's marks the settings alone, and asks for the model's id before. Fireworks' leaves something in the context,
where only its own models look.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from langchain_core.messages import BaseMessage

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from llm_tiers.ladder.tiers import Tier

__all__ = ["MARK", "Faced", "is_marked_for", "takes_setting", "without_marks"]

MARK = "cache_control"
"""What a setting, a block of a message and a tool's extras are called that ask Anthropic to cache."""

_CLASSES = ("ChatAnthropic", "ChatBedrock", "ChatBedrockConverse", "ChatFireworks")
"""Classes that middlewares ask for; by name, because their packages need not be installed."""

_CACHED_BY_BEDROCK = ("anthropic", "amazon.nova")
"""What is in the ids of the models whose prompts Bedrock caches."""


def is_marked_for(model: BaseChatModel) -> bool:
    """Say whether a model takes Anthropic's marks: its own API's, or that of a cloud that serves its models."""
    # As LangChain's own middlewares ask, since the clouds' classes lie in other packages and share no base.
    return model._llm_type.startswith("anthropic")  # noqa: SLF001


def takes_setting(model: BaseChatModel) -> bool:
    """Say whether a model takes the mark among its settings: one that takes it anywhere, and some of Bedrock's."""
    return is_marked_for(model) or _id_at_bedrock(model) is not None


def _id_at_bedrock(model: BaseChatModel) -> str | None:
    """Return the id of a model whose prompts Bedrock caches; None for any other model."""
    if not model._llm_type.startswith("amazon_bedrock"):  # noqa: SLF001
        return None
    # A model of the user's own says besides which model it was made of.
    known = str(getattr(model, "base_model_id", None) or getattr(model, "model_id", None) or "")
    return known if any(part in known.lower() for part in _CACHED_BY_BEDROCK) else None


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
    """A model over a ladder that is an instance of its tiers' classes, where middlewares ask for them.

    A base beside pydantic's.

    By its `__class__` alone, which `isinstance` asks: `type(model)` is the model's own class, and so are its fields and
    methods.
    """

    tiers: Any

    @property  # type: ignore[misc]  # nobody sets a model's class
    def __class__(self) -> type[Any]:
        """The class that `isinstance` asks."""
        # While pydantic makes the model it has no tiers yet.
        own: Any = type(self)
        face: type[Any] = _face(own, *_classes_in(self.__dict__.get("tiers", ())))
        return face

    @property
    def model_id(self) -> str:
        """The id of the tier whose prompts Bedrock caches, for Bedrock's middleware.

        Raises:
            AttributeError: There is none.
        """
        for tier in self.tiers:
            if (known := _id_at_bedrock(tier.model)) is not None:
                return known
        raise AttributeError("model_id")


def _classes_in(tiers: Sequence[Tier]) -> tuple[Any, ...]:
    """Return the classes of the tiers' models that middlewares ask for, each once."""
    kinds = (kind for tier in tiers for kind in type(tier.model).__mro__)
    return tuple(dict.fromkeys(kind for kind in kinds if kind.__name__ in _CLASSES))


@lru_cache(maxsize=32)
def _face(own: Any, *others: Any) -> Any:
    """Return a class that is all of them, of which there is never an instance; `own` itself where there is no other."""
    if not others:
        return own
    # Without pydantic, which would merge the fields of both.
    named = {"__module__": own.__module__, "__qualname__": own.__qualname__, "__doc__": own.__doc__}
    return type.__new__(type(own), own.__name__, (own, *others), named)

"""What the user asks in one call: messages, settings, tools, the shape of the answer."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from langchain_tiers.messages import shape_of
from langchain_tiers.prompt_caching import MARK, is_marked_for, takes_setting, without_marks
from langchain_tiers.structured import StructuredOutput
from langchain_tiers.tools import ToolBinding, form_of, take_tools
from llm_tiers.errors import ConfigError
from llm_tiers.integration.kinds import request_kind
from llm_tiers.integration.models import knows

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage
    from langchain_core.runnables import Runnable

    from llm_tiers.call.form import Form
    from llm_tiers.ladder.tiers import Tier

__all__ = ["STANDARD_SETTINGS", "Request"]

STANDARD_SETTINGS = ("temperature", "max_tokens", "timeout", "stop", "max_retries")
"""Settings that most chat models have; they go to the tiers that know them."""


@dataclass(frozen=True, slots=True)
class Request:
    """One call as the user makes it.

    Attributes:
        messages: The user's messages.
        settings: The user's settings of this call, such as `stop` and `temperature`.
        tools: The tools, or None.
        structured: The object asked for, or None.
        marked: Some tiers take Anthropic's marks, which the others are not given.
        cached: Some tiers take the mark among their settings, which the others are not given.
    """

    messages: Sequence[BaseMessage]
    settings: Mapping[str, Any]
    tools: ToolBinding | None = None
    structured: StructuredOutput | None = None
    marked: bool = False
    cached: bool = False

    @classmethod
    def of(
        cls,
        messages: Sequence[BaseMessage],
        stop: list[str] | None,
        settings: Mapping[str, Any],
        tiers: Iterable[Tier] = (),
    ) -> Self:
        """Split the arguments of a chat model's method into messages, tools, object and settings.

        Args:
            messages: The messages.
            stop: The stop sequences of this call, or None.
            settings: The other settings.
            tiers: The tiers that may be asked.

        Raises:
            ConfigError: There is no message.
        """
        if not messages:
            raise ConfigError("input: the list of messages is empty; give at least one message")
        rest = dict(settings) if stop is None else {**settings, "stop": stop}
        # Ours, bound by `with_structured_output`: no tier's client knows it.
        structured = rest.pop("structured_output", None)
        tools = take_tools(rest)
        models = [tier.model for tier in tiers]
        return cls(
            tuple(messages), rest, tools, structured, any(map(is_marked_for, models)), any(map(takes_setting, models))
        )

    @property
    def form(self) -> Form | None:
        """The form that an answer must have, or None."""
        if self.structured is not None:
            # First, since a shape knows the tools that may be called in place of the object.
            return self.structured.shape.form
        if self.tools is not None:
            return self.tools.form
        shape = self.settings.get("response_format")
        return None if shape is None else form_of(shape)

    @property
    def offers_tools(self) -> bool:
        """Whether the answer may call tools."""
        return self.tools is not None or bool(self.structured and self.structured.shape.tools)

    @property
    def wants_schema(self) -> bool:
        """Whether the provider itself is to keep the answer to a schema, not by function calling."""
        if self.structured is not None:
            return self.structured.options.get("method") == "json_schema"
        shape = (
            self.settings.get("response_format") if self.tools is None else self.tools.options.get("response_format")
        )
        return shape is not None and (not isinstance(shape, Mapping) or shape.get("type") != "json_object")

    @property
    def names(self) -> frozenset[str]:
        """The names of the user's settings, those of the tools included."""
        return frozenset(self.settings) | frozenset(() if self.tools is None else self.tools.options)

    def kind(self) -> Hashable:
        """Return what stands for requests that are like this one in all but their texts."""
        shape = None if self.structured is None else (self.structured.shape.function, dict(self.structured.options))
        tools = None if self.tools is None else (self.tools.tools, dict(self.tools.options))
        return request_kind((dict(self.settings), tools, shape), map(shape_of, self.messages))

    def model_for(self, tier: Tier, without: frozenset[str] = frozenset()) -> Runnable[Any, Any]:
        """Return the tier's model with the tools or the object asked for.

        Args:
            tier: The tier.
            without: Options of the tools that its model does not know.

        Raises:
            TierError: The tier cannot give such an object.
        """
        if self.structured is not None:
            return self.structured.bound(tier)
        model: Runnable[Any, Any] = tier.model
        return model if self.tools is None else self.tools.bound(tier.model, without)

    def messages_for(self, tier: Tier) -> list[BaseMessage]:
        """Return the messages as the tier's model takes them."""
        hidden = self.marked and not is_marked_for(tier.model)
        return without_marks(self.messages) if hidden else list(self.messages)

    def settings_for(self, tier: Tier, without: frozenset[str] = frozenset()) -> dict[str, Any]:
        """Return the settings without those standard ones that the tier's model does not know.

        Args:
            tier: The tier.
            without: Other settings that it does not know.
        """
        # Where no tier takes it, it is the user's mistake, and the provider says so.
        without |= {MARK} if self.cached and not takes_setting(tier.model) else set()
        return {
            name: value
            for name, value in self.settings.items()
            # Every chat model's methods take `stop`, whether or not it is a field as well.
            if name not in without and (name == "stop" or name not in STANDARD_SETTINGS or knows(tier.model, name))
        }

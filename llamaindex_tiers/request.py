"""What the user asks in one call: of which method, with what, and in which form the answer must come."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Self

from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.llms.function_calling import FunctionCallingLLM

from llamaindex_tiers.messages import copied, shape_of, with_postscript
from llamaindex_tiers.reading import told_reading
from llamaindex_tiers.structured import Shape
from llamaindex_tiers.tool_history import portable
from llamaindex_tiers.tools import form_of_text, form_of_tools
from llm_tiers.errors import ConfigError
from llm_tiers.integration.kinds import request_kind
from llm_tiers.integration.models import knows

if TYPE_CHECKING:
    from llama_index.core.llms import LLM
    from llama_index.core.tools.types import BaseTool

    from llamaindex_tiers.reading import Reading
    from llm_tiers.call.form import Form

__all__ = ["STANDARD_SETTINGS", "Request", "conversation", "tool_options"]

STANDARD_SETTINGS = ("temperature", "max_tokens", "timeout", "max_retries")
"""Settings that most LLMs have; they go to the tiers that know them."""

OF_THE_CALL = ("model", "timeout", "principal")
"""Settings that no tier is given: one pins a tier, the driver keeps another, and the history is told who asks."""

Method = Literal["complete", "chat", "chat_with_tools", "structured_predict"]


@dataclass(frozen=True, slots=True)
class Request:
    """One call as the user makes it.

    Attributes:
        method: The method, without the prefix for async and streaming.
        messages: What is asked, as messages.
        settings: The user's settings of this call; `model` and `timeout` among them are for the ladder.
        own: What the method takes besides messages and settings.
        shape: The object asked for, or None.
        form: The form that an answer must have, or None.
        offers_tools: Whether the answer may call tools.
        toolless: It is a chat with tools of which there is none.
        mixed: The tiers' classes write tool calls in different ways, so each is given those of the others in its own.
    """

    method: Method
    messages: Sequence[ChatMessage] = field(repr=False)
    settings: Mapping[str, Any] = field(repr=False)
    own: Mapping[str, Any] = field(default_factory=dict, repr=False)
    shape: Shape | None = None
    form: Form | None = field(default=None, repr=False)
    offers_tools: bool = False
    toolless: bool = False
    mixed: bool = False

    @classmethod
    def complete(cls, prompt: str, settings: Mapping[str, Any], *, formatted: bool) -> Self:
        """Describe a completion.

        Raises:
            ConfigError: The prompt is no text.
        """
        if not isinstance(prompt, str):
            raise ConfigError(f"prompt must be a text, not a {type(prompt).__name__}")
        asked = [ChatMessage(role=MessageRole.USER, content=prompt)]
        return cls("complete", asked, settings, {"formatted": formatted})

    @classmethod
    def chat(cls, messages: Sequence[ChatMessage], settings: Mapping[str, Any]) -> Self:
        """Describe a chat; with LlamaIndex's tools among the settings, one with tools.

        Raises:
            ConfigError: There is no message, or something else among them.
        """
        _check_messages(messages, "messages")
        tools = settings.get("tools")
        # What `_prepare_chat_with_tools` returned comes back here; dicts are tools in a provider's own format.
        if tools and all(hasattr(tool, "metadata") for tool in tools):
            rest = {name: value for name, value in settings.items() if name != "tools"}
            return cls.with_tools(tools, None, messages, rest)
        return cls("chat", messages, settings, offers_tools=bool(tools))

    @classmethod
    def with_tools(
        cls,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None,
        chat_history: Sequence[ChatMessage] | None,
        settings: Mapping[str, Any],
    ) -> Self:
        """Describe a chat in which the model may call tools.

        Raises:
            ConfigError: There is no message, or something is no tool.
        """
        messages = conversation(user_msg, chat_history)
        _check_messages(messages, "user_msg, chat_history")
        settings = dict(settings)
        if not tools:
            # A plain `chat` would pass these on to the provider, which knows none of them.
            for name in ("verbose", "allow_parallel_tool_calls", "tool_required", "tool_choice"):
                settings.pop(name, None)
            return cls("chat", messages, settings, toolless=True)
        form = form_of_tools(tools, choice=settings.get("tool_choice"), required=bool(settings.get("tool_required")))
        return cls("chat_with_tools", messages, settings, {"tools": tools}, form=form, offers_tools=True)

    @classmethod
    def structured(cls, shape: Shape, settings: Mapping[str, Any] | None, system_prompt: str | None) -> Self:
        """Describe the prediction of an object.

        Raises:
            ConfigError: The settings are no dict.
        """
        if not isinstance(settings, Mapping | None):
            raise ConfigError(f"llm_kwargs must be a dict of settings, not a {type(settings).__name__}")
        # For the judge and the query; the tiers' LLMs put the system prompt before the messages themselves.
        system = [ChatMessage(role=MessageRole.SYSTEM, content=system_prompt)] if system_prompt else []
        messages = [*system, *shape.messages()]
        return cls("structured_predict", messages, dict(settings or {}), shape=shape, form=shape.form)

    def kind(self) -> Hashable:
        """Return what stands for requests that are like this one in all but their texts."""
        tools = [tool.metadata.name for tool in self.own.get("tools", ())]
        told = (self.method, dict(self.settings), tools, None if self.shape is None else self.shape.output_cls)
        return request_kind(told, map(shape_of, self.messages))

    @property
    def pin(self) -> str | None:
        """The name of the one tier that must answer, or None."""
        return self.settings.get("model")

    @property
    def timeout(self) -> float | None:
        """Seconds to wait for each tier, or None."""
        return self.settings.get("timeout")

    @property
    def principal(self) -> str | None:
        """Who asks, or None."""
        return self.settings.get("principal")

    def read_by(self, reading: Reading | None, parse: Callable[[str], Any] | None) -> Self:
        """Return the request with the form of a text, if something is known to parse it.

        Args:
            reading: How what asks for the text is known to parse it, or None.
            parse: The function that parses all texts of the LLM, or None; `parse=` of the call goes before both.

        Raises:
            ConfigError: `parse` is no function.
        """
        own = self.settings.get("parse")
        # Tools and objects have a form of their own.
        if self.method not in ("complete", "chat"):
            if own is not None:
                raise ConfigError(f"parse: {self.method} has a form of its own; leave it out")
            return self
        told = next((function for function in (own, None if reading else parse) if function is not None), None)
        if told is not None:
            reading = told_reading(told)
        settings = {name: value for name, value in self.settings.items() if name != "parse"}
        return replace(self, settings=settings, form=form_of_text(settings, reading))

    def asked_of(
        self, model: LLM, way: str, postscript: str | None, without: frozenset[str] = frozenset()
    ) -> Callable[[], Any]:
        """Return what asks a tier's model, with copies of all that it is given.

        Args:
            model: The model.
            way: What stands before the method's name: `""`, `"a"`, `"stream_"` or `"astream_"`.
            postscript: A sentence of ours to add to the ask, or None. An object has no room for what it invites to.
            without: Names of settings that the model does not know.
        """
        # Copies for each attempt: LlamaIndex's methods add to the history and the settings that they are given.
        known = {name: value for name, value in self.settings.items() if name not in without and _is_known(model, name)}
        settings = {name: copied(value) for name, value in known.items()}
        if self.shape is not None:
            return self.shape.asked_of(model, way, settings)
        method = getattr(model, way + self.method)
        given = portable(self.messages, model) if self.mixed else self.messages
        messages = copied(with_postscript(given, postscript) if postscript else given)
        if self.method == "complete":
            # A postscript is a block of its own, and a completion takes a single text.
            prompt = "\n\n".join(block.text for block in messages[0].blocks)
            return lambda: method(prompt, **self.own, **settings)
        if self.toolless and not isinstance(model, FunctionCallingLLM) and hasattr(model, f"{way}chat_with_tools"):
            # With LlamaIndex's own class that is a plain chat; with another one it may be anything.
            return lambda: getattr(model, f"{way}chat_with_tools")([], chat_history=messages, **settings)
        if self.method == "chat":
            return lambda: method(messages, **settings)
        return lambda: method(list(self.own["tools"]), chat_history=messages, **settings)


def _check_messages(messages: object, argument: str) -> None:
    if isinstance(messages, str) or not isinstance(messages, Sequence):
        raise ConfigError(f"{argument} must be a list of ChatMessage, not a {type(messages).__name__}")
    if not messages:
        raise ConfigError(f"{argument}: there is no message; give at least one")
    for position, message in enumerate(messages):
        if not isinstance(message, ChatMessage):
            raise ConfigError(f"{argument}: [{position}] is no ChatMessage but a {type(message).__name__}")


def _is_known(model: LLM, setting: str) -> bool:
    if setting in OF_THE_CALL:
        return False
    return setting not in STANDARD_SETTINGS or knows(model, setting)


def conversation(user_msg: str | ChatMessage | None, chat_history: Sequence[ChatMessage] | None) -> list[ChatMessage]:
    """Return the messages of a chat with tools, the user's last."""
    asked = ChatMessage(role=MessageRole.USER, content=user_msg) if isinstance(user_msg, str) else user_msg
    return [*(chat_history or ()), *([] if asked is None else [asked])]


def tool_options(verbose: bool, parallel: bool, required: bool, settings: Mapping[str, Any]) -> dict[str, Any]:  # noqa: FBT001
    """Return the settings of a chat with tools, with what LlamaIndex's methods take by position under its names."""
    return {"verbose": verbose, "allow_parallel_tool_calls": parallel, "tool_required": required, **settings}

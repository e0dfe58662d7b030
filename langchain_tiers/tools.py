"""The tools of a call: binding them to each tier's model, and the form that they ask of an answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langchain_core.tools import StructuredTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from langchain_tiers.prompt_caching import MARK, is_marked_for
from llm_tiers.call.form import Form, check_schema, forced_tool, function_of, json_flaw, schema_in, tool_schemas
from llm_tiers.errors import ConfigError

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.runnables import Runnable

    from llm_tiers.call.answer import Answer

__all__ = ["ToolBinding", "as_tools", "form_of", "names_of", "take_tools"]

_EXTRAS = "extras"
"""Where a tool holds what its provider is told besides the schema, such as a mark of Anthropic's."""

_OPTIONS = ("tool_choice", "strict", "parallel_tool_calls", "response_format")


@dataclass(frozen=True, slots=True)
class ToolBinding:
    """Tools, and how they are to be bound.

    Attributes:
        tools: The tools in OpenAI's format.
        options: What `bind_tools` takes besides them.
    """

    tools: tuple[dict[str, Any], ...]
    options: Mapping[str, Any]

    def bound(self, model: BaseChatModel, without: frozenset[str] = frozenset()) -> Runnable[Any, Any]:
        """Return a tier's model with the tools, in its provider's format.

        Args:
            model: The model.
            without: Options that it does not know.
        """
        options = {name: value for name, value in self.options.items() if name not in without}
        # Only a bare function is converted, and so made strict, where the provider wants that.
        strict = {"strict", "response_format"} & options.keys()
        marked = is_marked_for(model)
        tools = [
            _with_extras(tool) if marked and _is_marked(tool) else _bare(tool, strict=bool(strict))
            for tool in self.tools
        ]
        return model.bind_tools(tools, **options)

    @property
    def form(self) -> Form:
        """The form that an answer must have."""
        schemas = tool_schemas(self.tools)
        shape = self.options.get("response_format")
        must_call = forced_tool(self.options.get("tool_choice"))
        return Form(schemas, must_call, None if shape is None else _object_flaw(shape))


def as_tools(tools: Any) -> list[dict[str, Any]]:
    """Return tools in OpenAI's format, which every provider's `bind_tools` takes.

    Raises:
        ConfigError: The schema of a tool's arguments is no JSON schema.
        ValueError: Something is no tool, as LangChain says it.
    """
    converted = [_converted(tool) for tool in tools]
    for name, schema in map(function_of, converted):
        check_schema(schema, f"tools: {name!r}")
    return converted


def _converted(tool: Any) -> dict[str, Any]:
    converted = convert_to_openai_tool(tool)
    extras = getattr(tool, _EXTRAS, None)
    return {**converted, _EXTRAS: extras} if isinstance(extras, dict) and MARK in extras else converted


def _is_marked(tool: Mapping[str, Any]) -> bool:
    extras = tool.get(_EXTRAS)
    return isinstance(extras, Mapping) and MARK in extras


def _bare(tool: Mapping[str, Any], *, strict: bool) -> dict[str, Any]:
    bare = {key: value for key, value in tool.items() if key != _EXTRAS or not _is_marked(tool)}
    function: dict[str, Any] = bare.get("function", bare) if strict else bare
    return function


def _with_extras(tool: Mapping[str, Any]) -> StructuredTool:
    """Return a tool that carries its extras, of which each provider's class takes those that it knows."""
    name, schema = function_of(tool)
    description = tool["function"].get("description", "")
    return StructuredTool(name=name, description=description, args_schema=dict(schema), extras=dict(tool[_EXTRAS]))


def names_of(tools: Any) -> tuple[str, ...]:
    """Return the names of tools in OpenAI's format; others are left out."""
    listed = [tool for tool in tools or () if isinstance(tool, Mapping)]
    return tuple(str(name) for tool in listed if (name := tool.get("function", tool).get("name")))


def take_tools(settings: dict[str, Any]) -> ToolBinding | None:
    """Take the tools and what belongs to them out of a call's settings."""
    tools = settings.pop("tools", None)
    if not tools:
        # An agent without tools binds an empty list. OpenAI refuses a request that then has a choice of tools, and
        # OpenAI's client one with `strict`, which a provider's own `bind_tools` drops there.
        settings.pop("tool_choice", None)
        settings.pop("strict", None)
        return None
    options = {name: settings.pop(name) for name in _OPTIONS if name in settings}
    return ToolBinding(
        tuple(as_tools(tools)), {name: value for name, value in options.items() if value not in (None, {})}
    )


def form_of(response_format: Any) -> Form:
    """Return the form that a `response_format` asks for where there are no tools."""
    return Form(object_flaw=_object_flaw(response_format))


def _object_flaw(response_format: Any) -> Callable[[Answer], str | None] | None:
    """Return what checks an object of this format, or None where the format asks for none that is known here."""
    schema = _schema(response_format)
    return None if schema is None else json_flaw(schema)


def _schema(response_format: Any) -> Mapping[str, Any] | None:
    if isinstance(response_format, type):
        schema: Mapping[str, Any] = convert_to_openai_tool(response_format)["function"]["parameters"]
        return schema
    if not isinstance(response_format, Mapping):
        raise ConfigError(
            "response_format must be a class, or a dict such as {'type': 'json_schema', ...}, "
            f"not {type(response_format).__name__}"
        )
    return schema_in(response_format)

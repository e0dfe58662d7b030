"""The tools of a call, and the form that they and other wishes ask of an answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from llama_index.core.tools.types import BaseTool
from pydantic import BaseModel

from llamaindex_tiers.metadata import has_tool_methods
from llamaindex_tiers.pieces import TIER
from llm_tiers.call.form import (
    ANY_TOOL,
    Form,
    check_schema,
    forced_tool,
    function_of,
    json_flaw,
    schema_in,
    tool_schemas,
)
from llm_tiers.errors import ConfigError

if TYPE_CHECKING:
    from llama_index.core.base.llms.types import ChatResponse

    from llamaindex_tiers.reading import Reading
    from llm_tiers.ladder.tiers import Ladder

__all__ = ["form_of_text", "form_of_tools", "tool_call_reader"]


def form_of_tools(tools: Sequence[BaseTool], *, choice: Any, required: bool) -> Form:
    """Return the form of an answer that may call tools.

    Args:
        tools: The tools.
        choice: The `tool_choice` of the call, or None.
        required: A tool must be called.

    Raises:
        ConfigError: Something is no tool, or the schema of its arguments is no JSON schema.
    """
    schemas: dict[str, Mapping[str, Any]] = {}
    for position, tool in enumerate(tools):
        if not isinstance(tool, BaseTool):
            raise ConfigError(
                f"tools[{position}] is no tool but a {type(tool).__name__}; "
                "make one: FunctionTool.from_defaults(fn=...)"
            )
        # The check is OpenAI's limit for descriptions, which other providers do not have.
        name, schema = function_of(tool.metadata.to_openai_tool(skip_length_check=True))
        check_schema(schema, f"tools: {name!r}")
        # As LlamaIndex's OpenAI says it to the model: a function takes no arguments but its own.
        schemas[name] = schemas[tool.metadata.get_name()] = {"additionalProperties": False, **schema}
    return Form(schemas, forced_tool(choice) or (ANY_TOOL if required else None))


def form_of_text(settings: Mapping[str, Any], reading: Reading | None) -> Form | None:
    """Return the form of an answer to plain messages, or None where any text will do.

    Args:
        settings: The settings of the call, which may hold tools and a response format as OpenAI takes them.
        reading: How the answer will be parsed, or None.
    """
    schemas = tool_schemas(tool for tool in settings.get("tools") or () if isinstance(tool, Mapping))
    wanted = _schema(settings.get("response_format"))
    if not schemas and wanted is None and reading is None:
        return None
    return Form(
        schemas,
        forced_tool(settings.get("tool_choice")) if schemas else None,
        None if wanted is None else json_flaw(wanted),
        None if reading is None else reading.flaw,
        None if reading is None else reading.same,
    )


def _schema(response_format: Any) -> Mapping[str, Any] | None:
    if isinstance(response_format, type) and issubclass(response_format, BaseModel):
        return response_format.model_json_schema()
    return schema_in(response_format) if isinstance(response_format, Mapping) else None


def tool_call_reader(ladder: Ladder, response: ChatResponse) -> Any:
    """Return the LLM that reads the tool calls of a response: the tier's that gave it, since each has its own format.

    A response without a tier's name is read by the dearest tier that calls tools; None where no tier does.
    """
    answered = response.additional_kwargs.get(TIER)
    callers = [tier for tier in ladder if has_tool_methods(tier.model)]
    readers = [tier.model for tier in callers if tier.name == answered]
    return next(iter(readers), callers[-1].model if callers else None)

"""The form that an answer must have, if the user asks for one: which tools it may call, what object it must be."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from llm_tiers.arguments import kind_of
from llm_tiers.call.json_text import bound_flaw, read_json
from llm_tiers.errors import ConfigError

if TYPE_CHECKING:
    from llm_tiers.call.answer import Answer, ToolCall

__all__ = [
    "ANY_TOOL",
    "Form",
    "check_schema",
    "forced_tool",
    "function_of",
    "json_flaw",
    "schema_flaw",
    "schema_in",
    "tool_schemas",
    "work_flaw",
]

ANY_TOOL = "*"
"""Stands for the name of the tool that must be called, if any tool will do."""


@dataclass(frozen=True, slots=True)
class Form:
    """What an answer must look like. Checking it costs nothing, so it comes before any other judge.

    Attributes:
        tools: The JSON schema of each tool's arguments, by the tool's name.
        must_call: The tool that must be called, `ANY_TOOL`, or None.
        object_flaw: A function that takes an answer without tool calls and returns why it is not the object asked for,
            or None if it is. None if no object is asked for.
        text_flaw: A function that takes an answer without tool calls and returns why it cannot be parsed, or None if it
            can; an answer that can be parsed is still judged, like any text. None if no parser is known.
        text_same: A function that takes two such answers and returns whether they are parsed to the same; None where
            that leaves it open. None if no parser is known.
    """

    tools: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    must_call: str | None = None
    object_flaw: Callable[[Answer], str | None] | None = None
    text_flaw: Callable[[Answer], str | None] | None = None
    text_same: Callable[[Answer, Answer], bool | None] | None = None

    def covers(self, answer: Answer) -> bool:
        """Say whether the form decides about the answer; it does not if plain text will do."""
        formed = bool(answer.tool_calls) or self.must_call is not None or self.object_flaw is not None
        return formed or self._unreadable(answer) is not None

    def flaw(self, answer: Answer) -> str | None:
        """Return why the answer does not have the form, without quoting it; None if it has the form."""
        # Tool calls are checked even if an object is asked for: agents offer both.
        if answer.tool_calls:
            return next(filter(None, map(self._call_flaw, answer.tool_calls)), None) or self._missing(answer)
        if self.must_call is not None:
            return self._missing(answer)
        return self._unreadable(answer) if self.object_flaw is None else self.object_flaw(answer)

    def _unreadable(self, answer: Answer) -> str | None:
        return None if self.text_flaw is None or answer.tool_calls else self.text_flaw(answer)

    def _call_flaw(self, call: ToolCall) -> str | None:
        # Without the name: a model may write anything there, and traces hold nothing of an answer.
        if call.name not in self.tools:
            return "unknown tool"
        if call.arguments is None:
            return f"{call.name}: malformed arguments"
        flaw = schema_flaw(call.arguments, self.tools[call.name])
        return flaw and f"{call.name}: {flaw}"

    def _missing(self, answer: Answer) -> str | None:
        called = {call.name for call in answer.tool_calls}
        if self.must_call is None or self.must_call in called or (self.must_call == ANY_TOOL and called):
            return None
        return "no tool called" if self.must_call == ANY_TOOL else f"{self.must_call} not called"


def function_of(tool: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Return a tool's name and the schema of its arguments.

    The tool is in OpenAI's format, with or without the `function` around it; a provider's own tool may have neither.
    """
    given = tool.get("function")
    function = given if isinstance(given, Mapping) else tool
    return function.get("name", ""), function.get("parameters") or {}


def tool_schemas(tools: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Return the schema of each tool's arguments by the tool's name."""
    return {name: schema for name, schema in map(function_of, tools) if name}


def forced_tool(choice: Any) -> str | None:
    """Return the name of the tool that a `tool_choice` forces, or `ANY_TOOL`; None if it forces none."""
    if isinstance(choice, Mapping):
        function = choice.get("function")
        named = function if isinstance(function, Mapping) else choice
        return named.get("name") or (ANY_TOOL if choice.get("type") in ("any", "required") else None)
    # LangChain says `any` or True, OpenAI says `required`.
    if choice in ("any", "required", True):
        return ANY_TOOL
    return choice if isinstance(choice, str) and choice not in ("auto", "none") else None


def json_flaw(schema: Mapping[str, Any]) -> Callable[[Answer], str | None]:
    """Return a function that says why an answer's text is not JSON that fits a schema."""

    def flaw(answer: Answer) -> str | None:
        try:
            value = read_json(answer.text)
        except ValueError:
            return "no JSON"
        return schema_flaw(value, schema)

    return flaw


def schema_in(response_format: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the JSON schema in a `response_format` of one of OpenAI's kinds; None if it has none.

    Raises:
        ConfigError: It is not a valid JSON schema.
    """
    if response_format.get("type") == "json_object":
        return {"type": "object"}
    if response_format.get("type") == "json_schema":
        given = response_format.get("json_schema", {})
        schema = given.get("schema", {}) if isinstance(given, Mapping) else given
        if not isinstance(schema, Mapping):
            raise ConfigError(
                f"response_format: the schema of a 'json_schema' must be an object, not {kind_of(schema)}; give "
                '{"type": "json_schema", "json_schema": {"name": ..., "schema": {...}}}'
            )
        response_format = schema
    # A JSON schema by itself is taken too.
    elif "properties" not in response_format:
        return None
    check_schema(response_format, "response_format")
    return dict(response_format)


def check_schema(schema: Mapping[str, Any], argument: str) -> None:
    """Check that a schema names only types that exist; its other keywords are left to the provider.

    Raises:
        ConfigError: A type does not exist; the message begins with `argument`.
    """
    error = _error_in(_as_text(schema))
    # Only a wrong type is certainly a mistake: providers have keywords of their own, and give others another meaning.
    if error is not None and error[0].endswith(".type"):
        raise ConfigError(f"{argument} has no valid JSON schema: {error[0]}: {error[1]}")


def schema_flaw(value: object, schema: Mapping[str, Any]) -> str | None:
    """Return where a JSON value does not fit a JSON schema, without quoting the value; None if it fits.

    A value that is too deep, too large or out of range, or takes too long to check, does not fit. A null for an
    optional property counts as a property that was left out. What cannot be checked is taken on trust: schemas in other
    dialects, such as OpenAPI's, references to other documents, and patterns with lookaround or backreferences, which no
    engine checks in linear time.
    """
    from referencing.exceptions import Unresolvable

    from llm_tiers.call.bounded_schema import TooMuchWorkError, first_error

    # Before the schema is looked at: checking a value that is too large is what has to be avoided.
    bound = bound_flaw(value)
    if bound is not None:
        return bound
    if _error_in(_as_text(schema)) is not None:
        return None
    try:
        error = first_error(_without_nulls(value, schema), schema)
    except Unresolvable:
        return None
    except RecursionError:
        return "nested too deeply"
    except TooMuchWorkError:
        return "too much to check"
    return error and f"{_path(error.absolute_schema_path)} fails {error.validator!r}"


def work_flaw(value: object, schema: Mapping[str, Any]) -> str | None:
    """Return why a JSON value is too much work for a pydantic class; None if it is not.

    Pydantic tries all members of a union. If these refer back to the union, its work at least doubles with each level
    of the value, and nothing stops it.

    Args:
        value: The value.
        schema: The JSON schema of the class, with its references.
    """
    from referencing.exceptions import Unresolvable

    from llm_tiers.call.bounded_schema import TooMuchWorkError, first_error, is_recursive

    if not is_recursive(schema):
        return None
    try:
        first_error(value, schema, tries_all=True)
    except (TooMuchWorkError, RecursionError):
        return "too much to check"
    except Unresolvable:
        return None
    return None


def _as_text(schema: Mapping[str, Any]) -> str:
    # A text, because a dict cannot be the key of a cache. `default`, since a pydantic class may put anything in a
    # default.
    return json.dumps(schema, sort_keys=True, default=str)


@lru_cache(maxsize=1024)  # an agent binds the same tools for every turn
def _error_in(schema: str) -> tuple[str, str] | None:
    """Return where a schema is not valid, and why; None if it is."""
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import Draft202012Validator, validator_for

    parsed = json.loads(schema)
    try:
        validator_for(parsed, default=Draft202012Validator).check_schema(parsed)
    except SchemaError as error:
        return error.json_path, error.message
    return None


def _without_nulls(value: Any, schema: Any) -> Any:
    if not isinstance(schema, Mapping):
        return value
    if isinstance(value, list):
        return [_without_nulls(item, schema.get("items")) for item in value]
    if not isinstance(value, dict):
        return value
    properties, required = schema.get("properties", {}), schema.get("required", ())
    return {
        key: _without_nulls(item, properties.get(key))
        for key, item in value.items()
        # Models write null for what they leave out. Not so for required fields: their schema says whether null is
        # allowed.
        if not (item is None and key in properties and key not in required)
    }


def _path(schema_path: Iterable[str | int]) -> str:
    """Return where in a value an error is, by the schema's names: those in the value may be anything."""
    path, steps = "$", iter(schema_path)
    for step in steps:
        if step == "properties":
            path += f".{next(steps, '*')}"
        elif step in ("items", "prefixItems"):
            path += "[*]"
        elif step in ("additionalProperties", "patternProperties"):
            path += ".*"
    return path

"""The form that an answer must have, where the user asks for one: which tools it may call, what object it must be."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from llm_tiers.errors import ConfigError

if TYPE_CHECKING:
    from llm_tiers.answer import Answer, ToolCall

__all__ = ["ANY_TOOL", "Form", "check_schema", "schema_flaw"]

ANY_TOOL = "*"
"""Stands for the name of the tool that must be called where any will do."""


@dataclass(frozen=True, slots=True)
class Form:
    """What an answer must look like. Checking it costs nothing, so it comes before any other judge.

    Attributes:
        tools: The JSON schema of each tool's arguments, by the tool's name.
        must_call: The tool that must be called, `ANY_TOOL`, or None.
        object_flaw: Takes an answer without tool calls and says why it is not the object asked for, or None where it
            is; None where no object is asked for.
    """

    tools: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    must_call: str | None = None
    object_flaw: Callable[[Answer], str | None] | None = None

    def covers(self, answer: Answer) -> bool:
        """Say whether the form has anything to say of the answer; it has not where plain text will do."""
        return bool(answer.tool_calls) or self.must_call is not None or self.object_flaw is not None

    def flaw(self, answer: Answer) -> str | None:
        """Say why the answer does not have the form, without its contents, or None where it has."""
        if answer.tool_calls:
            return next(filter(None, map(self._call_flaw, answer.tool_calls)), None) or self._missing(answer)
        if self.must_call is not None:
            return self._missing(answer)
        return None if self.object_flaw is None else self.object_flaw(answer)

    def _call_flaw(self, call: ToolCall) -> str | None:
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


def check_schema(schema: Mapping[str, Any], argument: str) -> None:
    """Check that a schema is one.

    Raises:
        ConfigError: It is not; the message begins with `argument`.
    """
    flaw = _flaw_of_schema(json.dumps(schema, sort_keys=True, default=str))
    if flaw is not None:
        raise ConfigError(f"{argument} has no valid JSON schema: {flaw}")


@lru_cache(maxsize=1024)  # an agent binds the same tools for every turn
def _flaw_of_schema(schema: str) -> str | None:
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import Draft202012Validator, validator_for

    parsed = json.loads(schema)
    try:
        validator_for(parsed, default=Draft202012Validator).check_schema(parsed)
    except SchemaError as error:
        return f"{error.json_path}: {error.message}"
    return None


def schema_flaw(value: object, schema: Mapping[str, Any]) -> str | None:
    """Say where a JSON value does not fit a JSON schema, without the value, or None where it does."""
    from jsonschema.exceptions import best_match
    from jsonschema.validators import Draft202012Validator, validator_for
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    # An empty registry: what a schema refers to elsewhere is not fetched, and what cannot be looked up is not checked.
    registry: Registry[Any] = Registry()
    validator = validator_for(schema, default=Draft202012Validator)(schema, registry=registry)
    try:
        error = best_match(validator.iter_errors(value))
    except Unresolvable:
        return None
    return error and f"{error.json_path} fails {error.validator!r}"

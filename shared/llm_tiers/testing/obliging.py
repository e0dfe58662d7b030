"""A scripted model that does what a request asks for: it calls the tool, fills the object, or repeats the ask."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from llm_tiers.testing.turns import LoopbackRequest, Reply, ToolCall

__all__ = ["obliging"]

_DEEP = 6


def obliging(request: LoopbackRequest) -> Reply:
    """Answer in the form that the request asks for, with contents taken from the ask.

    A judge's question is answered yes. Where tools are offered, the one asked for or the first is called; once a tool
    has answered, none, or where one must be called the last, by which agents give their answer. Where a JSON object
    is asked for, its schema is filled. Otherwise the ask is repeated.
    """
    settings = request.settings
    if request.judges:
        return Reply("yes")
    answered = request.messages[-1].get("role") == "tool"
    if settings.get("tools") and settings.get("tool_choice") not in (("none", "auto", None) if answered else ("none",)):
        function = _chosen(settings, -1 if answered else 0)
        arguments = _filled(function.get("parameters") or {}, request.ask)
        return Reply(calls=(ToolCall(function["name"], arguments),))
    shape = settings.get("response_format") or {}
    if shape.get("type") == "json_schema":
        return Reply(json.dumps(_filled(shape["json_schema"]["schema"], request.ask)))
    if shape.get("type") == "json_object":
        # In JSON mode there is no schema; the prompt quotes the names of the fields.
        return Reply(json.dumps(dict.fromkeys(re.findall(r"'(\w+)'", request.ask), request.ask)))
    return Reply(f"You said: {request.ask}")


def _chosen(settings: Mapping[str, Any], position: int) -> Mapping[str, Any]:
    functions: list[Mapping[str, Any]] = [tool["function"] for tool in settings["tools"] if "function" in tool]
    choice = settings.get("tool_choice")
    name = choice["function"]["name"] if isinstance(choice, Mapping) else None
    return next((function for function in functions if function["name"] == name), functions[position])


def _filled(schema: Mapping[str, Any], ask: str, root: Mapping[str, Any] | None = None, depth: int = 0) -> Any:
    """Return a value that fits a JSON schema, made of the ask: its text, and the first number in it."""
    root = schema if root is None else root
    branch = next((schema[key][0] for key in ("anyOf", "oneOf", "allOf") if schema.get(key)), None)
    # After the choice above, since a reference stands for the whole schema.
    if "$ref" in schema:
        branch = _looked_up(schema["$ref"], root)
    if branch is not None:
        return _filled(branch, ask, root, depth + 1)
    if schema.get("type") == "object":
        properties, required = schema.get("properties", {}), schema.get("required", ())
        # Deep down only what must be: a schema may contain itself.
        names = [name for name in properties if depth < _DEEP or name in required]
        return {name: _filled(properties[name], ask, root, depth + 1) for name in names}
    if schema.get("type") == "array":
        return [] if depth >= _DEEP else [_filled(schema.get("items", {}), ask, root, depth + 1)]
    return _plain(schema, ask)


def _plain(schema: Mapping[str, Any], ask: str) -> Any:
    if "enum" in schema or "const" in schema:
        return schema.get("const", next(iter(schema.get("enum", ())), None))
    number = int(next(iter(re.findall(r"\d+", ask)), 1))
    by_type = {"integer": number, "number": number, "boolean": True, "null": None}
    return by_type.get(schema.get("type", "string"), ask) if schema else {}


def _looked_up(reference: str, root: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Any = root
    for step in reference.removeprefix("#/").split("/"):
        found = found[step]
    return found  # type: ignore[no-any-return]

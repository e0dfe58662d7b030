"""Structured output: asking each tier for an object in its own way, checking it, and building it for the user."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.output_parsers import BaseCumulativeTransformOutputParser
from langchain_core.runnables import Runnable, RunnableSequence
from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_core.utils.json import parse_json_markdown, parse_partial_json
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.v1 import BaseModel as BaseModelV1
from pydantic.v1 import ValidationError as ValidationErrorV1

from langchain_tiers.tools import as_tools
from llm_tiers.errors import TierError
from llm_tiers.form import Form, check_schema, schema_flaw

if TYPE_CHECKING:
    from langchain_core.outputs import Generation

    from llm_tiers.answer import Answer
    from llm_tiers.tiers import Ladder, Tier

__all__ = ["ObjectParser", "Shape", "StructuredOutput"]


@dataclass(frozen=True)
class Shape:
    """The object that the user asks for.

    Attributes:
        schema: A Pydantic class, a TypedDict class, a JSON schema or a function in OpenAI's format; None for any JSON.
        tools: Tools in OpenAI's format that may be called instead.
    """

    schema: Any = None
    tools: tuple[dict[str, Any], ...] = ()

    @cached_property
    def function(self) -> Mapping[str, Any]:
        """The schema as a function in OpenAI's format, with `name` and `parameters`."""
        if self.schema is None:
            return {"name": "", "parameters": {}}
        given = self.schema
        if isinstance(given, Mapping):
            # OpenAI's two other ways to say it, which its response_format takes.
            given = given.get("json_schema", given)
            if "schema" in given and "name" in given:
                given = {"title": given["name"], **given["schema"]}
        function: dict[str, Any] = convert_to_openai_tool(given)["function"]
        return {"parameters": {}, **function}

    @property
    def form(self) -> Form:
        """The form that an answer must have."""
        functions = (tool.get("function", tool) for tool in self.tools)
        schemas = {function["name"]: function.get("parameters", {}) for function in functions if "name" in function}
        return Form(schemas, object_flaw=self._flaw)

    def read(self, message: AIMessage, *, partial: bool = False) -> Any:
        """Return the object in a message as plain JSON data, wherever the provider puts it; None for a tool call.

        Raises:
            OutputParserException: There is none.
        """
        for call in message.tool_calls:
            if call["name"] == self.function["name"]:
                return call["args"]
        if message.tool_calls and self.tools:
            return None
        if message.additional_kwargs.get("refusal"):
            raise OutputParserException(f"The model refused: {message.additional_kwargs['refusal']}")
        try:
            return parse_json_markdown(str(message.text), parser=parse_partial_json if partial else json.loads)
        except ValueError as error:
            raise OutputParserException(
                f"There is no JSON object in the answer: {error}", llm_output=str(message.text)
            ) from error

    def build(self, value: Any) -> Any:
        """Return plain JSON data as an instance of the schema's class, where it is a Pydantic class.

        Raises:
            OutputParserException: It does not fit the class.
        """
        if value is None or not isinstance(self.schema, type):
            return value
        try:
            if issubclass(self.schema, BaseModel):
                return self.schema.model_validate(value)
            if issubclass(self.schema, BaseModelV1):
                return self.schema.parse_obj(value)
        except (ValidationError, ValidationErrorV1) as error:
            raise OutputParserException(f"The object does not fit {self.schema.__name__}: {error}") from error
        return value

    def _flaw(self, answer: Answer) -> str | None:
        """Say what is wrong with an answer's object, without its contents."""
        try:
            value = self.read(answer.message)
            self.build(value)
        except OutputParserException as error:
            return _reason(error)
        return schema_flaw(value, self.function["parameters"])

    def __repr__(self) -> str:
        return json.dumps([self.function, self.tools], sort_keys=True, default=str)


def _reason(error: OutputParserException) -> str:
    if not isinstance(error.__cause__, ValidationError | ValidationErrorV1):
        return "no JSON object"
    first = error.__cause__.errors()[0]
    path = ".".join(str(step) for step in first["loc"])
    return f"$.{path} fails {first['type']!r}"


class ObjectParser(BaseCumulativeTransformOutputParser[Any]):
    """Builds the object from the answer of whichever tier; objects without a class grow while they stream."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    shape: Shape

    @property
    def _type(self) -> str:
        return "llm-tiers-object"

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        """Build the object; None for one that is not whole yet.

        Raises:
            OutputParserException: There is no such object in the answer.
        """
        message = getattr(result[0], "message", None)
        if not isinstance(message, AIMessage):
            raise OutputParserException(f"An AIMessage is parsed here, not {type(message).__name__}")
        try:
            return self.shape.build(self.shape.read(message, partial=partial and _is_open(message)))
        except OutputParserException:
            if partial and _is_open(message):
                return None
            raise

    def parse(self, text: str) -> Any:
        """Build the object from a text."""
        return self.shape.build(self.shape.read(AIMessage(text)))


def _is_open(message: AIMessage) -> bool:
    """Say whether more of the answer is to come."""
    return not (isinstance(message, AIMessageChunk) and message.chunk_position == "last")


@dataclass(frozen=True)
class StructuredOutput:
    """A shape, and each tier's own way to be asked for it.

    Attributes:
        shape: What the user asks for.
        options: What `with_structured_output` was given beside the schema.
    """

    shape: Shape
    options: Mapping[str, Any]
    _models: Mapping[str, Runnable[Any, Any] | Exception] = field(repr=False)

    @classmethod
    def over(
        cls, ladder: Ladder, schema: Any, *, tools: Sequence[Any] | None, options: Mapping[str, Any]
    ) -> StructuredOutput:
        """Ask every tier how it is asked.

        Raises:
            ConfigError: The schema is no JSON schema.
            Exception: The top tier's, where no tier can give such an object.
        """
        shape = Shape(schema, tuple(as_tools(tools or ())))
        check_schema(shape.function["parameters"], "schema")
        given = dict(options) | ({"tools": list(shape.tools)} if shape.tools else {})
        models = {tier.name: _way_of(tier, schema, given) for tier in ladder}
        top = models[ladder.top.name]
        if isinstance(top, Exception) and all(isinstance(model, Exception) for model in models.values()):
            raise top
        return cls(shape, dict(options), models)

    def bound(self, tier: Tier) -> Runnable[Any, Any]:
        """Return a tier's model as it is to be asked.

        Raises:
            TierError: The tier cannot give such an object.
        """
        model = self._models[tier.name]
        if isinstance(model, Exception):
            raise TierError(tier.name, model)
        return model


def _way_of(tier: Tier, schema: Any, options: Mapping[str, Any]) -> Runnable[Any, Any] | Exception:
    """Return the model of `model | parser`: the parser is ours, and the model takes the settings of a call."""
    try:
        chain = tier.model.with_structured_output(schema, **options)
    except Exception as error:  # noqa: BLE001 -- each provider refuses in its own way; the tier fails when it is asked
        return error
    if not isinstance(chain, RunnableSequence):
        return TypeError(f"with_structured_output of {type(tier.model).__name__} returns no model and parser")
    return chain.first

"""Structured output: asking each tier for an object in its own way, checking it, and building it for the user."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.output_parsers import BaseCumulativeTransformOutputParser, PydanticOutputParser
from langchain_core.runnables import Runnable, RunnableSequence
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.errors import PydanticInvalidForJsonSchema
from pydantic.v1 import BaseModel as BaseModelV1
from pydantic.v1 import ValidationError as ValidationErrorV1
from pydantic_core import from_json

from langchain_tiers.tools import as_tools
from llm_tiers.call.form import Form, check_schema, schema_flaw, tool_schemas, work_flaw
from llm_tiers.call.json_text import is_shallow, read_json
from llm_tiers.errors import TierError

if TYPE_CHECKING:
    from langchain_core.outputs import Generation

    from llm_tiers.call.answer import Answer
    from llm_tiers.ladder.tiers import Ladder, Tier

__all__ = ["UNFIT", "ObjectParser", "Shape", "StructuredOutput"]

UNFIT = (ValidationError, ValidationErrorV1)
"""What pydantic raises of an object that does not fit its class."""

_AROUND = " \n\r\t`"
"""What may stand around a JSON text."""

_LONGEST_PART = 20_000
"""Most characters of an answer that is shown as an object while it grows; a longer one is shown at its end."""


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

    @cached_property
    def _referring(self) -> Mapping[str, Any]:
        """The class's schema with its references, which LangChain's form of it resolves."""
        made: dict[str, Any]
        try:
            made = self.schema.model_json_schema() if issubclass(self.schema, BaseModel) else self.schema.schema()
        except PydanticInvalidForJsonSchema:
            return {}
        return made

    @property
    def form(self) -> Form:
        """The form that an answer must have."""
        return Form(tool_schemas(self.tools), object_flaw=self._flaw)

    def read(self, message: AIMessage, *, partial: bool = False) -> Any:
        """Return the object in a message as plain JSON data, wherever the provider puts it; None for a tool call.

        Raises:
            OutputParserException: There is none.
        """
        for call in message.tool_calls:
            # Where a provider is asked by function calling, the object is the arguments of a call of this name.
            if call["name"] == self.function["name"]:
                return call["args"]
        # The model chose one of the user's tools instead; the form checks that call.
        if message.tool_calls and self.tools:
            return None
        if message.additional_kwargs.get("refusal"):
            raise OutputParserException(f"The model refused: {message.additional_kwargs['refusal']}")
        try:
            return _in_markdown(str(message.text), _partly if partial else read_json)
        except ValueError as error:
            raise OutputParserException(
                f"There is no JSON object in the answer: {error}", llm_output=str(message.text)
            ) from error

    def build(self, value: Any) -> Any:
        """Return plain JSON data as an instance of the schema's class, where it is a Pydantic class.

        Raises:
            OutputParserException: It does not fit the class.
        """
        if value is None or not _builds(self.schema):
            return value
        flaw = work_flaw(value, self._referring)
        if flaw is not None:
            raise OutputParserException(f"The object is {flaw} against {self.schema.__name__}")
        try:
            if issubclass(self.schema, BaseModel):
                return self.schema.model_validate(value)
            # pydantic's first version, which LangChain still takes.
            return self.schema.parse_obj(value)
        except UNFIT as error:
            raise OutputParserException(f"The object does not fit {self.schema.__name__}: {error}") from error

    def _flaw(self, answer: Answer) -> str | None:
        """Say what is wrong with an answer's object, without its contents."""
        try:
            value = self.read(answer.message)
            if _builds(self.schema) and (flaw := work_flaw(value, self._referring)):
                return flaw
            self.build(value)
        except OutputParserException as error:
            return self._reason(error)
        # The class has the last word: it may take what its JSON schema, made for the provider, does not.
        return None if _builds(self.schema) else schema_flaw(value, self.function["parameters"])

    def _reason(self, error: OutputParserException) -> str:
        if not isinstance(error.__cause__, UNFIT):
            return "no JSON object"
        first = error.__cause__.errors()[0]
        known = _names_in(self.function["parameters"])
        path = "".join(
            "[*]" if isinstance(step, int) else f".{step}" if step in known else ".*" for step in first["loc"]
        )
        return f"${path} fails {first['type']!r}"

    def __repr__(self) -> str:
        return json.dumps([self.function, self.tools], sort_keys=True, default=str)


def _in_markdown(text: str, parse: Callable[[str], Any]) -> Any:
    """Return what a JSON text says, or the block of code in it.

    LangChain's own function also mends line breaks in a field of its agents, which takes a second for 1 MB.
    """
    try:
        return parse(text.strip(_AROUND))
    except json.JSONDecodeError:
        _, fence, block = text.partition("```")
        if not fence:
            raise
    inner, closing, _ = block.removeprefix("json").rpartition("```")
    return parse((inner if closing else block.removeprefix("json")).strip(_AROUND))


def _partly(text: str) -> Any:
    """Read an object that is not whole yet; in time linear in its length, which is bounded, since each chunk asks.

    Raises:
        json.JSONDecodeError: It is not the beginning of an object, or too long.
    """
    if len(text) > _LONGEST_PART or not is_shallow(text):
        raise json.JSONDecodeError("too long or too deep", text[:0], 0)
    try:
        return from_json(text.encode("utf-8", "replace"), allow_partial="trailing-strings")
    except ValueError as error:
        raise json.JSONDecodeError(str(error), text[:0], 0) from None


def _builds(schema: Any) -> bool:
    return isinstance(schema, type) and issubclass(schema, BaseModel | BaseModelV1)


def _names_in(schema: Any) -> set[str]:
    """Return the names of all properties in a schema; a name in an answer may be anything."""
    if isinstance(schema, list):
        return set().union(*map(_names_in, schema))
    if not isinstance(schema, Mapping):
        return set()
    properties = schema.get("properties")
    own = set(properties) if isinstance(properties, Mapping) else set()
    return own.union(*map(_names_in, schema.values()))


class ObjectParser(BaseCumulativeTransformOutputParser[Any]):
    """Builds the object from the answer of any tier.

    Attributes:
        shape: What the user asks for.
        grows: Show the object while it streams; otherwise once, when it is whole: of a class whose fields have
            defaults, any beginning makes an instance.
        wraps: Raise LangChain's error for an object that does not fit its class; otherwise pydantic's own, as most
            models' parsers do. No exception can be both: pydantic's has no subclasses.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    shape: Shape
    grows: bool = True
    wraps: bool = True

    @property
    def _type(self) -> str:
        return "llm-tiers-object"

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        """Build the object; None for one that is not whole yet.

        Raises:
            OutputParserException: There is no such object in the answer.
            ValidationError: It does not fit the class, where that is not to be wrapped.
        """
        message = getattr(result[0], "message", None)
        if not isinstance(message, AIMessage):
            raise OutputParserException(f"An AIMessage is parsed here, not {type(message).__name__}")
        is_open = partial and _is_open(message)
        if is_open and not self.grows:
            return None
        try:
            return self.built(message, partial=is_open)
        except (OutputParserException, *UNFIT):
            if is_open:
                return None
            raise

    def built(self, message: AIMessage, *, partial: bool = False) -> Any:
        """Build the object in a message.

        Raises:
            OutputParserException: There is no such object in it.
            ValidationError: It does not fit the class, where that is not to be wrapped.
        """
        try:
            return self.shape.build(self.shape.read(message, partial=partial))
        except OutputParserException as error:
            if not self.wraps and isinstance(error.__cause__, UNFIT):
                raise error.__cause__ from None
            raise

    def parse(self, text: str) -> Any:
        """Build the object from a text."""
        return self.shape.build(self.shape.read(AIMessage(text)))


def _is_open(message: AIMessage) -> bool:
    """Say whether more of the answer is to come."""
    return not (isinstance(message, AIMessageChunk) and message.chunk_position == "last")


class _Bound:
    """Models and their parsers by the names of their tiers; no dict, as tracers write out all that a run was given."""

    def __init__(self) -> None:
        self.models: dict[str, Runnable[Any, Any]] = {}
        self.parsers: dict[str, Runnable[Any, Any]] = {}


@dataclass(frozen=True)
class StructuredOutput:
    """A shape, and each tier's own way to be asked for it.

    Attributes:
        shape: What the user asks for.
        options: What each tier's `with_structured_output` is given besides the schema.
    """

    shape: Shape
    options: Mapping[str, Any]
    _bound: _Bound = field(default_factory=_Bound, repr=False, compare=False)

    @classmethod
    def over(
        cls, ladder: Ladder, schema: Any, *, tools: Sequence[Any] | None, options: Mapping[str, Any]
    ) -> StructuredOutput:
        """Describe the object, and make sure that a tier can give it.

        Raises:
            ConfigError: The schema is no JSON schema.
            Exception: The top tier's, where no tier can give such an object.
        """
        shape = Shape(schema, tuple(as_tools(tools or ())))
        check_schema(shape.function["parameters"], "schema")
        structured = cls(shape, dict(options))
        # A tier that cannot is skipped at each call; that none can, the user should learn before the first.
        failures = [error for error in map(structured._failure, ladder) if error is not None]
        if len(failures) == len(ladder):
            raise failures[-1]
        return structured

    @property
    def parser(self) -> ObjectParser:
        """What builds the object."""
        # Asked for in one of the other two ways, a class's instances grow in ChatOpenAI's stream as well.
        grows = not _builds(self.shape.schema) or self.options.get("method") in ("function_calling", "json_mode")
        # An error is told as by the model that the ladder replaces: the dearest one that can give such an object.
        theirs = next(reversed(self._bound.parsers.values()), None)
        return ObjectParser(shape=self.shape, grows=grows, wraps=isinstance(theirs, PydanticOutputParser))

    def bound(self, tier: Tier) -> Runnable[Any, Any]:
        """Return a tier's model as it is to be asked.

        Raises:
            TierError: The tier cannot give such an object.
        """
        if tier.name not in self._bound.models:
            try:
                self._bound.models[tier.name] = self._bind(tier)
            except Exception as error:  # each provider refuses in its own way
                raise TierError(tier.name, error) from error
        return self._bound.models[tier.name]

    def __reduce__(self) -> tuple[Any, ...]:
        # Without the models, whose clients cannot be pickled.
        return StructuredOutput, (self.shape, self.options)

    def _failure(self, tier: Tier) -> Exception | None:
        try:
            self.bound(tier)
        except TierError as error:
            return error.__cause__ if isinstance(error.__cause__, Exception) else error
        return None

    def _bind(self, tier: Tier) -> Runnable[Any, Any]:
        """Return the model of `model | parser`: the parser is ours, and the model takes the settings of a call."""
        tools = {"tools": list(self.shape.tools)} if self.shape.tools else {}
        chain = tier.model.with_structured_output(self.shape.schema, **self.options, **tools)
        if not isinstance(chain, RunnableSequence):
            raise TypeError(f"with_structured_output of {type(tier.model).__name__} returns no model and parser")
        self._bound.parsers[tier.name] = chain.last
        return chain.first

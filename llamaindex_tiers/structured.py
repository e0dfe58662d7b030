"""Objects: what the user asks for, each tier's own way to be asked, and whether what came is one."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from llama_index.core.program.utils import get_program_for_llm
from llama_index.core.prompts import BasePromptTemplate
from llama_index.core.types import PydanticProgramMode
from pydantic import BaseModel

from llamaindex_tiers.messages import copied
from llm_tiers.call.form import Form
from llm_tiers.errors import ConfigError
from llm_tiers.integration.failures import what_is_wrong

if TYPE_CHECKING:
    from llama_index.core.base.llms.types import ChatMessage
    from llama_index.core.llms import LLM

    from llm_tiers.call.answer import Answer

__all__ = ["Shape", "Unreadable", "object_text"]

_CALLED = {"": "__call__", "a": "acall", "stream_": "stream_call", "astream_": "astream_call"}
"""How a program calls what LlamaIndex's LLMs call `structured_predict` with these before the name."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """What a model said in place of an object.

    Attributes:
        text: What it said.
        error: What LlamaIndex raised of it.
    """

    text: str = field(repr=False)
    error: Exception = field(repr=False)


@dataclass(frozen=True, slots=True)
class Shape:
    """The object that the user asks for, and with which prompt.

    Attributes:
        output_cls: Its class.
        prompt: The prompt.
        prompt_args: What the prompt is filled in with.
        mode: How LlamaIndex is to ask for it; by default each tier's own way.
    """

    output_cls: type[BaseModel]
    prompt: BasePromptTemplate
    prompt_args: Mapping[str, Any] = field(repr=False)
    mode: PydanticProgramMode = PydanticProgramMode.DEFAULT

    def __post_init__(self) -> None:
        # Checked before the call, so that no model is paid for a prompt that cannot be used.
        if not (isinstance(self.output_cls, type) and issubclass(self.output_cls, BaseModel)):
            raise ConfigError(f"output_cls must be a Pydantic class, not {self.output_cls!r:.80}")
        if not isinstance(self.prompt, BasePromptTemplate):
            kind = type(self.prompt).__name__
            raise ConfigError(
                f"prompt must be a template, such as PromptTemplate('Name a city in {{country}}'), not {kind}"
            )

    @property
    def form(self) -> Form:
        """The form that an answer must have."""
        return Form(object_flaw=self._flaw)

    def messages(self) -> list[ChatMessage]:
        """Return the prompt, filled in."""
        return self._own_prompt().format_messages(**self.prompt_args)

    def checked(self, value: Any) -> Any:
        """Return the accepted object.

        Raises:
            Exception: What LlamaIndex raised of an answer that is none.
            TypeError: It is of another class.
        """
        if isinstance(value, Unreadable):
            raise value.error
        if not isinstance(value, self.output_cls):
            raise TypeError(f"structured_predict expected a {self.output_cls.__name__}, but got {type(value).__name__}")
        return value

    def asked_of(self, model: LLM, way: str, llm_kwargs: Mapping[str, Any]) -> Callable[[], Any]:
        """Return what asks a model for the object.

        Args:
            model: The model.
            way: What stands before `structured_predict` in the name of the method that is wanted.
            llm_kwargs: The settings of the call.
        """
        kwargs, arguments = copied(dict(llm_kwargs)), dict(self.prompt_args)
        if self.mode is PydanticProgramMode.DEFAULT and _has_own_way(model):
            method = getattr(model, f"{way}structured_predict")
            return lambda: method(self.output_cls, self._own_prompt(), llm_kwargs=kwargs, **arguments)
        # Not the model's own method, which may go its own way whatever the mode.
        program = get_program_for_llm(self.output_cls, self._own_prompt(), model, pydantic_program_mode=self.mode)
        return lambda: getattr(program, _CALLED[way])(llm_kwargs=kwargs, **arguments)

    def _own_prompt(self) -> BasePromptTemplate:
        # LlamaIndex's programs leave their parser in the prompt that they are given.
        return self.prompt.model_copy()

    def _flaw(self, answer: Answer) -> str | None:
        if isinstance(answer.message, Unreadable):
            return what_is_wrong(answer.message.error)
        return None if isinstance(answer.message, self.output_cls) else f"no {self.output_cls.__name__}"


def _has_own_way(model: LLM) -> bool:
    """Say whether a model's own method may be asked; OpenAI's forces a tool call on models that cannot call tools."""
    takes_schema = getattr(model, "_should_use_structure_outputs", None)
    return takes_schema is None or takes_schema() or model.metadata.is_function_calling_model


def object_text(value: BaseModel) -> str:
    """Return an object as JSON with sorted keys, so that equal objects read the same."""
    return json.dumps(value.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)

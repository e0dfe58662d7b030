"""Which of LlamaIndex's spans are open, and where in the user's application that says a call comes from."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import BoundArguments
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from llama_index.core.base.llms.base import BaseLLM
from llama_index.core.base.llms.types import MessageRole
from llama_index.core.chat_engine.types import StreamingAgentChatResponse
from llama_index.core.instrumentation.span import BaseSpan, active_span_id
from llama_index.core.instrumentation.span_handlers import BaseSpanHandler
from llama_index.core.llms.structured_llm import StructuredLLM
from llama_index.core.prompts import BasePromptTemplate, ChatPromptTemplate, PromptType, SelectorPromptTemplate
from llama_index.core.types import BaseOutputParser
from llama_index.core.workflow import Event
from llama_index_instrumentation import root_dispatcher
from llama_index_instrumentation.dispatcher import active_instrument_tags

from llamaindex_tiers.by_identity import ByIdentity
from llamaindex_tiers.results import Calls, reading_stream
from llm_tiers.errors import ConfigError

if TYPE_CHECKING:
    from llm_tiers.trace import Trace

__all__ = ["NODE_TAG", "PRINCIPAL_TAG", "Place", "current_place", "keep_open_spans"]

NODE_TAG = "llm_tiers_node"
"""The instrument tag that names the node of the calls under it."""

PRINCIPAL_TAG = "llm_tiers_principal"
"""The instrument tag that says who asks the calls under it."""

_MOST_OPEN = 10_000
"""Most spans that are kept: some are never closed, such as those of a task that its loop has dropped."""

_UUID = 37
"""Characters of a span's id after its name: a dash and a UUID."""

_OF_SYSTEM = (MessageRole.SYSTEM, MessageRole.DEVELOPER)

_OF_STEPS = ("workflows.", "llama_index.core.workflow", "llama_index.core.agent.")
"""Modules that run a workflow's steps."""

_GENERIC = ("llama_index.core.response_synthesizers.", "llama_index.core.program.", "llama_index.core.instrumentation.")
"""Modules of components that work for others, by whose name their calls are known."""

_NAMED = (
    *("llama_index.core.evaluation.", "llama_index.core.extractors."),
    "llama_index.core.indices.query.query_transform.",
)
"""Modules of components that are known by their class whatever their prompt's type."""

_ANY_AGENT = "Agent"
"""The name of an agent that was given none."""


_engines: ByIdentity[Any] = ByIdentity()
"""The chat engines whose responses stream."""


class _Open(BaseSpan):
    """A span that is open: whose it is, and what its function was called with."""

    instance: Any = None
    arguments: Any = None  # a mapping, which pydantic would copy
    calls: Any = None

    @property
    def name(self) -> str:
        return self.id_[:-_UUID]

    @property
    def prompt(self) -> BasePromptTemplate | None:
        prompt = self.arguments.get("prompt")
        return prompt if isinstance(prompt, BasePromptTemplate) and isinstance(self.instance, BaseLLM) else None


class _OpenSpans(BaseSpanHandler[_Open]):
    """Keeps the spans that are open, and nothing of those that are closed."""

    @classmethod
    def class_name(cls) -> str:
        return "LlmTiersOpenSpans"

    def new_span(
        self,
        id_: str,
        bound_args: BoundArguments,
        instance: Any = None,
        parent_span_id: str | None = None,
        tags: dict[str, Any] | None = None,  # noqa: ARG002 -- the dispatcher's interface
        **_: Any,
    ) -> _Open:
        with self.lock:
            while len(self.open_spans) >= _MOST_OPEN:
                # The oldest first: a dict keeps the order in which it was filled.
                del self.open_spans[next(iter(self.open_spans))]
        # Not validated, which takes longer than all the rest: every span of the application passes through here.
        return _Open.model_construct(
            id_=id_,
            parent_id=parent_span_id,
            instance=self._at_work(instance, parent_span_id),
            arguments=bound_args.arguments,
            tags={},
            calls=Calls(),
        )

    def prepare_to_exit_span(
        self,
        id_: str,
        bound_args: BoundArguments,  # noqa: ARG002
        instance: Any = None,
        result: Any = None,
        **_: Any,
    ) -> _Open | None:
        span = self.open_spans.get(id_)
        if span is not None:
            span.calls.end(instance, result)
            if isinstance(result, StreamingAgentChatResponse):
                _engines[result] = span.instance
        return span

    def prepare_to_drop_span(self, id_: str, *_: Any, **__: Any) -> _Open | None:
        return self.open_spans.get(id_)

    def _at_work(self, instance: Any, parent_span_id: str | None) -> Any:
        """Return whose work a span is: a chat engine's, where its response streams itself in another thread."""
        if not isinstance(instance, StreamingAgentChatResponse):
            return instance
        # The engine's own span may be closed by now, or not yet.
        around = self.open_spans.get(parent_span_id) if parent_span_id is not None else None
        return _engines.get(instance) or (instance if around is None else around.instance)

    def upward(self, id_: str | None) -> Iterator[_Open]:
        """Yield an open span and those around it, from the inside out."""
        while id_ is not None and (span := self.open_spans.get(id_)) is not None:
            yield span
            id_ = span.parent_id


_open_spans = _OpenSpans()


def keep_open_spans() -> None:
    """Register the handler that keeps the open spans; once for each process."""
    # By identity: handlers are compared by their contents otherwise.
    if not any(handler is _open_spans for handler in root_dispatcher.span_handlers):
        root_dispatcher.add_span_handler(_open_spans)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a call stands among the spans.

    Attributes:
        span_id: The id of the call's own span.
        tags: The instrument tags that are active.
        node: What the spans say of the node: agents, workflow steps, prompt types, components and structured classes.
        steps: Whether an agent asks for its next step itself.
        query: What the user of a query engine asks, which a prompt only contains.
        prompt: The prompt that `predict` fills in for the call, or None where it is called in another way.
        prompt_args: What it is filled in with.
        parser: The parser of that prompt or of the LLM.
        components: LlamaIndex's components around the call, from the inside out.
        around: The calls inside each of the spans that are open around this one.
    """

    span_id: str | None
    tags: Mapping[str, Any]
    node: str = ""
    steps: bool = False
    query: str | None = field(default=None, repr=False)
    prompt: BasePromptTemplate | None = field(default=None, repr=False)
    prompt_args: Mapping[str, Any] = field(default_factory=dict, repr=False)
    parser: BaseOutputParser | None = field(default=None, repr=False)
    components: tuple[Any, ...] = field(default=(), repr=False)
    around: tuple[Calls, ...] = field(default=(), repr=False)

    def report(self, trace: Trace) -> None:
        """Tell the spans around the call how it ended; their results will say so."""
        for calls in self.around:
            calls.add(trace)

    @property
    def tagged_node(self) -> str | None:
        """The node that an instrument tag names, or None.

        Raises:
            ConfigError: The tag holds no name.
        """
        node = self.tags.get(NODE_TAG)
        if node is not None and not isinstance(node, str):
            raise ConfigError(f"instrument tag {NODE_TAG!r} must be a node's name, not a {type(node).__name__}")
        return node

    @property
    def tagged_principal(self) -> Any:
        """Who asks, as an instrument tag says, or None."""
        return self.tags.get(PRINCIPAL_TAG)


def current_place() -> Place:
    """Return where the call stands whose span is the active one."""
    span_id = active_span_id.get()
    spans = list(_open_spans.upward(span_id))
    # Those of LLMs that stand directly around the call: what they were asked is what the call is asked.
    inner = next((position for position, span in enumerate(spans) if not isinstance(span.instance, BaseLLM)), None)
    predicting = _predicting(spans[:inner])
    components = tuple(_components(spans))
    return Place(
        span_id,
        active_instrument_tags.get(),
        _node(spans, components),
        steps=_is_step(spans),
        query=_query(spans[:inner]),
        prompt=None if predicting is None else predicting.prompt,
        prompt_args={} if predicting is None else predicting.arguments.get("prompt_args", {}),
        parser=None if predicting is None else _parser(predicting),
        components=components,
        around=(*(span.calls for span in spans[1:]), *reading_stream()),
    )


def _is_step(spans: Sequence[_Open]) -> bool:
    """Say whether the span that names the node is an agent's own step."""
    for span in spans:
        event = None if span.instance is not None else _event(span.arguments.values())
        if span.prompt is not None or event is not None:
            return span.prompt is None and isinstance(getattr(event, "current_agent_name", None), str)
    return False


def _components(spans: Sequence[_Open]) -> Iterator[Any]:
    """Yield LlamaIndex's components around the call, from the inside out."""
    seen = set()
    # What is around a workflow's step has not asked for the call.
    inside = takewhile(lambda span: span.instance is not None or _event(span.arguments.values()) is None, spans)
    for owner in (*(span.instance for span in inside), *_calling()):
        if owner is not None and not isinstance(owner, BaseLLM) and id(owner) not in seen:
            seen.add(id(owner))
            yield owner


def _calling() -> Iterator[Any]:
    """Yield the objects whose methods are waiting for this call.

    Evaluators and some others open no span. In asyncio the stack holds what awaits the call, up to its task.
    """
    frame = sys._getframe(1)  # noqa: SLF001 -- `inspect.stack` reads the sources of all files
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module.startswith(_OF_STEPS):
            return
        if module.startswith("llama_index.core.") and frame.f_code.co_varnames[:1] == ("self",):
            yield frame.f_locals.get("self")
        frame = frame.f_back  # type: ignore[assignment]


def _node(spans: Sequence[_Open], components: Sequence[Any]) -> str:
    around = dict(zip(map(id, spans), [*spans, None][1:], strict=True))
    asking = _asking(components)
    levels = [level for span in reversed(spans) for level in _levels(span, around[id(span)], asking)]
    if not levels:
        owner = next((span.instance for span in spans if not isinstance(span.instance, BaseLLM | None)), None)
        levels = [] if owner is None else [type(owner).__name__, *_hash(_own_prompt(owner))]
    return "/".join(level.replace("/", "_") for level in levels)


def _asking(components: Sequence[Any]) -> type | None:
    """Return the class of the component that asks, rather than of those that work for it."""
    kinds = [*map(type, components)]
    ours = [kind for kind in kinds if not kind.__module__.startswith(_GENERIC)]
    # Evaluators have a query engine ask for them.
    special = [kind for kind in ours if kind.__name__ != "RetrieverQueryEngine"]
    return next(iter([*special, *ours, *kinds]), None)


def _levels(span: _Open, around: _Open | None, asking: type | None) -> list[str]:
    """Return what a span adds to the path: names, and below a name the hash of a template where names may collide.

    Never of a rendered prompt: with a date in it, each day would begin without any past. A template is a level of its
    own, so that a new one begins with what is known of all those of its name.
    """
    if span.prompt is not None:
        # What a structured LLM passes on are messages, which only look like a template.
        rendered = around is not None and isinstance(around.instance, StructuredLLM)
        names = _names(span.prompt, span.arguments.get("output_cls"), asking)
        return names if rendered else [*names, *_hash(_template(span.prompt))]
    event = _event(span.arguments.values()) if span.instance is None else None
    if event is None:
        return []
    agent, tool = getattr(event, "current_agent_name", None), getattr(event, "tool_name", None)
    if isinstance(agent, str):
        return [agent, *(_hash(_system_prompt(event)) if agent == _ANY_AGENT else ())]
    return [tool] if isinstance(tool, str) else [_step(span.name)]


def _event(arguments: Iterable[Any]) -> Event | None:
    """Return the event that a workflow's step takes, or the first of those that it collects."""
    each = (item for value in arguments for item in (value if isinstance(value, list) else [value]))
    return next((item for item in each if isinstance(item, Event)), None)


def _step(name: str) -> str:
    """Return `Workflow.step` of a function's qualified name, without where the class was defined."""
    return ".".join(name.rpartition("<locals>.")[2].split(".")[-2:])


def _names(prompt: BasePromptTemplate, output_cls: Any, asking: type | None) -> list[str]:
    """Return the type of a prompt and the class of the object asked for; a class says more than `custom`."""
    kind = prompt.metadata.get("prompt_type", PromptType.CUSTOM)
    output = [output_cls.__name__] if isinstance(output_cls, type) else []
    if output and kind == PromptType.CUSTOM:
        return output
    if asking is not None and (kind == PromptType.CUSTOM or asking.__module__.startswith(_NAMED)):
        return [asking.__name__, *output]
    return [str(getattr(kind, "value", kind)), *output]


def _template(prompt: BasePromptTemplate) -> str:
    """Return the text of a template; nothing where there is nothing to fill in, since that may be a rendered prompt.

    Of a chat only what the system says and what is to be filled in: chat engines put the conversation into it.
    """
    if not prompt.template_vars:
        return ""
    if isinstance(prompt, SelectorPromptTemplate):
        return _template(prompt.default_template)
    if not isinstance(prompt, ChatPromptTemplate):
        return str(prompt.get_template())
    kept = (m for m in prompt.message_templates if m.role in _OF_SYSTEM or m.get_template_vars())
    return "\n".join(str(message.content) for message in kept)


def _system_prompt(event: Any) -> str:
    """Return the system prompt of an agent that takes a step."""
    messages = getattr(event, "input", None) or ()
    return next((message.content or "" for message in messages if message.role == "system"), "")


def _own_prompt(owner: Any) -> str:
    """Return the system prompt that a component such as a chat engine was made with."""
    given = getattr(owner, "_system_prompt", None)
    if isinstance(given, str):
        return given
    return "\n".join(str(message.content) for message in getattr(owner, "_prefix_messages", None) or ())


def _hash(template: str) -> list[str]:
    # Without digits, which a date may have brought in.
    plain = re.sub(r"\d+", "", template)
    # Six digits keep a path readable, and a node has few templates.
    return [hashlib.sha256(plain.encode()).hexdigest()[:6]] if plain.strip() else []


def _query(spans: Sequence[_Open]) -> str | None:
    for span in spans:
        if span.prompt is not None:
            given = {**span.prompt.kwargs, **span.arguments.get("prompt_args", {})}
            if isinstance(given.get("query_str"), str):
                return str(given["query_str"])
    return None


def _predicting(spans: Sequence[_Open]) -> _Open | None:
    """Return the span of the `predict` that the call is made for, or None."""
    if len(spans) < 2:  # noqa: PLR2004 -- the call's own, and the one that asks
        return None
    own, asking = spans[:2]
    if asking.prompt is None or asking.instance is not own.instance or "output_cls" in asking.arguments:
        return None
    return asking


def _parser(predicting: _Open) -> BaseOutputParser | None:
    """Return what reads the text that `predict` returns: the parser of the prompt or of the LLM."""
    prompt = predicting.prompt
    own = None if prompt is None else prompt.output_parser
    parser: BaseOutputParser | None = own or predicting.instance.output_parser
    return parser

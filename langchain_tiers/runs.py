"""How a call stands among LangChain's runs: where it comes from, and which handlers see the model calls inside it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar
from uuid import uuid4

from langchain_core.callbacks import BaseCallbackHandler, CallbackManager, CallbackManagerForLLMRun
from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.runnables.config import ensure_config, set_config_context

from langchain_tiers.handlers import is_inner, is_told_of_all, label_runs, told_the_sum
from langchain_tiers.origins import ORIGINS
from langchain_tiers.principals import Asking, asked_by, thread_in
from llm_tiers.errors import AllTiersFailed
from llm_tiers.flow.engine import Outcome
from llm_tiers.owned import owned
from llm_tiers.telemetry.others import makes_spans
from llm_tiers.trace import SHORT_TRACE

if TYPE_CHECKING:
    from langchain_core.callbacks import AsyncCallbackManagerForLLMRun
    from langchain_core.language_models import BaseChatModel
    from langchain_core.outputs import ChatResult
    from langchain_core.runnables import RunnableConfig

    from llm_tiers.call.requests import ModelCall
    from llm_tiers.trace import Trace

__all__ = [
    "OuterRun",
    "RunManager",
    "ahanding_down",
    "ain_context",
    "begin_run",
    "closing_of",
    "conversation_of",
    "handed_down_run",
    "handing_down",
    "in_context",
    "node_of",
]

RunManager: TypeAlias = "CallbackManagerForLLMRun | AsyncCallbackManagerForLLMRun"
Chunk = TypeVar("Chunk")
Item = TypeVar("Item")

_AGENTS = ("langchain_create_agent", "deepagents")
"""How what makes agents calls itself in a run's metadata."""

_handed_down: ContextVar[RunManager | None] = ContextVar("llm_tiers_outer_run", default=None)


@dataclass(frozen=True, slots=True)
class OuterRun:
    """The user's run, and which handlers are called for the model calls inside it.

    Attributes:
        manager: The run's manager, or None where there is no run.
        node: Where in the user's graph the run is.
        inner_callbacks: Kinds of handlers that are called for the calls inside, besides tracers and token counters.
        trace_bytes: Most bytes of the trace in the message; None for all of it.
        conversation: What the calls of the user's conversation share; empty if it is unknown.
        principal: Who asks, or None.
    """

    manager: RunManager | None = None
    node: str = ""
    inner_callbacks: tuple[type[BaseCallbackHandler], ...] = ()
    trace_bytes: int | None = SHORT_TRACE
    conversation: str = ""
    principal: str | None = field(default=None, repr=False)

    @property
    def inner_handlers(self) -> tuple[BaseCallbackHandler, ...]:
        """The handlers that are called for the model calls inside."""
        handlers = self.manager.handlers if self.manager is not None else ()
        return tuple(handler for handler in handlers if is_inner(handler, self.inner_callbacks))

    @property
    def is_counted(self) -> bool:
        """Whether a handler counts the model calls inside, so that the run itself must not carry their sum."""
        handlers = self.manager.handlers if self.manager is not None else ()
        return any(handler is not ORIGINS and is_told_of_all(handler, self.inner_callbacks) for handler in handlers)

    @property
    def is_traced(self) -> bool:
        """Whether a handler makes OpenTelemetry spans of the model calls inside."""
        return makes_spans(self.inner_handlers)

    def ended(self, result: ChatResult) -> ChatResult:
        """Let the handlers that see only this run be told the tokens of all in it, and return the result."""
        if self.manager is not None:
            self.manager.handlers = told_the_sum(self.manager.handlers, self.inner_callbacks)
        return result

    def label(self, item: Item) -> Item:
        """Say on the run that tracers keep what came of the call, and return what was given.

        Args:
            item: A chunk of an answer, of which nothing is said, or the outcome.
        """
        if isinstance(item, Outcome):
            self._label(item.trace)
        return item

    @contextmanager
    def labelled(self) -> Iterator[Callable[[Item], Item]]:
        """Say on the run what came of the call, also where no tier answered; give `label`."""
        try:
            yield self.label
        except AllTiersFailed as error:
            if error.trace is not None:
                self._label(error.trace)
            raise

    def _label(self, trace: Trace) -> None:
        if self.manager is not None:
            label_runs(self.manager.handlers, self.manager.run_id, trace)

    def child_config(self, call: ModelCall, trace_id: str | None = None) -> RunnableConfig:
        """Return the config of a model call.

        Args:
            call: The model call.
            trace_id: The id of the user's call, by which feedback on the run is known; None where there is none yet.
        """
        config = self.quiet_config()
        # For tracers: which tier a child run is of, whether it answers or judges, and in which call.
        own = {"llm_tiers_tier": call.tier.name, "llm_tiers_role": call.role}
        if trace_id is not None:
            own["llm_tiers.trace_id"] = trace_id
        return {**config, "metadata": {**config["metadata"], **own}}

    def quiet_config(self) -> RunnableConfig:
        """Return the config that makes whatever happens inside the user's run its child.

        Nothing of a rejected tier or a judge may reach the user, so handlers that show what a model says are left out,
        and `nostream` keeps LangGraph from streaming it. Token counters are kept: they count each model's tokens here,
        and none at the run around it.
        """
        manager = self.manager
        # By hand, since the managers of LLM runs have no `get_child`: the tiers' runs would be siblings of the user's.
        # The handlers at once, and not one by one: MLflow adds its own to each manager that is made without.
        handlers, run_id = self.inner_handlers, None if manager is None else manager.run_id
        children = CallbackManager(handlers=[*handlers], inheritable_handlers=[*handlers], parent_run_id=run_id)
        tags, metadata = ["nostream"], dict[str, Any]()
        if manager is not None:
            tags = [*manager.inheritable_tags, *tags]
            # `ls_*` describes the model of the user's run, which is not this one.
            metadata = {key: value for key, value in manager.metadata.items() if not key.startswith("ls_")}
        return {"callbacks": children, "tags": tags, "metadata": metadata}


def conversation_of(thread: str | None, manager: RunManager | None, messages: Sequence[BaseMessage]) -> str:
    """Return what the calls of a conversation share: LangGraph's `thread_id`, else how it begins.

    Args:
        thread: What the configuration calls it, or None.
        manager: The run's manager, or None where there is no run.
        messages: The messages.
    """
    # In the metadata by LangSmith's convention, and by the older versions of LangChain.
    thread = thread or (None if manager is None else thread_in(manager.metadata))
    if thread is not None:
        return f"thread:{thread}"
    # Not the system's message, which many conversations share and which may hold the time of day.
    first = next((message for message in messages if not isinstance(message, SystemMessage)), None)
    text = "" if first is None else str(first.text)
    return f"begins:{text}" if text else ""


def node_of(manager: RunManager | None, messages: Sequence[BaseMessage] = (), tools: Sequence[str] = ()) -> str:
    """Return the path of node names that leads to the call in a LangGraph graph, such as `research/plan`; else `""`.

    In an agent of `create_agent`, where all calls come from a node called `model`, the agent's name, and the phase are
    part of the path: `writer/model/first_turn`, `writer/model/after_tools`; in place of a name that it has not, a hash
    of its tools' names. Agents with neither share a node: only their system prompts differ, and such a prompt may be
    filled in anew for each call, which would make a node of every user or day. A tool that calls a model is a part of
    the path as well: `tools/search`. Outside of graphs the steps of a chain are told apart by a hash of their prompt's
    template.

    Args:
        manager: The run's manager, or None where there is no run.
        messages: The messages.
        tools: Names of the tools that the answer may call.
    """
    metadata = manager.metadata if manager is not None else {}
    # Levels look like `plan:<task id>`; a number alone counts the subgraphs that one node called.
    levels = str(metadata.get("langgraph_checkpoint_ns") or "").split("|")
    names = [level.partition(":")[0] for level in levels if not level.isdigit()]
    names = list(filter(None, names)) or list(filter(None, [str(metadata.get("langgraph_node") or "")]))
    in_agent = names[-1:] == ["model"] and _in_agent()
    around = manager.parent_run_id if manager is not None else None
    if tool := ORIGINS.tool_of(around):
        # An agent that is a tool has the names of its own nodes below.
        names.insert(names.index("tools") + 1 if "tools" in names else 0, tool)
    if in_agent:
        agent = metadata.get("lc_agent_name") or _named_by(tools)
        if agent and agent not in names:
            names.insert(-1, str(agent))
        names.append("after_tools" if _after_tools(messages) else "first_turn")
    elif (template := ORIGINS.template_of(around)) is not None and names in ([], [tool], ["tools", tool]):
        names.append(f"prompt-{template.name}")
    return "/".join(names)


def closing_of(manager: RunManager | None) -> int:
    """Return how many messages at the end of the call's prompt are the same in every call."""
    template = None if manager is None else ORIGINS.template_of(manager.parent_run_id)
    return 0 if template is None else template.closing


def _named_by(tools: Sequence[str]) -> str:
    """Return what stands for the name of an agent that has none."""
    names = "\n".join(sorted(tools))
    return f"agent-{hashlib.sha256(names.encode()).hexdigest()[:8]}" if tools else ""


def _in_agent() -> bool:
    # In the run's own metadata, the chat model has overwritten it.
    return ensure_config()["metadata"].get("ls_integration") in _AGENTS


def _after_tools(messages: Sequence[BaseMessage]) -> bool:
    """Say whether a tool has answered since a human last spoke."""
    for message in reversed(messages):
        if isinstance(message, ToolMessage | HumanMessage):
            return isinstance(message, ToolMessage)
    return False


def begin_run(model: BaseChatModel, config: RunnableConfig | None) -> tuple[RunnableConfig, CallbackManagerForLLMRun]:
    """Begin the run of a stream ourselves, since LangChain calls `_stream` without a run manager.

    Returns:
        A config that makes LangChain begin just this run, and the run's manager.
    """
    config = ensure_config(config)
    # The same arguments as in LangChain's own `stream`, so that the run is the one that it would have begun.
    manager = CallbackManager.configure(
        config.get("callbacks"),
        model.callbacks,
        model.verbose,
        config.get("tags"),
        model.tags,
        dict(config.get("metadata") or {}),
        model.metadata,
    )
    run_id = config.get("run_id") or uuid4()
    run = CallbackManagerForLLMRun(
        run_id=run_id,
        handlers=manager.handlers,
        inheritable_handlers=manager.inheritable_handlers,
        parent_run_id=manager.parent_run_id,
        tags=manager.tags,
        inheritable_tags=manager.inheritable_tags,
        metadata=manager.metadata,
        inheritable_metadata=manager.inheritable_metadata,
    )
    kinds = tuple(getattr(model, "inner_callbacks", ()))
    if any(is_told_of_all(handler, kinds) for handler in manager.handlers):
        # The others see this run alone. The manager is ours, so what stands for them is told of nothing else.
        manager.handlers = told_the_sum(manager.handlers, kinds)
    return {**config, "callbacks": manager, "run_id": run_id}, run


def handed_down_run() -> RunManager | None:
    """Return the run that `handing_down` is in, or None."""
    return _handed_down.get()


@contextmanager
def _handing(run: RunManager, asking: Asking) -> Iterator[None]:
    token = _handed_down.set(run)
    try:
        with asked_by(asking):
            yield
    finally:
        _handed_down.reset(token)


def handing_down(run: RunManager, chunks: Generator[Chunk], asking: Asking) -> Generator[Chunk]:
    """Hand on chunks; while the first is made, and only then, `handed_down_run` returns the run.

    So it is for `current_asking`.

    A generator runs in the context of its consumer, so a variable that it left set would leak to the consumer.
    """
    with closing(chunks):
        with _handing(run, asking):
            # LangChain calls `_stream` while it makes the first chunk, and not again.
            first = next(chunks, None)
        if first is not None:
            yield first
            yield from chunks


def in_context(config: RunnableConfig, items: Generator[Item, None, Any]) -> Generator[Item]:
    """Take items in the context of a config: what is called while they are made belongs to its run."""
    with set_config_context(config) as context:
        try:
            # None for the end, because a StopIteration that leaves a generator becomes a RuntimeError.
            while (item := context.run(next, items, None)) is not None:
                yield item
        finally:
            # Closing runs the generator's code too.
            context.run(items.close)


async def ain_context(config: RunnableConfig, items: AsyncGenerator[Item]) -> AsyncGenerator[Item]:
    """Take items in the context of a config in asyncio; as `in_context`."""
    with set_config_context(config) as context:
        inside = owned(items)
        try:
            while (item := await asyncio.create_task(_next(inside), context=context)) is not None:
                yield item
        finally:
            await asyncio.create_task(inside.aclose(), context=context)


async def _next(items: owned[Item]) -> Item | None:
    return await anext(items, None)


async def ahanding_down(run: RunManager, chunks: AsyncGenerator[Chunk], asking: Asking) -> AsyncGenerator[Chunk]:
    """Hand on chunks in asyncio; as `handing_down`."""
    async with owned(chunks) as inside:
        with _handing(run, asking):
            first = await anext(inside, None)
        if first is not None:
            yield first
            async for chunk in inside:
                yield chunk

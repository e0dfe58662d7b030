"""Who is told of a run: handlers that see the model calls inside, and those that are told the sum at its end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import BaseCallbackHandler, UsageMetadataCallbackHandler
from langchain_core.tracers import BaseTracer, LogStreamCallbackHandler, context

from langchain_tiers.origins import ORIGINS
from langchain_tiers.usage import result_with_total_usage

if TYPE_CHECKING:
    from uuid import UUID

    from langchain_core.outputs import LLMResult

    from llm_tiers.trace import Trace

__all__ = ["is_inner", "is_told_of_all", "label_runs", "told_the_sum"]

_OBSERVERS = ("langchain_azure_ai", "langfuse", "mlflow", "openlit", "opentelemetry", "traceloop")
"""Packages whose handlers keep the tree of runs without being tracers of LangChain's."""

_LONGEST_TAG = 60
"""Characters of a tag's value: a reason says in its first words what it is."""


def is_inner(handler: BaseCallbackHandler, kinds: Sequence[type[BaseCallbackHandler]] = ()) -> bool:
    """Say whether a handler is called for the model calls inside a run: one that keeps the tree, or counts tokens.

    Args:
        handler: The handler.
        kinds: Further kinds of handlers that are.
    """
    # The handler of `astream_log` is a tracer by its class, but shows every token to the user.
    if isinstance(handler, LogStreamCallbackHandler):
        return False
    keeps_tree = type(handler).__module__.partition(".")[0] in _OBSERVERS
    return keeps_tree or isinstance(handler, (BaseTracer, UsageMetadataCallbackHandler, *kinds))


def is_told_of_all(handler: BaseCallbackHandler, kinds: Sequence[type[BaseCallbackHandler]] = ()) -> bool:
    """Say whether a handler counts the model calls inside a run, so that it must not be told their sum as well."""
    # LangChain adds the handlers of a context to each run by itself.
    return handler is ORIGINS or is_inner(handler, kinds) or _is_of_a_context(handler)


def _is_of_a_context(handler: BaseCallbackHandler) -> bool:
    hooks = getattr(context, "_configure_hooks", ())
    return any(hook[0].get() is handler for hook in hooks)


def told_the_sum(
    handlers: Iterable[BaseCallbackHandler], kinds: Sequence[type[BaseCallbackHandler]] = ()
) -> list[BaseCallbackHandler]:
    """Return the handlers of a run such that those that see only this run are told the tokens of all in it.

    Args:
        handlers: The handlers.
        kinds: Further kinds of handlers that see the model calls inside.
    """
    return [handler if is_told_of_all(handler, kinds) else _ToldTheSum(handler) for handler in handlers]


class _ToldTheSum(BaseCallbackHandler):
    """Stands for a handler of the user's, and adds the sum of the tokens to the answer that it is told of.

    Args:
        handler: The handler.
    """

    def __init__(self, handler: BaseCallbackHandler) -> None:
        self._handler = handler

    def __getattribute__(self, name: str) -> Any:
        if name in {"_handler", "on_llm_end"}:
            return object.__getattribute__(self, name)
        # Everything else is the handler's own, its class included: LangChain looks for handlers by their class.
        return getattr(object.__getattribute__(self, "_handler"), name)

    @property
    def on_llm_end(self) -> Any:
        told = self._handler.on_llm_end
        if asyncio.iscoroutinefunction(told):

            async def atell(response: LLMResult, **facts: Any) -> Any:
                return await told(result_with_total_usage(response), **facts)

            return atell

        def tell(response: LLMResult, **facts: Any) -> Any:
            return told(result_with_total_usage(response), **facts)

        return tell


def label_runs(handlers: Iterable[BaseCallbackHandler], run_id: UUID, trace: Trace) -> None:
    """Give the run that tracers keep of a call the tier that answered as tags and metadata.

    Args:
        handlers: The handlers of the run.
        run_id: Its id.
        trace: What happened on the call.
    """
    metadata = {
        "llm_tiers.trace_id": trace.trace_id,
        "llm_tiers.tier": trace.final,
        "llm_tiers.node": trace.node,
        "llm_tiers.reason": trace.reason,
        "llm_tiers.policy": trace.policy,
        "llm_tiers.start_tier": trace.start,
        "llm_tiers.cost_usd": trace.cost_usd,
        "llm_tiers.saved_usd": trace.saved_usd,
        "llm_tiers.confidence": trace.confidence,
    }
    tags = [f"tier:{trace.final or 'none'}", f"node:{trace.node}", f"reason:{_short(trace.reason)}"]
    for handler in handlers:
        run = handler.run_map.get(str(run_id)) if isinstance(handler, BaseTracer) else None
        if run is not None:
            # Not the run's own methods, which some of LangSmith's versions lack.
            extra = run.extra = {**(run.extra or {})}
            extra["metadata"] = {**(extra.get("metadata") or {}), **_known(metadata)}
            run.tags = [*dict.fromkeys((*(run.tags or ()), *tags))]


def _short(reason: str) -> str:
    """Return the part of a reason that is the same for many calls: the words before figures and details."""
    first = reason.partition(";")[0].partition(":")[0]
    words = first.split()
    plain = [word for word in words if not any(letter.isdigit() for letter in word)]
    return " ".join(plain)[:_LONGEST_TAG]


def _known(metadata: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in metadata.items() if value is not None}

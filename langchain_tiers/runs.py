"""How a call stands among LangChain's runs: where it comes from, and who hears of the model calls inside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from langchain_core.callbacks import CallbackManager, UsageMetadataCallbackHandler
from langchain_core.tracers import BaseTracer, LogStreamCallbackHandler

if TYPE_CHECKING:
    from langchain_core.callbacks import (
        AsyncCallbackManagerForLLMRun,
        BaseCallbackHandler,
        CallbackManagerForLLMRun,
    )
    from langchain_core.runnables import RunnableConfig

    from llm_tiers.requests import ModelCall

__all__ = ["RunManager", "child_config", "node_of"]

RunManager: TypeAlias = "CallbackManagerForLLMRun | AsyncCallbackManagerForLLMRun"


def node_of(run_manager: RunManager | None) -> str:
    """Return the path of node names that leads to the call in a LangGraph graph, such as `research/plan`; else `""`."""
    metadata = run_manager.metadata if run_manager is not None else {}
    # Levels look like `plan:<task id>`; a number alone counts the subgraphs that one node called.
    levels = str(metadata.get("langgraph_checkpoint_ns") or "").split("|")
    names = [level.partition(":")[0] for level in levels if not level.isdigit()]
    return "/".join(filter(None, names)) or str(metadata.get("langgraph_node") or "")


def child_config(run_manager: RunManager | None, call: ModelCall) -> RunnableConfig:
    """Return the config that makes a model call a child of the user's run, of which only tracers hear.

    Nothing of a rejected tier or a judge may reach the user, so handlers that show what a model says are left out, and
    `nostream` keeps LangGraph from streaming it. Token counters are kept: they count each model's tokens here, and
    none at the run around it.
    """
    children = CallbackManager(handlers=[], parent_run_id=run_manager.run_id if run_manager is not None else None)
    tags, metadata = ["nostream"], {"llm_tiers_tier": call.tier.name, "llm_tiers_role": call.role}
    if run_manager is not None:
        for handler in filter(_only_observes, run_manager.handlers):
            children.add_handler(handler)
        tags = [*run_manager.inheritable_tags, *tags]
        # `ls_*` describes the model of the user's run, which is not this one.
        outer = {key: value for key, value in run_manager.metadata.items() if not key.startswith("ls_")}
        metadata = outer | metadata
    return {"callbacks": children, "tags": tags, "metadata": metadata}


def _only_observes(handler: BaseCallbackHandler) -> bool:
    observes = isinstance(handler, BaseTracer | UsageMetadataCallbackHandler)
    return observes and not isinstance(handler, LogStreamCallbackHandler)

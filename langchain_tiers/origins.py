"""Which tool, and which prompt of a plain chain, a call comes from: what LangChain's metadata does not say."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.tracers.context import register_configure_hook

__all__ = ["ORIGINS", "Origins", "Template"]

_MOST_RUNS = 10_000
"""Most runs that are remembered; first to be forgotten are those whose end nobody reports, as of a dropped stream."""

_DIGITS = 8


@dataclass(frozen=True, slots=True)
class Template:
    """The prompt template of a chain.

    Attributes:
        name: A hash of it, without what is filled in.
        closing: How many messages at its end are the same whatever is filled in, such as an instruction to rephrase the
            user's question.
    """

    name: str
    closing: int = 0


@dataclass(slots=True)
class _Run:
    """A run that has not ended.

    Attributes:
        parent: The run around it.
        tool: The tool's name, if it is the run of one.
        prompt: What LangChain says of the prompt that was filled in last, directly inside it; its template once a
            tiered model has asked. Most chains of a process have no such model, and hashing a long prompt takes longer
            than all else here.
    """

    parent: UUID | None
    tool: str | None = None
    prompt: dict[str, Any] | Template | None = None

    def template(self) -> Template | None:
        """Return the template of the prompt, or None where there is none."""
        prompt = self.prompt
        if isinstance(prompt, dict):
            prompt = self.prompt = _template(prompt)
        return prompt


class Origins(BaseCallbackHandler):
    """Follows the chains and tools of the process, as far as they have not ended.

    A model's run knows the id of the run around it and nothing else of it.
    """

    # In the caller's thread and at once: the model asks while its chain runs.
    run_inline = True
    ignore_llm = ignore_chat_model = ignore_retriever = ignore_retry = ignore_custom_event = True

    def __init__(self) -> None:
        self._runs: OrderedDict[UUID, _Run] = OrderedDict()
        self._lock = threading.Lock()

    def __deepcopy__(self, memo: dict[int, Any]) -> Origins:
        return self

    def __reduce__(self) -> str:
        return "ORIGINS"

    def tool_of(self, run_id: UUID | None) -> str | None:
        """Return the name of the nearest tool around a run, the run itself included; None where there is none."""
        return next((run.tool for run in self._around(run_id) if run.tool), None)

    def template_of(self, run_id: UUID | None) -> Template | None:
        """Return the template of the nearest chain around, up to the tool that the run is in."""
        for run in self._around(run_id):
            if run.prompt is not None or run.tool:
                return run.template()
        return None

    def on_chain_start(
        self,
        serialized: dict[str, Any],
        inputs: dict[str, Any],  # noqa: ARG002 -- the name in LangChain's interface
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        **kwargs: Any,
    ) -> None:
        """Remember a chain, or the template of a prompt for the chain around it."""
        if kwargs.get("run_type") != "prompt":
            self._add(run_id, _Run(parent_run_id))
        elif parent_run_id is not None and serialized:
            with self._lock:
                if parent_run_id in self._runs:
                    self._runs[parent_run_id].prompt = serialized

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **kwargs: Any) -> None:  # noqa: ARG002
        """Forget a chain."""
        self._remove(run_id)

    def on_chain_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:  # noqa: ARG002
        """Forget a chain."""
        self._remove(run_id)

    def on_tool_start(
        self,
        serialized: dict[str, Any],
        input_str: str,  # noqa: ARG002 -- the name in LangChain's interface
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        **kwargs: Any,
    ) -> None:
        """Remember a tool."""
        name = (serialized or {}).get("name") or kwargs.get("name")
        self._add(run_id, _Run(parent_run_id, tool=str(name) if name else None))

    def on_tool_end(self, output: Any, *, run_id: UUID, **kwargs: Any) -> None:  # noqa: ARG002
        """Forget a tool."""
        self._remove(run_id)

    def on_tool_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:  # noqa: ARG002
        """Forget a tool."""
        self._remove(run_id)

    def _around(self, run_id: UUID | None) -> Iterator[_Run]:
        while run_id is not None:
            with self._lock:
                run = self._runs.get(run_id)
            if run is None:
                return
            yield run
            run_id = run.parent

    def _add(self, run_id: UUID, run: _Run) -> None:
        with self._lock:
            self._runs[run_id] = run
            while len(self._runs) > _MOST_RUNS:
                self._runs.popitem(last=False)

    def _remove(self, run_id: UUID) -> None:
        with self._lock:
            self._runs.pop(run_id, None)


def _template(serialized: dict[str, Any]) -> Template:
    """Return the template in what LangChain says of a prompt; never what it is filled in with."""
    bare = _without_values(serialized)
    name = hashlib.sha256(json.dumps(bare, sort_keys=True, default=type).encode()).hexdigest()[:_DIGITS]
    messages = serialized.get("kwargs", {}).get("messages", [])
    closing = 0
    while closing < len(messages) and _is_constant(messages[-1 - closing]):
        closing += 1
    return Template(name, closing if closing < len(messages) else 0)


def _without_values(part: Any) -> Any:
    if isinstance(part, dict):
        return {key: _without_values(value) for key, value in part.items() if key != "partial_variables"}
    return [_without_values(item) for item in part] if isinstance(part, list) else part


def _is_constant(message: Any) -> bool:
    """Say whether a message of a template is a human's in which nothing is filled in."""
    if not isinstance(message, dict) or "Human" not in str(message.get("id", [""])[-1]):
        return False
    prompt = message.get("kwargs", {}).get("prompt")
    return isinstance(prompt, dict) and not prompt.get("kwargs", {}).get("input_variables")


ORIGINS = Origins()
"""The one of the process: a run may be begun by any code, before a tiered model is called inside it."""

# The default makes it a handler of every run, in whatever context: nobody has to configure it.
_attached: ContextVar[Origins | None] = ContextVar("llm_tiers_origins", default=ORIGINS)
register_configure_hook(_attached, inheritable=True)

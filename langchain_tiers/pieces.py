"""An answer as LangChain takes it: whole, or in pieces."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.utils.utils import LC_ID_PREFIX

from langchain_tiers.usage import with_total_usage, without_usage
from llm_tiers.flow.engine import Outcome

if TYPE_CHECKING:
    from langchain_tiers.runs import OuterRun

__all__ = ["as_chat_result", "as_generation_chunk"]


def as_chat_result(outcome: Outcome, run: OuterRun, run_id: UUID | None = None) -> ChatResult:
    """Return the answer as the tier gave it, with the trace, and without usage: `with_total_usage` adds that.

    Args:
        outcome: The answer and the trace.
        run: The user's run.
        run_id: The run whose pieces were shown, so that the message is known for the same.
    """
    message: AIMessage = outcome.answer.message
    metadata = {**without_usage(message.response_metadata), "tiers": outcome.trace.to_dict(run.trace_bytes)}
    # A copy, because a cache of the tier's may hold the message itself.
    changes = {"response_metadata": metadata, "usage_metadata": None, "id": _own_id(message.id, run_id)}
    return ChatResult(generations=[ChatGeneration(message=message.model_copy(update=changes))])


def as_generation_chunk(item: AIMessageChunk | Outcome, run: OuterRun, *, uncounted: bool) -> ChatGenerationChunk:
    """Return a piece of an answer as the user sees it.

    Args:
        item: A chunk of a tier's, or the outcome at the end, of which the user sees trace and usage.
        run: The user's run.
        uncounted: No handler counts the usage of what is shown here; otherwise it is left out.
    """
    run_id = None if run.manager is None else run.manager.run_id
    if isinstance(item, Outcome):
        last = _final_chunk(item, run, run_id)
        return ChatGenerationChunk(message=with_total_usage(last) if uncounted else last)
    changes = {
        "response_metadata": without_usage(item.response_metadata),
        "usage_metadata": None,
        "chunk_position": None,  # the trace is still to come
        "id": _own_id(item.id, run_id),
    }
    return ChatGenerationChunk(message=item.model_copy(update=changes))


def _final_chunk(outcome: Outcome, run: OuterRun, run_id: UUID | None) -> AIMessageChunk:
    # LangChain joins chunks of one kind of content only: texts, or lists of blocks.
    in_blocks = not isinstance(outcome.answer.message.content, str)
    return AIMessageChunk(
        content=[] if in_blocks else "",
        response_metadata={"tiers": outcome.trace.to_dict(run.trace_bytes)},
        chunk_position="last",
        id=_own_id(None, run_id),
    )


def _own_id(given: str | None, run_id: UUID | None) -> str | None:
    """Return the id of the user's run in place of the inner run's; a provider's own id stays."""
    if given is not None and not given.startswith(LC_ID_PREFIX):
        return given
    return None if run_id is None else f"{LC_ID_PREFIX}-{run_id}"

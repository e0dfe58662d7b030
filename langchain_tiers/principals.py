"""Who asks, and in which conversation: the user and the thread that LangGraph's configuration names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from langchain_core.runnables.config import ensure_config

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig

__all__ = ["Asking", "asked_by", "asking_of", "current_asking", "thread_in"]

_THREADS = ("thread_id", "session_id", "conversation_id")
"""How LangGraph, LangChain's histories and LangSmith name a conversation."""


@dataclass(frozen=True, slots=True)
class Asking:
    """Who asks.

    Attributes:
        user: The `user_id` of the configuration, or None.
        thread: What it calls the conversation, or None.
    """

    user: str | None = None
    thread: str | None = None


_asking: ContextVar[Asking] = ContextVar("llm_tiers_asking", default=Asking())  # noqa: B039 -- it cannot change


def asking_of(config: RunnableConfig | None) -> Asking:
    """Return who asks by a config's `configurable`, or that of the config around."""
    configurable = ensure_config(config).get("configurable") or {}
    return Asking(_name(configurable.get("user_id")), thread_in(configurable))


def thread_in(facts: Mapping[str, Any]) -> str | None:
    """Return the name of the conversation among some facts of a run, or None."""
    return next((name for key in _THREADS if (name := _name(facts.get(key))) is not None), None)


def current_asking() -> Asking:
    """Return who asks the call that is under way, as `asked_by` or the config around says."""
    given, around = _asking.get(), asking_of(None)
    return Asking(given.user or around.user, given.thread or around.thread)


@contextmanager
def asked_by(asking: Asking) -> Iterator[None]:
    """Let `current_asking` return who asks: LangChain hands a config's `configurable` to no model."""
    token = _asking.set(asking)
    try:
        yield
    finally:
        _asking.reset(token)


def _name(value: object) -> str | None:
    # A number or a UUID names a user as well; anything else is not ours to read.
    known = isinstance(value, str | int | UUID) and not isinstance(value, bool)
    return (str(value) or None) if known else None

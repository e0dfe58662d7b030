"""Who asks: the user that LangGraph's configuration names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING
from uuid import UUID

from langchain_core.runnables.config import ensure_config

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig

__all__ = ["asked_by", "current_user", "user_of"]

_asking: ContextVar[str | None] = ContextVar("llm_tiers_user", default=None)


def user_of(config: RunnableConfig | None) -> str | None:
    """Return the `user_id` of a config's `configurable`, or of the config around; None where there is none."""
    user = ensure_config(config).get("configurable", {}).get("user_id")
    # A number or a UUID names a user as well; anything else is not ours to read.
    known = isinstance(user, str | int | UUID) and not isinstance(user, bool)
    return (str(user) or None) if known else None


def current_user() -> str | None:
    """Return who asks the call that is under way, as `asked_by` or the config around says."""
    return _asking.get() or user_of(None)


@contextmanager
def asked_by(user: str | None) -> Iterator[None]:
    """Let `current_user` return the user: LangChain hands a config's `configurable` to no model."""
    token = _asking.set(user)
    try:
        yield
    finally:
        _asking.reset(token)

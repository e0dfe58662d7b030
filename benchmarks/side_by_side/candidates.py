"""The models that are compared, each over the same two tiers of a loopback server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from langchain_openai import ChatOpenAI

TIERS = ("small", "large")
NAMES = {
    "tiered": "`TieredChatModel`",
    "bare": "`ChatOpenAI` alone",
    "fallbacks": "`RunnableWithFallbacks`",
    "cascadeflow": "cascadeflow's `CascadeFlow`",
}


def chat(base_url: str, name: str, **settings: Any) -> ChatOpenAI:
    return ChatOpenAI(model=name, base_url=base_url, **{"api_key": "unused", "stream_usage": True, **settings})


def make(candidate: str, base_url: str, **settings: Any) -> Any:
    """Make a candidate; `settings` are those that every chat model takes."""
    makers: dict[str, Callable[..., Any]] = {
        "tiered": _tiered,
        "bare": _bare,
        "fallbacks": _fallbacks,
        "cascadeflow": _cascadeflow,
    }
    return makers[candidate](base_url, **settings)


def _tiered(base_url: str, **settings: Any) -> Any:
    from langchain_tiers import TieredChatModel

    return TieredChatModel([chat(base_url, name) for name in TIERS], prices=dict.fromkeys(TIERS, (1, 1)), **settings)


def _bare(base_url: str, *, judge: Any = None, **settings: Any) -> Any:
    del judge
    return chat(base_url, TIERS[0], **settings)


def _fallbacks(base_url: str, *, judge: Any = None, **settings: Any) -> Any:
    del judge
    small, large = (chat(base_url, name, **settings) for name in TIERS)
    return small.with_fallbacks([large])


def _cascadeflow(base_url: str, *, judge: Any = None, **settings: Any) -> Any:
    from cascadeflow.integrations.langchain import CascadeFlow

    own: dict[str, Any] = {}
    if judge is not None:
        own = {"quality_validator": lambda result: float(judge("", str(result))), "enable_pre_router": False}
    return CascadeFlow(chat(base_url, TIERS[0]), chat(base_url, TIERS[1]), **own, **settings)

"""What LangChain's model profiles say of the tiers, and of all of them together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from langchain_core.language_models import BaseChatModel

from llm_tiers.ladder.tiers import Tier

if TYPE_CHECKING:
    from langchain_core.language_models import ModelProfile

__all__ = ["common_profile", "with_profile"]

_CAPABILITIES = {
    "tools": "tool_calling",
    "images": "image_inputs",
    "audio": "audio_inputs",
    "pdf": "pdf_inputs",
    "structured_output": "structured_output",
}
"""What a call may need, and how a profile says that a model can do it."""


def with_profile(tier: Tier) -> Tier:
    """Fill in what the tier's model cannot do, as far as its profile says so and the user has not.

    Meant for the tiers below the top: profiles and token counts can be wrong, and the last tier must not be skipped.
    """
    profile = _profile(tier)
    window, capabilities = tier.context_window, tier.capabilities
    if window is None:
        window = profile.get("max_input_tokens") or None
    if capabilities is None:
        # Only a plain no counts: a profile that lacks the key says nothing.
        lacking = {need for need, key in _CAPABILITIES.items() if profile.get(key) is False}
        # The base class's method raises NotImplementedError.
        if type(tier.model).bind_tools is BaseChatModel.bind_tools:
            lacking.add("tools")
        capabilities = frozenset(_CAPABILITIES) - lacking if lacking else None
    return replace(tier, context_window=window, capabilities=capabilities)


def common_profile(tiers: Sequence[Tier]) -> ModelProfile | None:
    """Return what all the tiers can do and the smallest of their limits, or None where one has no profile."""
    profiles = [_profile(tier) for tier in tiers]
    shared = set(profiles[0]).intersection(*profiles[1:])
    common: dict[str, Any] = {}
    for key in sorted(shared):
        values = [profile[key] for profile in profiles]
        # Before the numbers, since a bool is an int too.
        if all(isinstance(value, bool) for value in values):
            common[key] = all(values)
        elif all(isinstance(value, int) for value in values):
            common[key] = min(values)
    return cast("ModelProfile", common) if common else None


def _profile(tier: Tier) -> dict[str, Any]:
    return dict(getattr(tier.model, "profile", None) or {})

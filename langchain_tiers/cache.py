"""The key under which LangChain's caches keep the answers of a tiered model."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llm_tiers.ladder.tiers import Ladder
    from llm_tiers.policies.policy import Policy

__all__ = ["cache_key"]


def cache_key(ladder: Ladder, policy: Policy, stop: list[str] | None, settings: Mapping[str, Any]) -> str:
    """Return a text that differs wherever the tiers, their settings, or the way one is chosen differ.

    It must be the same in every process, or a cache on disk never finds an answer again.

    Args:
        ladder: The tiers.
        policy: How one is chosen.
        stop: The stop sequences of the call.
        settings: The other settings of the call.
    """
    # The judge's own models decide which answer is returned, so they are part of the key.
    models = [*ladder, *policy.judge.own_tiers()]
    tiers = [(tier.name, tier.model._get_llm_string(stop=stop)) for tier in models]  # noqa: SLF001
    # Sorted, so that the order in which a constructor sets its attributes does not change the key.
    starter = type(policy.starter).__name__, sorted(vars(policy.starter).items())
    parts = [tiers, policy.name, starter, policy.judge.identity(), policy.equality, sorted(settings.items())]
    # Hashed, since the tiers' own keys show what may be secret, such as headers, and a cache is kept in plain sight.
    return f"llm-tiers:{hashlib.sha256(str(parts).encode()).hexdigest()}"

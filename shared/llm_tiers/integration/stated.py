"""Settings that stand in a file: checked as a model's constructor would, without a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from llm_tiers.embedding.choice import as_embedding
from llm_tiers.flow.limits import Limits
from llm_tiers.integration.construction import OF_POLICIES, OF_ROLLOUTS
from llm_tiers.ladder.prices import PriceBook
from llm_tiers.ladder.tiers import Ladder, Tier
from llm_tiers.policies.named import as_policy
from llm_tiers.policies.rollout import as_rollout

__all__ = ["check_stated"]


def check_stated(arguments: Mapping[str, Any]) -> None:
    """Check arguments of a constructor, as far as that needs no framework and no model.

    Args:
        arguments: Name to value; tiers are names of models, or tiers over such names.

    Raises:
        ConfigError: One is wrong; the message begins with its name.
    """
    policy = as_policy(**_of(OF_POLICIES, arguments))
    Limits(**_of([one.name for one in fields(Limits)], arguments))
    PriceBook(arguments.get("prices"))
    if "embedding" in arguments:
        as_embedding(arguments["embedding"])
    if "tiers" in arguments:
        ladder = Ladder([one if isinstance(one, Tier) else Tier(one) for one in arguments["tiers"]])
        policy.check(ladder)
        as_rollout(ladder.names, **_of(OF_ROLLOUTS, arguments))
    else:
        # Whatever serves may be a tier that code names.
        as_rollout([arguments.get("serve", "")], **_of(OF_ROLLOUTS, arguments))


def _of(names: tuple[str, ...] | list[str], arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {name: arguments[name] for name in names if name in arguments}

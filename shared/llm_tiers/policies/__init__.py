"""What decides: starters, judges, and the policies that pair them."""

from llm_tiers.policies.doubt import Doubt
from llm_tiers.policies.named import BY_KNOB, agree, as_policy, default, doubt, estimate, linucb, llm_at, metallm
from llm_tiers.policies.policy import Policy

__all__ = [
    "BY_KNOB",
    "Doubt",
    "Policy",
    "agree",
    "as_policy",
    "default",
    "doubt",
    "estimate",
    "linucb",
    "llm_at",
    "metallm",
]

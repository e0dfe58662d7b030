"""Switching tiers on without fear: the present tier serves, tiering is observed, and takes over call by call."""

from llm_tiers.policies.rollout.observed import Interval, Observed
from llm_tiers.policies.rollout.rollout import Rollout, Serve, as_rollout

__all__ = ["Interval", "Observed", "Rollout", "Serve", "as_rollout"]

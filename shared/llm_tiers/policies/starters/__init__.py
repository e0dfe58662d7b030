"""Which tier answers first."""

from llm_tiers.policies.starters.accuracy import AccuracyEstimator
from llm_tiers.policies.starters.base import Plan, Planning, Starter
from llm_tiers.policies.starters.fixed import FixedStarter

__all__ = ["AccuracyEstimator", "FixedStarter", "Plan", "Planning", "Starter"]

"""Which tier answers first."""

from llm_tiers.policies.starters.accuracy import AccuracyEstimator
from llm_tiers.policies.starters.base import Plan, Planning, Starter
from llm_tiers.policies.starters.fixed import FixedStarter
from llm_tiers.policies.starters.linucb import LinUCB

__all__ = ["AccuracyEstimator", "FixedStarter", "LinUCB", "Plan", "Planning", "Starter"]

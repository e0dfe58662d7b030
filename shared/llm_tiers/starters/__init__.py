"""Which tier answers first."""

from llm_tiers.starters.accuracy import AccuracyEstimator
from llm_tiers.starters.base import Plan, Planning, Starter
from llm_tiers.starters.doubt import Doubt
from llm_tiers.starters.fixed import FixedStarter

__all__ = ["AccuracyEstimator", "Doubt", "FixedStarter", "Plan", "Planning", "Starter"]

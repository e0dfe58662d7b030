"""Guarantees: SMART's promise, earned by profiling, proved by betting, and monitored by audits."""

from llm_tiers.policies.guarantee.forecast import Forecast
from llm_tiers.policies.guarantee.guarantee import Guarantee
from llm_tiers.policies.guarantee.smart import SMART

__all__ = ["SMART", "Forecast", "Guarantee"]

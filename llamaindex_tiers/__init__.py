"""A LlamaIndex LLM over a ladder of LLM tiers: call by call, the cheapest tier that gets it right."""

from llamaindex_tiers.events import TierDecision
from llamaindex_tiers.llm import TieredLLM
from llamaindex_tiers.results import tiers_of

__all__ = ["TierDecision", "TieredLLM", "tiers_of"]

"""What the agreement of tiers tells: a model of it, learned from past calls, and what it says of a call at hand."""

from llm_tiers.agreement.experience import Experience, ExperienceOf
from llm_tiers.agreement.outlook import Move, Outlook
from llm_tiers.agreement.votes import Hardness, Votes

__all__ = ["Experience", "ExperienceOf", "Hardness", "Move", "Outlook", "Votes"]

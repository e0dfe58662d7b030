"""What agreement between tiers says: a model learned from past calls, and its predictions for the present call."""

from llm_tiers.agreement.experience import Experience, ExperienceOf
from llm_tiers.agreement.outlook import Move, Outlook
from llm_tiers.agreement.votes import Hardness, Votes

__all__ = ["Experience", "ExperienceOf", "Hardness", "Move", "Outlook", "Votes"]

"""A ladder's tiers over a user's sample: the answers of all of them, what they cost, and how right they are."""

from llm_tiers.profile.collect import Limits
from llm_tiers.profile.profiling import Profile, Profiling
from llm_tiers.profile.questions import Question, read_questions
from llm_tiers.profile.target import load_check, load_ladder
from llm_tiers.profile.warm import WarmStart, warm_start

__all__ = [
    "Limits",
    "Profile",
    "Profiling",
    "Question",
    "WarmStart",
    "load_check",
    "load_ladder",
    "read_questions",
    "warm_start",
]

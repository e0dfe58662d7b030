"""Tables of recorded outcomes, run through the real cascade at no cost."""

from llm_tiers.replay.ladders import with_copy, with_worse
from llm_tiers.replay.policies import ReplayPolicy, replay_policy
from llm_tiers.replay.run import ReplayResult, neighbourhood_of, replay
from llm_tiers.replay.table import BUNDLED, ReplayTable, load_table

__all__ = [
    "BUNDLED",
    "ReplayPolicy",
    "ReplayResult",
    "ReplayTable",
    "load_table",
    "neighbourhood_of",
    "replay",
    "replay_policy",
    "with_copy",
    "with_worse",
]

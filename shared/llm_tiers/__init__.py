"""One model over a ladder of LLM tiers: call by call, the cheapest tier that gets it right.

This is the core that the integrations share; it imports no framework. `TieredChatModel` is in `langchain_tiers`,
`TieredLLM` in `llamaindex_tiers`.
"""

from llm_tiers.agreement.equality import ExactEquality, FinalAnswers
from llm_tiers.call.answer import Answer, ToolCall
from llm_tiers.call.call import Call
from llm_tiers.embedding import Embedding
from llm_tiers.errors import (
    AllTiersFailed,
    ConfigError,
    EmbeddingMismatch,
    FeedbackRefused,
    HistoryError,
    HistoryLocked,
    HistoryUnreachable,
    LlmTiersError,
    ReplayFileError,
    TierError,
    UnknownTrace,
)
from llm_tiers.flow.engine import Engine, Outcome
from llm_tiers.history import ChromaHistory
from llm_tiers.integration.opinions import feedback_from
from llm_tiers.ladder.breaker import Breaker
from llm_tiers.ladder.price import Price
from llm_tiers.ladder.tiers import Ladder, Tier
from llm_tiers.policies.graders import Grader
from llm_tiers.policies.guarantee import SMART, Forecast, Guarantee
from llm_tiers.policies.judges import Agreement, FunctionJudge, Judge, PromptJudge, Schema, Unjudged, Verdict
from llm_tiers.policies.named import llm_at
from llm_tiers.policies.policy import Policy
from llm_tiers.policies.rollout import Interval, Observed
from llm_tiers.policies.starters import AccuracyEstimator, FixedStarter, LinUCB
from llm_tiers.telemetry import Telemetry
from llm_tiers.trace import Attempt, Certificate, Grading, Trace
from llm_tiers.usage import Usage

__all__ = [  # noqa: RUF022 -- in the order that `sorted` gives, as the test of the public names has it
    "AccuracyEstimator",
    "Agreement",
    "AllTiersFailed",
    "Answer",
    "Attempt",
    "Breaker",
    "Call",
    "Certificate",
    "ChromaHistory",
    "ConfigError",
    "Embedding",
    "EmbeddingMismatch",
    "Engine",
    "ExactEquality",
    "FeedbackRefused",
    "FinalAnswers",
    "FixedStarter",
    "Forecast",
    "FunctionJudge",
    "Grader",
    "Grading",
    "Guarantee",
    "HistoryError",
    "HistoryLocked",
    "HistoryUnreachable",
    "Interval",
    "Judge",
    "Ladder",
    "LinUCB",
    "LlmTiersError",
    "Observed",
    "Outcome",
    "Policy",
    "Price",
    "PromptJudge",
    "ReplayFileError",
    "SMART",
    "Schema",
    "Telemetry",
    "Tier",
    "TierError",
    "ToolCall",
    "Trace",
    "Unjudged",
    "UnknownTrace",
    "Usage",
    "Verdict",
    "feedback_from",
    "llm_at",
]

"""Whether an answer stands."""

from llm_tiers.policies.judges.agreement import Agreement
from llm_tiers.policies.judges.case import Case, Judgement, Verdict
from llm_tiers.policies.judges.judge import FunctionJudge, Judge
from llm_tiers.policies.judges.prompt import PromptJudge
from llm_tiers.policies.judges.schema import Schema
from llm_tiers.policies.judges.thrifty import Thrifty
from llm_tiers.policies.judges.unjudged import Unjudged

__all__ = [
    "Agreement",
    "Case",
    "FunctionJudge",
    "Judge",
    "Judgement",
    "PromptJudge",
    "Schema",
    "Thrifty",
    "Unjudged",
    "Verdict",
]

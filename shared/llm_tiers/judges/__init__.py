"""Whether an answer stands."""

from llm_tiers.judges.base import Case, Judge, Judgement, Verdict
from llm_tiers.judges.function import FunctionJudge
from llm_tiers.judges.prompt import PromptJudge

__all__ = ["Case", "FunctionJudge", "Judge", "Judgement", "PromptJudge", "Verdict"]

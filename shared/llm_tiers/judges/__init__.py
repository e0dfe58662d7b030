"""Whether an answer stands."""

from llm_tiers.judges.agreement import Agreement
from llm_tiers.judges.base import Case, Judge, Judgement, Verdict
from llm_tiers.judges.function import FunctionJudge
from llm_tiers.judges.prompt import PromptJudge
from llm_tiers.judges.schema import Schema
from llm_tiers.judges.thrifty import Thrifty

__all__ = ["Agreement", "Case", "FunctionJudge", "Judge", "Judgement", "PromptJudge", "Schema", "Thrifty", "Verdict"]

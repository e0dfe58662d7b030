"""How right the answers of a profiled call are: a user's function, or a model that is asked."""

from llm_tiers.policies.graders.grader import Grader, as_grader

__all__ = ["Grader", "as_grader"]

"""The judge that looks at the form of an answer: tool calls and objects against their schemas."""

from __future__ import annotations

from llm_tiers.policies.judges.case import Case, Judgement, Verdict
from llm_tiers.policies.judges.judge import Judge, Review

__all__ = ["Schema"]


class Schema(Judge):
    """Accept tool calls and objects that fit their schemas, and reject those that do not. No model is asked.

    Where the user asks for no form, or plain text will do and the answer is plain text, it is uncertain.

    What does not fit is rejected under any judge; this one is for compositions, such as
    `Schema() | my_function`, which asks the function only for what is plain text.
    """

    def __repr__(self) -> str:
        return "Schema()"

    def review(self, case: Case) -> Review:
        """Check the form."""
        yield from ()  # a review is a generator, also where it asks for nothing
        return case.by_form or Judgement(Verdict.UNCERTAIN, "schema")

"""No judge: the answer of the tier that the starter chose is returned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llm_tiers.policies.judges.case import Case, Judgement, Verdict
from llm_tiers.policies.judges.judge import Judge, Review

if TYPE_CHECKING:
    from llm_tiers.ladder.tiers import Ladder, Tier

__all__ = ["Unjudged"]


class Unjudged(Judge):
    """Accept every answer, for a starter that routes: one tier answers, at the price of one answer.

    A tier that fails, gives no answer, or none of the form asked for, still goes one tier up.
    """

    def __repr__(self) -> str:
        return "Unjudged()"

    def takes_any(self, tier: Tier, ladder: Ladder, insight: Any) -> bool:  # noqa: ARG002
        """Take any."""
        return True

    def review(self, case: Case) -> Review:  # noqa: ARG002
        """Accept the answer."""
        yield from ()  # a review is a generator, also where it asks for nothing
        return Judgement(Verdict.VALID, "unjudged")

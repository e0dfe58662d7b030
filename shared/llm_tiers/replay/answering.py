"""No missing answers: a variant of LLM-AT to compare with, and what the fixed rules do where a tier says nothing."""

from __future__ import annotations

from dataclasses import replace

from llm_tiers.policies.judges.case import Case, Judgement, Verdict
from llm_tiers.policies.judges.judge import Review, WrappingJudge

__all__ = ["AlwaysAnswers", "or_earlier"]


class AlwaysAnswers(WrappingJudge):
    """Judge as another judge does, but accept no missing answer while an earlier tier gave one.

    What the inner judge rejects is only uncertain here, so that it may be returned if the top tier says nothing.

    Args:
        judge: The inner judge. It is asked about missing answers too, as in LLM-AT.
    """

    judges_missing = True

    def review(self, case: Case) -> Review:
        """Ask the inner judge."""
        judgement = yield from self.judge.review(case)
        if judgement.verdict is Verdict.INVALID:
            judgement = replace(judgement, verdict=Verdict.UNCERTAIN)
        return or_earlier(case, judgement)


def or_earlier(case: Case, judgement: Judgement) -> Judgement:
    """Let the dearest earlier answer stand in place of a missing one; without any, the call goes one tier up."""
    if judgement.verdict is not Verdict.VALID or case.answer.value is not None:
        return judgement
    earlier = [other.tier for other in case.others if other.value is not None]
    if not earlier:
        return replace(judgement, verdict=Verdict.UNCERTAIN)
    # The dearest, which is right most often.
    return replace(judgement, instead=max(earlier, key=case.ladder.index))

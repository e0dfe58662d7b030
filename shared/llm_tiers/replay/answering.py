"""Never a missing answer: what replays compare LLM-AT with, and what the fixed rules do where a tier says nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from llm_tiers.policies.judges.case import Case, Judgement, Verdict
from llm_tiers.policies.judges.judge import Judge, Review

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llm_tiers.ladder.tiers import Ladder, Tier

__all__ = ["AlwaysAnswers", "or_earlier"]


class AlwaysAnswers(Judge):
    """Do as another judge does, but let no missing answer stand while an earlier tier has one.

    What the judge behind rejects is only in doubt here, so that it may stand in where the top tier says nothing.

    Args:
        judge: The judge behind. It is asked about missing answers too, as in LLM-AT.
    """

    judges_missing = True

    def __init__(self, judge: Judge) -> None:
        self.judge = judge

    def __repr__(self) -> str:
        return f"AlwaysAnswers({self.judge!r})"

    def invitation(self, tier: Tier, ladder: Ladder) -> str | None:
        """Invite to abstain as the judge behind does."""
        return self.judge.invitation(tier, ladder)

    def own_tiers(self) -> Iterator[Tier]:
        """Yield the models outside the ladder that the judge behind calls."""
        yield from self.judge.own_tiers()

    def check(self, ladder: Ladder) -> None:
        """Check the judge behind against the ladder."""
        self.judge.check(ladder)

    def review(self, case: Case) -> Review:
        """Ask the judge behind."""
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
    return replace(judgement, instead=max(earlier, key=case.ladder.index))

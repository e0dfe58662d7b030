"""The judge that is asked only where that is cheaper than the next tier's answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from llm_tiers.policies.judges.case import Case, Judgement, Verdict
from llm_tiers.policies.judges.judge import Judge, JudgeFunction, Review, as_judge
from llm_tiers.usage import Usage

if TYPE_CHECKING:
    from llm_tiers.ladder.tiers import Ladder, Tier

__all__ = ["Thrifty"]


class Thrifty(Judge):
    """Ask a judge only where its verdict costs less than the next tier's answer would.

    Where it does not, the answer is left open and the next tier answers instead, which is the better buy: with
    `Agreement() | Thrifty(PromptJudge())` the two answers then decide. On LLM-AT's recorded runs, judging the cheapest
    tier's answer cost 1.3 (MATH) and .9 (MCQA) times what the next tier's answer did.

    What a verdict costs is told from the prices and from the tokens of the answer at hand: the judge reads question and
    answer, and thinks as long as that answer's tier did. Where a price is not known the judge is asked.

    Args:
        judge: The judge, or a function.

    Raises:
        ConfigError: It is neither.
    """

    def __init__(self, judge: Judge | JudgeFunction) -> None:
        self.judge = as_judge(judge)

    def __repr__(self) -> str:
        return f"Thrifty({self.judge!r})"

    def identity(self) -> str:
        """Return what tells the judge behind apart."""
        return f"Thrifty({self.judge.identity()})"

    def invitation(self, tier: Tier, ladder: Ladder) -> str | None:
        """Return what the judge behind adds."""
        return self.judge.invitation(tier, ladder)

    def own_tiers(self) -> Iterator[Tier]:
        """Yield the models outside the ladder that the judge behind calls."""
        yield from self.judge.own_tiers()

    def check(self, ladder: Ladder) -> None:
        """Check the judge behind against the ladder."""
        self.judge.check(ladder)

    def review(self, case: Case) -> Review:
        """Ask the judge, unless the next tier's answer is as cheap."""
        dear = _dearer_than(case, self.judge.asks(case))
        if dear is None:
            return (yield from self.judge.review(case))
        return Judgement(Verdict.UNCERTAIN, "economy", why=f"{dear}'s answer is as cheap as a verdict")


def _dearer_than(case: Case, judging: Tier | None) -> str | None:
    """Return the next tier's name if its answer costs no more than the verdict of `judging`."""
    after, usage = case.ladder.above(case.answer.tier), case.answer.usage
    if judging is None or after is None or usage is None:
        return None
    reading = Usage(usage.input_tokens + usage.output_tokens, usage.reasoning_tokens + 1)
    verdict, answer = case.cost(judging, reading), case.cost(after, Usage(usage.input_tokens, usage.output_tokens))
    return after.name if verdict is not None and answer is not None and answer <= verdict else None

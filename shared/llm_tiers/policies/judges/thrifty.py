"""The judge that is asked only where that is cheaper than the next tier's answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_tiers.policies.judges.case import Case, Judgement, Verdict
from llm_tiers.policies.judges.judge import Review, WrappingJudge
from llm_tiers.usage import Usage

if TYPE_CHECKING:
    from llm_tiers.ladder.tiers import Tier

__all__ = ["Thrifty"]


class Thrifty(WrappingJudge):
    """Ask a judge only where its verdict costs less than the next tier's answer would.

    Otherwise the answer is left undecided and the next tier answers instead, which is the better buy: with
    `Agreement() | Thrifty(PromptJudge())` the two answers then decide. On LLM-AT's recorded runs, judging the cheapest
    tier's answer cost 1.3 (MATH) and .9 (MCQA) times what the next tier's answer did.

    The cost of a verdict follows from the prices and from the tokens of the answer at hand: the judge reads question
    and answer, and reasons as long as that answer's tier did. Where a price is not known the judge is asked.

    Args:
        judge: The judge, or a function.

    Raises:
        ConfigError: It is neither.
    """

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
    # One token for the word that the judge replies, after as much reasoning as the answer took.
    reading = Usage(usage.input_tokens + usage.output_tokens, usage.reasoning_tokens + 1)
    verdict, answer = case.cost(judging, reading), case.cost(after, Usage(usage.input_tokens, usage.output_tokens))
    # At equal cost the answer wins: it may be right, while a verdict can only accept or reject this one.
    return after.name if verdict is not None and answer is not None and answer <= verdict else None

"""The doubt cascade: two cheap tiers side by side, and a doubt that their agreement and its history give."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, pstdev
from typing import TYPE_CHECKING

from llm_tiers.judges.agreement import same_by_asking
from llm_tiers.judges.base import Case, Judge, Judgement, Review, Verdict
from llm_tiers.judges.prompt import PromptJudge
from llm_tiers.requests import Request, Response
from llm_tiers.starters.arguments import require, require_number
from llm_tiers.starters.base import Plan, Planning
from llm_tiers.starters.past import Past, look_up, weight_of

if TYPE_CHECKING:
    from llm_tiers.answer import Answer
    from llm_tiers.call import Call
    from llm_tiers.history.record import Record
    from llm_tiers.tiers import Ladder, Tier

__all__ = ["Doubt"]

_FEW = 5
"""Fewer past answers than these say nothing of a query."""

_HOPELESS = 0.9
"""At this share of disagreement, asking the two is a waste."""


@dataclass(frozen=True, slots=True)
class _Limits:
    """How much doubt is borne at one quality; beyond it the call goes on to the next tier.

    Attributes:
        beside: Of a query, before anything is asked: the third tier answers beside the two.
        agree: Of an answer that both gave.
        agree_three: Of an answer that all three gave.
        differ: Of an answer where the two differ.
        match: Of a third answer that sides with the second.
        apart: Of a third answer that stands alone, or sides with the first.
        alone: Of a query, before anything is asked: the cheapest tier answers alone.
        alone_of_two: The same in a ladder of two tiers, whose dearer one is the top.
    """

    beside: float
    agree: float
    agree_three: float
    differ: float
    match: float
    apart: float
    alone: float
    alone_of_two: float

    @classmethod
    def at(cls, quality: float) -> _Limits:
        """Return the limits at a quality in [0, 1]; each falls linearly.

        Found by search on the two recorded sets at once, rounded, and checked with two embeddings and six shuffles.
        """
        return cls(
            beside=0.95 - 0.7 * quality,
            agree=0.85 - 1.1 * quality,
            agree_three=1.15 - 0.65 * quality,
            differ=0.2 - 2.2 * quality,
            match=1.8 - 1.5 * quality,
            apart=1.4 - 1.6 * quality,
            alone=0.05 - 0.04 * quality,
            alone_of_two=0.4 - 0.4 * quality,
        )


class Doubt(Judge):
    """Start with the two cheapest tiers side by side, and go on as far as the doubt in their answer asks for.

    Whether the two agree is a label that every call gives for free. From how often they disagreed on similar past
    queries (p), and from how much longer than there they write now (z, in standard deviations, clipped), comes the
    doubt `p + 0.2 z`. An agreed answer in little doubt stands; a third tier decides where they differ, or looks too
    where they agree in much doubt; the top is asked where the three differ in doubt. No model is asked for a verdict,
    unless answers cannot be compared: then the cheapest tier is asked whether they say the same, and last `judge`.

    Where the two hardly ever disagreed, the cheapest answers alone, and where they nearly always did, the second and
    the third are the two. Neither teaches whether the two agree, so what is known fades, and they are tried again.

    It trusts that each tier is better than the one below. Two names for one model agree always, right or wrong.

    It is a starter and a judge in one: `Policy("doubt", doubt, doubt)`, or `policy="doubt"`.

    Source: our own; the agreement is Agreement-Based Cascading's (TMLR 2025).

    Args:
        quality: What the user turns, in [0, 1]: 0 is cheapest, 1 as good as the ladder gets.
        k: Number of past queries looked at.
        strength: Weight of the prior, in units of one perfectly similar past query.
        prior: Share of queries on which the two disagree, in [0, 1], before anything is learned.
        half_life: Age in seconds at which a past query counts half, or None: labels do not age.
        judge: Decides where answers cannot be compared; by default a `PromptJudge`.

    Raises:
        ConfigError: An argument is out of its range.
    """

    judges_missing = True

    def __init__(
        self,
        *,
        quality: float = 0.25,
        k: int = 20,
        strength: float = 2.0,
        prior: float = 0.3,
        half_life: float | None = None,
        judge: Judge | None = None,
    ) -> None:
        for argument, value in (("quality", quality), ("prior", prior), ("strength", strength)):
            require_number(value, argument)
        require_number(1 if half_life is None else half_life, "half_life")
        require(0 <= quality <= 1, f"quality={quality!r} must lie in [0, 1]")
        require(isinstance(k, int) and k >= 1, f"k={k!r} must be a whole number of at least 1")
        require(0 < strength < math.inf, f"strength={strength!r} must be greater than 0, and finite")
        require(0 <= prior <= 1, f"prior={prior!r} must lie in [0, 1]")
        require(half_life is None or half_life > 0, f"half_life={half_life!r} must be greater than 0 seconds, or None")
        self.quality = quality
        self.k = k
        self.strength = strength
        self.prior = prior
        self.half_life = half_life
        self.judge = judge or PromptJudge()
        self._limits = _Limits.at(quality)

    def __repr__(self) -> str:
        return f"Doubt(quality={self.quality}, judge={self.judge!r})"

    def identity(self) -> str:
        """Return all settings."""
        settings = (self.quality, self.k, self.strength, self.prior, self.half_life)
        return f"Doubt{settings}, {self.judge.identity()}"

    def own_tiers(self) -> Iterator[Tier]:
        """Yield the models outside the ladder that the judge behind calls."""
        yield from self.judge.own_tiers()

    def check(self, ladder: Ladder) -> None:
        """Check the judge behind against the ladder."""
        self.judge.check(ladder)

    def plan(self, call: Call, ladder: Ladder) -> Planning:
        """Plan the two cheapest tiers, a third beside them where the query looks hard, or one alone."""
        past = yield from look_up(call, k=self.k, min_similarity=-1.0, enough=1)
        names = ladder.names
        p, compared = self._share_of_disagreement(past, call.created, names[:2])
        alone = self._limits.alone_of_two if len(names) == 2 else self._limits.alone  # noqa: PLR2004
        plan = Plan(
            start=names[1],
            witnesses=names[:1],
            companions=names[2:3] if p > self._limits.beside else (),
            reason=f"doubt {p:.2f} before asking; {past.reason}",
            estimates={names[1]: 1 - p},
            neighbours=len(past.neighbours),
            warnings=past.warnings,
            notes={"p": p, "first": 0, **_usual_lengths(past, names[:2])},
        )
        if compared < _FEW:
            return plan
        if p <= alone:
            return replace(plan, start=names[0], witnesses=(), companions=(), estimates={names[0]: 1 - p})
        if p >= _HOPELESS and len(names) > 3:  # noqa: PLR2004 -- above the two that would start there is the top
            notes = {**plan.notes, "first": 1}
            return replace(plan, start=names[2], witnesses=names[1:2], companions=(), estimates={}, notes=notes)
        return plan

    def _share_of_disagreement(self, past: Past, now: float, pair: Sequence[str]) -> tuple[float, int]:
        """Return how often the pair disagreed on similar past queries, and on how many both answered."""
        total, differing, compared = self.strength, self.strength * self.prior, 0
        for neighbour in past.neighbours:
            weight = weight_of(neighbour, now=now, half_life=self.half_life)
            differs = _disagree(neighbour.record, pair)
            if differs is not None:
                total, differing, compared = total + weight, differing + weight * differs, compared + 1
            elif neighbour.record.final == pair[0]:
                # The cheapest answered alone: a guess that they agree, so it counts half.
                total += weight / 2
        return differing / total, compared

    def review(self, case: Case) -> Review:
        """Accept the answer if the doubt in it is borne, comparing it with what the tiers below said."""
        judgement = yield from self._review(case)
        return _or_earlier(case, judgement) if case.answer.value is None else judgement

    def _review(self, case: Case) -> Review:
        low = int(case.notes.get("first", 0))
        position = case.ladder.index(case.answer.tier) - low
        answers = {answer.tier: answer for answer in (*case.others, case.answer)}
        first, second = (answers.get(name) for name in case.ladder.names[low : low + 2])
        doubt = self._doubt(case, [answer for answer in (first, second) if answer is not None])
        if position == 0:
            of_two = len(case.ladder) == 2  # noqa: PLR2004
            return _ruled(doubt, self._limits.alone_of_two if of_two else self._limits.alone + 0.1)
        agree = None
        if first is not None and second is not None:
            agree = yield from self._same(case, first, second)
        if agree is None or second is None:
            return (yield from self._otherwise(case))
        if position == 1:
            return _ruled(doubt, self._limits.agree if agree else self._limits.differ)
        sides = yield from self._same(case, case.answer, second)
        if agree:
            return _ruled(doubt, self._limits.agree_three if sides else -math.inf)
        return _ruled(doubt, self._limits.match if sides or second.value is None else self._limits.apart)

    def _otherwise(self, case: Case) -> Review:
        """Judge an answer that cannot be compared."""
        if case.answer.value is None:
            return Judgement(Verdict.UNCERTAIN, "doubt", why="no answer, and nothing to compare")
        return (yield from self.judge.review(case))

    def _same(self, case: Case, one: Answer, other: Answer) -> Generator[Request, Response, bool | None]:
        same = case.equality.same(one, other)
        return same if same is not None else (yield from same_by_asking(case, one, other))

    def _doubt(self, case: Case, answers: Sequence[Answer]) -> float:
        """Return p + 0.2 z."""
        scores = [
            (math.log1p(answer.usage.output_tokens) - case.notes[f"mean:{answer.tier}"])
            / case.notes[f"deviation:{answer.tier}"]
            for answer in answers
            if answer.usage is not None and f"mean:{answer.tier}" in case.notes
        ]
        z = min(max(fmean(scores), -2.5), 2.5) if scores else 0.0
        return case.notes.get("p", self.prior) + 0.2 * z


def _or_earlier(case: Case, judgement: Judgement) -> Judgement:
    """Let the dearest earlier answer stand in for a missing one."""
    earlier = [other.tier for other in case.others if other.value is not None]
    if judgement.verdict is Verdict.VALID and earlier:
        return replace(judgement, instead=max(earlier, key=case.ladder.index))
    return replace(judgement, verdict=Verdict.UNCERTAIN)


def _ruled(doubt: float, limit: float) -> Judgement:
    stands = doubt <= limit
    why = f"doubt {doubt:.2f}" if limit == -math.inf else f"doubt {doubt:.2f} {'<=' if stands else '>'} {limit:.2f}"
    # Uncertain, not invalid: should no tier above answer, it may stand in.
    return Judgement(Verdict.VALID if stands else Verdict.UNCERTAIN, "doubt", why=why)


def _disagree(record: Record, pair: Sequence[str]) -> bool | None:
    """Say whether the pair disagreed on a past call, or None where not both answered."""
    said = [record.said.get(name) for name in pair]
    if None in said:
        return None
    return said[0] != said[1] or said[0] == -1


def _usual_lengths(past: Past, names: Sequence[str]) -> dict[str, float]:
    """Return mean and deviation of the log of the output tokens on similar past queries, by tier."""
    usual = {}
    for name in names:
        lengths = [
            math.log1p(neighbour.record.tokens[name])
            for neighbour in past.neighbours
            if name in neighbour.record.tokens
        ]
        if len(lengths) >= _FEW:
            usual[f"mean:{name}"] = fmean(lengths)
            usual[f"deviation:{name}"] = max(pstdev(lengths), 0.2)
    return usual

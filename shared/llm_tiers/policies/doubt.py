"""The doubt cascade: cheap tiers side by side, and what their agreement says about the query."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from llm_tiers.agreement import Experience, ExperienceOf, Move, Outlook
from llm_tiers.agreement.experience import differs, was_returned
from llm_tiers.arguments import require, require_number
from llm_tiers.call.requests import Request, Response
from llm_tiers.policies.judges.agreement import same_by_asking, same_without_asking
from llm_tiers.policies.judges.case import Case, Judgement, Verdict
from llm_tiers.policies.judges.judge import Judge, Review
from llm_tiers.policies.judges.prompt import PromptJudge
from llm_tiers.policies.judges.thrifty import Thrifty
from llm_tiers.policies.starters.base import Lots, Plan, Planning
from llm_tiers.policies.starters.past import Past, look_up, weight_of

if TYPE_CHECKING:
    from llm_tiers.call.answer import Answer
    from llm_tiers.call.call import Call
    from llm_tiers.history import Record
    from llm_tiers.ladder.tiers import Ladder, Tier

__all__ = ["Doubt"]

_COLD = 20
"""The first calls of a node go to the two cheapest tiers, whatever the model expects: it has learned nothing yet."""


class Doubt(Judge):
    """Ask cheap tiers first, and continue as long as a dearer tier's answer is worth its price.

    Whether tiers agree is a label that every call gives for free. From the answers that tiers gave to past calls it
    learns how likely each tier repeats what cheaper ones said: the more it disagreed on similar queries, and the longer
    the tiers write now, the less. So after each answer it knows all the ways in which the others may answer, takes the
    answer that is most likely right, and asks the tier next that adds most to that chance for its price; tiers between
    are skipped. No model is asked for a verdict, unless answers cannot be compared: then the cheapest tier is asked
    whether they say the same, and last `judge`.

    A tier that says what a cheaper one says, or that the top tier does not side with, adds nothing and is left out.
    The cheapest tier answers first as long as its answer stands, on queries like the one at hand, often enough to save
    more of the next tier's price than it costs; else the start moves above it. Now and then the two cheapest are asked
    all the same, or nothing about them would be learned any more.

    It is a starter and a judge in one: `Policy("doubt", doubt, doubt)`, or `policy="doubt"`.

    Source: our own. Agreement as the signal is Agreement-Based Cascading's (TMLR 2025); to decide anew after each
    answer is cascade routing's (Dekoninck et al., ICML 2025).

    Args:
        quality: The user's knob, in [0, 1]: 0 is cheapest, 1 as good as the ladder gets. It sets the price of a top
            tier's answer, in units of the chance to be right: `0.5 (1 - quality)**3`.
        k: Number of past queries looked at.
        strength: Weight of the share on which tiers usually differ, in units of one perfectly similar past query.
        explore: Chance, in [0, 1], that the two cheapest tiers are asked whatever the model expects.
        seed: Seed of that draw, which depends on the seed and the call's trace id alone.
        half_life: Age in seconds at which a past query counts half, or None: they do not age.
        judge: Decides where answers cannot be compared; by default a `PromptJudge`, where its verdict is cheaper than
            the next tier's answer.

    Raises:
        ConfigError: An argument is out of its range.
    """

    judges_missing = True
    assumes_above = False
    """It learns from what tiers said, so nothing is assumed of those that were not asked."""

    def __init__(
        self,
        *,
        quality: float = 0.35,
        k: int = 20,
        strength: float = 2.0,
        explore: float = 0.03,
        seed: int = 0,
        half_life: float | None = None,
        judge: Judge | None = None,
    ) -> None:
        for argument, value in (("quality", quality), ("explore", explore), ("strength", strength)):
            require_number(value, argument)
        require_number(1 if half_life is None else half_life, "half_life")
        require(0 <= quality <= 1, f"quality={quality!r} must lie in [0, 1]")
        require(isinstance(k, int) and k >= 1, f"k={k!r} must be a whole number of at least 1")
        require(0 < strength < math.inf, f"strength={strength!r} must be greater than 0, and finite")
        require(0 <= explore <= 1, f"explore={explore!r} must lie in [0, 1]; 0 switches exploration off")
        require(half_life is None or half_life > 0, f"half_life={half_life!r} must be greater than 0 seconds, or None")
        self.quality = quality
        self.k = k
        self.strength = strength
        self.explore = explore
        self.seed = seed
        self.half_life = half_life
        self.judge = judge or Thrifty(PromptJudge())

    def __repr__(self) -> str:
        return f"Doubt(quality={self.quality}, judge={self.judge!r})"

    def identity(self) -> str:
        """Return all settings."""
        settings = (self.quality, self.k, self.strength, self.explore, self.seed, self.half_life)
        return f"Doubt{settings}, {self.judge.identity()}"

    @property
    def price(self) -> float:
        """What a usual answer of the top tier may cost in chance to be right."""
        return 0.5 * float(1 - self.quality) ** 3

    def note_checks(self, case: Case) -> None:
        """Ask the functions of the judge behind."""
        self.judge.note_checks(case)

    def own_tiers(self) -> Iterator[Tier]:
        """Yield the models outside the ladder that the judge behind calls."""
        yield from self.judge.own_tiers()

    def check(self, ladder: Ladder) -> None:
        """Check the judge behind against the ladder."""
        self.judge.check(ladder)

    # The start

    def plan(self, call: Call, ladder: Ladder) -> Planning:
        """Plan the tiers that answer first: one, or two side by side."""
        past = yield from look_up(call, k=self.k, min_similarity=-1.0, enough=1, study=ExperienceOf(ladder.names))
        experience = past.learned or Experience.none(ladder.names)
        share = self._share(past, call.created, experience)
        # The flow skips these tiers by itself. Here they are left out too, or the plan would count on their answers.
        serving = (p for p, tier in enumerate(ladder) if not call.shortfall(tier))
        insight = _Insight(experience, share, tuple(serving))
        outlook, costs = insight.expect([None] * len(ladder), {}, ladder)
        # If no tier can serve the call, the flow says so with each tier's reason; the plan then only has to exist.
        usable = insight.usable or tuple(range(len(ladder)))
        explores, chance = self._explores(call)
        if experience.count < _COLD or explores:
            asked, why = usable[:2], "to learn of them"
        else:
            first = self._first_tier(usable, costs, past, call.created, experience)
            asked = _side_by_side(first, outlook.after(first, costs, self.price, usable), usable)
            why = "best value"
        names = [ladder.names[position] for position in asked]
        return Plan(
            start=names[-1],
            witnesses=tuple(names[:-1]),
            reason=f"{why}: {' and '.join(names)}; tiers differ on {share:.2f} of queries like it; {past.reason}",
            estimates={name: outlook.chance_right(position) for position, name in enumerate(ladder.names)},
            neighbours=len(past.neighbours),
            warnings=past.warnings,
            share=share,
            insight=insight,
            lots=Lots(1.0 if experience.count < _COLD else chance),
        )

    def _share(self, past: Past, now: float, experience: Experience) -> float:
        """Return how often tiers differed on similar past queries."""
        return self._rate(past, now, experience.usual, partial(differs, names=experience.names))

    def _first_tier(
        self, usable: tuple[int, ...], costs: Sequence[float], past: Past, now: float, experience: Experience
    ) -> int:
        """Return the cheapest tier that pays its way: it saves the next one's price where its answer stands."""
        for position, following in itertools.pairwise(usable):
            name = experience.names[position]
            returned = self._rate(past, now, experience.share_returned(name), partial(was_returned, name=name))
            if returned * costs[following] >= costs[position]:
                return position
        return usable[-1]

    def _rate(self, past: Past, now: float, usual: float, seen: Callable[[Record], bool | None]) -> float:
        """Return how often something was seen on similar past queries; None says that it could not be."""
        # Starts from the node's usual rate, so that few or dissimilar neighbours change it little.
        total, found = self.strength, self.strength * usual
        for neighbour in past.neighbours:
            was = seen(neighbour.record)
            if was is not None:
                weight = weight_of(neighbour, now=now, half_life=self.half_life)
                total, found = total + weight, found + weight * was
        return found / total

    def _explores(self, call: Call) -> tuple[bool, float]:
        """Say whether the call explores, and with what chance that was drawn."""
        explores = self.explore > 0 and random.Random(f"{self.seed}:{call.id}").random() < self.explore
        return explores, self.explore if explores else 1 - self.explore

    # The verdict

    def review(self, case: Case) -> Review:
        """Accept the answer that is most likely right, unless a dearer tier's is worth its price."""
        given = (*case.others, case.answer)
        # Nothing to compare and nothing to return: the next tier up, whatever the price.
        if all(_is_missing(case, answer) for answer in given):
            return Judgement(Verdict.UNCERTAIN, "doubt", why="no answer yet")
        numbers = yield from self._numbers(case, given)
        if numbers is None:
            return (yield from self.judge.review(case))
        # Beside another starter (`judge=Doubt()`) nothing was looked up; then the assumptions have to do.
        insight = case.insight if isinstance(case.insight, _Insight) else _Insight.of_nothing(case.ladder)
        answers = [numbers.get(name) for name in case.ladder.names]
        outlook, costs = insight.expect(answers, _tokens(given), case.ladder)
        move = outlook.best(costs, self.price, insight.usable)
        return self._judgement(case, insight, outlook, move)

    def _numbers(self, case: Case, given: Sequence[Answer]) -> Generator[Request, Response, dict[str, int] | None]:
        """Number the answers such that equal ones have equal numbers; None where they cannot be compared."""
        numbers: dict[str, int] = {}
        leaders: list[Answer] = []
        for answer in given:
            if _is_missing(case, answer):
                numbers[answer.tier] = -1
                continue
            # Only what cannot be compared for free is asked of a model, and not once an equal answer has been found.
            same = [same_without_asking(case, answer, leader) for leader in leaders]
            for place in range(len(leaders)):
                if True not in same and same[place] is None:
                    same[place] = yield from same_by_asking(case, answer, leaders[place])
            if True not in same:
                if None in same:
                    return None
                leaders.append(answer)
            numbers[answer.tier] = same.index(True) if True in same else len(leaders) - 1
        return numbers

    def _judgement(self, case: Case, insight: _Insight, outlook: Outlook, move: Move) -> Judgement:
        names = case.ladder.names
        if move.accept is None:
            # Uncertain, not invalid: if no tier above answers, this answer may be returned.
            goes_on = None if move.ask is None else names[move.ask]
            return Judgement(Verdict.UNCERTAIN, "doubt", why=f"{goes_on} is worth its price", skip_to=goes_on)
        name, right = names[move.accept], outlook.chance_right(move.accept)
        return Judgement(
            Verdict.VALID,
            "doubt",
            why=f"right with chance {right:.2f}",
            instead=None if name == case.answer.tier else name,
            confidence=insight.experience.stated(outlook.chance_of_top(move.accept)),
        )


@dataclass(frozen=True, slots=True)
class _Insight:
    """What the plan of a call knows.

    Attributes:
        experience: What the node's past taught when the call began.
        share: How often tiers differed on similar queries.
        usable: Positions of the tiers that can serve the call.
    """

    experience: Experience
    share: float
    usable: tuple[int, ...]

    @classmethod
    def of_nothing(cls, ladder: Ladder) -> _Insight:
        experience = Experience.none(ladder.names)
        return cls(experience, experience.usual, tuple(range(len(ladder))))

    def expect(
        self, answers: Sequence[int | None], tokens: Mapping[str, int], ladder: Ladder
    ) -> tuple[Outlook, tuple[float, ...]]:
        """Return the outlook after some answers, and what further ones will cost."""
        missing = answers.count(-1)
        known = self.experience.hardness(self.share, tokens, missing)
        outlook = Outlook(self.experience.votes, answers, known, self.experience.missing(missing))
        return outlook, self.experience.expected_costs(ladder.costs, known)


def _side_by_side(first: int, second: Move, usable: tuple[int, ...]) -> tuple[int, ...]:
    """Return the tiers to ask at once: two that follow each other; otherwise the first answer decides who is next.

    The dearest that can serve waits for its turn, since its answer may stream.
    """
    if first == usable[-1] or second.ask in (None, usable[-1]) or second.ask != usable[usable.index(first) + 1]:
        return (first,)
    return (first, second.ask)


def _is_missing(case: Case, answer: Answer) -> bool:
    form = case.call.form
    flawed = form is not None and form.flaw(answer) is not None
    # A refusal or an abstention equals nothing, itself included.
    return answer.value is None or flawed or case.equality.same(answer, answer) is False


def _tokens(given: Sequence[Answer]) -> dict[str, int]:
    return {answer.tier: answer.usage.output_tokens for answer in given if answer.usage is not None}

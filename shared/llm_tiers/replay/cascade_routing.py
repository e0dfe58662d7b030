"""Cascade routing, to compare with: after every answer, continue in the way that is best worth its price, or stop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from statistics import fmean
from typing import TYPE_CHECKING

from llm_tiers.errors import ConfigError
from llm_tiers.ladder.price import as_price
from llm_tiers.policies.judges.case import Case, Judgement, Verdict
from llm_tiers.policies.judges.judge import Judge, Review
from llm_tiers.policies.policy import Policy
from llm_tiers.policies.starters.base import Plan, Planning
from llm_tiers.policies.starters.past import Past, look_up, weight_of
from llm_tiers.replay.belief import best_after, chances_right
from llm_tiers.usage import Usage

if TYPE_CHECKING:
    from llm_tiers.agreement.equality import Equality
    from llm_tiers.call.answer import Answer
    from llm_tiers.call.call import Call
    from llm_tiers.history.record import Record
    from llm_tiers.ladder.tiers import Ladder, Tier

__all__ = ["CascadeRouting", "cascade_routing"]

_TYPICAL = Usage(1_000, 300)
"""Tokens of an answer of which nothing is known; those of the top tier are the unit of cost."""

_LOWEST_PRIOR, _HIGHEST_PRIOR = 0.65, 0.85
_NEIGHBOURS = 20
_STRENGTH = 5.0
"""Weight of the prior, in units of one perfectly similar past query."""


def cascade_routing(*, quality: float = 0.5) -> Policy:
    """Return cascade routing.

    Args:
        quality: In [0, 1]: 0 is the cheapest tier alone, 1 the top alone.
    """
    both = CascadeRouting(quality=quality)
    return Policy("cascade-routing", both, both)


@dataclass(frozen=True, slots=True)
class _Way:
    """A way on: the tiers to ask, what they cost, and the chance that the answer then is right. None at all: stop."""

    tiers: tuple[str, ...]
    cost: float
    chance: float


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of the tiers on one query: chances to be right, and costs in answers of the top."""

    chances: Mapping[str, float]
    costs: Mapping[str, float]


class CascadeRouting(Judge):
    """Maximise the expected quality less `price` times the cost, anew after every answer.

    The ways on are all sets of tiers above the last one asked. The quality of one is the chance that the likeliest of
    all answers is right once they have answered. Of the best set the cheapest tier is asked; where the best is to ask
    nobody, the likeliest answer stands.

    Source: the rule is cascade routing's (Dekoninck, Baader, Vechev: "A Unified Approach to Routing and Cascading for
    LLMs", ICML 2025); code and estimates are ours. Theirs are fitted to labelled data. Here nobody labels: right is
    what the top tier would say, each tier's chance comes from similar past queries, by which tiers gave the same answer
    there, and agreement on this query changes it (`belief.py`).

    It is a starter and a judge in one. A tier without an answer counts as wrong.

    Args:
        quality: In [0, 1]. `price` is 0.1 (1 - quality) / quality for one answer of the top tier of typical length
            (1,000 tokens in, 300 out).
    """

    judges_missing = True

    def __init__(self, *, quality: float = 0.5) -> None:
        self.quality = quality
        self.price = 0.1 * (1 - quality) / max(quality, 1e-9)

    def __repr__(self) -> str:
        return f"CascadeRouting(quality={self.quality})"

    def check(self, ladder: Ladder) -> None:
        """Check that every tier has a price.

        Raises:
            ConfigError: One has none.
        """
        for tier in ladder:
            if tier.price is None:
                raise ConfigError(f"cascade-routing: tier {tier.name!r} has no price; give Tier(..., price=(in, out))")

    def plan(self, call: Call, ladder: Ladder) -> Planning:
        """Estimate every tier's chance and cost, and start at the cheapest tier of the best set."""
        past = yield from look_up(call, k=_NEIGHBOURS, min_similarity=-1.0, enough=1)
        known = _Known(_chances(past, ladder, call.created), _costs(past, ladder))
        best = self._best(_ways((), (), ladder.names, known))
        return Plan(
            start=best.tiers[0],
            reason=f"{' + '.join(best.tiers)} at {best.chance:.2f}; {past.reason}",
            estimates=known.chances,
            neighbours=len(past.neighbours),
            warnings=past.warnings,
            insight=known,
        )

    def review(self, case: Case) -> Review:
        """Stop with the likeliest answer where no way on is worth its price; otherwise continue."""
        yield from ()
        known: _Known = case.insight
        answers = [answer for answer in (*case.others, case.answer) if answer.value is not None]
        said = _pattern(answers, case.equality)
        names = [answer.tier for answer in answers]
        above = case.ladder.names[case.ladder.index(case.answer.tier) + 1 :]
        best = self._best(_ways(names, said, above, known))
        if best.tiers:
            why = f"{' + '.join(best.tiers)} at {best.chance:.2f}"
            return Judgement(Verdict.UNCERTAIN, "cascade routing", why=why, skip_to=best.tiers[0])
        chances = chances_right(tuple(known.chances[name] for name in names), said)
        # Of tiers that said the same, the dearest.
        chance, _, stands = max(zip(chances, map(case.ladder.index, names), names, strict=True))
        instead = None if stands == case.answer.tier else stands
        return Judgement(
            Verdict.VALID, "cascade routing", why=f"right at {chance:.2f}", instead=instead, confidence=chance
        )

    def _best(self, ways: Iterator[_Way]) -> _Way:
        """Return the best way on; of equally good ones the first, which asks fewer."""
        return max(ways, key=lambda way: way.chance - self.price * way.cost)


def _ways(names: Sequence[str], said: tuple[int, ...], above: Sequence[str], known: _Known) -> Iterator[_Way]:
    """Yield the ways on: a stop, where there is an answer, and every set of the tiers above, small ones first."""
    chances = tuple(known.chances[name] for name in names)
    if names:
        yield _Way((), 0.0, best_after(chances, said, ()))
    # The flow never judges the top tier's answer, so there is always a tier above.
    top = above[-1]
    for tiers in chain.from_iterable(combinations(above, size) for size in range(1, len(above) + 1)):
        cost = sum(known.costs[name] for name in tiers)
        # The top's answer is returned whatever the others said, and it defines what is right.
        chance = 1.0 if tiers[-1] == top else best_after(chances, said, [known.chances[name] for name in tiers])
        yield _Way(tiers, cost, chance)


def _pattern(answers: Sequence[Answer], equality: Equality) -> tuple[int, ...]:
    """Number the answers from 0 such that equal ones have equal numbers; answers that cannot be compared differ."""
    leaders: list[Answer] = []
    said = []
    for answer in answers:
        alike = next((number for number, other in enumerate(leaders) if equality.same(answer, other)), len(leaders))
        if alike == len(leaders):
            leaders.append(answer)
        said.append(alike)
    return tuple(said)


def _chances(past: Past, ladder: Ladder, now: float) -> dict[str, float]:
    """Return each tier's chance to be right: the prior, changed by who agreed with whom on similar past queries."""
    priors = _priors(ladder)
    total = dict.fromkeys(priors, _STRENGTH)
    right = {name: _STRENGTH * prior for name, prior in priors.items()}
    for neighbour in past.neighbours:
        weight = weight_of(neighbour, now=now, half_life=None)
        for name, chance in _known(neighbour.record, priors):
            total[name] += weight
            right[name] += weight * chance
    return {name: right[name] / total[name] for name in priors}


def _priors(ladder: Ladder) -> dict[str, float]:
    below = ladder.names[:-1]
    spread = (_HIGHEST_PRIOR - _LOWEST_PRIOR) / max(len(below) - 1, 1)
    return {name: _LOWEST_PRIOR + spread * position for position, name in enumerate(below)} | {ladder.top.name: 1.0}


def _known(record: Record, priors: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    """Yield each tier's chance to have been right on a past query; nothing where only one tier was asked."""
    # One answer alone shows no agreement, and would only repeat the prior as if it were evidence.
    asked = [name for name in priors if name in record.said]
    if len(asked) < 2:  # noqa: PLR2004
        return
    answered = [name for name in asked if record.said[name] >= 0]
    said = tuple(record.said[name] for name in answered)
    yield from ((name, 0.0) for name in asked if name not in answered)
    yield from zip(answered, chances_right(tuple(priors[name] for name in answered), said), strict=True)


def _costs(past: Past, ladder: Ladder) -> dict[str, float]:
    """Return what an answer of each tier costs, as it did on similar past queries, in typical answers of the top.

    A tier that answered none of them is taken to write as much more than is typical as the others did.
    """
    typical = {tier.name: _typical_cost(tier) for tier in ladder}
    unit = typical[ladder.top.name] or 1.0
    seen = {name: _past_costs(past, name) for name in typical}
    excess = [cost / typical[name] for name, costs in seen.items() for cost in costs if typical[name]]
    factor = fmean(excess) if excess else 1.0
    return {name: (fmean(costs) if costs else factor * typical[name]) / unit for name, costs in seen.items()}


def _past_costs(past: Past, name: str) -> list[float]:
    costs = [neighbour.record.costs.get(name) for neighbour in past.neighbours]
    return [cost for cost in costs if cost is not None]


def _typical_cost(tier: Tier) -> float:
    price = as_price(tier.price, f"Tier {tier.name!r}: price")
    return 0.0 if price is None else price.cost(_TYPICAL)

"""How the answers of cheaper tiers predict a dearer one's: each votes for its own answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import exp
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from llm_tiers.agreement.answers import blocks_of
from llm_tiers.agreement.copies import Copies

if TYPE_CHECKING:
    from llm_tiers.agreement.answers import Answers

__all__ = ["Hardness", "Votes", "bounded"]


class Hardness(NamedTuple):
    """What is known of a query before the dearer tier is asked.

    Attributes:
        share: How much more than usual the tiers disagreed on similar queries, scaled to weigh like a deviation.
        length: How much longer than usual they wrote, in standard deviations.
        missing: How many of them gave no answer.
    """

    share: float = 0.0
    length: float = 0.0
    missing: int = 0


_NEAREST, _FARTHER = 1.65, 0.67
"""Vote of the next cheaper tier, and the factor for each tier below that, before anything is learned."""

_NEW = 0.4
_HARD = (0.85, 0.75, 1.3)
_SPREAD = {"vote": 0.45, "new": 0.2}
_HARD_SPREAD = (0.1, 0.1, 0.3)
"""Standard deviations of what is assumed before anything is learned."""

_SHRINK = 0.3
"""How fast votes lose weight with hardness: on a hard query cheap tiers share their errors."""

_HARDEST = 1.5
"""Hardness beyond this, either way, says no more."""

_LEAST_TAUGHT = 1e-3
"""Share of what a tier teaches of votes even where it is taken for a copy, so that a mistake is corrected in time."""


@dataclass(frozen=True)
class Votes:
    """The chance that a tier repeats an answer of a cheaper one, or gives a new one.

    Each cheaper tier j that gave an answer votes for it with weight v_kj; a new answer has the weight u_k + h, where
    the hardness h = b.x is common to all tiers, and greater where a tier gave no answer. The chances of an
    independent tier are the softmax of the sums, in which the votes are scaled by exp(-0.3 h). Weights have a Gaussian
    belief that each observation updates by one step of Newton's method (an extended Kalman filter), so what is not seen
    stays near its assumption.

    A tier may also copy a cheaper one (`Copies`). As far as that is likely it repeats that one, is no second voice
    beside it, teaches nothing of votes, and does not set the tiers on its two sides apart.

    Attributes:
        size: Number of tiers, two at least.
        mean: The weights.
        spread: Their covariance.
        copies: Who copies whom.
    """

    size: int
    mean: NDArray[np.float64]
    spread: NDArray[np.float64]
    copies: Copies

    @classmethod
    def assumed(cls, size: int) -> Votes:
        """Return what is assumed before anything is learned; the values hold for both recorded sets."""
        places = _places(size)
        mean, deviation = np.zeros(len(places)), np.zeros(len(places))
        for (kind, of, by), place in places.items():
            deviation[place] = _HARD_SPREAD[by] if kind == "hard" else _SPREAD[kind]
            if kind == "vote":
                mean[place] = _assumed_vote(of - 1 - by)
            else:
                mean[place] = _NEW if kind == "new" else _HARD[by]
        return cls(size, mean, np.diag(deviation**2), Copies(size))

    @cached_property
    def places(self) -> Mapping[tuple[str, int, int], int]:
        """Where each weight stands."""
        return _places(self.size)

    @cached_property
    def votes(self) -> tuple[tuple[float, ...], ...]:
        """By tier, the weights of the cheaper tiers' votes."""
        return tuple(tuple(self._vote(of, by) for by in range(of)) for of in range(self.size))

    @cached_property
    def new(self) -> tuple[float, ...]:
        """By tier, the weight of a new answer on a query of usual hardness; 0 for the cheapest, whose always is."""
        return (0.0, *(float(self.mean[self.places["new", of, 0]]) for of in range(1, self.size)))

    def hardness(self, known: Hardness) -> float:
        """Return h: 0 is usual."""
        weights = (float(self.mean[self.places["hard", 0, at]]) for at in range(len(known)))
        return sum(weight * value for weight, value in zip(weights, known, strict=True))

    def chances(self, of: int, blocks: Sequence[Sequence[int]], hardness: float) -> list[float]:
        """Return how likely tier `of` gives the answer of each block of tiers, and last a new one."""
        return self.copies.answer_chances(of, blocks, self._own_mind(of, blocks, hardness))

    def _vote(self, of: int, by: int) -> float:
        """Return the weight of a vote: copies between the two tiers do not set them apart."""
        between = range(by + 1, of)
        # A copy between two tiers is no tier of its own, so they are nearer to each other than they stand.
        nearer = _assumed_vote(sum(self.copies.own[tier] for tier in between)) - _assumed_vote(len(between))
        return float(self.mean[self.places["vote", of, by]]) + nearer

    def _own_mind(self, of: int, blocks: Sequence[Sequence[int]], hardness: float) -> list[float]:
        """Return the chances of a tier that is no copy."""
        scale, votes = scale_of(hardness), self.votes[of]
        weights = [exp(scale * self.copies.sum_of_votes(block, votes)) if block else 0.0 for block in blocks]
        # The last chance is that of an answer that no cheaper tier gave.
        weights.append(exp(self.new[of] + hardness))
        total = sum(weights)
        return [weight / total for weight in weights]

    def after(self, of: int, before: Answers, given: int, known: Hardness, silent: float) -> Votes:
        """Return the belief after tier `of` answered.

        Args:
            of: The tier's position.
            before: What the cheaper tiers answered; one at least.
            given: What it answered, as in `before`; -1 is no answer, which counts as a new one.
            known: Hardness of the query.
            silent: Chance that it gave no answer, unless it is a copy.
        """
        found = blocks_of(before)
        numbers, blocks = list(found), list(found.values())
        chances = self._own_mind(of, blocks, self.hardness(known))
        outcome = numbers.index(given) if given in found else len(found)
        slope = self._slope(of, blocks, chances, outcome, known)
        gain = self.spread @ slope
        # A copy's answer says nothing about how independent tiers vote.
        taught = max(self.copies.own[of], _LEAST_TAUGHT)
        spread = self.spread - np.outer(gain, gain) / (1 / taught + slope @ gain)
        alike = {
            by: silent if answer == -1 else (1 - silent) * chances[numbers.index(answer)]
            for by, answer in enumerate(before)
            if answer is not None
        }
        copies = self.copies.after(of, before, given, alike)
        return replace(self, mean=self.mean + taught * (spread @ slope), spread=spread, copies=copies)

    def _slope(
        self, of: int, blocks: Sequence[Sequence[int]], chances: Sequence[float], outcome: int, known: Hardness
    ) -> NDArray[np.float64]:
        """Return the gradient of the log chance of what happened."""
        hardness = self.hardness(known)
        scale, independence = scale_of(hardness), self.copies.independence
        slope, sum_of_votes = np.zeros(len(self.mean)), 0.0
        for at, block in enumerate(blocks):
            excess = float(at == outcome) - chances[at]
            for by in block:
                weight = scale * independence(by, block) * excess
                slope[self.places["vote", of, by]] = weight
                sum_of_votes += weight * self.votes[of][by]
        excess = float(outcome == len(blocks)) - chances[-1]
        slope[self.places["new", of, 0]] = excess
        # Beyond the bound the scale is constant, so hardness has no effect through it.
        through_scale = _SHRINK * sum_of_votes if abs(hardness) < _HARDEST else 0.0
        for at, value in enumerate(known):
            slope[self.places["hard", 0, at]] = (excess - through_scale) * value
        return slope


def scale_of(hardness: float) -> float:
    """Return the factor that hardness takes off votes."""
    return exp(-_SHRINK * bounded(hardness))


def bounded(hardness: float) -> float:
    """Return hardness as far as it weighs: beyond 1.5 either way it says no more."""
    return min(max(hardness, -_HARDEST), _HARDEST)


def _assumed_vote(between: float) -> float:
    """Return the weight of a vote, before anything is learned, that passes over so many tiers."""
    return float(_NEAREST * _FARTHER**between)


def _places(size: int) -> dict[tuple[str, int, int], int]:
    votes = [("vote", of, by) for of in range(1, size) for by in range(of)]
    return {
        key: place
        for place, key in enumerate(
            [*votes, *(("new", of, 0) for of in range(1, size)), *(("hard", 0, at) for at in range(len(_HARD)))]
        )
    }

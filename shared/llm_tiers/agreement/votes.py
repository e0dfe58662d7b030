"""How the answers of cheaper tiers foretell a dearer one's: each votes for its own answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import exp
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Answers", "Hardness", "Votes", "blocks_of", "bounded"]

Answers: TypeAlias = Sequence[int | None]
"""One entry a tier, cheapest first: equal numbers are equal answers, -1 is a missing answer, None was not asked."""


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


_NEAREST, _FARTHER = 1.8, 0.67
"""Vote of the next cheaper tier, and the factor for each tier below that, before anything is learned."""

_NEW = 0.3
_HARD = (0.8, 0.6, 1.3)
_SPREAD = {"vote": 0.5, "new": 0.8}
_HARD_SPREAD = (0.4, 0.4, 0.7)
"""Standard deviations of what is assumed before anything is learned."""

_SHRINK = 0.3
"""How fast votes lose weight with hardness: on a hard query cheap tiers share their errors."""

_HARDEST = 1.5

_OWN = 0.4
"""A tier that sides with one cheaper tier against all others on no more than 1 - 0.4 of such calls judges for itself:
on both recorded sets the surest is .55."""


@dataclass(frozen=True)
class Votes:
    """The chance that a tier repeats an answer of a cheaper one, or gives a new one.

    Each cheaper tier j that gave an answer votes for it with weight v_kj; a new answer has the weight u_k + h, where
    the hardness h = b.x is common to all tiers, and greater where a tier gave no answer. The chances are the softmax of
    the sums, in which the votes are scaled by exp(-0.3 h). Weights have a Gaussian belief that each observation updates
    by one step of Newton's method (an extended Kalman filter), so what is not seen stays near its assumption.

    A tier that repeats another one's answers is no second voice: its votes count the less, the surer it sides with one
    cheaper tier against all others (`independence`).

    Attributes:
        size: Number of tiers, two at least.
        mean: The weights.
        spread: Their covariance.
    """

    size: int
    mean: NDArray[np.float64]
    spread: NDArray[np.float64]

    @classmethod
    def assumed(cls, size: int) -> Votes:
        """Return what is assumed before anything is learned; the values hold for both recorded sets."""
        places = _places(size)
        mean, deviation = np.zeros(len(places)), np.zeros(len(places))
        for (kind, of, by), place in places.items():
            deviation[place] = _HARD_SPREAD[by] if kind == "hard" else _SPREAD[kind]
            if kind == "vote":
                mean[place] = _NEAREST * _FARTHER ** (of - 1 - by)
            else:
                mean[place] = _NEW if kind == "new" else _HARD[by]
        return cls(size, mean, np.diag(deviation**2))

    @cached_property
    def places(self) -> Mapping[tuple[str, int, int], int]:
        """Where each weight stands."""
        return _places(self.size)

    @cached_property
    def votes(self) -> tuple[tuple[float, ...], ...]:
        """By tier, the weights of the cheaper tiers' votes."""
        return tuple(
            tuple(float(self.mean[self.places["vote", of, by]]) for by in range(of)) for of in range(self.size)
        )

    @cached_property
    def new(self) -> tuple[float, ...]:
        """By tier, the weight of a new answer on a query of usual hardness; 0 for the cheapest, whose always is."""
        return (0.0, *(float(self.mean[self.places["new", of, 0]]) for of in range(1, self.size)))

    @cached_property
    def independence(self) -> tuple[float, ...]:
        """By tier, how far it has a mind of its own, in [0, 1]: 0 repeats whatever one cheaper tier says.

        Told from how surely it sides with one tier against all others. Of the two cheapest it cannot be told.
        """
        own: list[float] = []
        for of in range(self.size):
            against = ([[by], [other for other in range(of) if other != by]] for by in range(of))
            surest = max(self._softmax(of, blocks, 0.0, own)[0] for blocks in against) if of > 1 else 0.0
            own.append(min((1 - surest) / _OWN, 1.0))
        return tuple(own)

    def hardness(self, known: Hardness) -> float:
        """Return h: 0 is usual."""
        weights = (float(self.mean[self.places["hard", 0, at]]) for at in range(len(known)))
        return sum(weight * value for weight, value in zip(weights, known, strict=True))

    def chances(self, of: int, blocks: Sequence[Sequence[int]], hardness: float) -> list[float]:
        """Return how likely tier `of` gives the answer of each block of tiers, and last a new one."""
        return self._softmax(of, blocks, hardness, self.independence)

    def _softmax(self, of: int, blocks: Sequence[Sequence[int]], hardness: float, own: Sequence[float]) -> list[float]:
        scale, votes = scale_of(hardness), self.votes[of]
        weights = [exp(scale * sum(own[by] * votes[by] for by in block)) if block else 0.0 for block in blocks]
        weights.append(exp(self.new[of] + hardness))
        total = sum(weights)
        return [weight / total for weight in weights]

    def after(self, of: int, before: Answers, given: int, known: Hardness) -> Votes:
        """Return the belief after tier `of` answered.

        Args:
            of: The tier's position.
            before: What the cheaper tiers answered; one at least.
            given: What it answered, as in `before`; -1 is a new answer.
            known: Hardness of the query.
        """
        blocks = blocks_of(before[:of])
        hardness = self.hardness(known)
        chances = self.chances(of, list(blocks.values()), hardness)
        outcome = list(blocks).index(given) if given in blocks else len(blocks)
        slope = self._slope(of, list(blocks.values()), chances, outcome, known)
        gain = self.spread @ slope
        spread = self.spread - np.outer(gain, gain) / (1 + slope @ gain)
        return replace(self, mean=self.mean + spread @ slope, spread=spread)

    def _slope(
        self, of: int, blocks: Sequence[Sequence[int]], chances: Sequence[float], outcome: int, known: Hardness
    ) -> NDArray[np.float64]:
        """Return the gradient of the log chance of what happened."""
        hardness = self.hardness(known)
        scale, own = scale_of(hardness), self.independence
        slope, sum_of_votes = np.zeros(len(self.mean)), 0.0
        for at, block in enumerate(blocks):
            excess = float(at == outcome) - chances[at]
            for by in block:
                slope[self.places["vote", of, by]] = scale * own[by] * excess
                sum_of_votes += scale * own[by] * excess * self.votes[of][by]
        excess = float(outcome == len(blocks)) - chances[-1]
        slope[self.places["new", of, 0]] = excess
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


def blocks_of(answers: Answers) -> dict[int, list[int]]:
    """Return by answer the positions of the tiers that gave it; missing answers and tiers not asked are left out."""
    blocks: dict[int, list[int]] = {}
    for position, answer in enumerate(answers):
        if answer is not None and answer >= 0:
            blocks.setdefault(answer, []).append(position)
    return blocks


def _places(size: int) -> dict[tuple[str, int, int], int]:
    votes = [("vote", of, by) for of in range(1, size) for by in range(of)]
    return {
        key: place
        for place, key in enumerate(
            [*votes, *(("new", of, 0) for of in range(1, size)), *(("hard", 0, at) for at in range(len(_HARD)))]
        )
    }

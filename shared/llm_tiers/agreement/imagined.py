"""Who is probably right where tiers differ, integrated over imagined ladders.

Nobody knows how able a node's tiers are, how often right answers coincide, or wrong ones. So many ladders are imagined,
each with its own answer to these questions. What the tiers say on calls that all of them answered shows which of these
ladders resemble the real one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

__all__ = ["Explained", "ImaginedLadders", "Told", "imagined_ladders"]

_COUNT, _SEED = 1_000, 7

_TOP_MEAN, _TOP_SPREAD = 1.0, 0.5
_STEP_MEAN, _STEP_SPREAD = 0.3, 0.3
"""In probits: a top tier is right on .84 of the calls, give or take a tenth; each tier below on about a tenth less, and
on more than the one above it in one case of six."""

_LEAST_PRIOR = 0.01
"""A stated accuracy of 0 or 1 would leave no ladder on which the tier may be otherwise."""

_COMPARABLE, _COINCIDING = 0.5, 0.9
"""On half of the ladders right answers nearly always coincide, as numbers and names do; on the others any share of
them does, as with free text."""

_TEMPER = 0.1
"""Ten calls count as one. Tiers of one family err together, which no imagined ladder does: taken at its word, the
model would soon be sure of the wrong ladder."""

_LEAST = 1e-9
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(7)


Told: TypeAlias = tuple[bool | None, ...]
"""Of each tier, cheapest first, whether its answer is known to be right or wrong; empty where nothing is known."""


@dataclass(frozen=True, slots=True)
class Explained:
    """What each imagined ladder makes of one pattern of answers.

    Attributes:
        log_chance: Logarithm of the chance of the pattern, by ladder.
        right: Chance that each tier's answer is right, ladders x tiers.
        right_with_best: The same, given that the answer of the tier that is thought to be best is right; 0 where it
            gave none.
    """

    log_chance: NDArray[np.float64]
    right: NDArray[np.float64]
    right_with_best: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ImaginedLadders:
    """A thousand ladders of so many tiers, cheapest first, as they might be.

    A call has a difficulty. A tier is right where its ability exceeds it, up to noise. A right answer is the usual one
    or, where right answers do not coincide, like no other; a wrong answer is the common mistake or like no other.

    Source: the latent truth is Dawid and Skene's (1979), difficulty and ability a probit item-response model; to
    integrate over ladders instead of fitting one is ours.

    Attributes:
        tiers: Number of tiers.
        priors: The share of calls that each tier is thought to get right, in [0, 1], cheapest first; None for a tier of
            which nothing is stated: it is then the better the dearer it is. Empty for none.
    """

    tiers: int
    priors: tuple[float | None, ...] = ()
    _explained: dict[tuple[tuple[int, ...], Told], Explained] = field(default_factory=dict, repr=False)

    @cached_property
    def _drawn(self) -> tuple[NDArray[np.float64], ...]:
        draw = np.random.default_rng(_SEED)
        top = draw.normal(_TOP_MEAN, _TOP_SPREAD, (_COUNT, 1))
        steps = draw.normal(_STEP_MEAN, _STEP_SPREAD, (_COUNT, self.tiers - 1))
        ability = np.concatenate([top - steps[:, ::-1].cumsum(1)[:, ::-1], top], axis=1)
        ability = ability + (self._means - self._usual)
        hardness = draw.uniform(0.3, 0.9, (_COUNT, 1))
        mistaken = draw.beta(1, 1.5, (_COUNT, 1))
        comparable = draw.random((_COUNT, 1)) < _COMPARABLE
        coinciding = np.where(comparable, draw.uniform(_COINCIDING, 1, (_COUNT, 1)), draw.random((_COUNT, 1)))
        return ability, hardness, mistaken, coinciding

    @property
    def _usual(self) -> NDArray[np.float64]:
        """How able tiers of which nothing is stated are on average, in probits."""
        return np.asarray(_TOP_MEAN - _STEP_MEAN * np.arange(self.tiers - 1, -1, -1), dtype=np.float64)

    @cached_property
    def _means(self) -> NDArray[np.float64]:
        """How able each tier is on average, in probits."""
        stated = self.priors or (None,) * self.tiers
        bounded = [None if prior is None else min(max(prior, _LEAST_PRIOR), 1 - _LEAST_PRIOR) for prior in stated]
        return np.array(
            [usual if prior is None else ndtri(prior) for usual, prior in zip(self._usual, bounded, strict=True)]
        )

    @property
    def best(self) -> int:
        """The position of the tier that is thought to be best, the dearest of several."""
        return max(range(self.tiers), key=lambda place: (self._means[place], place))

    @property
    def ability(self) -> NDArray[np.float64]:
        """How able each tier is, in probits, ladders x tiers."""
        return self._drawn[0]

    @cached_property
    def _chances(self) -> tuple[NDArray[np.float64], ...]:
        """Chances of being right and usual, right and alone, wrong and common, wrong and alone, by difficulty."""
        ability, hardness, mistaken, coinciding = (drawn[:, None, :] for drawn in self._drawn)
        right = ndtr((ability - np.sqrt(hardness) * _NODES[None, :, None]) / np.sqrt(1 - hardness))
        return right * coinciding, right * (1 - coinciding), (1 - right) * mistaken, (1 - right) * (1 - mistaken)

    @cached_property
    def calls(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """One call to each ladder: what its tiers said, as numbers, and whether they were right."""
        ability, hardness, mistaken, coinciding = self._drawn
        draw = np.random.default_rng(_SEED + 1)
        difficulty, noise = draw.standard_normal((_COUNT, 1)), draw.standard_normal((_COUNT, self.tiers))
        right = np.sqrt(hardness) * difficulty + np.sqrt(1 - hardness) * noise < ability
        alone = 2 + np.arange(self.tiers)
        usual = np.where(draw.random(right.shape) < coinciding, 0, alone)
        mistake = np.where(draw.random(right.shape) < mistaken, 1, alone)
        return np.where(right, usual, mistake), right.astype(float)

    def explain(self, said: tuple[int, ...], told: Told = ()) -> Explained:
        """Return what each ladder makes of a pattern: equal numbers are equal answers, -1 is none.

        A missing answer is no evidence on the others, and is not right. What is told of an answer is evidence on them.
        """
        if (said, told) not in self._explained:
            self._explained[said, told] = self._explain(said, told)
        return self._explained[said, told]

    def _explain(self, said: tuple[int, ...], told: Told) -> Explained:
        usual, right_alone, common, wrong_alone = self._chances
        alone = right_alone + wrong_alone
        groups = _groups(said)
        total = np.zeros(alone.shape[:2])
        right, with_best = np.zeros_like(alone), np.zeros_like(alone)
        # One group may be the right answer, another the common mistake; all others must be single answers.
        for true in (None, *groups):
            for false in (None, *groups):
                others = [group for group in groups if group not in (true, false)]
                if (true is not None and true == false) or any(len(group) > 1 for group in others):
                    continue
                singles = [tier for group in others for tier in group]
                chance = usual[..., list(true or ())].prod(-1) * common[..., list(false or ())].prod(-1)
                chance = chance * alone[..., singles].prod(-1)
                each = np.zeros_like(alone)
                each[..., list(true or ())] = 1
                each[..., singles] = right_alone[..., singles] / np.maximum(alone[..., singles], _LEAST)
                for tier, is_right in enumerate(told):
                    if is_right is not None and said[tier] >= 0:
                        chance = chance * (each[..., tier] if is_right else 1 - each[..., tier])
                        each[..., tier] = is_right
                total += chance
                right += chance[..., None] * each
                # Given the explanation, the tiers are right independently of each other.
                best = each[..., [self.best]]
                each[..., self.best] = 1
                with_best += chance[..., None] * best * each
        weights = _WEIGHTS / _WEIGHTS.sum()
        likely = total @ weights
        shares = np.einsum("ldt,d->lt", right, weights) / np.maximum(likely, _LEAST)[:, None]
        both = np.einsum("ldt,d->lt", with_best, weights)
        given_best = both / np.maximum(both[:, [self.best]], _LEAST)
        # Three answers that two tiers gave each are beyond the model: then nothing is known of who is right, but that
        # equal answers are right together.
        compared = np.array([number >= 0 for number in said])
        beyond = likely[:, None] < _LEAST
        shares = np.where(beyond, 0.5 * compared, np.minimum(shares, 1.0))
        as_best = np.array([number == said[self.best] >= 0 for number in said], dtype=np.float64)
        given_best = np.where(beyond | (both[:, [self.best]] < _LEAST), as_best, np.minimum(given_best, 1.0))
        return Explained(np.log(np.maximum(likely, _LEAST)), shares, given_best)

    def weights(self, patterns: Mapping[tuple[tuple[int, ...], Told], int]) -> NDArray[np.float64]:
        """Return how much each ladder resembles the real one, given how often each pattern was seen; sums to 1.

        Args:
            patterns: What the tiers said and what is told of it, to the number of such calls.
        """
        logs = np.zeros(_COUNT)
        for (said, told), count in patterns.items():
            logs += _TEMPER * count * self.explain(said, told).log_chance
        weights = np.exp(logs - logs.max())
        return np.asarray(weights / weights.sum())

    def right(self, said: tuple[int, ...], weights: NDArray[np.float64], told: Told = ()) -> NDArray[np.float64]:
        """Return the chance that each tier's answer is right."""
        return np.asarray(self._given(said, weights, told) @ self.explain(said, told).right)

    def right_with_best(
        self, said: tuple[int, ...], weights: NDArray[np.float64], told: Told = ()
    ) -> NDArray[np.float64]:
        """Return the chance that each tier's answer is right if that of `best` is; 0 where that gave none."""
        return np.asarray(self._given(said, weights, told) @ self.explain(said, told).right_with_best)

    def _given(self, said: tuple[int, ...], weights: NDArray[np.float64], told: Told) -> NDArray[np.float64]:
        """Return the weights of the ladders once it is known what is told of a call."""
        if not told:
            return weights
        # On a ladder where it is unlikely that such an answer is right, it says little of the others that it is.
        ratio = np.exp(self.explain(said, told).log_chance - self.explain(said).log_chance)
        weighed = weights * ratio
        total = weighed.sum()
        return np.asarray(weighed / total) if total > 0 else weights


@cache
def imagined_ladders(tiers: int, priors: tuple[float | None, ...] = ()) -> ImaginedLadders:
    """Return the imagined ladders of so many tiers; drawing them and what they explained is shared."""
    return ImaginedLadders(tiers, priors)


def _groups(said: Sequence[int]) -> list[tuple[int, ...]]:
    members: dict[int, list[int]] = {}
    for tier, number in enumerate(said):
        if number >= 0:
            members.setdefault(number, []).append(tier)
    return [tuple(group) for group in members.values()]

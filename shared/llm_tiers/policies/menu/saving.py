"""What profiling more calls is expected to save, because another rule may turn out to be worth more."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from llm_tiers.policies.menu.weighing import Weighing

__all__ = ["Saving", "saving_of"]


@dataclass(frozen=True, eq=False, slots=True)
class Saving:
    """How far the chosen rule is ahead of each other rule, and what further profiled calls may change in that.

    A single call hardly ever changes a choice, though as many as there were may. So each call's saving is its part in
    what doubling the profiled calls would save.

    Source: the opportunity cost of ranking and selection (Chick and Inoue, 2001), as far as further calls lower it. Why
    several are looked at: Frazier and Powell, Paradoxes in learning and the marginal value of information (Decision
    Analysis 2010).

    Attributes:
        ahead: By rule, how much more the chosen one is worth, in probability of a right answer.
        error: Its standard error.
        weight: The number of profiled calls that this is based on, including the imagined ones.
    """

    ahead: NDArray[np.float64]
    error: NDArray[np.float64]
    weight: float

    def per_call(self, underway: int = 0) -> float:
        """Return what each further profiled call saves on every later call, in probability of a right answer.

        Args:
            underway: How many profiled calls have begun and not ended; what they save is not counted again.
        """
        further = self.weight + underway
        return max(self._saved(underway + further) - self._saved(underway), 0.0) / further

    def _saved(self, further: float) -> float:
        """Return what so many further calls save on every later one, for the one other rule that it is most for."""
        if not further:
            return 0.0
        # How far they may move the estimated differences.
        moved = self.error * np.sqrt(further / (self.weight + further))
        z = self.ahead / moved
        return float((moved * (np.exp(-z * z / 2) / np.sqrt(2 * np.pi) - z * ndtr(-z))).max())


def saving_of(worth: NDArray[np.float64], weighing: Weighing, best: int) -> Saving:
    """Return what profiling may save, from what each rule was worth on the profiled calls.

    Args:
        worth: Calls x rules.
        weighing: How much each call counts.
        best: The position of the chosen rule.
    """
    # Paired, since rules that share tiers are often right or wrong together.
    differences = worth[:, [best]] - worth
    # The variance of a few right and wrong answers is itself uncertain. Without this factor, a rule that happens to be
    # right on the first calls would never be doubted.
    error = weighing.error(differences) * (1 + 1 / np.sqrt(weighing.weight))
    return Saving(weighing.mean(differences), error, weighing.weight)

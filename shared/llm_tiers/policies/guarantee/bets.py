"""An upper bound on a mean loss that holds at any time, from counts of the losses, by betting.

A loss is a number in [-1, 1]. To refute the hypothesis "the mean loss is m or more", one bets against it on every loss
x: each bet multiplies one's wealth by `1 + bet * (m - x)`. If the hypothesis holds, the wealth is a supermartingale, so
the chance that it ever exceeds 1/alpha is at most alpha (Ville's inequality), however often one looks and whenever one
stops. The bets are a fixed mixture. So the wealth depends on how often each loss occurred and not on their order, and
it is the same after a restart. It grows with m, so a wealth that refutes m also refutes all larger means.

Source: Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting" (JRSS-B 2024); used for
LLM cascades by BARGAIN (arXiv 2509.02896). Everything takes arrays, so that many streams can be simulated at once.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["LOSSES", "Floats", "log_wealth", "tally", "upper_bound"]

Floats: TypeAlias = NDArray[np.float64]

LOSSES: Final[Floats] = np.round(np.linspace(-1.0, 1.0, 21), 1)
"""The losses that are counted. A loss between two of them counts as the greater, so that no bound becomes too low."""

_BETS: Final[Floats] = np.array([0.35, 0.55])
"""The mixture. The best bet is about `1 - mean / m`, and smaller the more calls there are. Every further bet takes a
share of the wealth from the bets that win: six bets from .1 to .9 made all calls together a hundredth dearer."""

_HALVINGS = 13
"""Bisections: a bound is known to within 1/8192, and the upper end is returned, so it is never too low."""


def tally(losses: Floats) -> Floats:
    """Return how often each of `LOSSES` occurs along the first axis; a new last axis has the counts."""
    # Rounded first, since 0.3 in floating point may lie above 0.3 by a bit, and would count as 0.4.
    places = np.ceil(np.round((np.clip(losses, -1, 1) + 1) * 10, 6)).astype(int)
    counts: Floats = np.eye(len(LOSSES))[places].sum(axis=0)
    return counts


def log_wealth(counts: Floats, mean: Floats, losses: Floats = LOSSES) -> Floats:
    """Return the logarithm of the wealth that betting against "the mean loss is `mean` or more" has made.

    Args:
        counts: `... x len(losses)`: how often each loss occurred.
        mean: `...`: the mean that is bet against.
        losses: The losses that are counted.
    """
    growth = np.zeros((*np.broadcast_shapes(counts.shape[:-1], mean.shape), len(_BETS)))
    # Most losses never occur: usually two or three of the 21 do.
    for place in np.flatnonzero(counts.reshape(-1, len(losses)).any(axis=0)):
        growth += counts[..., place, None] * np.log1p(_BETS * (mean[..., None] - losses[place]))
    # The logarithm of a mean of exponentials, without overflow.
    most = growth.max(axis=-1)
    wealth: Floats = most + np.log(np.exp(growth - most[..., None]).mean(axis=-1))
    return wealth


def upper_bound(counts: Floats, alpha: float, losses: Floats = LOSSES) -> Floats:
    """Return the smallest number that the mean loss is proved to lie below; 1 where nothing is proved.

    Args:
        counts: `... x len(losses)`: how often each loss occurred.
        alpha: The chance that a bound is too low, over all looks together.
        losses: The losses that are counted.
    """
    enough = -np.log(alpha)
    low, high = np.zeros(counts.shape[:-1]), np.ones(counts.shape[:-1])
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        proved = log_wealth(counts, middle, losses) >= enough
        low, high = np.where(proved, low, middle), np.where(proved, middle, high)
    return high

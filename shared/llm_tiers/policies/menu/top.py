"""What the profiled calls show against the top tier: a cheaper one that may be as good, or better."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["as_good_as_top", "better_than_top"]

_MANY, _STANDARD_ERRORS = 20, 2.0
"""A warning names a tier from this many calls on, as better than the top if it is ahead by this many standard errors.
Two, since it is looked at on every call, and with one it came on many a ladder whose top tier is the best."""

_MOSTLY = 0.7
"""Only of a tier that gives the top tier's answer on so many calls it is said, without grades, that it may be as good.
Where answers coincide less, agreement says too little of either."""


def better_than_top(names: tuple[str, ...], right: NDArray[np.float64], counts: NDArray[np.float64]) -> str | None:
    """Return the tier that, by grades, seems to be right more often than the top tier, or None.

    Args:
        names: The tiers, cheapest first.
        right: Calls x tiers, how right each answer is, in [0, 1].
        counts: How much each call counts.
    """
    if len(right) < _MANY or len(names) == 1:
        return None
    ahead = right[:, :-1] - right[:, -1:]
    mean = np.average(ahead, axis=0, weights=counts)
    deviation = np.sqrt(np.average((ahead - mean) ** 2, axis=0, weights=counts))
    # As many calls as would show as much if each counted the same.
    number = counts.sum() ** 2 / (counts**2).sum()
    surely = mean - _STANDARD_ERRORS * deviation / np.sqrt(number)
    best = int(surely.argmax())
    return names[best] if surely[best] > 0 else None


def as_good_as_top(names: tuple[str, ...], said: NDArray[np.int64], counts: NDArray[np.float64]) -> str | None:
    """Return the tier that, without grades, may be as good as the top tier, or None.

    It mostly gives the top tier's answer, and where it does not, the other tiers give its answer no less often than the
    top tier's. That is no proof, as tiers of one family err together: on recorded sets whose top tier is the best, it
    is so in every third run. So it is a reason to grade, not to choose.

    Args:
        names: The tiers, cheapest first.
        said: Calls x tiers, what each said: equal numbers are equal answers, -1 is none.
        counts: How much each call counts.
    """
    if len(said) < _MANY or len(names) < 3:  # noqa: PLR2004 -- with two tiers there is no third to ask
        return None
    alike = {}
    for tier, name in enumerate(names[:-1]):
        own, top = said[:, [tier]], said[:, [-1]]
        others = np.delete(said[:, :-1], tier, axis=1)
        differ = (own != top) & (own >= 0) & (top >= 0)
        coincide = 1 - float(np.average(differ[:, 0], weights=counts))
        # Counted as the calls are: where cheaper tiers agree, the top is asked on few, which stand for the others.
        siding = (differ & (others == own)).sum(axis=1) - (differ & (others == top)).sum(axis=1)
        if coincide >= _MOSTLY and counts @ siding >= 0:
            alike[name] = coincide
    # Of equal ones the dearest, which the ladder's order takes to be the best.
    return max(reversed(alike), key=alike.__getitem__) if alike else None

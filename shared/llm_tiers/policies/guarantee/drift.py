"""Whether what was proved still holds: audits are bet on anew, and a loss of wealth never counts for long."""

from __future__ import annotations

import numpy as np

from llm_tiers.policies.guarantee.bets import Floats

__all__ = ["CALM", "RARELY", "after_audit", "share_of_audits", "suspicion"]

RARELY = 1_000.0
"""Audits between two false alarms, at least, on average, while the promise is just kept."""

CALM: Floats = np.ones(2)
"""The wealth of both bets before any audit."""

_STAKES: Floats = np.array([0.5, 0.1])
"""Shares of the wealth that are lost at an audit without a loss, nearly: one bet for great changes, one for small."""

_AUDITED, _MOST_AUDITED = 0.015, 0.5


def after_audit(wealth: Floats, loss: Floats, delta: float) -> Floats:
    """Return the wealth of both bets after an audit.

    While the mean loss is `delta` or less, `1 + bet * (loss - delta)` is 1 or less on average. The wealth never falls
    below 1 for the next bet, as in a CUSUM: so every moment is looked at as the possible beginning of a change. The sum
    over all beginnings bounds it, so false alarms are at least `RARELY` audits apart on average.

    Source: e-detectors (Shin, Ramdas, Rinaldo; New England Journal of Statistics in Data Science 2024), section 3.

    Args:
        wealth: `... x 2`: the wealth before.
        loss: `...`: the mean loss, on the audited call, of the mixture that answers.
        delta: The promise.
    """
    after: Floats = np.maximum(wealth, 1.0) * (1 + _STAKES / delta * (loss - delta)[..., None])
    return after


def suspicion(wealth: Floats) -> Floats:
    """Return the mean of both bets; above `RARELY` the promise is broken."""
    mean: Floats = wealth.mean(axis=-1)
    return mean


def share_of_audits(wealth: Floats) -> Floats:
    """Return the chance that a call is audited: little as a rule, and more the more there is to suspect."""
    share: Floats = np.minimum(_AUDITED * np.maximum(suspicion(wealth), 1.0) ** 2, _MOST_AUDITED)
    return share

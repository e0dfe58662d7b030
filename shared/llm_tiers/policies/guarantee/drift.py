"""Whether what was proved still holds: audits are bet on anew, and a loss of wealth never counts for long."""

from __future__ import annotations

import numpy as np

from llm_tiers.policies.guarantee.bets import Floats

__all__ = ["CALM", "RARELY", "after_audit", "share_beside_top", "share_of_audits", "suspicion"]

RARELY = 1_000.0
"""Audits between two false alarms, at least, on average, while the promise is just kept."""

CALM: Floats = np.ones(2)
"""The wealth of both bets before any audit."""

_STAKES: Floats = np.array([0.4, 0.2])
"""Shares of the wealth that are lost at an audit with the least possible loss: one bet for great changes, one for
small."""

_AUDITED, _MOST_AUDITED = 0.02, 0.5

_ALARM, _ALARM_BESIDE_TOP = 4, 2
"""The chance of an audit grows with so high a power of the suspicion: once there is some, it is quickly settled. Beside
the top tier there are many audits anyway, and a loss on a small share of the calls raises little suspicion."""

_BESIDE_TOP, _MOST_BESIDE_TOP = 0.0025, 0.25
"""What audits of calls that the top tier answers anyway may cost a call, as a share of asking all tiers; and the
largest chance of an audit that follows, while there is nothing to suspect."""


def after_audit(wealth: Floats, loss: Floats, delta: float, least: Floats | float = 0.0) -> Floats:
    """Return the wealth of both bets after an audit.

    While the mean loss is `delta` or less, `1 + bet * (loss - delta)` is 1 or less on average, and never negative. The
    wealth never falls below 1 for the next bet, as in a CUSUM: so every moment is looked at as the possible beginning
    of a change. The sum over all beginnings bounds it, so false alarms are at least `RARELY` audits apart on average.

    Source: e-detectors (Shin, Ramdas, Rinaldo, arXiv 2203.03532; New England Journal of Statistics in Data Science
    2024), section 3.

    Args:
        wealth: `... x 2`: the wealth before.
        loss: `...`: the mean loss, on the audited call, of the mixture that answers.
        delta: The promise.
        least: `...`: the least loss that the mixture can have: below 0 where its answers may be better than the top's.
    """
    bets = _STAKES / (delta - np.asarray(least, dtype=float))[..., None]
    after: Floats = np.maximum(wealth, 1.0) * (1 + bets * (loss - delta)[..., None])
    return after


def suspicion(wealth: Floats) -> Floats:
    """Return the mean of both bets; above `RARELY` the promise is broken."""
    mean: Floats = wealth.mean(axis=-1)
    return mean


def share_of_audits(wealth: Floats) -> Floats:
    """Return the chance that a call is audited: little as a rule, and more the more there is to suspect."""
    share: Floats = np.minimum(_AUDITED * np.maximum(suspicion(wealth), 1.0) ** _ALARM, _MOST_AUDITED)
    return share


def share_beside_top(wealth: Floats, asking: Floats, top: Floats) -> Floats:
    """Return the chance that a call is audited for which the mixture draws the top tier.

    There an audit costs only the cheaper tiers' answers, so for the same money there can be more of them. What a
    mixture draws for a call is independent of the call, so these audits show as much of the whole mixture as others.
    Where the top tier answers most calls, they find what goes wrong with the few others.

    Args:
        wealth: `... x 2`: the wealth of the bets.
        asking: `...`: what asking all tiers costs.
        top: `...`: what the top tier's answer costs.
    """
    # Cheaper tiers that cost nothing are not divided by.
    beside = np.maximum(asking - top, 1e-9 * asking + 1e-300)
    usual = np.clip(_BESIDE_TOP * asking / beside, _AUDITED, _MOST_BESIDE_TOP)
    share: Floats = np.minimum(usual * np.maximum(suspicion(wealth), 1.0) ** _ALARM_BESIDE_TOP, _MOST_AUDITED)
    return share

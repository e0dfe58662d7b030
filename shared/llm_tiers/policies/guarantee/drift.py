"""Whether what was proved still holds: new bets on the audits, in which past losses of wealth are soon forgotten."""

from __future__ import annotations

import numpy as np

from llm_tiers.policies.guarantee.bets import Floats

__all__ = ["CALM", "RARELY", "after_audit", "share_beside_top", "share_of_audits", "suspicion"]

RARELY = 1_000.0
"""The least mean number of audits between two false alarms, while the promise is just kept."""

CALM: Floats = np.ones(2)
"""The wealth of both bets before any audit."""

_STAKES: Floats = np.array([0.4, 0.2])
"""Shares of the wealth that are lost at an audit with the smallest possible loss: a high one that finds large changes
fast, and a low one that finds small changes."""

_AUDITED, _MOST_AUDITED = 0.02, 0.5
"""The chance that a call is audited while nothing is suspected, and the highest chance."""

_ALARM, _ALARM_BESIDE_TOP = 4, 2
"""The chance of an audit grows with this power of the suspicion. The first power is high, so that a suspicion is soon
confirmed or dispelled. The second is for calls that the top tier answers. It is lower because such calls are audited
often anyway."""

_BESIDE_TOP, _MOST_BESIDE_TOP = 0.0025, 0.25
"""For calls that the top tier answers, while nothing is suspected: the cost of audits per call, as a share of the cost
of asking all tiers; and an upper limit of the chance of an audit that follows from that cost."""


def after_audit(wealth: Floats, loss: Floats, delta: float, least: Floats | float = 0.0) -> Floats:
    """Return the wealth of both bets after an audit.

    While the mean loss is `delta` or less, the factor `1 + bet * (loss - delta)` is at most 1 on average, and never
    negative. A wealth below 1 is raised to 1 before the next bet, as in a CUSUM, so that a change is found no matter
    when it begins. This wealth is at most the sum of the wealths of bettors who begin at each audit, so false alarms
    are at least `RARELY` audits apart on average.

    Source: e-detectors (Shin, Ramdas, Rinaldo, arXiv 2203.03532; New England Journal of Statistics in Data Science
    2024), section 3.

    Args:
        wealth: `... x 2`: the wealth before.
        loss: `...`: the mean loss, on the audited call, of the mixture that answers.
        delta: The promise.
        least: `...`: the smallest loss that the mixture can have; below 0 where its answers may be better than the
            top tier's.
    """
    # Scaled by the smallest possible loss, so that the factor cannot become negative.
    bets = _STAKES / (delta - np.asarray(least, dtype=float))[..., None]
    after: Floats = np.maximum(wealth, 1.0) * (1 + bets * (loss - delta)[..., None])
    return after


def suspicion(wealth: Floats) -> Floats:
    """Return the mean wealth of both bets; above `RARELY` the promise counts as broken."""
    mean: Floats = wealth.mean(axis=-1)
    return mean


def share_of_audits(wealth: Floats) -> Floats:
    """Return the chance that a call is audited: usually small, and greater the more is suspected."""
    share: Floats = np.minimum(_AUDITED * np.maximum(suspicion(wealth), 1.0) ** _ALARM, _MOST_AUDITED)
    return share


def share_beside_top(wealth: Floats, asking: Floats, top: Floats) -> Floats:
    """Return the chance of an audit for a call that the mixture leaves to the top tier.

    Such an audit costs only the cheaper tiers' answers, so for the same money there can be more of them. The mixture
    draws its rule independently of the call, so these audits show as much of the whole mixture as others do. Where the
    top tier answers most calls, they are what shows that the others go wrong.

    Args:
        wealth: `... x 2`: the wealth of the bets.
        asking: `...`: what asking all tiers costs.
        top: `...`: what the top tier's answer costs.
    """
    # Kept above 0, because the cheaper tiers may cost nothing.
    beside = np.maximum(asking - top, 1e-9 * asking + 1e-300)
    usual = np.clip(_BESIDE_TOP * asking / beside, _AUDITED, _MOST_BESIDE_TOP)
    share: Floats = np.minimum(usual * np.maximum(suspicion(wealth), 1.0) ** _ALARM_BESIDE_TOP, _MOST_AUDITED)
    return share

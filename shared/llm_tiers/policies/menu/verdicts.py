"""A judge's verdicts at a node: what they cost, what is unknown without them, and whether more are bought."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from llm_tiers.policies.menu.rule import Judged, Rule

if TYPE_CHECKING:
    from llm_tiers.policies.menu.profile import Profile, ProfiledCall
    from llm_tiers.policies.menu.saving import Saving

__all__ = ["costs_of_verdicts", "filled", "wants_verdicts"]

_FEW, _STANDARD_ERRORS = 20, 2.0
"""From so many profiled calls with verdicts on, no more are bought where every rule that needs them is worth less than
the chosen rule by so many standard errors."""


def costs_of_verdicts(imagined: int, calls: Sequence[ProfiledCall], tiers: int) -> NDArray[np.float64]:
    """Return what a verdict on each answer costs, calls x tiers, in US$; where it is unknown, the mean of the others.

    Args:
        imagined: The number of imagined calls, which come first.
        calls: The profiled calls.
        tiers: The number of tiers.
    """
    known = np.array([call.verdict_costs for call in calls if call.verdict_costs]).reshape(-1, tiers)
    mean = tuple(known.mean(axis=0).tolist() if len(known) else [0.0] * tiers)
    return np.array([mean] * imagined + [call.verdict_costs or mean for call in calls])


def filled(values: NDArray[np.float64], known: NDArray[np.bool_], each: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return values, calls x rules, with a rule's mean where what it would have done is unknown.

    Args:
        values: Calls x rules.
        known: Calls x rules, whether each is known.
        each: How much each call counts.
    """
    weights = each[:, None] * known
    return np.where(known, values, (weights * values).sum(axis=0) / weights.sum(axis=0))


def wants_verdicts(profile: Profile, rules: Sequence[Rule], saving: Saving) -> bool:
    """Say whether a judge is asked about the answers to profiled calls.

    Without grades nothing tells how reliable its verdicts are, so none are bought.

    Args:
        profile: What is known of the node.
        rules: The menu.
        saving: How far the chosen rule is ahead of each, and the error of that.
    """
    judged = np.array([isinstance(rule, Judged) for rule in rules])
    if not judged.any() or not profile.is_graded:
        return False
    if sum(bool(call.verdicts) for call in profile.counted) < _FEW:
        return True
    return bool((saving.ahead <= _STANDARD_ERRORS * saving.error)[judged].any())

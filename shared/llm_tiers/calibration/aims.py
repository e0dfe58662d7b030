"""The target that a user gives on the command line, checked."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from llm_tiers.errors import ConfigError
from llm_tiers.policies.settings import Aim

if TYPE_CHECKING:
    from llm_tiers.calibration.sources import Sample

__all__ = ["aim_of"]


def aim_of(sample: Sample, *, accuracy: float | None, cost: str | None, as_good_as: str | None) -> Aim | None:
    """Return the one target that is given, or None.

    Args:
        sample: What is calibrated on.
        accuracy: Share of right answers, in [0, 1].
        cost: US$ for 1,000 calls, or with `%` a share of what the top tier alone costs.
        as_good_as: Name of a tier, or `llm-at`.

    Raises:
        ConfigError: More than one is given, or one makes no sense on the sample.
    """
    given = {"--accuracy": accuracy, "--cost": cost, "--as-good-as": as_good_as}
    names = [name for name, value in given.items() if value is not None]
    if len(names) > 1:
        raise ConfigError(f"{' and '.join(names)}: give one target")
    if accuracy is not None:
        if not 0 < accuracy <= 1:
            raise ConfigError(f"--accuracy {accuracy:g} must lie in (0, 1], such as 0.9 for nine right answers of ten")
        return Aim(kind="accuracy", value=accuracy)
    if cost is not None:
        return Aim(kind="cost", value=_budget(cost, sample))
    if as_good_as is not None:
        _check_model(as_good_as, sample)
        return Aim(kind="as-good-as", value=as_good_as)
    return None


def _budget(cost: str, sample: Sample) -> float:
    text = cost.strip()
    try:
        number = float(text.removesuffix("%"))
    except ValueError:
        number = math.nan
    # NaN, which stands for what is no number, fails this as well.
    if not 0 < number < math.inf:
        raise ConfigError(f"--cost {cost}: give US$ for 1,000 calls, such as 2.5, or 30% of what the top tier costs")
    return number / 100 * _cost_of_top(sample) if text.endswith("%") else number


def _cost_of_top(sample: Sample) -> float:
    """Return what 1,000 calls of the top tier alone cost, in US$."""
    total = sum(
        float((table.gen_in[:, -1] * table.price_in[-1] + table.gen_out[:, -1] * table.price_out[-1]).sum())
        for table in sample.tables
    )
    return total / 1e6 / len(sample) * 1_000


def _check_model(name: str, sample: Sample) -> None:
    top = sample.tiers[-1]
    if name == "llm-at":
        # LLM-AT asks a judge, and its verdicts cannot be replayed where none were recorded.
        if not sample.has_verdicts:
            raise ConfigError(f"--as-good-as llm-at asks a judge, and {sample.names[0]} records no verdicts")
    elif name not in sample.tiers:
        raise ConfigError(f"--as-good-as {name}: take one of {', '.join(sample.tiers)}, or llm-at")
    elif name == top and not sample.knows_truth:
        raise ConfigError(
            f"--as-good-as {top}: in a history right means what {top} says, so only {top} itself is as good; "
            "--accuracy 0.97 asks for the same answer in 97 of 100 calls"
        )

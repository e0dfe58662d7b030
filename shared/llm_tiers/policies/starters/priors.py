"""Each tier's accuracy before anything is learned."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from llm_tiers.arguments import require, require_number
from llm_tiers.errors import ConfigError

if TYPE_CHECKING:
    from llm_tiers.ladder.tiers import Ladder

__all__ = ["Priors", "check_priors", "checked_priors", "priors_of"]

Priors: TypeAlias = Mapping[str, float] | Sequence[float]
"""One number in [0, 1] a tier, by name or by position."""

_LOWEST, _HIGHEST = 0.65, 0.85


def priors_of(ladder: Ladder, priors: Priors | None) -> dict[str, float]:
    """Return each tier's prior: the one given, else the tier's own, else 0.65 to 0.85 spread evenly over the ladder.

    Raises:
        ConfigError: The priors go by position, and there is not one for each tier.
    """
    spread = (_HIGHEST - _LOWEST) / (len(ladder) - 1)
    if not isinstance(priors, Mapping) and priors and len(priors) != len(ladder):
        raise ConfigError(f"priors: {len(priors)} values for a ladder of {len(ladder)} tiers")
    own = priors if isinstance(priors, Mapping) else dict(zip(ladder.names, priors or (), strict=False))
    return {
        tier.name: own.get(tier.name, _LOWEST + spread * position if tier.prior is None else tier.prior)
        for position, tier in enumerate(ladder)
    }


def check_priors(ladder: Ladder, priors: Priors | None) -> None:
    """Check priors against the ladder.

    Raises:
        ConfigError: They are not one a tier, or name a tier that the ladder lacks.
    """
    priors_of(ladder, priors)
    for name in priors if isinstance(priors, Mapping) else ():
        if name not in ladder:
            raise ConfigError(f"priors: no tier is called {name!r}; the ladder has {', '.join(ladder.names)}")


def checked_priors(priors: Priors | None) -> Mapping[str, float] | tuple[float, ...]:
    """Return priors as the user gave them, none as no values.

    Raises:
        ConfigError: They are no numbers, or one lies outside [0, 1].
    """
    if priors is not None and (isinstance(priors, str) or not isinstance(priors, Mapping | Iterable)):
        raise ConfigError(f"priors={priors!r} must be one number a tier, by name or by position")
    values = priors.values() if isinstance(priors, Mapping) else priors or ()
    for value in values:
        require_number(value, "priors")
        require(0 <= value <= 1, f"priors={priors!r}: each must lie in [0, 1]")
    return dict(priors) if isinstance(priors, Mapping) else tuple(priors or ())

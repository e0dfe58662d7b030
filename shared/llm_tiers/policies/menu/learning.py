"""When a call is profiled, that is, answered by all tiers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llm_tiers.policies.menu.profile import Profile
    from llm_tiers.policies.menu.worth import Choice

__all__ = ["Learning"]

_FIRST = 8
_FLOOR = 0.003
"""Now and then a call is profiled though nothing is expected of it, since models change."""

_HORIZON = 500
"""What is learned is taken to serve as many calls as the node has seen, but at least so many."""

_CREDIT = 40.0
_YOUNG = 1_000
_LATER = 0.25


@dataclass(frozen=True, slots=True)
class Learning:
    """Profiles a call with the chance by which one more is expected to save more than it costs.

    Attributes:
        share: Largest share of a node's spend that profiling may add over its first 1,000 calls, in [0, 1], beside a
            small credit: of 40 answers of the top tier at a share of 0.2. Later a quarter of it. 0 switches it off.
    """

    share: float = 0.2

    def chance(self, profile: Profile, choice: Choice) -> float:
        """Return the chance that the next call is profiled."""
        if not self.share or self._is_exhausted(profile, choice):
            return 0.0
        if len(profile.calls) < _FIRST:
            return 1.0
        saved = choice.regret * max(profile.count, _HORIZON) / (2 * choice.weight)
        return min(_FLOOR + saved / max(choice.asking, 1e-300), 1.0)

    def _is_exhausted(self, profile: Profile, choice: Choice) -> bool:
        credit = _CREDIT * choice.top_cost * self.share / 0.2
        young = min(profile.count, _YOUNG)
        allowed = self.share * (young + _LATER * (profile.count - young))
        return profile.learning > credit + allowed * profile.spent / max(profile.count, 1)

"""When a call is profiled: answered by all tiers, so that every rule can be replayed on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from llm_tiers.policies.menu.profile import FIRST_CALLS

if TYPE_CHECKING:
    from llm_tiers.policies.menu.profile import Profile
    from llm_tiers.policies.menu.worth import Choice

__all__ = ["Learning"]

_FLOOR = 0.003
"""The least chance to be profiled. A clear choice would never be looked at again otherwise, but models change."""

_HORIZON = 500
"""What is learned is expected to be used for as many calls as the node has had, but at least this many."""

_CREDIT = 40.0
"""In usual answers of the top tier, at a share of 0.2, over the first 100 calls. Without a credit a cheap node could
not find out if it should be dearer: a fifth of what its cheap tier costs pays for few answers of the top tier. What is
left of it then is lost, so that a node with cheap calls becomes cheap."""

_FIRST, _BEYOND_TOP = 20, 0.3
"""Learning may not make a node's calls dearer than the top tier alone by more than this share, at a learning share of
0.2, counted over 20 calls at least. Where prices are close, asking all tiers costs several times the top tier's answer,
and the credit would be spent at once."""

_YOUNG = 1_000
_LATER = 0.25
"""After this many calls the share is a quarter, such as 5 % instead of 20 %."""


@dataclass(frozen=True, slots=True)
class Learning:
    """Profiles calls as long as one more is expected to save more than it costs.

    Attributes:
        share: The largest share of a node's spend that profiling may add over its first 1,000 calls, in [0, 1]; later a
            quarter of it. For the first 100 calls there is a credit beside it, of 40 answers of the top tier at a share
            of 0.2, but learning never makes a node dearer than 1.3 times the top tier alone, from the 20th call on. 0
            profiles nothing.
    """

    share: float = 0.2

    def chance(self, profile: Profile, choice: Choice, underway: int = 0) -> float:
        """Return the chance that the next call is profiled.

        Args:
            profile: What the node's past calls show.
            choice: What follows from it.
            underway: How many profiled calls of the node have begun and not ended.
        """
        if not self.share or self._is_exhausted(profile, choice, underway):
            return 0.0
        saved = choice.saving.per_call(underway) * max(profile.count, _HORIZON)
        return min(_FLOOR + saved / max(choice.asking, 1e-300), 1.0)

    def _is_exhausted(self, profile: Profile, choice: Choice, underway: int) -> bool:
        count = profile.count + underway
        spent = profile.spent + underway * choice.all_cost
        learning = profile.learning + underway * max(choice.all_cost - choice.rule_cost, 0.0)
        credit = _CREDIT * choice.top_cost * self.share / 0.2
        if profile.count >= FIRST_CALLS:
            credit = min(credit, profile.first_learning)
        young = min(count, _YOUNG)
        allowed = self.share * (young + _LATER * (count - young)) / max(count, 1)
        return learning > credit + allowed * spent or self._is_beyond_top(count, spent, learning, choice)

    def _is_beyond_top(self, count: int, spent: float, learning: float, choice: Choice) -> bool:
        """Say whether one more profiled call could make the node too much dearer than the top tier alone."""
        # Cheap answers make up for learning. Where they are dearer than the top tier's, or calls have become dearer
        # than the profiled ones, only what learning cost counts, or it would never go on.
        ahead = min(spent - count * choice.top_cost, learning)
        next_one = choice.all_cost - choice.top_cost
        beyond = _BEYOND_TOP * self.share / 0.2
        return ahead + next_one > beyond * max(count + 1, _FIRST) * choice.top_cost

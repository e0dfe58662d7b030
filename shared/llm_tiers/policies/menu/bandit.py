"""A bandit whose arms are rules of the menu: for each query it chooses among single tiers and cascades."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from llm_tiers.errors import ConfigError
from llm_tiers.history.grades import equal_to_top
from llm_tiers.policies.menu.replaying import profiled, replayed
from llm_tiers.policies.menu.rule import Rule
from llm_tiers.policies.menu.rules import menu_of
from llm_tiers.policies.menu.running import plan_of
from llm_tiers.policies.starters.arms import ArmsOf
from llm_tiers.policies.starters.linucb import LinUCB
from llm_tiers.policies.starters.rewards import rights_of

if TYPE_CHECKING:
    from llm_tiers.history.record import Record
    from llm_tiers.ladder.tiers import Ladder
    from llm_tiers.policies.starters.base import Plan

__all__ = ["LinUCBOfRules"]

_DIFFERING = 0.25
"""The assumed chance, before any call, that two answers differ, so that a cascade asks its next tier."""


class LinUCBOfRules(LinUCB):
    """Answer by the rule with the highest upper confidence bound on its reward, `right - price * cost`.

    It is `LinUCB` with other arms: single tiers, and cascades that stop where two tiers agree. A rule's reward is how
    right the answer was that it returned, minus the cost of all answers of the call. From a call the rule that answered
    it is learned; from a profiled call, which all tiers answered, every rule is learned by what it would have returned.
    With `rewards="any"`, an answer without a grade counts as right as the top tier's prior says if it equals the top
    tier's answer, and as wrong if it does not. So without grades the bandit needs `audit=`, or it does not learn what
    it misses.

    Its judge is `RuleJudge`, which runs the rules: `policy="linucb-rules"` pairs them.

    Source: MetaLLM (Nguyen et al., arXiv 2407.10834), whose arms are single models.

    Args:
        settings: The arguments of `LinUCB`, except `warm_start` and `witness`. Instead, warm the history with a profile
            (`llm-tiers warm-start`): from it the rules are learned before the first call.

    Raises:
        ConfigError: An argument is out of its range, or one of those two is given.
    """

    def __init__(self, **settings: object) -> None:
        for argument in ("warm_start", "witness"):
            if settings.get(argument) is not None:
                raise ConfigError(f"{argument}: a bandit whose arms are rules takes none; warm its history instead")
        super().__init__(**settings)  # type: ignore[arg-type]

    def __repr__(self) -> str:
        return super().__repr__().replace("LinUCB", "LinUCBOfRules", 1)

    def study(self, ladder: Ladder) -> ArmsOf:
        """Return the study by which a history learns the rules from its records."""
        assumed = self.assumed(ladder)
        return _RulesOf(
            tuple(assumed),
            tuple(assumed.values()),
            self.settings,
            graded_only=self.learns_grades_only,
            rules=tuple(_rules(ladder.names).values()),
            top=ladder.names[-1],
        )

    def listed(self, ladder: Ladder) -> Mapping[str, float]:
        """Return what each rule usually costs by the price list."""
        return {name: _listed(rule, ladder.costs) for name, rule in _rules(ladder.names).items()}

    def assumed(self, ladder: Ladder) -> Mapping[str, float]:
        """Return each rule's prior: that of the dearest tier that it may ask."""
        # A cascade returns that tier's answer, or one that two tiers agree on, which is rarely wrong.
        tiers = super().assumed(ladder)
        return {name: tiers[rule.tiers[-1]] for name, rule in _rules(ladder.names).items()}

    def usable(self, ladder: Ladder, serving: Sequence[str]) -> Sequence[str]:
        """Return the rules whose tiers can all serve the call."""
        return [name for name, rule in _rules(ladder.names).items() if set(rule.tiers) <= set(serving)]

    def first_step(self, arm: str, ladder: Ladder) -> Plan:
        """Return the first step of a rule."""
        return plan_of(_rules(ladder.names)[arm], "")


@cache
def _rules(tiers: tuple[str, ...]) -> dict[str, Rule]:
    # Cached: it is needed several times for each call, and is the same for all calls of a ladder.
    return {rule.name: rule for rule in menu_of(tiers)}


def _listed(rule: Rule, costs: Mapping[str, float]) -> float:
    first = len(rule.first)
    asked = [1.0] * first + [_DIFFERING ** (place + 1) for place in range(len(rule.tiers) - first)]
    return sum(chance * costs[name] for chance, name in zip(asked, rule.tiers, strict=True))


@dataclass(frozen=True, slots=True)
class _RulesOf(ArmsOf):
    """The study that learns the rewards of rules.

    Attributes:
        rules: The rules; their names are the arms.
        top: Name of the top tier.
    """

    rules: tuple[Rule, ...] = ()
    top: str = ""

    def identity(self) -> str:
        """Return which study it is."""
        # By name, as a class with slots is made twice, and `super()` would mean the other one.
        return f"{ArmsOf.identity(self)} {self.top!r}"

    def _rights(self, record: Record) -> Mapping[str, float]:
        known = rights_of(record, self.top, graded_only=True)
        if not self.graded_only:
            # An answer that equals the top tier's is as right as that.
            of_top = known.get(self.top, self.offsets[-1])
            for tier, equal in equal_to_top(record, self.top).items():
                known.setdefault(tier, of_top * equal)
        return {name: known[accepted] for name, accepted, _ in self._seen(record) if accepted in known}

    def _costs(self, record: Record) -> Mapping[str, float]:
        return {name: cost for name, _, cost in self._seen(record) if cost is not None}

    def _seen(self, record: Record) -> Iterator[tuple[str, str, float | None]]:
        """Yield the rules that a call shows, each with the tier whose answer it returned and its cost in US$."""
        # An ordinary call could be replayed only for those other rules that ask no further tier, which are the calls on
        # which they are cheap and mostly right. Learned from these alone, they would look too good.
        if not record.audited:
            # A profiled call of the default was answered, and charged, otherwise than its rule says.
            if record.rule in self.names and not record.profiled:
                yield record.rule, record.final, record.cost_usd
            return
        call = profiled(record)
        for rule in self.rules:
            one = replayed(rule, call)
            if one is not None:
                yield rule.name, one.accepted, one.cost

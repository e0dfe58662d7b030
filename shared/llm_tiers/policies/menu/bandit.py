"""LinUCB over the menu: each rule is an arm, and the bandit chooses the rule that answers a call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from llm_tiers.policies.menu.replaying import Profiled, profiled, replayed
from llm_tiers.policies.menu.rules import menu_of
from llm_tiers.policies.menu.running import plan_of
from llm_tiers.policies.starters.arms import ArmsOf
from llm_tiers.policies.starters.linucb import LinUCB
from llm_tiers.policies.starters.priors import Priors, priors_of

if TYPE_CHECKING:
    from llm_tiers.call.call import Call
    from llm_tiers.history.record import Record
    from llm_tiers.ladder.tiers import Ladder
    from llm_tiers.policies.menu.rule import Rule
    from llm_tiers.policies.starters.base import Plan

__all__ = ["RuleLinUCB"]

_GOES_ON = 0.5
"""How often a cascade is taken to go on to its next tier, before anything is known of it."""


class RuleLinUCB(LinUCB):
    """Answer by the rule of the menu with the highest upper confidence bound on its reward, `right - price * cost`.

    The arms are single tiers and cascades of agreement. A call teaches every rule that it has all answers for: one that
    two tiers answered teaches both of them and the cascade. The cost is that of all that a rule asked. It goes with
    `RuleJudge`, and learns what is right as `LinUCB` does: from grades and feedback, and without them from agreement.

    Source: MetaLLM (arXiv 2407.10834), whose arms are models; rules as arms are ours.

    Args:
        price: What an answer may cost in chance to be right, in units of a usual answer of the top tier.
        alpha: Width of the confidence bound; 0 never explores.
        ridge: Penalty on the weights of the embedding.
        forgetting: By how much a rule's past observations lose weight with each new one, in (0, 1].
        priors: Each tier's accuracy before anything is learned, as in `LinUCB`; a cascade has its dearest tier's.

    Raises:
        ConfigError: An argument is out of its range.
    """

    def __init__(
        self,
        *,
        price: float = 0.1,
        alpha: float = 1.0,
        ridge: float = 10.0,
        forgetting: float = 1.0,
        priors: Priors | None = None,
    ) -> None:
        super().__init__(price=price, alpha=alpha, ridge=ridge, forgetting=forgetting, priors=priors)

    def study(self, ladder: Ladder) -> ArmsOf:
        """Return what the history is asked to learn of its records."""
        priors = self.arm_priors(ladder)
        return _RuleArmsOf(tuple(priors), tuple(priors.values()), self.settings, tiers=ladder.names)

    def arm_priors(self, ladder: Ladder) -> dict[str, float]:
        """Return by rule how often it is taken to be right."""
        of_tiers = priors_of(ladder, self.priors)
        return {name: of_tiers[rule.tiers[-1]] for name, rule in _rules(ladder.names).items()}

    def arm_costs(self, ladder: Ladder) -> dict[str, float]:
        """Return by rule what it is taken to cost, in the unit of `ladder.costs`."""
        return {name: _listed(rule, ladder.costs) for name, rule in _rules(ladder.names).items()}

    def usable(self, call: Call, ladder: Ladder) -> list[str]:
        """Return the rules whose tiers can all serve the call."""
        able = {tier.name for tier in ladder if not tier.shortfall(call.needs, call.tokens)}
        return [name for name, rule in _rules(ladder.names).items() if able.issuperset(rule.tiers)]

    def begin(self, arm: str, reason: str, ladder: Ladder) -> Plan:
        """Return the first step of a rule."""
        return plan_of(_rules(ladder.names)[arm], f"rule {arm}: {reason}")


@cache
def _rules(tiers: tuple[str, ...]) -> dict[str, Rule]:
    # The top tier alone comes last: in its cost all others are stated.
    return {rule.name: rule for rule in menu_of(tiers)}


def _listed(rule: Rule, costs: Mapping[str, float]) -> float:
    first = rule.first
    return sum(costs[name] * (1 if name in first else _GOES_ON) for name in rule.tiers)


@dataclass(frozen=True, slots=True)
class _RuleArmsOf(ArmsOf):
    """The study that learns the rules of a ladder; their names are the arms, and the last one is the top tier's.

    Attributes:
        tiers: Names of the ladder's tiers, cheapest first.
    """

    tiers: tuple[str, ...] = ()

    def rights(self, record: Record) -> Mapping[str, float]:
        """Return by rule how right its answer was, where that is known."""
        # Named, since a dataclass with slots is made anew, and `super()` would look in the class before that.
        of_tiers = ArmsOf.rights(self, record)
        return {rule: of_tiers[tier] for rule, tier, _ in self._outcomes(profiled(record)) if tier in of_tiers}

    def costs(self, record: Record) -> Mapping[str, float]:
        """Return by rule what it would have cost in US$, where that is known."""
        return {rule: cost for rule, _, cost in self._outcomes(profiled(record)) if cost is not None}

    def _outcomes(self, call: Profiled) -> Iterator[tuple[str, str, float | None]]:
        """Yield what each rule would have accepted and cost, where the call has all answers that it needs."""
        for name, rule in _rules(self.tiers).items():
            found = replayed(rule, call)
            if found is not None:
                yield name, found.accepted, found.cost

"""The policy that chooses a rule of the menu for each node by what its profiled calls show."""

from __future__ import annotations

import math
import random
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from llm_tiers.arguments import require, require_number
from llm_tiers.call.requests import Recall, Request, Response, recall
from llm_tiers.errors import ConfigError
from llm_tiers.policies.judges.judge import Judge, Review
from llm_tiers.policies.menu.learning import Learning
from llm_tiers.policies.menu.profile import NO_PROFILE, Profile, ProfiledCall, profiled_call
from llm_tiers.policies.menu.profiling import ASKED_SHARE, Profiling
from llm_tiers.policies.menu.rule import Rule, Single
from llm_tiers.policies.menu.running import RuleJudge, plan_of
from llm_tiers.policies.menu.worth import Choice, choose, cost_of
from llm_tiers.policies.starters.base import Planning
from llm_tiers.policies.starters.past import lineage

if TYPE_CHECKING:
    from llm_tiers.call.call import Call
    from llm_tiers.history.record import Record
    from llm_tiers.ladder.tiers import Ladder, Tier
    from llm_tiers.policies.judges.case import Case, Judgement

__all__ = ["Known", "MenuJudge", "MenuStarter", "ProfileOf"]

_ENOUGH = 8
"""A node with fewer profiled calls takes the choice of its nearest parent that has as many."""


@dataclass(frozen=True, slots=True)
class Known:
    """What a node's past calls show, and the choice that follows."""

    profile: Profile
    choice: Choice


@dataclass(frozen=True, slots=True)
class ProfileOf:
    """The study that makes a node's profile out of its records.

    Attributes:
        usual: Tier names, cheapest first, each with what an answer usually costs.
        price: What a usual answer of the top tier may cost, in chances to be right.
        worth_usd: What a right answer is worth in US$; None: `price` says it.
    """

    usual: tuple[tuple[str, float], ...]
    price: float
    worth_usd: float | None = None

    def start(self) -> Known:
        """Return what is known before the first call."""
        return self._known(NO_PROFILE)

    def learn(self, result: Known, record: Record) -> Known:
        """Return what is known with one more call."""
        usual = dict(self.usual)
        call = profiled_call(record, usual)
        cost = sum(usual.get(name, 0.0) for name in record.answered) if record.cost_usd is None else record.cost_usd
        return self.after(result, cost, call)

    def revise(self, result: Known, before: Record, after: Record) -> Known:  # noqa: ARG002
        """Return what is known after a call was graded."""
        call = profiled_call(after, dict(self.usual))
        return result if call is None else self._known(result.profile.revised(call))

    def after(self, result: Known, cost: float, call: ProfiledCall | None) -> Known:
        """Return what is known after one more call, which cost so many US$."""
        instead = 0.0 if call is None else cost_of(result.choice.rule, call)
        profile = result.profile.after(cost, call, instead)
        return Known(profile, result.choice) if call is None else self._known(profile)

    def _known(self, profile: Profile) -> Known:
        return Known(profile, choose(profile, dict(self.usual), self.price, worth_usd=self.worth_usd))


@dataclass(frozen=True, slots=True)
class _Insight:
    """What the starter passes on to the judge: the rule, and how sure its answers are; None on a profiled call."""

    rule: Rule
    choice: Choice | None


class MenuStarter:
    """Start the rule that is worth most at the call's node: the chance to be right, less what the answers cost.

    Some calls are profiled: all tiers answer them, and every rule is replayed on what they said. Where the two dearest
    tiers below the top agree, its answer is foreseen and asked for on a quarter of these calls, which stand for the
    others. Where the answers are graded, by a check, the user or a grader, their grades say who was right. Where they are not, half of what is taken
    for true is "the top tier is right", and half what agreement shows. A profiled call returns the answer of the rule
    that is right most often.

    Source: to choose a policy by replaying it on profiled calls is SMART's (arXiv 2403.13835), the reward MetaLLM's
    (arXiv 2407.10834).

    Args:
        quality: The user's knob, in [0, 1]: 0 is cheapest, 1 as good as the ladder gets. It sets the price of a top
            tier's answer, in units of the chance to be right: `0.5 (1 - quality)**3`.
        worth_usd: What a right answer is worth in US$, instead of `quality`.
        learning: Largest share of a node's spend that profiling may add over its first 1,000 calls, in [0, 1]; later a
            quarter of it. 0 profiles nothing.
        seed: Seed of the draw of the profiled calls, which depends on the seed and the call's trace id alone.

    Raises:
        ConfigError: An argument is out of its range, or both `quality` and `worth_usd` are given.
    """

    assumes_above = False

    def __init__(
        self,
        *,
        quality: float | None = None,
        worth_usd: float | None = None,
        learning: float = 0.2,
        seed: int = 0,
    ) -> None:
        if quality is not None and worth_usd is not None:
            raise ConfigError("quality and worth_usd both say what a right answer is worth; leave one of them out")
        self.quality = 0.5 if quality is None else quality
        require_number(self.quality, "quality")
        require(0 <= self.quality <= 1, f"quality={quality!r} must lie in [0, 1]")
        require_number(1 if worth_usd is None else worth_usd, "worth_usd")
        require(
            worth_usd is None or 0 < worth_usd < math.inf,
            f"worth_usd={worth_usd!r} must be more than US$ 0, and finite",
        )
        require_number(learning, "learning")
        require(0 <= learning <= 1, f"learning={learning!r} must lie in [0, 1]; 0 profiles nothing")
        self.worth_usd = worth_usd
        self.learning = Learning(float(learning))
        self.seed = seed

    @property
    def profiles(self) -> bool:
        """Whether calls are profiled, so that a grader has something to grade."""
        return self.learning.share > 0

    @property
    def needs_prices(self) -> bool:
        """Whether prices must be known: dollars cannot be compared with anything else."""
        return self.worth_usd is not None

    def __repr__(self) -> str:
        knob = f"quality={self.quality}" if self.worth_usd is None else f"worth_usd={self.worth_usd}"
        return f"MenuStarter({knob})"

    @property
    def price(self) -> float:
        """What a usual answer of the top tier may cost in chance to be right."""
        return 0.5 * float(1 - self.quality) ** 3

    def study(self, ladder: Ladder) -> ProfileOf:
        """Return the study whose result the choice is."""
        usual = tuple((name, float(ladder.costs[name])) for name in ladder.names)
        return ProfileOf(usual, self.price, self.worth_usd)

    def plan(self, call: Call, ladder: Ladder) -> Planning:
        """Plan the first step of the chosen rule, or a profiled call."""
        study = self.study(ladder)
        known, where, warnings = yield from _look_up(call, study)
        choice = known.choice
        serving = [tier.name for tier in ladder if not tier.shortfall(call.needs, call.tokens)]
        able = len(serving) == len(ladder)
        rule, audits = self.decide(known, call.id) if able else (choice.rule, False)
        profiled = isinstance(rule, Profiling)
        if not set(rule.tiers) <= set(serving):
            rule = Single(ladder.names, serving[-1] if serving else ladder.names[-1])
        reason = f"profiled, {rule.name}" if audits or profiled else f"rule {rule.name}"
        stated = choice if rule is choice.rule else None
        return replace(
            plan_of(rule, f"{reason}; {_basis(known.profile)}{where}"),
            estimates=choice.estimates,
            audit=audits,
            profiled=profiled,
            warnings=(*warnings, *_doubts_about_top(known)),
            insight=_Insight(rule, stated),
            confidence=None if stated is None else stated.confidence.get(frozenset(rule.tiers)),
        )

    def decide(self, known: Known, call_id: str) -> tuple[Rule, bool]:
        """Return the rule that answers a call, and whether all tiers are asked whatever the rule says.

        On a profiled call where they are not, the rule is a `Profiling`.
        """
        choice = known.choice
        chance = self.learning.chance(known.profile, choice)
        if random.Random(f"profile:{self.seed}:{call_id}").random() >= chance:
            return choice.rule, False
        # A draw of its own: the calls on which all tiers are asked must represent all.
        if random.Random(f"top:{self.seed}:{call_id}").random() < ASKED_SHARE:
            return choice.surest, True
        return Profiling(choice.rule.ladder, choice.rule, choice.surest), False


def _look_up(call: Call, study: ProfileOf) -> Generator[Request, Response, tuple[Known, str, tuple[str, ...]]]:
    """Return what is known of the nearest level with a profile, a word on which that is, and warnings."""
    own: Known | None = None
    for node in lineage(call.node):
        # No neighbours are wanted, only what all calls of the node show.
        near = yield from recall(Recall(call.query, node, 0, study))
        if near.error is not None:
            return study.start(), "; history unavailable", (f"history: {near.error}",)
        if not isinstance(near.learned, Known):
            break
        if len(near.learned.profile.calls) >= _ENOUGH:
            return near.learned, "" if node == call.node else f" of parent node {node!r}", ()
        own = own or near.learned
    return own or study.start(), "", ()


def _basis(profile: Profile) -> str:
    number, spared = len(profile.counted), sum(profile.spared.values())
    if not number + spared:
        return "no call profiled yet"
    by = "agreement" if profile.source is None else f"grades ({profile.source})"
    without = f", {spared:.0f} more without the top tier" if spared else ""
    return f"{number} profiled calls{without} by {by}"


def _doubts_about_top(known: Known) -> tuple[str, ...]:
    """Warn of a tier below the top that seems to be right more often."""
    better, top = known.choice.better_than_top, tuple(known.choice.estimates)[-1]
    if better is None:
        return ()
    return (f"top tier: {better} seems to be right more often than {top}, which is dearer",)


class MenuJudge(Judge):
    """Go on as the chosen rule says, and state how sure the answer is."""

    judges_missing = True
    judges_flawed = True

    def __init__(self) -> None:
        self._rules = RuleJudge()

    def __repr__(self) -> str:
        return "MenuJudge()"

    def identity(self) -> str:
        """Return the name: there are no settings."""
        return "MenuJudge"

    def own_tiers(self) -> Iterator[Tier]:
        """Yield nothing: no model is asked."""
        yield from ()

    def check(self, ladder: Ladder) -> None:
        """Accept any ladder."""

    def review(self, case: Case) -> Review:
        """Accept an answer, or go on to the tier that the rule asks next."""
        insight = case.insight
        if not isinstance(insight, _Insight):
            raise TypeError("MenuJudge goes with MenuStarter")
        judgement = yield from self._rules.review(replace(case, insight=insight.rule))
        asked = frozenset((case.answer.tier, *(other.tier for other in case.others)))
        stated = None if insight.choice is None else insight.choice.confidence.get(asked)
        return replace(judgement, by="menu", confidence=stated)

    def settle(self, case: Case) -> Judgement | None:
        """Return an earlier answer to a profiled call that stands instead of the top tier's, or None."""
        insight = case.insight
        if not isinstance(insight, _Insight):
            raise TypeError("MenuJudge goes with MenuStarter")
        judgement = self._rules.settle(replace(case, insight=insight.rule))
        return None if judgement is None else replace(judgement, by="menu")

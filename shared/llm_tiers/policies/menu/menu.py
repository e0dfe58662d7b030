"""The policy that chooses a rule of the menu for each node, based on the node's profiled calls."""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from llm_tiers.arguments import require, require_number
from llm_tiers.call.requests import Recall, Request, Response, recall
from llm_tiers.embedding.vector import Vector
from llm_tiers.errors import ConfigError
from llm_tiers.policies.judges.judge import Judge, Review
from llm_tiers.policies.menu.known import Known, ProfileOf
from llm_tiers.policies.menu.learning import Learning
from llm_tiers.policies.menu.profile import Profile
from llm_tiers.policies.menu.profiling import Profiling
from llm_tiers.policies.menu.rule import Rule, Single
from llm_tiers.policies.menu.running import RuleJudge, plan_of
from llm_tiers.policies.menu.worth import Choice
from llm_tiers.policies.starters.base import Lots, Planning
from llm_tiers.policies.starters.past import lineage

if TYPE_CHECKING:
    from llm_tiers.call.call import Call
    from llm_tiers.ladder.tiers import Ladder, Tier
    from llm_tiers.policies.judges.case import Case, Judgement

__all__ = ["MenuJudge", "MenuStarter"]

_ENOUGH, _COMPLETE = 8, 2
"""A node with fewer profiled calls, or fewer that all tiers answered, uses the choice of its nearest parent with
as many."""

_QUALITY = 0.55
"""For a user who replaces the dearest tier and expects the answers to stay as good: the cheapest setting, in steps of
.05, that stays within half a point of the best single tier on average and two points on each of ten recorded sets."""

_MANY, _SELDOM = 12, 0.1
"""From this many profiled calls on, users are told if the top tier's answer coincides with another in fewer than this
share of them. Agreement then shows nothing, and only grades can ever lead to a cheaper tier."""


@dataclass(frozen=True, slots=True)
class _Insight:
    """What the starter passes on to the judge.

    Attributes:
        rule: The rule that answers.
        confidence: How certain its answers are, by the tiers that it asked.
        wants_verdicts: Whether verdicts on all answers are wanted, for the record of a profiled call.
    """

    rule: Rule
    confidence: Mapping[frozenset[str], float] | None
    wants_verdicts: bool = False


class MenuStarter:
    """Start the rule that is worth most at the call's node: its chance of a right answer, minus the answers' cost.

    Some calls are profiled: all tiers answer them, and every rule is replayed on their answers. If the two dearest
    tiers below the top agree, the top tier's answer is foreseen; it is then asked on a few of these calls only, at most
    a quarter, which stand for the others. If the answers are graded, by a check, the user or a grader, the grades say
    which are right. If not, how right an answer is, is estimated: half the weight is on "the top tier is right", and
    half on what the tiers' agreement shows. A profiled call on which all tiers answered returns the answer of the rule
    that is right most often.

    Source: choosing a policy by replaying it on profiled calls is from SMART (arXiv 2403.13835), the reward is from
    MetaLLM (arXiv 2407.10834).

    Args:
        quality: The user's knob, in [0, 1]: 0 is cheapest, 1 is as good as the ladder gets; by default 0.55. It sets
            the price of a top tier's answer, in probability of a right answer: `0.5 (1 - quality)**3`.
        worth_usd: What a right answer is worth in US$, in place of `quality`.
        learning: The largest share of a node's spend that profiling may add over its first 1,000 calls, in [0, 1];
            later a quarter of it. 0 profiles nothing.
        seed: Seed of the random choice of profiled calls, which depends only on the seed and the call's trace id.
        judged: Whether the judge gives verdicts, so that rules that need them are on the menu.

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
        judged: bool = False,
    ) -> None:
        if quality is not None and worth_usd is not None:
            raise ConfigError("quality and worth_usd both say what a right answer is worth; leave one of them out")
        self.quality = _QUALITY if quality is None else quality
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
        self.judged = judged

    def with_verdicts(self) -> MenuStarter:
        """Return the same starter beside a judge that gives verdicts."""
        other = copy.copy(self)
        other.judged = True
        return other

    def undrawn(self) -> MenuStarter:
        """Return the same starter, which leaves no call to chance: it profiles none."""
        other = copy.copy(self)
        other.learning = Learning(0.0)
        return other

    @property
    def profiles(self) -> bool:
        """Whether calls are profiled, so that a grader has something to grade."""
        return self.learning.share > 0

    @property
    def needs_prices(self) -> bool:
        """Whether prices must be known: a worth in US$ can be compared only with costs in US$."""
        return self.worth_usd is not None

    def __repr__(self) -> str:
        knob = f"quality={self.quality}" if self.worth_usd is None else f"worth_usd={self.worth_usd}"
        return f"MenuStarter({knob}{', judged=True' if self.judged else ''})"

    @property
    def price(self) -> float:
        """What a usual answer of the top tier may cost, in probability of a right answer."""
        # The third power makes the knob finer towards 1, where small differences in price already change the choice.
        return 0.5 * float(1 - self.quality) ** 3

    def study(self, ladder: Ladder) -> ProfileOf:
        """Return the study whose result has the choices."""
        usual = tuple((name, float(ladder.costs[name])) for name in ladder.names)
        stated = tuple(tier.prior for tier in ladder)
        priors = () if stated == (None,) * len(stated) else stated
        return ProfileOf(usual, priors, self.judged)

    def choice(self, known: Known) -> Choice:
        """Return which rule is worth most by what is known of a node."""
        return known.choice(self.price, self.worth_usd)

    def plan(self, call: Call, ladder: Ladder) -> Planning:
        """Plan the first step of the chosen rule, or a profiled call."""
        study = self.study(ladder)
        found = yield from _look_up(call, study)
        known, vector = found.known, found.vector
        choice = self.choice(known)
        serving = [tier.name for tier in ladder if not call.shortfall(tier)]
        # A call that not all tiers can serve cannot be profiled, and one that is not kept would be for nothing.
        able = len(serving) == len(ladder) and found.is_kept
        rule, audits = self.decide(known, call.id, vector) if able else (choice.rule_for(vector), False)
        profiled = isinstance(rule, Profiling)
        lots = self._lots(known, choice, ladder, audits=audits, profiled=profiled) if able else Lots()
        if audits or profiled:
            known.underway.begin(call.id, known.profile.count)
        lacks_tiers = not set(rule.tiers) <= set(serving)
        missing = [name for name in rule.tiers if name in call.down][-1:]
        if lacks_tiers:
            rule = Single(ladder.names, self._single(choice, call, ladder, serving))
        reason = f"profiled, {rule.name}" if audits or profiled else f"rule {rule.name}"
        # The confidence is that of a chosen rule; a profiled call, or one without the rule's tiers, is answered by
        # another.
        stated = None if audits or profiled or lacks_tiers else choice.confidence(rule)
        return replace(
            plan_of(rule, f"{reason}; {_basis(choice.profile)}{found.where}"),
            estimates=choice.estimates,
            audit=audits,
            profiled=profiled,
            rule=(choice.rule_for(vector) if audits or profiled else rule).name,
            # A dearer tier in place of a cheaper one is no loss but in money.
            in_place_of=next((name for name in missing if ladder.index(name) > ladder.index(rule.tiers[-1])), None),
            warnings=(*found.warnings, *_doubts_about_top(choice), *_nothing_to_learn_from(choice)),
            insight=_Insight(rule, stated, audits and choice.wants_verdicts),
            confidence=None if stated is None else stated.get(frozenset(rule.tiers)),
            lots=lots,
        )

    def _lots(self, known: Known, choice: Choice, ladder: Ladder, *, audits: bool, profiled: bool) -> Lots:
        """Return with what chance `decide` has decided so."""
        chance, share = self._chance(known, choice), choice.foreseen.share
        if not choice.foreseen.patterns:
            return Lots(chance if audits else 1 - chance, chance)
        profiling = Profiling(ladder.names, choice.rule, choice.surest, choice.foreseen.patterns)
        drawn = chance * share if audits else chance * (1 - share) if profiled else 1 - chance
        return Lots(drawn, chance, lambda said: share if profiling.spares_top(said) else 1.0)

    def _chance(self, known: Known, choice: Choice) -> float:
        return self.learning.chance(known.profile, choice, known.underway.number(known.profile.count))

    def _single(self, choice: Choice, call: Call, ladder: Ladder, serving: Sequence[str]) -> str:
        """Return the tier that answers where the rule cannot be run: the dearest that can serve the call.

        Where tiers are missing because they fail, which may last for hours, it is the one that is worth most.
        """
        if not call.down:
            return serving[-1] if serving else ladder.names[-1]
        rate = 1 / self.worth_usd if self.worth_usd else self.price / ladder.costs[ladder.names[-1]]
        return max(serving or ladder.names, key=lambda name: choice.estimates[name] - rate * ladder.costs[name])

    def decide(self, known: Known, call_id: str, query: Vector | None = None) -> tuple[Rule, bool]:
        """Return the rule that answers a call, and whether all tiers are asked whatever the rule says.

        On a profiled call where they are not, the rule is a `Profiling`.
        """
        choice = self.choice(known)
        chance = self._chance(known, choice)
        if random.Random(f"profile:{self.seed}:{call_id}").random() >= chance:
            return choice.rule_for(query), False
        # A random choice of its own, so that the calls on which all tiers are asked represent all profiled calls.
        asks_all = random.Random(f"top:{self.seed}:{call_id}").random() < choice.foreseen.share
        # While nothing is foreseen, as with two tiers ever, all answer sooner side by side.
        if asks_all or not choice.foreseen.patterns:
            return choice.surest, True
        # The node's rule, not the query's: it settles which of these calls are spared, and that must not depend on the
        # query, or those that are not would stand for other queries.
        return Profiling(choice.rule.ladder, choice.rule, choice.surest, choice.foreseen.patterns), False


@dataclass(frozen=True, slots=True)
class _Found:
    """What the history has for a call.

    Attributes:
        known: What is known at the nearest node with a profile.
        vector: The query's embedding, or None.
        where: A phrase that names that node, for the trace.
        warnings: What the user should know.
        is_kept: Whether what the call shows can be learned: there is a history, and it answers.
    """

    known: Known
    vector: Vector | None = None
    where: str = ""
    warnings: tuple[str, ...] = ()
    is_kept: bool = True


def _look_up(call: Call, study: ProfileOf) -> Generator[Request, Response, _Found]:
    """Look for the nearest node with a profile."""
    own: Known | None = None
    vector: Vector | None = None
    for node in lineage(call.node):
        # No neighbours are wanted: the profile has the embeddings of its calls.
        near = yield from recall(Recall(call.query, node, 0, study))
        if near.error is not None:
            warning = f"history: {near.error}"
            return _Found(study.start(), None, "; history unavailable", (warning,), is_kept=False)
        vector = near.vector
        if not isinstance(near.learned, Known):
            break
        profile = near.learned.profile
        if len(profile.calls) >= _ENOUGH and len(profile.counted) >= _COMPLETE:
            return _Found(near.learned, vector, "" if node == call.node else f" of parent node {node!r}")
        own = own or near.learned
    return _Found(own or study.start(), vector, is_kept=own is not None)


def _basis(profile: Profile) -> str:
    number, spared = len(profile.counted), sum(profile.spared.values())
    if not number + spared:
        return "no call was profiled before"
    by = "agreement" if profile.source is None else f"grades ({profile.source})"
    if profile.source is not None and not profile.is_graded:
        by = f"agreement and some {by}"
    without = f", {spared:.0f} more without the top tier" if spared else ""
    return f"{number} profiled calls{without} by {by}"


def _doubts_about_top(choice: Choice) -> tuple[str, ...]:
    """Warn of a tier below the top that seems to be better, or without grades as good."""
    top = choice.rule.ladder[-1]
    if choice.better_than_top is not None:
        return (f"top tier: {choice.better_than_top} seems to be right more often than {top}, which is dearer",)
    # Of no interest to those who hardly pay for the top tier.
    if choice.as_good_as_top is None or top not in choice.rule.tiers:
        return ()
    return (f"top tier: nothing shows yet that {top} is better than {choice.as_good_as_top}; grade= would tell",)


def _nothing_to_learn_from(choice: Choice) -> tuple[str, ...]:
    """Warn where the top tier answers all calls because nothing shows which of the cheaper answers are right."""
    profile, (*below, top) = choice.profile, choice.rule.ladder
    is_known = profile.source is not None or profile.coinciding > _SELDOM
    if not below or is_known or len(profile.counted) < _MANY or choice.rule != Single(choice.rule.ladder, top):
        return ()
    # Short: it lies in each message of a conversation, and so in each checkpoint.
    return (f"no grades and answers that seldom coincide: {top} answers all; give grade=",)


class MenuJudge(Judge):
    """Continue as the chosen rule says, and state how certain the answer is.

    Args:
        judge: The judge whose verdicts rules may ask for; None if there are no such rules on the menu.
    """

    judges_missing = True
    judges_flawed = True

    def __init__(self, judge: Judge | None = None) -> None:
        self.judge = judge
        self._rules = RuleJudge(judge)

    def __repr__(self) -> str:
        return "MenuJudge()" if self.judge is None else f"MenuJudge({self.judge!r})"

    def identity(self) -> str:
        """Return the name and the identity of the judge that gives verdicts."""
        return "MenuJudge" if self.judge is None else f"MenuJudge({self.judge.identity()})"

    def own_tiers(self) -> Iterator[Tier]:
        """Yield the models outside the ladder that the judge calls."""
        if self.judge is not None:
            yield from self.judge.own_tiers()

    def check(self, ladder: Ladder) -> None:
        """Check the judge, if there is one, against the ladder."""
        if self.judge is not None:
            self.judge.check(ladder)

    def note_checks(self, case: Case) -> None:
        """Note what the judge's plain functions say of an answer to a profiled call."""
        if self.judge is not None:
            self.judge.note_checks(case)

    def survey(self, case: Case) -> Generator[Request, Response, None]:
        """Ask the judge about an answer of a profiled call, if rules that need its verdicts may pay."""
        if isinstance(case.insight, _Insight) and case.insight.wants_verdicts:
            yield from self._rules.ask_below_top(case)

    def review(self, case: Case) -> Review:
        """Accept an answer, or continue with the tier that the rule asks next."""
        insight = case.insight
        if not isinstance(insight, _Insight):
            raise TypeError("MenuJudge goes with MenuStarter")
        judgement = yield from self._rules.review(replace(case, insight=insight.rule))
        asked = frozenset((case.answer.tier, *(other.tier for other in case.others)))
        stated = None if insight.confidence is None else insight.confidence.get(asked)
        return replace(judgement, by="menu", confidence=stated)

    def takes_any(self, tier: Tier, ladder: Ladder, insight: Any) -> bool:
        """Say whether the chosen rule accepts any answer of the tier."""
        return isinstance(insight, _Insight) and self._rules.takes_any(tier, ladder, insight.rule)

    def settle(self, case: Case) -> Judgement | None:
        """Return an earlier answer to a profiled call that stands instead of the top tier's, or None."""
        insight = case.insight
        if not isinstance(insight, _Insight):
            raise TypeError("MenuJudge goes with MenuStarter")
        judgement = self._rules.settle(replace(case, insight=insight.rule))
        return None if judgement is None else replace(judgement, by="menu")

"""LinUCB: a contextual bandit that chooses the tier, and learns from how right its answers were and what they cost."""

from __future__ import annotations

import math
import os
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Self, cast

from llm_tiers.arguments import kind_of, require, require_number
from llm_tiers.call.requests import Recall, Request, Response, recall
from llm_tiers.errors import ConfigError
from llm_tiers.history.record import Recollection
from llm_tiers.policies.starters.arms import Arms, ArmsOf, RecordedRows, Settings, Table
from llm_tiers.policies.starters.base import Plan, Planning
from llm_tiers.policies.starters.past import lineage
from llm_tiers.policies.starters.priors import Priors, check_priors, checked_priors, priors_of

if TYPE_CHECKING:
    from llm_tiers.call.call import Call
    from llm_tiers.embedding.vector import Vector
    from llm_tiers.ladder.tiers import Ladder

__all__ = ["LinUCB", "Promise"]

_ENOUGH = 20
"""A node with fewer observations uses what its parent has learned, if that is more."""


class LinUCB:
    """Start at the tier with the highest upper confidence bound on its reward, `right - price * cost`.

    Each tier is an arm with a ridge regression on the query's embedding x. With A = ridge * I + sum of x x^T and b the
    sum of the targets times x, the tier with the highest `x A^-1 b + alpha * sqrt(x^T A^-1 x)` answers. The inverse is
    updated in O(D^2) as each call is remembered, so no call inverts a matrix. All that is learned follows from the
    history's records, so a restart changes nothing: the same records in the same order give the same numbers, bit for
    bit.

    How right an answer was is taken from the best source that is known: its grade by a check, by feedback or by a
    grader, whether it equals the top tier's answer, a judging model's verdict, or whether it equals the answer that was
    accepted. If none of these is known, only the call's cost is learned.

    Source: MetaLLM (Nguyen et al., arXiv 2407.10834), whose bandit is LinUCB (Li et al., WWW 2010). Four things differ
    from the paper, except with `LinUCB.paper()`. Each arm has an intercept beside the weights, with a penalty that does
    not depend on `ridge`. It starts from the tier's prior instead of from zero: with hundreds of dimensions the paper's
    bandit explores every tier hundreds of times before it knows which is best on the whole. The cost is averaged over
    the calls instead of regressed on the query. And it also learns without grades.

    Args:
        price: The weight of the cost in the reward: how much probability of a right answer a usual answer of the top
            tier may cost; the paper's p.
        alpha: Width of the confidence bound, in standard deviations of a reward of variance 1; 0 never explores.
        ridge: Penalty on the weights of the embedding, whose vectors have length 1. With a higher penalty the choice
            depends less on the query.
        forgetting: The factor by which a tier's past observations lose weight with each new one, in (0, 1]; 1 forgets
            nothing.
        priors: Each tier's accuracy before anything is learned, in [0, 1], by tier name or by position; tiers that it
            leaves out use their own `prior`, then 0.65 to 0.85 spread evenly over the ladder.
        rewards: `"any"` learns how right an answer was from the best source that is known; the top tier, which nobody
            judges, then counts as right as often as its prior says, unless it is graded. `"grades"` learns only from
            checks, feedback and graders, for a policy without a judge.
        witness: `"below"` lets the next cheaper tier answer side by side with the started one, where its price makes
            that worthwhile: without grades, their agreement is what the bandit learns from.
        warm_start: Recorded outcomes to learn from before the first call, as `llm_tiers.replay.load_table` reads them.
            Its tiers must be those of the ladder, and its embedding the history's.

    Raises:
        ConfigError: An argument is out of its range.
    """

    assumes_above = False
    """It learns from what tiers said, so nothing is assumed of those that were not asked."""

    def __init__(
        self,
        *,
        price: float = 0.1,
        alpha: float = 1.0,
        ridge: float = 10.0,
        forgetting: float = 1.0,
        priors: Priors | None = None,
        rewards: Literal["any", "grades"] = "any",
        witness: Literal["below"] | None = None,
        warm_start: Table | None = None,
    ) -> None:
        for argument, value in (("price", price), ("alpha", alpha), ("ridge", ridge), ("forgetting", forgetting)):
            require_number(value, argument)
        require(0 <= price < math.inf, f"price={price!r} must be 0 or more, and finite; 0 does not look at costs")
        require(0 <= alpha < math.inf, f"alpha={alpha!r} must be 0 or more, and finite; 0 switches exploration off")
        require(0 < ridge < math.inf, f"ridge={ridge!r} must be greater than 0, and finite")
        require(0 < forgetting <= 1, f"forgetting={forgetting!r} must lie in (0, 1]; 1 forgets nothing")
        require(rewards in ("any", "grades"), f"rewards={rewards!r} must be 'any' or 'grades'")
        require(witness in ("below", None), f"witness={witness!r} must be 'below' or None")
        self.price = float(price)
        self.alpha = float(alpha)
        self.ridge = float(ridge)
        self.forgetting = float(forgetting)
        self.priors = checked_priors(priors)
        self.rewards = rewards
        self.witness = witness
        self._rows = None if warm_start is None else _rows_of(warm_start)
        self._as_published = False

    @property
    def settings(self) -> Settings:
        """The settings of the regressions."""
        return Settings(self.ridge, self.forgetting, intercept=not self._as_published)

    @property
    def learns_grades_only(self) -> bool:
        """Whether nothing is learned from verdicts and agreement."""
        return self.rewards == "grades"

    @classmethod
    def paper(
        cls, *, price: float = 0.1, alpha: float = 1.0, ridge: float = 1.0, warm_start: Table | None = None
    ) -> Self:
        """Return MetaLLM's bandit: arms that start from zero, the cost in the regression, and only grades as rewards.

        A tier's cost is its listed price, in units of the dearest tier's. The published code stops learning after its
        warm start; this one continues.

        Args:
            price: The paper's p, the weight of the cost.
            alpha: Width of the confidence bound.
            ridge: The paper's lambda.
            warm_start: Recorded outcomes to learn from before the first call.
        """
        bandit = cls(price=price, alpha=alpha, ridge=ridge, rewards="grades", warm_start=warm_start)
        bandit._as_published = True
        return bandit

    def __repr__(self) -> str:
        name = "LinUCB.paper" if self._as_published else "LinUCB"
        return f"{name}(price={self.price}, alpha={self.alpha}, ridge={self.ridge}, forgetting={self.forgetting})"

    def check(self, ladder: Ladder) -> None:
        """Check priors and warm start against the ladder.

        Raises:
            ConfigError: The priors are not one a tier, or priors or recorded outcomes have other tiers.
        """
        check_priors(ladder, self.priors)
        if self._rows is not None and self._rows.tiers != ladder.names:
            raise ConfigError(
                f"warm_start: it was recorded with the tiers {', '.join(self._rows.tiers)}, but the ladder is "
                f"{', '.join(ladder.names)}; record these, or name them alike: Tier(model, name=...)"
            )

    def study(self, ladder: Ladder) -> ArmsOf:
        """Return the study by which a history learns the arms from its records."""
        settings = self.settings
        # What is regressed is the difference from what is assumed: from the prior, so that an arm without observations
        # has it; in the published bandit from zero, less the cost.
        if self._as_published:
            offsets = tuple(self.price * cost for cost in Arms(settings).relative_costs(ladder.costs).values())
        else:
            offsets = tuple(priors_of(ladder, self.priors).values())
        return ArmsOf(ladder.names, offsets, settings, graded_only=self.learns_grades_only, rows=self._rows)

    def listed(self, ladder: Ladder) -> Mapping[str, float]:
        """Return by arm, the top tier last, what a usual answer costs by the price list, in any unit."""
        return ladder.costs

    def assumed(self, ladder: Ladder) -> Mapping[str, float]:
        """Return by arm, the top tier last, how often it is right before anything is learned."""
        return priors_of(ladder, self.priors)

    def promises(self, arms: Arms, ladder: Ladder, vector: Vector | None) -> dict[str, Promise]:
        """Return the estimates and bounds of all arms for a query.

        Args:
            arms: What was learned.
            ladder: The tiers.
            vector: The query's embedding; None to use only what is assumed of the tiers.
        """
        # The published bandit's regression has the cost in it, so there nothing is added to it or subtracted from it.
        listed = arms.relative_costs(self.listed(ladder))
        priors = dict.fromkeys(listed, 0.0) if self._as_published else self.assumed(ladder)
        costs = dict.fromkeys(listed, 0.0) if self._as_published else listed
        x = None if vector is None else arms.settings.features(vector)
        found = {}
        for name, prior in priors.items():
            expected = prior if x is None else prior + arms.expected(name, x)
            bonus = 0.0 if x is None else self.alpha * arms.deviation(name, x)
            right = expected + self.price * listed[name] if self._as_published else expected
            found[name] = Promise(min(max(right, 0.0), 1.0), expected - self.price * costs[name] + bonus)
        return found

    def plan(self, call: Call, ladder: Ladder) -> Planning:
        """Choose the tier with the highest upper bound for `call`."""
        study = self.study(ladder)
        near = yield from _learned(call, study)
        arms, vector = near.learned if isinstance(near.learned, Arms) else study.start(), near.vector
        warnings = _warnings(near, arms)
        if vector is not None and arms.width not in (None, vector.size):
            # With a warm start of another width nothing would ever be learned, so that is an error. Without one, the
            # records of an earlier embedding are left unused, with a warning.
            if self._rows is not None and vector.size != self._rows.width:
                raise ConfigError(
                    f"warm_start: its embeddings have {self._rows.width} dimensions, the history's {vector.size}; load "
                    "it with the history's embedding: load_table(path, embedding=...)"
                )
            vector = None
        promises = self.promises(arms, ladder, vector)
        # The flow skips the other tiers by itself. If none can serve the call, the plan only has to exist.
        serving = [tier.name for tier in ladder if not tier.shortfall(call.needs, call.tokens)] or list(ladder.names)
        # The first of equals, as `max` returns it, is the cheapest.
        arm = max(self.usable(ladder, serving), key=lambda name: promises[name].bound)
        return replace(
            self.first_step(arm, ladder),
            reason=f"{arm}: highest upper bound, {promises[arm].bound:.2f}; {arms.count} observations",
            estimates={name: promises[name].right for name in ladder.names},
            warnings=warnings,
        )

    def usable(self, ladder: Ladder, serving: Sequence[str]) -> Sequence[str]:  # noqa: ARG002
        """Return the arms, at least one, that these tiers can serve."""
        return serving

    def first_step(self, arm: str, ladder: Ladder) -> Plan:
        """Return the plan with which the flow begins, if this arm was chosen."""
        below = ladder.below(arm)
        witnesses = () if self.witness is None or below is None else (below.name,)
        # `thrifty`: here a witness only saves a judge's call, so one that costs as much as the judge is left out.
        return Plan(arm, "", witnesses, thrifty=True)


@dataclass(frozen=True, slots=True)
class Promise:
    """An arm's estimate for a query.

    Attributes:
        right: The chance that its answer is right, in [0, 1].
        bound: The upper bound on its reward.
    """

    right: float
    bound: float


def _learned(call: Call, study: ArmsOf) -> Generator[Request, Response, Recollection]:
    """Return what was learned at the call's node or, if that is little, at the nearest parent that knows enough."""
    best: Recollection | None = None
    for node in lineage(call.node):
        near = yield from recall(Recall(call.query, node, 0, study))
        if best is None or _count(near) > _count(best):
            best = near
        # After an error the parents are not asked: they are in the same history, and each would take a time-out more.
        if near.error is not None or _count(near) >= _ENOUGH:
            break
    return best or Recollection()


def _count(near: Recollection) -> int:
    return near.learned.count if isinstance(near.learned, Arms) else 0


def _warnings(near: Recollection, arms: Arms) -> tuple[str, ...]:
    found = [] if near.error is None else [f"history: {near.error}"]
    if arms.skipped:
        found.append(f"linucb: {arms.skipped} past calls have an embedding of another width and teach nothing")
    elif near.vector is not None and arms.width not in (None, near.vector.size):
        found.append(f"linucb: past calls have embeddings of {arms.width} dimensions, this one {near.vector.size}")
    return tuple(found)


def _rows_of(warm_start: object) -> RecordedRows:
    if isinstance(warm_start, str | os.PathLike) or not hasattr(warm_start, "embedding"):
        raise ConfigError(
            f"warm_start must be a table, such as llm_tiers.replay.load_table('profile.npz'), not {kind_of(warm_start)}"
        )
    return RecordedRows.of(cast("Table", warm_start))

"""The accuracy estimator of LLM-AT: start at the cheapest tier that similar past queries say will be right."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self

from llm_tiers.arguments import require, require_number
from llm_tiers.history.record import Neighbour
from llm_tiers.policies.starters.base import Lots, Plan, Planning
from llm_tiers.policies.starters.past import look_up, weight_of
from llm_tiers.policies.starters.priors import Priors, check_priors, checked_priors, priors_of

if TYPE_CHECKING:
    from llm_tiers.call.call import Call
    from llm_tiers.ladder.tiers import Ladder

__all__ = ["AccuracyEstimator"]


class AccuracyEstimator:
    """Estimate each tier's accuracy from similar past queries and start at the cheapest that reaches `theta`.

    With s_i the cosine similarity of the k nearest past queries, T_j the sum of s_i over those whose label for tier
    j is valid and F_j over those where it is invalid, the estimate is
    `P_j = (T_j + strength * prior_j) / (T_j + F_j + strength)`; `strength` is the paper's lambda. The first `k`
    queries start at the cheapest tier.

    Source: LLM-AT (Na, Noh, Jung; ACL Findings 2025; arXiv 2505.20921), "Accuracy Estimator". Four things differ
    from the paper unless `AccuracyEstimator.paper()` is asked for. Where no tier reaches theta the start is the
    tier with the highest estimate, since starting at the cheapest makes a higher theta cheaper and worse. A tier
    below the start is tried now and then, since a skipped tier never earns a label again. Neighbours that are not
    similar are no evidence: the estimate backs off to the parent node, then to the priors. And
    a negative similarity counts as none, since it would count a label for its opposite.

    Args:
        k: Number of past queries looked at; also the length of the cold start.
        strength: Weight of the prior, in units of one perfectly similar past query.
        theta: Least estimate at which a tier is started, in [0, 1]. Higher is more accurate and dearer.
        priors: Each tier's accuracy before anything is learned, in [0, 1], by tier name or by position; tiers
            that it leaves out use their own `prior`, then 0.65 to 0.85 spread evenly over the ladder.
        when_none: Where to start if no tier reaches theta: `"best"` estimate or `"cheapest"`, as in the paper.
        explore: Chance to start one tier below, in [0, 1], for a tier of which nothing is known; it falls as
            evidence on that tier gathers.
        seed: Seed of the exploration, which depends on it and on the call's trace id alone.
        min_similarity: Least similarity of the nearest past query that counts as a signal, in [-1, 1].
        half_life: Age in seconds at which a past query counts half, or None: labels do not age.
        witness: `"below"` lets the next cheaper tier answer side by side with the started one, where its price makes
            that worthwhile: a judge that compares then often needs no model, and the cheaper tier gets a label.

    Raises:
        ConfigError: An argument is out of its range.
    """

    def __init__(
        self,
        *,
        k: int = 10,
        strength: float = 5.0,
        theta: float = 0.74,
        priors: Priors | None = None,
        when_none: Literal["best", "cheapest"] = "best",
        explore: float = 0.2,
        seed: int = 0,
        min_similarity: float = 0.2,
        half_life: float | None = None,
        witness: Literal["below"] | None = None,
    ) -> None:
        # Checked before any call: a wrong setting would otherwise show only once there are enough records.
        require(isinstance(k, int) and k >= 1, f"k={k!r} must be a whole number of at least 1")
        for argument, value in (("strength", strength), ("theta", theta), ("explore", explore)):
            require_number(value, argument)
        require_number(min_similarity, "min_similarity")
        require_number(0 if half_life is None else half_life, "half_life")
        require(0 < strength < math.inf, f"strength={strength!r} must be greater than 0, and finite")
        require(0 <= theta <= 1, f"theta={theta!r} must lie in [0, 1]")
        require(when_none in ("best", "cheapest"), f"when_none={when_none!r} must be 'best' or 'cheapest'")
        require(0 <= explore <= 1, f"explore={explore!r} must lie in [0, 1]; 0 switches exploration off")
        require(-1 <= min_similarity <= 1, f"min_similarity={min_similarity!r} must lie in [-1, 1]")
        require(half_life is None or half_life > 0, f"half_life={half_life!r} must be greater than 0 seconds, or None")
        require(witness in ("below", None), f"witness={witness!r} must be 'below' or None")
        self.k = k
        self.strength = strength
        self.theta = theta
        self.priors = checked_priors(priors)
        self.when_none = when_none
        self.explore = explore
        self.seed = seed
        self.min_similarity = min_similarity
        self.half_life = half_life
        self.witness = witness
        # A negative similarity would count a label for its opposite; the published formula lets it.
        self._least_weight = 0.0

    @classmethod
    def paper(cls, *, theta: float = 0.7, priors: Priors | None = None) -> Self:
        """Return the estimator as LLM-AT publishes it: k=5, lambda=5, no exploration, cheapest if none reaches theta.

        Args:
            theta: The threshold, in [0, 1].
            priors: Each tier's benchmark accuracy, by name or position.
        """
        estimator = cls(
            k=5, strength=5.0, theta=theta, priors=priors, when_none="cheapest", explore=0.0, min_similarity=-1.0
        )
        # As published: the sum is over signed similarities.
        estimator._least_weight = -1.0
        return estimator

    def __repr__(self) -> str:
        return f"AccuracyEstimator(k={self.k}, strength={self.strength}, theta={self.theta})"

    def plan(self, call: Call, ladder: Ladder) -> Planning:
        """Choose where to start `call`, looking at its node's past, then at the parent nodes'."""
        evidence = yield from look_up(call, k=self.k, min_similarity=self.min_similarity, enough=self.k)
        # The paper's cold start: the first k queries go to the cheapest tier and fill the history.
        if evidence.cold:
            return Plan(start=ladder.names[0], reason=evidence.reason, warnings=evidence.warnings)
        tally = self._tally(evidence.neighbours, call.created, ladder)
        estimates = {name: estimate.accuracy for name, estimate in tally.items()}
        start, reason = self._choose(estimates)
        start, reason, chance = self._explore(call, ladder, tally, start, reason)
        return Plan(
            start=start,
            reason=f"{reason}; {evidence.reason}",
            witnesses=self._witnesses(ladder, start),
            # The witness only saves a judge call here, so one that costs as much as the judge is left out.
            thrifty=True,
            estimates=estimates,
            neighbours=len(evidence.neighbours),
            warnings=evidence.warnings,
            lots=Lots(chance),
        )

    def _tally(self, neighbours: Sequence[Neighbour], now: float, ladder: Ladder) -> dict[str, _Estimate]:
        weighted = [
            (weight_of(near, now=now, half_life=self.half_life, least=self._least_weight), near.record.labels)
            for near in neighbours
        ]
        priors = priors_of(ladder, self.priors)
        return {
            name: _Estimate(
                # A tier without a label counts for neither side: nothing is known of it.
                valid=sum(weight for weight, labels in weighted if labels.get(name) is True),
                invalid=sum(weight for weight, labels in weighted if labels.get(name) is False),
                prior=prior,
                strength=self.strength,
            )
            for name, prior in priors.items()
        }

    def _choose(self, estimates: Mapping[str, float]) -> tuple[str, str]:
        # In the order of the ladder, so the first is the cheapest.
        for name, accuracy in estimates.items():
            if accuracy >= self.theta:
                return name, f"cheapest with estimate >= {self.theta}"
        if self.when_none == "cheapest":
            return next(iter(estimates)), f"no estimate >= {self.theta}: cheapest"
        return max(estimates, key=lambda name: estimates[name]), f"no estimate >= {self.theta}: highest"

    def _explore(
        self, call: Call, ladder: Ladder, tally: Mapping[str, _Estimate], start: str, reason: str
    ) -> tuple[str, str, float]:
        """Return the start, why, and the chance with which it was drawn."""
        below = ladder.below(start)
        if below is None or not self.explore:
            return start, reason, 1.0
        # The less evidence there is on the tier below, the more there is to learn from trying it.
        chance = self.explore * tally[below.name].ignorance
        # Drawn from the call's id: no generator is shared between threads, and sync and async draw the same.
        if random.Random(f"{self.seed}:{call.id}").random() >= chance:
            return start, reason, 1 - chance
        return below.name, f"explore one below {start}", chance

    def _witnesses(self, ladder: Ladder, start: str) -> tuple[str, ...]:
        below = ladder.below(start)
        return () if self.witness is None or below is None else (below.name,)

    def check(self, ladder: Ladder) -> None:
        """Check the priors against the ladder.

        Raises:
            ConfigError: The priors are not one a tier, or name a tier that the ladder lacks.
        """
        check_priors(ladder, self.priors)


@dataclass(frozen=True, slots=True)
class _Estimate:
    """What is known of one tier on one query: T_j, F_j, a_j and lambda of the paper."""

    valid: float
    invalid: float
    prior: float
    strength: float

    @property
    def accuracy(self) -> float:
        """P_j of the paper."""
        return (self.valid + self.strength * self.prior) / (self.valid + self.invalid + self.strength)

    @property
    def ignorance(self) -> float:
        """The share of the estimate that is prior, in (0, 1]."""
        return self.strength / (self.valid + self.invalid + self.strength)

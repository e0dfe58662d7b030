"""A guarantee: answers equal to the top tier's on all but a stated share of the calls, at the lowest provable cost."""

from __future__ import annotations

import random
from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from llm_tiers.arguments import require, require_number
from llm_tiers.call.requests import Recall, Request, Response, recall
from llm_tiers.ladder.tiers import Ladder
from llm_tiers.policies.guarantee.forecast import Forecast, forecast
from llm_tiers.policies.guarantee.standing import Promise, Standing
from llm_tiers.policies.guarantee.study import Measure, StandingOf
from llm_tiers.policies.judges.judge import as_judge
from llm_tiers.policies.menu import RuleJudge, plan_of
from llm_tiers.policies.starters.base import Lots, Plan, Planning
from llm_tiers.trace import Certificate

if TYPE_CHECKING:
    from llm_tiers.call.call import Call
    from llm_tiers.history.record import History, Recollection
    from llm_tiers.ladder.tiers import Tier
    from llm_tiers.policies.judges.case import Case
    from llm_tiers.policies.judges.judge import Judge, JudgeFunction

__all__ = ["Guarantee"]

_WARNED_FOR = 10
"""The number of calls after a withdrawal whose traces warn of it."""

_VERDICTS = object()
"""What the starter passes on to the judge if verdicts are wanted on a profiled call's answers."""


class Guarantee(RuleJudge):
    """Answer as the top tier would on at least `1 - delta` of the calls of each node, at the lowest provable cost.

    On the first calls of a node all tiers answer. Every rule of the menu (single tiers, and cascades that stop when two
    tiers agree) is replayed on these profiled calls. Once a mixture of rules is proved to keep the promise, and more
    profiling would cost more than it saves, the cheapest such mixture answers: it has a certificate. A small share of
    the calls is still profiled, as audits. If these show that the promise is broken, the certificate is withdrawn, and
    a new one has to be earned. Without a certificate, the top tier's answer is returned.

    The proof holds at any time, however often one looks. With the stated confidence, no mixture that answers between
    two withdrawals ever breaks the promise, provided that the calls of a node are alike over time. The promise is about
    the calls that the top tier answers at all.

    It is a starter and a judge in one: `policy=Guarantee(0.05)`. All that it knows follows from the history's records,
    so a restart changes nothing as long as the records are kept.

    Source: the promise is that of SMART (Jo and Trummer, arXiv 2403.13835). Different are the test by betting in place
    of a fixed-sample interval, rules in place of single tiers, the audits, and the number of profiled calls.

    Args:
        delta: Share of the calls on which the answer may be worse than the top tier's, in (0, 1).
        confidence: The chance that a certificate is right, in (0, 1).
        of: What counts as worse. `"equality"`: an answer that does not equal the top tier's, or cannot be compared with
            it. `"grade"`: a lower grade by `grade=`. The mean grade may then be lower than the top tier's by at most
            `delta`, and answers that are right when the top tier's is wrong make up for others. `"feedback"`: as
            `"equality"`, except that `feedback` on a profiled call may say that the top tier's answer was wrong, or
            that another one was right. Feedback may come for any calls, seldom or often: without it, an answer that
            differs counts as worse.
        expected_calls: How many calls each node is expected to have; None for as many more as it has had.
        judge: Adds the rules "a tier, if this judge finds its answer valid, else a dearer tier". On profiled calls the
            judge is asked about the answers of all tiers below the top, as long as one of these rules may belong to the
            cheapest mixture. A verdict whose cost is not known counts as free.

    Raises:
        ConfigError: An argument is out of its range.
    """

    assumes_above = False
    """It learns from what tiers said, so nothing is assumed of those that were not asked."""

    profiles = True
    """It decides by itself which calls all tiers answer."""

    def __init__(
        self,
        delta: float,
        *,
        confidence: float = 0.95,
        of: Measure = "equality",
        expected_calls: int | None = None,
        judge: Judge | JudgeFunction | None = None,
    ) -> None:
        super().__init__(None if judge is None else as_judge(judge))
        self.judged = judge is not None
        for argument, value in (("delta", delta), ("confidence", confidence)):
            require_number(value, argument)
            require(0 < value < 1, f"{argument}={value!r} must lie between 0 and 1, without them")
        require(of in ("equality", "grade", "feedback"), f"of={of!r} must be 'equality', 'grade' or 'feedback'")
        whole = isinstance(expected_calls, int) and not isinstance(expected_calls, bool)
        require(
            expected_calls is None or (whole and expected_calls >= 1),
            f"expected_calls={expected_calls!r} must be a whole number of at least 1, or None",
        )
        self.of: Measure = of
        self.confidence = float(confidence)
        self.promise = Promise(float(delta), 1 - float(confidence), expected_calls, makes_up=of != "equality")

    def __repr__(self) -> str:
        settings = f"confidence={self.confidence}, of={self.of!r}, expected_calls={self.promise.expected_calls}"
        judge = f", judge={self.judge!r}" if self.judged else ""
        return f"Guarantee({self.promise.delta}, {settings}{judge})"

    def identity(self) -> str:
        """Return all settings."""
        return f"{self!r}, {self.judge.identity()}" if self.judged else repr(self)

    def own_tiers(self) -> Iterator[Tier]:
        """Yield the models outside the ladder that the judge calls."""
        if self.judged:
            yield from self.judge.own_tiers()

    def survey(self, case: Case) -> Generator[Request, Response, None]:
        """Ask the judge about an answer of a profiled call, if rules that need its verdicts may pay."""
        if case.insight is _VERDICTS:
            yield from self.ask_below_top(case)

    @property
    def needs_grades(self) -> bool:
        """Whether the model needs `grade=`."""
        return self.of == "grade"

    needs_prices = True
    """Without the tiers' prices it is unknown which rule is cheaper."""

    def study(self, ladder: Ladder, node: str) -> StandingOf:
        """Return the study by which a history makes a node's standing from its records."""
        listed = tuple(ladder.costs[name] for name in ladder.names)
        return StandingOf(ladder.names, listed, self.promise, self.of, node, self.judged)

    def forecast(self, ladder: Ladder, *, differing: float = 0.0) -> Forecast:
        """Return what it will cost to earn the promise at a node, or that it cannot be earned, before any call.

        Args:
            ladder: The tiers, with `costs`; see `model.forecast()`.
            differing: Assumed share of the calls on which the cheapest tier is worse than the top, in [0, 1].

        Raises:
            ConfigError: `differing` lies outside [0, 1].
        """
        require_number(differing, "differing")
        require(0 <= differing <= 1, f"differing={differing!r} must lie in [0, 1]")
        study = self.study(ladder, "")
        return forecast(study.listed, len(study.menu), self.promise, differing=differing)

    def certificate(self, history: History | None, ladder: Ladder, node: str = "") -> Certificate | None:
        """Return the certificate that a node has now; None if only the top tier's answers are returned.

        Args:
            history: Where the past calls are kept.
            ladder: The tiers.
            node: The node.
        """
        if history is None:
            return None
        study = self.study(ladder, node)
        learned = history.recall("", node=node, k=0, study=study).learned
        return self._certificate(learned, study) if isinstance(learned, Standing) else None

    def _certificate(self, standing: Standing, study: StandingOf) -> Certificate | None:
        if standing.since is None:
            return None
        return Certificate(
            delta=self.promise.delta,
            confidence=self.confidence,
            rules={study.menu[place].name: share for place, share in standing.mixture.shares().items()},
            calls=standing.profiled,
            of=self.of,
            sources={source: number for source, number in standing.sources.items() if number},
            since=standing.since,
        )

    def plan(self, call: Call, ladder: Ladder) -> Planning:
        """Profile the call, or begin the rule that is drawn for it from the certified mixture."""
        study = self.study(ladder, call.node)
        near = yield from _learned(call, study)
        if not isinstance(near.learned, Standing):
            warnings = () if near.error is None else (f"history: {near.error}",)
            reason = f"top tier: {near.error or 'no history is kept'}"
            return Plan(ladder.top.name, reason, warnings=warnings)
        standing: Standing = near.learned
        if any(call.shortfall(tier) for tier in ladder):
            reason = "top tier: not all tiers can serve the call, so what is proved does not hold"
            return Plan(ladder.top.name, reason)
        certificate = self._certificate(standing, study)
        # The rule is drawn before it is known whether the call is audited, and independently of that: so audits show
        # the mixture as it answers. From the call's id, so that sync and async draw the same.
        drawing = random.Random(f"guarantee:{call.id}")
        audit, draw = drawing.random(), drawing.random()
        events = _events(standing)
        drawn, audits = standing.rule_for(draw), standing.all_asked
        if audit < standing.audit_share(drawn):
            reason = self._reason(standing, study)
            insight = _VERDICTS if standing.judges else None
            top = ladder.top.name
            # Drawn twice, the rule included, so all rules together.
            lots = Lots(audits, audits)
            return Plan(top, reason, audit=True, warnings=events, certificate=certificate, insight=insight, lots=lots)
        plan = plan_of(study.menu[drawn], self._reason(standing, study))
        lots = Lots(standing.chance_of(drawn) * (1 - standing.audit_share(drawn)), audits)
        return replace(plan, warnings=events, certificate=certificate, lots=lots)

    def _reason(self, standing: Standing, study: StandingOf) -> str:
        if standing.since is not None:
            shares = standing.mixture.shares().items()
            named = " and ".join(f"{study.menu[place].name} on {share:.0%}" for place, share in shares)
            more = f"; {standing.more} more calls are profiled" if standing.profiles else ""
            return f"certified on {standing.profiled} calls: {named}{more}"
        if standing.profiles:
            return f"profiling: {standing.profiled} calls so far, about {max(standing.more, 1)} more"
        if standing.profiled:
            return f"top tier: {standing.profiled} profiled calls prove nothing cheaper, and more would not pay"
        return f"top tier: {self._why_not(study, standing.seen)}"

    def _why_not(self, study: StandingOf, seen: int) -> str:
        return forecast(study.listed, len(study.menu), self.promise, seen=seen).why


def _events(standing: Standing) -> tuple[str, ...]:
    at = standing.withdrawn_at
    if at is None or standing.seen >= at + _WARNED_FOR:
        return ()
    return (f"certificate withdrawn: audits differ from the top tier too often, at call {at} of this node",)


def _learned(call: Call, study: StandingOf) -> Generator[Request, Response, Recollection]:
    return (yield from recall(Recall(call.query, call.node, 0, study)))

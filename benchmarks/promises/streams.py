"""Many streams of one guarantee at once: the decisions of `Standing`, on arrays whose first axis is the stream."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from llm_tiers.policies.guarantee.bets import Floats
from llm_tiers.policies.guarantee.drift import CALM, RARELY, after_audit, share_beside_top, share_of_audits, suspicion
from llm_tiers.policies.guarantee.standing import EVERY, FIRST, GROWTH
from llm_tiers.policies.guarantee.worth import look, verdicts_pay
from promises.outcomes import Outcomes

# Two losses instead of the 21 of `LOSSES`: answers equal the top tier's or not, and ten times less is counted.
RIGHT_OR_NOT = np.array([0.0, 1.0])

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


class Streams:
    """S streams of T calls under a guarantee.

    Args:
        outcomes: What the rules do.
        rows: S x T, the questions.
        delta: The promise.
        alpha: 1 minus the confidence.

    Attributes:
        total: S, what all calls cost, in mean answers of the top tier.
        broke: S, whether a mixture that truly differs on more than delta ever answered.
        asked: S, profiled calls and audits.
        withdrawn: By stream, the calls at which a certificate was withdrawn.
        earned: By stream, the calls from which one held.
        broken_by_drift: S, whether the mixture in use when the change came truly differed on more than delta after it.
    """

    def __init__(self, outcomes: Outcomes, rows: Ints, delta: float, *, alpha: float = 0.05) -> None:
        streams, self.top = len(rows), len(outcomes.rules) - 1
        self.outcomes, self.rows, self.delta, self.alpha = outcomes, rows, delta, alpha
        # The fields of `Standing`, each with an axis for the streams in front.
        self.counts = np.zeros((streams, self.top + 1, 2))
        self.costs = np.zeros((streams, self.top + 1))
        self.asking, self.judging, self.profiled, self.looked, self.share = np.zeros((5, streams))
        self.profiles = np.ones(streams, bool)
        self.judges = np.full(streams, bool(outcomes.judged))
        self.wealth = np.tile(CALM, (streams, 1))
        self.one, self.other = np.full((2, streams), self.top)
        self.total, self.asked = np.zeros((2, streams))
        self.broke = np.zeros(streams, bool)
        self.broken_by_drift = np.zeros(streams, bool)
        self.withdrawn: list[list[int]] = [[] for _ in range(streams)]
        self.earned: list[list[int]] = [[] for _ in range(streams)]

    def run(self, *, lots: Floats | None = None, after: Outcomes | None = None, seed: int = 0) -> Streams:
        """Answer all calls.

        Args:
            lots: 2 x S x T, the draws for audits and for the mixture; by default random ones.
            after: What the rules do in the second half of each stream; by default the same.
            seed: Seed of the draws.
        """
        calls = self.rows.shape[1]
        random = np.random.default_rng(seed)
        # Between two looks the mixture stays the same, so a block of calls is one step on arrays.
        for begin in range(0, calls, EVERY):
            if after is not None and begin == calls // 2:
                self.outcomes = after
                self.broken_by_drift = self.differs() > self.delta
            questions = self.rows[:, begin : begin + EVERY]
            drawn = random.random((2, *questions.shape)) if lots is None else lots[:, :, begin : begin + EVERY]
            rule = np.where(drawn[1] < self.share[:, None], self.other[:, None], self.one[:, None])
            audited = self._audited(questions, drawn[0], rule)
            self.total += self._costs(questions, audited, rule if lots is not None else None)
            self._learn(questions, audited)
            self._withdraw(begin + EVERY)
            self._look(begin + EVERY, calls)
        return self

    @property
    def proved(self) -> Flags:
        """Whether something cheaper than the top tier is proved."""
        return (self.one != self.top) | ((self.other != self.top) & (self.share > 0))

    def differs(self, streams: Ints | slice = slice(None)) -> Floats:
        """Return on what share of the questions the mixtures truly differ from the top tier."""
        truth = self.outcomes.losses.mean(axis=0)
        found: Floats = (
            truth[self.one[streams]] * (1 - self.share[streams]) + truth[self.other[streams]] * self.share[streams]
        )
        return found

    def _costs(self, questions: Ints, audited: Flags, rule: Ints | None) -> Floats:
        """Return what a block costs: with the rules that were drawn or, so that fewer streams do, as their mean.

        SMART's cost is such a mean, too.
        """
        costs = self.outcomes.costs
        if rule is None:
            one, other = costs[questions, self.one[:, None]], costs[questions, self.other[:, None]]
            alone = one + (other - one) * self.share[:, None]
        else:
            alone = costs[questions, rule]
        asking = self.outcomes.asking[questions].sum(axis=-1) + self._judging(questions)
        found: Floats = np.where(audited, asking, alone).sum(axis=1)
        return found

    def _judging(self, questions: Ints) -> Floats:
        """Return what the verdicts on profiled calls of a block cost."""
        found: Floats = self.outcomes.judging[questions] * self.judges[:, None]
        return found

    def _audited(self, questions: Ints, drawn: Floats, rule: Ints) -> Flags:
        """Return which calls of a block are profiled; each audit changes the chance of the next."""
        watching = self.proved & ~self.profiles
        below_top = np.where(self.one != self.top, 1 - self.share, 0) + np.where(self.other != self.top, self.share, 0)
        risky = below_top > self.delta * (1 + 1e-4)
        audited = np.zeros(questions.shape, bool)
        for place in range(questions.shape[1]):
            beside_top = share_beside_top(self.wealth, self.asking, self.costs[:, -1])
            share = np.where(rule[:, place] == self.top, beside_top, share_of_audits(self.wealth))
            chance = np.where(self.profiles, 1.0, np.where(risky, share, 0.0))
            audited[:, place] = drawn[:, place] < chance
            # While everything is profiled there is nothing to suspect yet, as in `Standing.with_evidence`.
            told = np.flatnonzero(audited[:, place] & watching)
            if len(told):
                losses = self.outcomes.losses
                one = losses[questions[told, place], self.one[told]]
                other = losses[questions[told, place], self.other[told]]
                mean = one * (1 - self.share[told]) + other * self.share[told]
                self.wealth[told] = after_audit(self.wealth[told], mean, self.delta)
        return audited

    def _learn(self, questions: Ints, audited: Flags) -> None:
        who, when = np.nonzero(audited)
        rows = questions[who, when]
        losses, costs = self.outcomes.losses[rows], self.outcomes.costs[rows]
        asking = self.outcomes.asking[rows].sum(axis=1)
        # As in the study: a verdict that was not asked for counts as worse, and as dear as possible.
        unknown = np.ix_(~self.judges[who], self.outcomes.judged)
        losses[unknown], costs[unknown] = 1.0, asking[~self.judges[who], None]
        # `add.at`, because a stream may have several profiled calls in a block, and `+=` would add one of them.
        np.add.at(self.counts, who, np.stack([1 - losses, losses], axis=-1))
        np.add.at(self.costs, who, costs)
        np.add.at(self.asking, who, asking)
        np.add.at(self.judging, who, self._judging(questions)[who, when])
        self.profiled += audited.sum(axis=1)
        self.asked += audited.sum(axis=1)

    def _withdraw(self, end: int) -> None:
        broken = suspicion(self.wealth) > RARELY
        for values in (self.counts, self.costs, self.asking, self.judging, self.profiled, self.looked, self.share):
            values[broken] = 0
        self.judges[broken] = bool(self.outcomes.judged)
        self.wealth[broken], self.profiles[broken] = CALM, True
        self.one[broken] = self.other[broken] = self.top
        for stream in np.flatnonzero(broken):
            self.withdrawn[stream].append(end)

    def _look(self, end: int, calls: int) -> None:
        enough = np.maximum(self.looked + EVERY, GROWTH * self.looked)
        due = np.flatnonzero((self.profiled >= FIRST) & (self.profiled >= enough))
        if not len(due):
            return
        number = self.profiled[due]
        counts, costs = self.counts[due], self.costs[due] / number[:, None]
        if self.outcomes.judged:
            self.judges[due] &= verdicts_pay(counts, costs, self.outcomes.judged, self.delta, RIGHT_OR_NOT)
        found = look(
            counts,
            costs,
            (self.asking[due] + self.judges[due] * self.judging[due]) / number,
            np.full(len(due), float(max(calls - end, 0))),
            delta=self.delta,
            alpha=self.alpha,
            losses=RIGHT_OR_NOT,
        )
        self.looked[due] = number
        self.one[due], self.other[due], self.share[due] = found.mixtures[:3]
        self.profiles[due] = found.more > 0
        self.broke[due] |= self.differs(due) > self.delta + 1e-9
        for stream in due[self.proved[due]]:
            # Once for each certificate: the first, and the next after each withdrawal.
            if len(self.earned[stream]) <= len(self.withdrawn[stream]):
                self.earned[stream].append(end)

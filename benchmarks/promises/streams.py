"""Many streams of one guarantee at once: the decisions of `Standing`, on arrays whose first axis is the stream."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llm_tiers.policies.guarantee.bets import Floats
from llm_tiers.policies.guarantee.drift import CALM, RARELY, after_audit, share_of_audits, suspicion
from llm_tiers.policies.guarantee.standing import EVERY, FIRST, GROWTH
from llm_tiers.policies.guarantee.worth import look
from promises.outcomes import Outcomes

RIGHT_OR_NOT = np.array([0.0, 1.0])

Ints = NDArray[np.int64]


@dataclass
class Run:
    """What S streams came to.

    Attributes:
        cost: S, mean cost of a call, in mean answers of the top tier.
        broke: S, whether a mixture ever answered that truly differs on more than delta.
        profiled: S, profiled calls before the first audit, and audits with them.
        withdrawn: By stream, the calls at which a certificate was withdrawn.
        earned: By stream, the calls from which one held.
        finals: S, by stream the last mixture: rule, rule, share of the second.
    """

    cost: Floats
    broke: NDArray[np.bool_]
    profiled: Floats
    withdrawn: list[list[int]]
    earned: list[list[int]]
    finals: tuple[Ints, Ints, Floats]


def simulate(
    outcomes: Outcomes,
    rows: Ints,
    delta: float,
    *,
    lots: tuple[Floats, Floats] | None = None,
    alpha: float = 0.05,
    after: Outcomes | None = None,
    seed: int = 0,
) -> Run:
    """Run guarantees over streams of questions.

    Args:
        outcomes: What the rules do.
        rows: S x T, the questions.
        delta: The promise.
        lots: S x T each, the draws for audits and for the mixture; by default random ones.
        alpha: One less the confidence.
        after: What the rules do in the second half of each stream; by default the same.
        seed: Seed of the draws.
    """
    streams, calls = rows.shape
    top = len(outcomes.rules) - 1
    random = np.random.default_rng(seed)
    counts, costs = np.zeros((streams, top + 1, 2)), np.zeros((streams, top + 1))
    asking, profiled, looked = np.zeros(streams), np.zeros(streams), np.zeros(streams)
    profiles, wealth = np.ones(streams, bool), np.tile(CALM, (streams, 1))
    one, other, share = np.full(streams, top), np.full(streams, top), np.zeros(streams)
    total, asked, broke = np.zeros(streams), np.zeros(streams), np.zeros(streams, bool)
    withdrawn: list[list[int]] = [[] for _ in range(streams)]
    earned: list[list[int]] = [[] for _ in range(streams)]
    all_streams = np.arange(streams)
    for begin in range(0, calls, EVERY):
        now = outcomes if after is None or begin < calls // 2 else after
        truth = now.losses.mean(axis=0)
        block = slice(begin, begin + EVERY)
        questions = rows[:, block]
        proved = (one != top) | ((other != top) & (share > 0))
        watching = proved & ~profiles
        draws = (
            random.random((2, *questions.shape)) if lots is None else np.stack([lots[0][:, block], lots[1][:, block]])
        )
        astray = np.where(one != top, 1 - share, 0) + np.where(other != top, share, 0)
        audited = np.zeros(questions.shape, bool)
        for place in range(questions.shape[1]):
            chance = np.where(profiles, 1.0, np.where(astray > delta * (1 + 1e-4), share_of_audits(wealth), 0.0))
            hit = draws[0][:, place] < chance
            audited[:, place] = hit
            told = all_streams[hit & watching]
            if len(told):
                losses = now.losses[questions[told, place]]
                mean = np.take_along_axis(losses, one[told, None], 1)[:, 0] * (1 - share[told])
                mean += np.take_along_axis(losses, other[told, None], 1)[:, 0] * share[told]
                wealth[told] = after_audit(wealth[told], mean, delta)
        rule = np.where(draws[1] < share[:, None], other[:, None], one[:, None])
        paid = np.where(audited, now.asking[questions].sum(axis=-1), now.costs[questions, rule])
        total += paid.sum(axis=1)
        who, when = np.nonzero(audited)
        seen_now = questions[who, when]
        losses = now.losses[seen_now]
        np.add.at(counts, who, np.stack([1 - losses, losses], axis=-1))
        np.add.at(costs, who, now.costs[seen_now])
        np.add.at(asking, who, now.asking[seen_now].sum(axis=1))
        profiled += audited.sum(axis=1)
        asked += audited.sum(axis=1)
        end = begin + questions.shape[1]
        false = suspicion(wealth) > RARELY
        if false.any():
            for values in (counts, costs, asking, profiled, looked, share):
                values[false] = 0
            wealth[false], profiles[false], one[false], other[false] = CALM, True, top, top
            for stream in np.flatnonzero(false):
                withdrawn[stream].append(end)
        due = np.flatnonzero((profiled >= FIRST) & (profiled >= np.maximum(looked + EVERY, GROWTH * looked)))
        if not len(due):
            continue
        number = profiled[due]
        found = look(
            counts[due],
            costs[due] / number[:, None],
            asking[due] / number,
            np.full(len(due), float(max(calls - end, 0))),
            delta=delta,
            alpha=alpha,
            losses=RIGHT_OR_NOT,
        )
        looked[due] = number
        one[due], other[due], share[due] = found.mixtures[:3]
        share[due] = np.where(one[due] == other[due], 0.0, share[due])
        profiles[due] = found.more > 0
        holds = (one[due] != top) | ((other[due] != top) & (share[due] > 0))
        for stream in due[holds]:
            if len(earned[stream]) <= len(withdrawn[stream]):
                earned[stream].append(end)
        # What truly holds of the calls that this mixture is to answer.
        truly = truth[one[due]] * (1 - share[due]) + truth[other[due]] * share[due]
        broke[due] |= truly > delta + 1e-9
    return Run(total / calls, broke, asked, withdrawn, earned, (one, other, share))

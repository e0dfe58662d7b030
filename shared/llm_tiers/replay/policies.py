"""The policies that a table can be replayed with, by the names of the command line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from llm_tiers.agreement.equality import ExactEquality
from llm_tiers.errors import ConfigError
from llm_tiers.policies.doubt import Doubt
from llm_tiers.policies.guarantee import SMART, Guarantee
from llm_tiers.policies.judges import PromptJudge
from llm_tiers.policies.menu.menu import MenuStarter
from llm_tiers.policies.named import agree, default, doubt, estimate, linucb, llm_at, menu, metallm
from llm_tiers.policies.policy import Policy
from llm_tiers.policies.starters import AccuracyEstimator, FixedStarter
from llm_tiers.replay.agreeing import agree_all, agree_two
from llm_tiers.replay.answering import AlwaysAnswers
from llm_tiers.replay.cascade_routing import CascadeRouting, cascade_routing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llm_tiers.policies.guarantee.study import Measure
    from llm_tiers.replay.table import ReplayTable

__all__ = ["ReplayPolicy", "replay_policy"]

_EXACT = ExactEquality(missing_counts=True)
_NAMES = (
    "single:TIER, start:TIER, llm-at, llm-at-answers, default, doubt, menu, agree, estimate, linucb, linucb-rules, "
    "metallm, cascade-routing, agree-two, agree-all, guarantee:DELTA, guarantee-grade:DELTA, guarantee-judged:DELTA, "
    "smart-paper:DELTA, oracle, random"
)
_MEASURES: dict[str, Measure] = {"guarantee": "equality", "guarantee-grade": "grade"}
_WITH_TIER_OR_SHARE = ("single", "start", "guarantee", "guarantee-grade", "guarantee-judged", "smart-paper")


@dataclass(frozen=True, slots=True)
class ReplayPolicy:
    """How a table is replayed.

    Attributes:
        name: As on the command line.
        knob: The accuracy setting in use, in [0, 1], or None where the policy has none.
        policy: The policy of the product that answers the calls.
        pins: For each question the position of the tier that must answer, or None: the policy decides.
        learns: Whether the policy looks at past calls.
        uses_priors: Whether the tiers know the table's benchmark accuracies.
        gets_truth: Whether feedback gives the recorded truth of each returned answer.
        graded: Whether the recorded truth grades all answers of profiled calls, as `grade=` would.
        needs_vectors: Whether the policy needs the questions' embeddings, not only their neighbours.
        states_right: Whether the confidence is the chance that the answer is right, and not that the top tier would
            have given it.
    """

    name: str
    knob: float | None
    policy: Policy
    pins: Sequence[int] | None = None
    learns: bool = False
    uses_priors: bool = False
    gets_truth: bool = False
    graded: bool = False
    needs_vectors: bool = False
    states_right: bool = False


def replay_policy(name: str, table: ReplayTable, *, knob: float | None = None, seed: int = 0) -> ReplayPolicy:
    """Return the policy called `name`.

    Args:
        name: `single:TIER` (that tier alone), `start:TIER` (always start there, judge as LLM-AT does), `llm-at`
            (as published), `llm-at-answers` (the same, but an earlier answer is returned in place of a missing one),
            `default` (what the models do), `menu` (the same: the rule that profiled calls show to be worth most),
            `doubt` (the doubt cascade), `estimate` (LLM-AT corrected), `agree` (that with a witness, whose agreement
            needs no judge), `linucb` (a bandit that learns from agreement and verdicts), `linucb-rules` (one that
            chooses among the menu's rules, for `--grade` or `--feedback`), `metallm` (the bandit as published, which
            learns the truth of each answer), `cascade-routing` (of Dekoninck et al., ICML 2025), `agree-two` (the two
            cheapest tiers, where they differ the third), `agree-all` (tier by tier until two agree),
            `guarantee:DELTA` (as the top tier on all but a share DELTA of the questions, proved),
            `guarantee-grade:DELTA` (right as often as the top tier, less a share DELTA; the recorded truth grades its
            profiled questions), `guarantee-judged:DELTA` (as `guarantee:DELTA`, with rules that ask the recorded
            judge), `smart-paper:DELTA` (SMART, which promises the same, as published), `oracle` (the cheapest tier
            that is right, or the cheapest of all where none is), or `random` (any tier, unjudged).
        table: The table to replay.
        knob: Higher is more accurate, in [0, 1]; None for the policy's default. Policies without one ignore it.
        seed: Seed of all that is random.

    Raises:
        ConfigError: The name or its tier is unknown, or the knob is outside [0, 1].
    """
    if knob is not None and not 0 <= knob <= 1:
        raise ConfigError(f"knob={knob} must lie in [0, 1]")
    kind, _, tier = name.partition(":")
    makers: dict[str, Callable[[], ReplayPolicy]] = {
        "single": partial(_single, table, tier),
        "start": partial(_start, table, tier),
        "llm-at": partial(_llm_at, knob),
        "llm-at-answers": partial(_llm_at_answers, knob),
        "default": partial(_choosing, default, knob, seed),
        "doubt": partial(_doubting, knob, seed),
        "menu": partial(_choosing, menu, knob, seed),
        "agree": partial(_estimating, agree, knob, seed),
        "estimate": partial(_estimating, estimate, knob, seed),
        "linucb": partial(_linucb, linucb),
        "linucb-rules": partial(_linucb, partial(linucb, arms="rules")),
        "metallm": _metallm,
        "cascade-routing": partial(_cascade_routing, knob),
        "agree-two": partial(_fixed, agree_two),
        "agree-all": partial(_fixed, agree_all),
        "guarantee": partial(_promising, table, "guarantee", tier),
        "guarantee-grade": partial(_promising, table, "guarantee-grade", tier),
        "guarantee-judged": partial(_promising, table, "guarantee-judged", tier),
        "smart-paper": partial(_promising, table, "smart-paper", tier),
        "oracle": partial(_oracle, table),
        "random": partial(_random, table, seed),
    }
    # These need a tier's name, or a share, after the colon; the others take nothing.
    if kind not in makers or bool(tier) != (kind in _WITH_TIER_OR_SHARE):
        raise ConfigError(f"policy {name!r} is unknown; take one of {_NAMES}")
    return makers[kind]()


def _single(table: ReplayTable, tier: str) -> ReplayPolicy:
    return _pinned(f"single:{tier}", [_position(table, tier, "single")] * len(table))


def _start(table: ReplayTable, tier: str) -> ReplayPolicy:
    _position(table, tier, "start")
    policy = Policy(f"start:{tier}", FixedStarter(tier), PromptJudge(offer_abstention=True), _EXACT)
    return ReplayPolicy(policy.name, None, policy)


def _llm_at(knob: float | None) -> ReplayPolicy:
    policy = llm_at() if knob is None else llm_at(theta=knob)
    return ReplayPolicy("llm-at", _theta(policy), policy, learns=True, uses_priors=True)


def _llm_at_answers(knob: float | None) -> ReplayPolicy:
    published = _llm_at(knob)
    policy = published.policy
    # Plain equality: LLM-AT counts two missing answers as equal, which matters only where missing answers are accepted.
    policy = Policy("llm-at-answers", policy.starter, AlwaysAnswers(policy.judge), ExactEquality())
    return replace(published, name=policy.name, policy=policy)


def _cascade_routing(knob: float | None) -> ReplayPolicy:
    policy = cascade_routing() if knob is None else cascade_routing(quality=knob)
    quality = policy.starter.quality if isinstance(policy.starter, CascadeRouting) else None
    return ReplayPolicy(policy.name, quality, policy, learns=True)


def _fixed(make: Callable[[], Policy]) -> ReplayPolicy:
    policy = make()
    return ReplayPolicy(policy.name, None, policy)


def _estimating(make: Callable[..., Policy], knob: float | None, seed: int) -> ReplayPolicy:
    policy = make(seed=seed) if knob is None else make(theta=knob, seed=seed)
    return ReplayPolicy(policy.name, _theta(policy), policy, learns=True)


def _doubting(knob: float | None, seed: int) -> ReplayPolicy:
    policy = doubt(seed=seed) if knob is None else doubt(quality=knob, seed=seed)
    quality = policy.starter.quality if isinstance(policy.starter, Doubt) else None
    return ReplayPolicy(policy.name, quality, policy, learns=True)


def _linucb(make: Callable[[], Policy]) -> ReplayPolicy:
    policy = make()
    return ReplayPolicy(policy.name, None, policy, learns=True, needs_vectors=True)


def _metallm() -> ReplayPolicy:
    policy = metallm()
    return ReplayPolicy(policy.name, None, policy, learns=True, gets_truth=True, needs_vectors=True)


def _choosing(make: Callable[..., Policy], knob: float | None, seed: int) -> ReplayPolicy:
    policy = make(quality=knob, seed=seed)
    quality = policy.starter.quality if isinstance(policy.starter, MenuStarter) else None
    return ReplayPolicy(policy.name, quality, policy, learns=True, states_right=True)


def _promising(table: ReplayTable, kind: str, delta: str) -> ReplayPolicy:
    """Return a policy that promises to differ from the top tier on a share of `delta` at most."""
    try:
        share = float(delta)
    except ValueError:
        raise ConfigError(f"policy '{kind}:{delta}': DELTA must be a number between 0 and 1") from None
    promise: Guarantee | SMART
    if kind == "smart-paper":
        promise = SMART.paper(share, items=len(table))
    elif kind == "guarantee-judged":
        if not table.has_verdicts:
            raise ConfigError(f"policy '{kind}:{delta}': {table.path} has no verdicts; take guarantee:{delta}")
        promise = Guarantee(share, expected_calls=len(table), judge=PromptJudge())
    else:
        promise = Guarantee(share, of=_MEASURES[kind], expected_calls=len(table))
    graded = isinstance(promise, Guarantee) and promise.needs_grades
    return ReplayPolicy(f"{kind}:{delta}", None, Policy(kind, promise, promise), learns=True, graded=graded)


def _oracle(table: ReplayTable) -> ReplayPolicy:
    # `argmax` gives the first of several right tiers, and the first of all where none is right.
    return _pinned("oracle", table.correct.argmax(axis=1).tolist())


def _random(table: ReplayTable, seed: int) -> ReplayPolicy:
    return _pinned("random", np.random.default_rng(seed).integers(len(table.tiers), size=len(table)).tolist())


def _pinned(name: str, pins: Sequence[int]) -> ReplayPolicy:
    # A pinned call asks neither starter nor judge; these two only complete the policy.
    return ReplayPolicy(name, None, Policy(name, FixedStarter(), PromptJudge()), pins)


def _position(table: ReplayTable, tier: str, kind: str) -> int:
    if tier not in table.tiers:
        raise ConfigError(f"policy '{kind}:{tier}': {table.path} has no such tier; it has {', '.join(table.tiers)}")
    return table.tiers.index(tier)


def _theta(policy: Policy) -> float | None:
    return policy.starter.theta if isinstance(policy.starter, AccuracyEstimator) else None

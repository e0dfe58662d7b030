"""Named pairs of a starter and a judge, and which one is the default."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from llm_tiers.agreement.equality import ExactEquality, FinalAnswers
from llm_tiers.arguments import require, require_number
from llm_tiers.errors import ConfigError
from llm_tiers.policies.doubt import Doubt
from llm_tiers.policies.guarantee import SMART, Guarantee
from llm_tiers.policies.judges.agreement import Agreement
from llm_tiers.policies.judges.judge import as_judge
from llm_tiers.policies.judges.prompt import PromptJudge
from llm_tiers.policies.judges.thrifty import Thrifty
from llm_tiers.policies.judges.unjudged import Unjudged
from llm_tiers.policies.menu import FixedRule, RuleJudge, rule_named
from llm_tiers.policies.menu.bandit import LinUCBOfRules
from llm_tiers.policies.menu.menu import MenuJudge, MenuStarter
from llm_tiers.policies.policy import Policy
from llm_tiers.policies.settings import read_settings
from llm_tiers.policies.starters.accuracy import AccuracyEstimator
from llm_tiers.policies.starters.linucb import LinUCB

if TYPE_CHECKING:
    import os

    from llm_tiers.call.answer import Answer
    from llm_tiers.policies.judges.judge import Judge, JudgeFunction
    from llm_tiers.policies.starters.base import Starter

__all__ = [
    "BY_KNOB",
    "agree",
    "as_policy",
    "default",
    "doubt",
    "estimate",
    "linucb",
    "llm_at",
    "menu",
    "metallm",
]


def llm_at(*, theta: float = 0.7, offer_abstention: bool = True) -> Policy:
    """Return LLM-AT as published (arXiv 2505.20921), faults included, for comparison.

    Args:
        theta: The threshold, in [0, 1].
        offer_abstention: Let the cheapest tier abstain, as the paper does; it changes the user's prompt.
    """
    return Policy(
        "llm-at",
        AccuracyEstimator.paper(theta=theta),
        PromptJudge(offer_abstention=offer_abstention),
        # As in the paper's code: a missing answer is judged like any other, and two missing ones are equal.
        ExactEquality(missing_counts=True),
    )


def estimate(*, theta: float = 0.74, seed: int = 0) -> Policy:
    """Return LLM-AT with its faults corrected: the estimator starts, a model judges.

    Args:
        theta: The threshold, in [0, 1]; higher is more accurate and dearer.
        seed: Seed of the exploration.
    """
    return Policy("estimate", AccuracyEstimator(theta=theta, seed=seed), PromptJudge())


def agree(*, theta: float = 0.74, seed: int = 0) -> Policy:
    """Return `estimate` with a witness: the next cheaper tier answers beside the start, and agreement needs no judge.

    Source: the agreement is Agreement-Based Cascading's (TMLR 2025), the starter LLM-AT's.

    Args:
        theta: The threshold, in [0, 1]; higher is more accurate and dearer.
        seed: Seed of the exploration.
    """
    starter = AccuracyEstimator(theta=theta, strength=10.0, seed=seed, witness="below")
    # `|` asks the model only where the witness did not agree, and `Thrifty` only where that is the better buy.
    return Policy("agree", starter, Agreement() | Thrifty(PromptJudge()))


def linucb(*, price: float = 0.1, arms: Literal["tiers", "rules"] = "tiers") -> Policy:
    """Return MetaLLM's bandit with its faults mended: it chooses the start and learns with every call.

    Grades and feedback are what it learns from best. Where there are none, it learns from whether a witness, the next
    cheaper tier, agrees, and from a judging model's verdict where that is the better buy.

    Args:
        price: What an answer may cost in chance to be right, in units of a usual answer of the top tier.
        arms: What it chooses among: `"tiers"`, or the menu's `"rules"`, which are single tiers and cascades that stop
            where two agree. Without grades, rules learn from profiled calls alone: give `audit=`.

    Raises:
        ConfigError: There are no such arms.
    """
    require(arms in ("tiers", "rules"), f"arms={arms!r} must be 'tiers' or 'rules'")
    if arms == "rules":
        return Policy("linucb-rules", LinUCBOfRules(price=price), RuleJudge())
    return Policy("linucb", LinUCB(price=price, witness="below"), Agreement() | Thrifty(PromptJudge()))


def metallm(*, price: float = 0.1, alpha: float = 1.0) -> Policy:
    """Return MetaLLM as published (arXiv 2407.10834), for comparison: the bandit routes, and nothing is judged.

    It learns from grades alone: give `feedback`, or it stays at the cheapest tier.

    Args:
        price: The paper's p, the weight of the cost.
        alpha: Width of the confidence bound.
    """
    return Policy("metallm", LinUCB.paper(price=price, alpha=alpha), Unjudged())


def doubt(*, quality: float = 0.35, seed: int = 0) -> Policy:
    """Return the doubt cascade: cheap tiers side by side, and no judge where answers can be compared.

    Args:
        quality: In [0, 1]: 0 is cheapest, 1 as good as the ladder gets.
        seed: Seed of the exploration.
    """
    both = Doubt(quality=quality, seed=seed)
    return Policy("doubt", both, both)


def menu(
    *, quality: float | None = None, worth_usd: float | None = None, learning: float = 0.2, seed: int = 0
) -> Policy:
    """Return the policy that chooses, for each node, the rule that its profiled calls show to be worth most.

    Args:
        quality: In [0, 1]: 0 is cheapest, 1 as good as the ladder gets; by default 0.55.
        worth_usd: What a right answer is worth in US$, instead of `quality`.
        learning: Largest share of the spend that calls which all tiers answer may add, in [0, 1].
        seed: Seed of their draw.
    """
    starter = MenuStarter(quality=quality, worth_usd=worth_usd, learning=learning, seed=seed)
    # Two models hardly ever write a sentence alike, so free text beside names and numbers is no sign of an error.
    return Policy("menu", starter, MenuJudge(), FinalAnswers(skip_prose=True))


def default(
    *, quality: float | None = None, worth_usd: float | None = None, learning: float = 0.2, seed: int = 0
) -> Policy:
    """Return the policy that is used where none is given: `menu`, which does no harm on any recorded set.

    Args:
        quality: In [0, 1]: 0 is cheapest, 1 as good as the ladder gets; by default 0.55.
        worth_usd: What a right answer is worth in US$, instead of `quality`.
        learning: Largest share of the spend that calls which all tiers answer may add, in [0, 1].
        seed: Seed of their draw.
    """
    return replace(menu(quality=quality, worth_usd=worth_usd, learning=learning, seed=seed), name="default")


_NAMED: dict[str, Callable[[], Policy]] = {
    "default": default,
    "doubt": doubt,
    "agree": agree,
    "estimate": estimate,
    "llm-at": llm_at,
    "linucb": linucb,
    "linucb-rules": partial(linucb, arms="rules"),
    "metallm": metallm,
    "menu": menu,
}
_WITH_KNOBS: dict[str, Callable[..., Policy]] = {"default": default, "doubt": doubt, "menu": menu}
_KNOBS = {"quality": tuple(_WITH_KNOBS), "worth_usd": ("default", "menu"), "learning": ("default", "menu")}


BY_KNOB: dict[str, Callable[[float], Policy]] = {
    "default": lambda knob: default(quality=knob),
    "doubt": lambda knob: doubt(quality=knob),
    "menu": lambda knob: menu(quality=knob),
    "agree": lambda knob: agree(theta=knob),
    "estimate": lambda knob: estimate(theta=knob),
}
"""The policies that can be calibrated, made of their knob."""


def as_policy(
    policy: Policy | Guarantee | SMART | str | None = None,
    *,
    starter: Starter | None = None,
    judge: Judge | JudgeFunction | None = None,
    extract: Callable[[str], str | None] | None = None,
    equal: Callable[[Answer, Answer], bool | None] | None = None,
    compare: Mapping[str, Callable[[Any, Any], bool | None]] | None = None,
    quality: float | None = None,
    worth_usd: float | None = None,
    learning: float | None = None,
    audit: float | None = None,
    settings: str | os.PathLike[str] | None = None,
) -> Policy:
    """Make one policy out of a user's arguments.

    Args:
        policy: A policy, a `Guarantee`, or the name of a policy; None for the default.
        starter: Replaces the policy's starter. The halves of the default belong together, so without a policy the
            other half is that of `estimate`, as it is beside a judge.
        judge: Replaces the policy's judge. Beside the menu, and so beside `policy="default"`, it gives verdicts, and
            rules that ask for them are on the menu.
        extract: Takes an answer's text and returns the final answer in it, by which answers are compared.
        equal: Takes two answers and returns whether they are the same, or None where that cannot be decided.
        compare: Functions by the field of an object or of a tool's arguments that they compare, as in `FinalAnswers`.
        quality: The knob of the default, the menu and the doubt cascade, in [0, 1].
        worth_usd: What a right answer is worth in US$, for the default and the menu; instead of `quality`.
        learning: Largest share of the spend that profiled calls may add, in [0, 1], for the default and the menu.
        audit: Chance that all tiers answer a call, in [0, 1].
        settings: A file that `llm-tiers calibrate` wrote, with the policy and its knob.

    Raises:
        ConfigError: The policy's name is unknown, it has no such knob, an argument has the wrong type, the settings
            cannot be read, or an argument is given that the settings already contain.
    """
    knobs = {"quality": quality, "worth_usd": worth_usd, "learning": learning}
    if settings is None:
        halved = policy is None and (starter is not None or judge is not None)
        given = {name: value for name, value in knobs.items() if value is not None}
        policy = _chosen("estimate" if halved else policy, given)
    else:
        settled: dict[str, object] = {"policy": policy, **knobs, "starter": starter, "judge": judge}
        policy = _calibrated(settings, [name for name, value in settled.items() if value is not None])
    if starter is not None:
        # A class has the method too; forgotten parentheses are the likeliest mistake.
        if isinstance(starter, type) or not callable(getattr(starter, "plan", None)):
            kind = type(starter).__name__
            raise ConfigError(f"starter must be one, such as AccuracyEstimator(theta=0.7), not {kind}")
        policy = replace(policy, starter=starter)
    if judge is not None:
        # Another judge would not go on as the rule says that the starter has begun, or as was proved.
        if isinstance(policy.starter, Guarantee | SMART | LinUCBOfRules):
            raise ConfigError(f"judge= does not go with policy={policy.starter!r}; there is Guarantee(judge=...)")
        policy = _judged(policy, as_judge(judge))
    if extract is not None or equal is not None or compare is not None:
        skips = isinstance(policy.equality, FinalAnswers) and policy.equality.skip_prose
        equality = FinalAnswers(extract, equal=equal, compare=compare, skip_prose=skips)
        policy = replace(policy, equality=equality)
    if starter is not None or (judge is not None and not isinstance(policy.judge, MenuJudge)):
        # The trace must not give a policy's name to what is no longer that policy.
        policy = replace(policy, name="custom")
    if audit is not None:
        require_number(audit, "audit")
        require(0 <= audit <= 1, f"audit={audit!r} must lie in [0, 1]; 0.02 lets all tiers answer every fiftieth call")
        policy = replace(policy, audit=audit)
    return policy


def _judged(policy: Policy, judge: Judge) -> Policy:
    """Return a policy with a judge: the menu gets rules that ask for its verdicts, others let it decide."""
    if isinstance(policy.starter, MenuStarter) and isinstance(policy.judge, MenuJudge):
        return replace(policy, starter=policy.starter.with_verdicts(), judge=MenuJudge(judge))
    return replace(policy, judge=judge)


def _calibrated(path: str | os.PathLike[str], beside: Sequence[str]) -> Policy:
    if beside:
        raise ConfigError(f"settings= contains the policy and its knob; leave out {', '.join(beside)}, or settings")
    settings = read_settings(path)
    kind, _, rule = settings.policy.partition(":")
    if kind == "rule":
        made = Policy(settings.policy, FixedRule(partial(rule_named, name=rule)), RuleJudge())
    elif settings.policy not in BY_KNOB:
        known = ", ".join(map(repr, BY_KNOB))
        raise ConfigError(f"settings: {path}: policy {settings.policy!r} is unknown; there are {known}")
    elif settings.knob is None:
        raise ConfigError(f"settings: {path}: policy {settings.policy!r} needs a knob in [0, 1]; calibrate anew")
    else:
        made = BY_KNOB[settings.policy](settings.knob)
    return replace(made, calibrated_on=settings.tiers)


def _chosen(policy: Policy | Guarantee | SMART | str | None, knobs: Mapping[str, float]) -> Policy:
    if knobs:
        name = "default" if policy is None else policy if isinstance(policy, str) else ""
        for knob, value in knobs.items():
            takers = _KNOBS[knob]
            if name not in takers:
                raise ConfigError(
                    f"{knob}={value!r} is a knob of policy={' or '.join(map(repr, takers))}; others have theirs, "
                    "such as theta, at their starter"
                )
        return _WITH_KNOBS[name](**knobs)
    if policy is None or isinstance(policy, str):
        name = policy or "default"
        if name not in _NAMED:
            raise ConfigError(f"policy={name!r} is unknown; take one of {', '.join(map(repr, _NAMED))}, or a Policy")
        return _NAMED[name]()
    if isinstance(policy, Guarantee | SMART):
        return Policy("guarantee" if isinstance(policy, Guarantee) else "smart-paper", policy, policy)
    if not isinstance(policy, Policy):
        raise ConfigError(f"policy must be a Policy, such as llm_at(), or the name of one, not {type(policy).__name__}")
    return policy

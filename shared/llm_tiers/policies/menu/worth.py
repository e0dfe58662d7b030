"""What each rule of the menu is worth at a node, and what choosing wrongly may cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from llm_tiers.agreement.imagined import imagined_ladders
from llm_tiers.policies.menu.backed import Backed
from llm_tiers.policies.menu.profile import Profile, ProfiledCall
from llm_tiers.policies.menu.replaying import Profiled, replayed
from llm_tiers.policies.menu.rule import Rule
from llm_tiers.policies.menu.rules import menu_of

__all__ = ["IMAGINED_CALLS", "Choice", "choose", "cost_of", "outcome_of", "rules_of"]

IMAGINED_CALLS = 6.0
"""A node starts as if so many calls, to imagined ladders, had been profiled."""

_DRAWN = 1_000
_LEAST_VARIANCE = 1e-12
_ALIKE = 1e-9
_LEAST_COST = 1e-300
"""Models that cost nothing are not divided by."""


@dataclass(frozen=True)
class Choice:
    """Which rule answers a node's calls, and how sure that is.

    Attributes:
        rule: The rule that is worth most.
        surest: The rule that is right most often, whatever it costs.
        regret: What is expected to be lost a call because another rule may be worth more, in chances to be right.
        weight: On how many calls this rests, the imagined ones included.
        asking: What it costs to ask all tiers, in chances to be right.
        top_cost: What a usual answer of the top tier costs, in US$.
        estimates: By tier, its chance to be right.
        confidence: By the tiers that the rule asked, the chance that its answer is right.
    """

    rule: Rule
    surest: Rule
    regret: float
    weight: float
    asking: float
    top_cost: float
    estimates: Mapping[str, float]
    confidence: Mapping[frozenset[str], float]


@cache
def rules_of(names: tuple[str, ...]) -> tuple[Rule, ...]:
    """Return the menu: single tiers, cascades on agreement, and the top tier backed by each cheaper one."""
    return (*menu_of(names), *(Backed(names, name) for name in names[:-1]))


@cache
def _outcomes(names: tuple[str, ...], said: tuple[int, ...]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return by rule the position of the tier that it accepts, and rules x tiers, whether it asks each."""
    call = Profiled(dict(zip(names, said, strict=True)), {}, {}, {})
    accepted, asked = [], []
    for rule in rules_of(names):
        found = replayed(rule, call)
        if found is None:
            raise TypeError(f"rule {rule.name!r} asks for more than the tiers' answers")
        accepted.append(names.index(found.accepted))
        asked.append([name in found.asked for name in names])
    return np.array(accepted), np.array(asked)


@dataclass(frozen=True, slots=True)
class _Calls:
    """Calls on which every rule was replayed.

    Attributes:
        right: Calls x rules, how right the accepted answer is, in [0, 1].
        asked: Calls x rules x tiers, who was asked.
    """

    right: NDArray[np.float64]
    asked: NDArray[np.bool_]


def _replay(names: tuple[str, ...], said: Sequence[tuple[int, ...]], right: NDArray[np.float64]) -> _Calls:
    outcomes = [_outcomes(names, pattern) for pattern in said]
    accepted = np.array([one for one, _ in outcomes], dtype=np.int64).reshape(len(said), len(rules_of(names)))
    asked = np.array([one for _, one in outcomes], dtype=np.bool_).reshape(*accepted.shape, len(names))
    return _Calls(np.take_along_axis(right, accepted, axis=1), asked)


@cache
def _imagined(names: tuple[str, ...]) -> _Calls:
    said, right = imagined_ladders(len(names)).calls
    return _replay(names, [_numbered(row) for row in said[:_DRAWN]], right[:_DRAWN])


def _numbered(row: NDArray[np.int64]) -> tuple[int, ...]:
    numbers: dict[int, int] = {}
    return tuple(numbers.setdefault(number, len(numbers)) for number in row.tolist())


def choose(profile: Profile, usual: Mapping[str, float], price: float, *, worth_usd: float | None = None) -> Choice:
    """Choose from the menu by worth: the chance to be right, less what the answers cost.

    Source: the reward is MetaLLM's (arXiv 2407.10834), over SMART's profiled calls (arXiv 2403.13835). What is lost by
    choosing wrongly is the expected opportunity cost of the ranking-and-selection literature (Chick and Inoue, 2001),
    of paired differences, since rules that share tiers are right and wrong together.

    Args:
        profile: What is known of the node.
        usual: By tier, cheapest first, what an answer usually costs.
        price: What a usual answer of the top tier may cost, in chances to be right.
        worth_usd: What a right answer is worth in US$; None: `price` says it.
    """
    names = tuple(usual)
    counted = profile.counted
    costs = np.array([call.costs for call in counted] or [tuple(usual.values())])
    mean_costs = costs.mean(axis=0)
    rate = 1 / worth_usd if worth_usd else price / max(float(mean_costs[-1]), _LEAST_COST)
    imagined = _imagined(names)
    seen = _replay(names, [call.said for call in counted], profile.right(len(names)))
    right = np.concatenate([imagined.right, seen.right])
    spent = np.concatenate([imagined.asked @ mean_costs, np.einsum("crt,ct->cr", seen.asked, costs[: len(counted)])])
    each = np.concatenate([np.full(len(imagined.right), IMAGINED_CALLS / len(imagined.right)), np.ones(len(counted))])
    weight = float(each.sum())
    worth = right - rate * spent
    mean = each @ worth / weight
    best = int(mean.argmax())
    accuracy = each @ right / weight
    rules = rules_of(names)
    return Choice(
        rule=rules[best],
        # Of rules that are as often right the last one, in which the top tier is backed.
        surest=rules[int(np.flatnonzero(accuracy >= accuracy.max() - _ALIKE)[-1])],
        regret=_regret(worth, each, best),
        weight=weight,
        asking=rate * float(mean_costs.sum()),
        top_cost=float(mean_costs[-1]),
        estimates={rule.name: float(accuracy[place]) for place, rule in enumerate(rules) if rule.name in usual},
        confidence=_confidence(names, seen, best, float(accuracy[best])),
    )


def cost_of(rule: Rule, call: ProfiledCall) -> float:
    """Return what a rule would have cost on a profiled call, in US$."""
    return float(outcome_of(rule, call.said)[1] @ np.array(call.costs))


def _regret(worth: NDArray[np.float64], each: NDArray[np.float64], best: int) -> float:
    """Return the largest expected loss against any other rule, were its true worth known."""
    weight = each.sum()
    differences = worth[:, [best]] - worth
    mean = each @ differences / weight
    variance = each @ differences**2 / weight - mean**2
    # The variance of a few right and wrong answers is itself uncertain; without this, a lucky start is never doubted.
    error = np.sqrt(np.maximum(variance, _LEAST_VARIANCE) / weight) * (1 + 1 / np.sqrt(weight))
    z = mean / error
    return float((error * (np.exp(-z * z / 2) / np.sqrt(2 * np.pi) - z * ndtr(-z))).max())


def _confidence(names: tuple[str, ...], seen: _Calls, best: int, usual: float) -> dict[frozenset[str], float]:
    """Return how often the rule was right where it asked the same tiers; few such calls count little."""
    right, asked = seen.right[:, best], seen.asked[:, best]
    found = {}
    for row in np.unique(asked, axis=0):
        same = (asked == row).all(axis=1)
        share = (right[same].sum() + IMAGINED_CALLS * usual) / (same.sum() + IMAGINED_CALLS)
        found[frozenset(name for name, was in zip(names, row, strict=True) if was)] = float(share)
    return found


def outcome_of(rule: Rule, said: tuple[int, ...]) -> tuple[int, NDArray[np.bool_]]:
    """Return the position of the tier whose answer a rule accepts, and by tier whether it is asked.

    Args:
        rule: A rule of the menu.
        said: What the tiers say, cheapest first: equal numbers are equal answers, -1 is none.
    """
    place = rules_of(rule.ladder).index(rule)
    accepted, asked = _outcomes(rule.ladder, said)
    return int(accepted[place]), asked[place]

"""What every rule of the menu would have done on calls, profiled or imagined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from llm_tiers.agreement.imagined import imagined_ladders
from llm_tiers.policies.menu.backed import Backed
from llm_tiers.policies.menu.pattern import Pattern, in_order
from llm_tiers.policies.menu.replaying import Profiled, Replayed, replayed
from llm_tiers.policies.menu.rules import menu_of

if TYPE_CHECKING:
    from llm_tiers.policies.menu.profile import ProfiledCall
    from llm_tiers.policies.menu.rule import Rule

__all__ = ["Calls", "Verdicts", "cost_of", "imagined_calls", "outcome_of", "replay", "rules_of"]

_DRAWN = 1_000

Verdicts: TypeAlias = tuple[bool | None, ...]
"""By tier, what a judge said of its answer, None where it left that open; empty where it was not asked."""


@cache
def rules_of(names: tuple[str, ...], judged: bool = False) -> tuple[Rule, ...]:  # noqa: FBT001, FBT002 -- a cache's key
    """Return the menu: single tiers, cascades on agreement, and the top tier backed by each cheaper one.

    Args:
        names: The tiers, cheapest first.
        judged: Whether there is a judge, and so the rules "a tier, if its verdict is valid, otherwise a dearer one".
    """
    return (*menu_of(names, judged=judged), *(Backed(names, name) for name in names[:-1]))


@dataclass(frozen=True, slots=True)
class Calls:
    """Calls, with what every rule would have done on them.

    Attributes:
        said: Calls x tiers, what each tier said.
        by_tier: Calls x tiers, how right its answer is, in [0, 1].
        right: Calls x rules, how right the accepted answer is, in [0, 1].
        asked: Calls x rules x tiers, who was asked.
        judged: Calls x rules x tiers, on whose answer the judge was asked.
        known: Calls x rules, whether this is known: it is not where a rule needs a verdict that was not asked for.
    """

    said: NDArray[np.int64]
    by_tier: NDArray[np.float64]
    right: NDArray[np.float64]
    asked: NDArray[np.bool_]
    judged: NDArray[np.bool_]
    known: NDArray[np.bool_]

    def joined(self, other: Calls) -> Calls:
        """Return these calls and then the others."""
        return Calls(
            np.concatenate([self.said, other.said]),
            np.concatenate([self.by_tier, other.by_tier]),
            np.concatenate([self.right, other.right]),
            np.concatenate([self.asked, other.asked]),
            np.concatenate([self.judged, other.judged]),
            np.concatenate([self.known, other.known]),
        )


@dataclass(frozen=True, slots=True)
class _Outcomes:
    """What each rule does on one call: the accepted tier's position, and rules x tiers who is asked and judged."""

    accepted: NDArray[np.int64]
    asked: NDArray[np.bool_]
    judged: NDArray[np.bool_]
    known: NDArray[np.bool_]


# By names: to hash all rules for each call would take longer than all else.
@cache
def _outcomes(names: tuple[str, ...], said: Pattern, verdicts: Verdicts | None) -> _Outcomes:
    found = [_replayed(rule, said, verdicts or ()) for rule in rules_of(names, verdicts is not None)]
    rows = [(names.index(one.accepted), one.asked, one.judged) if one else (0, (), ()) for one in found]
    return _Outcomes(
        np.array([accepted for accepted, _, _ in rows]),
        np.array([[name in asked for name in names] for _, asked, _ in rows]),
        np.array([[name in judged for name in names] for _, _, judged in rows]),
        np.array([one is not None for one in found]),
    )


# Each record of a node is replayed when it is learned, and there are few patterns.
@cache
def _replayed(rule: Rule, said: Pattern, verdicts: Verdicts) -> Replayed | None:
    answers = dict(zip(rule.ladder, said, strict=True))
    return replayed(rule, Profiled(answers, {}, dict(zip(rule.ladder, verdicts, strict=False)), {}))


def replay(
    names: tuple[str, ...],
    said: Sequence[Pattern],
    right: NDArray[np.float64],
    verdicts: Sequence[Verdicts] | None = None,
) -> Calls:
    """Return what every rule would have done.

    Args:
        names: The tiers, cheapest first.
        said: By call, what each tier said.
        right: Calls x tiers, how right each answer is, in [0, 1].
        verdicts: By call, what the judge said of each tier's answer; None where there is no judge.
    """
    number, rules = len(said), len(rules_of(names, verdicts is not None))
    given: Sequence[Verdicts | None] = [None] * number if verdicts is None else verdicts
    outcomes = [_outcomes(names, *call) for call in zip(said, given, strict=True)]
    accepted = np.array([one.accepted for one in outcomes], dtype=np.int64).reshape(number, rules)
    return Calls(
        np.array(said, dtype=np.int64).reshape(number, len(names)),
        right,
        np.take_along_axis(right, accepted, axis=1),
        np.array([one.asked for one in outcomes], dtype=np.bool_).reshape(number, rules, len(names)),
        np.array([one.judged for one in outcomes], dtype=np.bool_).reshape(number, rules, len(names)),
        np.array([one.known for one in outcomes], dtype=np.bool_).reshape(number, rules),
    )


@cache
def imagined_calls(names: tuple[str, ...], priors: tuple[float | None, ...], judged: bool) -> Calls:  # noqa: FBT001
    """Return calls to imagined ladders. Their verdicts say nothing: half of them are "valid", whatever the answer.

    Args:
        names: The tiers, cheapest first.
        priors: The share of calls that each tier is thought to get right, or None; empty for none.
        judged: Whether there is a judge.
    """
    said, right = imagined_ladders(len(names), priors).calls
    patterns = [in_order(row) for row in said[:_DRAWN].tolist()]
    verdicts = [(number % 2 == 0,) * len(names) for number in range(len(patterns))] if judged else None
    return replay(names, patterns, right[:_DRAWN], verdicts)


def cost_of(rule: Rule, call: ProfiledCall) -> float:
    """Return what a rule would have cost on a profiled call, in US$; with an unknown verdict, what it costs at most."""
    found = _replayed(rule, call.said, call.verdicts)
    costs = dict(zip(rule.ladder, call.costs, strict=True))
    if found is None:
        return sum(costs[name] for name in rule.tiers)
    judging = dict(zip(rule.ladder, call.verdict_costs, strict=False))
    return sum(costs[name] for name in found.asked) + sum(judging.get(name, 0.0) for name in found.judged)


@cache
def outcome_of(rule: Rule, said: tuple[int, ...]) -> tuple[int, NDArray[np.bool_]]:
    """Return the position of the tier whose answer a rule accepts, and for each tier whether it is asked.

    Args:
        rule: A rule that needs nothing but the tiers' answers.
        said: What the tiers say, cheapest first: equal numbers are equal answers, -1 is none.
    """
    found = _replayed(rule, said, ())
    if found is None:
        raise TypeError(f"rule {rule.name!r} asks for more than the tiers' answers")
    return rule.ladder.index(found.accepted), np.array([name in found.asked for name in rule.ladder])

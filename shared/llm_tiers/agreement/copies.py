"""Tiers that only repeat a cheaper one: a second explanation of their answers, weighed against independence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import exp, log
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llm_tiers.agreement.answers import Answers

__all__ = ["Copies"]

_ASSUMED = 0.01
"""Chance that a tier copies another one, before anything is learned."""

_SLIP = 0.01
"""Chance that a copy may say something else all the same."""

_LEAST, _MOST = 0.01, 0.99
"""Bounds of the chance that a tier with a mind of its own was given for what it did: no single answer decides alone."""

_NO_COPY = 1 - 1e-6
"""What is so surely no copy is not weighed, which saves time: so it is with most tiers after some dozens of calls."""

_FOR_A_COPY, _FOR_ITS_OWN_MIND = 12.0, -40.0
"""Bounds of the evidence. A tier that begins to differ counts again after a few calls; one that was often seen to
differ is not taken for a copy because it then agrees on a run of easy queries."""


@dataclass(frozen=True)
class Copies:
    """How likely each tier is a copy of a cheaper one.

    Each answer multiplies the odds of "it copies" against "it has a mind of its own" by how well the two explain it
    (Bayes' rule). Siding with a tier that others contradict says much, agreeing where all agree says little.

    The top tier is assumed to be independent: leaving it out by mistake would cost right answers without notice.

    Attributes:
        size: Number of tiers.
        evidence: By tier and the cheaper one that it may copy, the natural logarithm of the product of these factors.
    """

    size: int
    evidence: Mapping[tuple[int, int], float] = field(default_factory=dict)

    @cached_property
    def chances(self) -> tuple[tuple[float, ...], ...]:
        """By tier, how likely it is a copy of each cheaper one."""
        return tuple(self._chances(of) for of in range(self.size))

    @cached_property
    def own(self) -> tuple[float, ...]:
        """By tier, how likely it is no copy."""
        return tuple(max(1 - sum(chances), 0.0) for chances in self.chances)

    def independence(self, of: int, block: Sequence[int]) -> float:
        """Return how far tier `of` is independent of the others that gave the same answer, in [0, 1]."""
        if self.own[of] > _NO_COPY:
            return 1.0
        return max(1 - sum(self.chances[of][by] for by in block if by < of), 0.0)

    def sum_of_votes(self, block: Sequence[int], votes: Sequence[float]) -> float:
        """Return the sum of the votes for one answer, each weighted by the independence of the tier that gave it."""
        return sum(self.independence(by, block) * votes[by] for by in block)

    def answer_chances(self, of: int, blocks: Sequence[Sequence[int]], own_mind: Sequence[float]) -> list[float]:
        """Return how likely tier `of` gives each answer, copy or not.

        Args:
            of: The tier's position.
            blocks: By answer, the tiers that gave it.
            own_mind: How likely it gives each answer if it is no copy, a new one last.
        """
        if self.own[of] > _NO_COPY:
            return list(own_mind)
        # What is left of the chance, when the copied answers have theirs, is spread as an independent tier would.
        repeats = [(1 - _SLIP) * sum(self.chances[of][by] for by in block) for block in blocks]
        rest = max(1 - sum(repeats), 0.0)
        return [rest * chance + share for chance, share in zip(own_mind, [*repeats, 0.0], strict=True)]

    def gives_none(self, of: int, answers: Answers, own_mind: float) -> float:
        """Return how likely tier `of` gives no answer, copy or not.

        Args:
            of: The tier's position.
            answers: What the tiers answered; those of dearer ones do not matter.
            own_mind: How likely it gives none if it is no copy.
        """
        # A tier that was not asked gave nothing to copy.
        copied = [by for by in range(of) if answers[by] is not None]
        as_copy = sum(self.chances[of][by] for by in copied if answers[by] == -1)
        return as_copy + max(1 - sum(self.chances[of][by] for by in copied), 0.0) * own_mind

    def after(self, of: int, before: Answers, given: int, alike: Mapping[int, float]) -> Copies:
        """Return the belief after tier `of` answered.

        Args:
            of: The tier's position.
            before: What the cheaper tiers answered.
            given: What it answered, as in `before`.
            alike: By cheaper tier that was asked, the chance that a tier that is no copy does as that one did.
        """
        evidence = dict(self.evidence)
        for by, expected in alike.items():
            chance = min(max(expected, _LEAST), _MOST)
            factor = (1 - _SLIP) / chance if before[by] == given else _SLIP / (1 - chance)
            # In logarithms, since the product of hundreds of factors would leave the range of a float.
            learned = evidence.get((of, by), 0.0) + log(factor)
            evidence[of, by] = min(max(learned, _FOR_ITS_OWN_MIND), _FOR_A_COPY)
        return Copies(self.size, evidence)

    def _chances(self, of: int) -> tuple[float, ...]:
        if of == self.size - 1:
            return (0.0,) * of
        odds = [_ASSUMED * exp(self.evidence.get((of, by), 0.0)) for by in range(of)]
        total = sum(odds) + 1 - of * _ASSUMED
        return tuple(chance / total for chance in odds)

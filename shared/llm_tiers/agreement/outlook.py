"""What the tiers that have not answered will probably say, and what to do next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import exp
from typing import TYPE_CHECKING

from llm_tiers.agreement.votes import bounded

if TYPE_CHECKING:
    from llm_tiers.agreement.answers import Answers
    from llm_tiers.agreement.votes import Hardness, Votes

__all__ = ["Move", "Outlook"]

_TOP = 1.05
_TRUST = 0.45
_HARD = 0.4
_NONE = 0.4
"""How votes for an answer turn into a chance that it is right: weight of the top's own vote; the share of a cheaper
tier's vote for the top's answer that counts as a vote for the truth, and what hardness takes off each cheaper vote;
weight of "nobody is right" from that of a new answer. On easy queries an answer that cheap tiers agree on is right as
often as a top tier's that differs, on hard ones hardly ever: so it is on both recorded sets, to which these are
fitted."""

_UNLIKELY = 1e-4


@dataclass(frozen=True, slots=True)
class Move:
    """What to do next.

    Attributes:
        ask: Position of the tier to ask; None: an answer stands.
        accept: Position of the dearest tier whose answer stands; None: a tier is asked, or nobody has answered.
        worth: Chance that the answer in the end is right, less the price of what is asked until then.
    """

    ask: int | None
    accept: int | None
    worth: float


@dataclass(frozen=True, slots=True)
class _World:
    """One way in which all tiers may answer.

    Attributes:
        answers: By tier; equal numbers are equal answers.
        chance: How likely it is.
        right: By answer, the chance that it is right.
    """

    answers: tuple[int, ...]
    chance: float
    right: tuple[float, ...]


class Outlook:
    """All the ways in which the tiers may answer, given what some have answered already.

    Args:
        votes: How answers foretell answers.
        answers: What was answered so far.
        known: Hardness of the query.
        missing: By tier, the chance that it gives no answer unless it is a copy; None: all give one.
    """

    def __init__(self, votes: Votes, answers: Answers, known: Hardness, missing: Sequence[float] | None = None) -> None:
        self._votes = votes
        self._answers = tuple(answers)
        self._missing = tuple(
            votes.copies.gives_none(of, answers, chance) for of, chance in enumerate(missing or (0.0,) * len(answers))
        )
        self._hardness = votes.hardness(known)
        # A missing answer says that other answers will differ, not that they are wrong.
        self._doubt = votes.hardness(known._replace(missing=0))
        self._asked = tuple(position for position, answer in enumerate(answers) if answer is not None)
        found = list(self._worlds((), [], 1.0, 1.0))
        # The chances of the answers given so far are still in, and unlikely worlds are left out: so they are scaled to
        # 1.
        total = sum(world.chance for world in found)
        self._found = [_World(world.answers, world.chance / total, world.right) for world in found]

    def chance_of_top(self, position: int) -> float:
        """Return how likely the top tier gives the answer of the tier at `position`."""
        return sum(world.chance for world in self._found if world.answers[position] == world.answers[-1])

    def chance_right(self, position: int) -> float:
        """Return how likely the answer of the tier at `position` is right."""
        return sum(world.chance * world.right[world.answers[position]] for world in self._found)

    def best(self, costs: Sequence[float], price: float, usable: Sequence[int]) -> Move:
        """Return the best next move.

        Every tier dearer than those asked may come next, those between are skipped; so it is decided anew after each
        answer, as in cascade routing (Dekoninck et al., ICML 2025).

        Args:
            costs: What each tier's answer costs, in answers of the top tier.
            price: What a usual answer of the top tier may cost in chance to be right.
            usable: Positions of the tiers that can serve the call.
        """
        return self._best(_Terms(costs, price, usable), self._found, self._asked)

    def after(self, first: int, costs: Sequence[float], price: float, usable: Sequence[int]) -> Move:
        """Return the best move after an answer of the tier at `first`, whatever it says; see `best`."""
        return self._best(_Terms(costs, price, usable), self._found, (first,))

    def _best(self, terms: _Terms, worlds: Sequence[_World], asked: tuple[int, ...]) -> Move:
        # A full search: for each dearer tier that may come next, the best that can follow each way in which it may
        # answer. Ladders are short, and very unlikely worlds have been left out.
        best = stopping = self._accepting(worlds, asked)
        total_chance = sum(world.chance for world in worlds)
        bound = sum(world.chance * max(world.right) for world in worlds)
        # No continuation can be worth more than knowing the truth of each world (`bound`), so most need no search.
        for position in terms.usable:
            cost = terms.price * terms.costs[position] * total_chance
            if (asked and position <= asked[-1]) or (best.accept is not None and bound - cost <= best.worth):
                continue
            following = (*asked, position)
            if_answered = sum(self._best(terms, group, following).worth for group in _groups(worlds, following))
            chance_of_none = self._missing[position]
            worth = (1 - chance_of_none) * if_answered + chance_of_none * stopping.worth
            # If nobody has answered yet, some tier must be asked, even one that is not worth its price.
            if worth - cost > best.worth or (best.accept is None and best.ask is None):
                best = Move(position, None, worth - cost)
        return best

    def _accepting(self, worlds: Sequence[_World], asked: tuple[int, ...]) -> Move:
        """Return the best answer of those given; the top's is always taken, and of equal ones the dearest."""
        given = [position for position in asked if self._answers[position] != -1]
        if not given:
            return Move(None, None, 0.0)
        top = len(self._answers) - 1
        worths = {p: sum(world.chance * world.right[world.answers[p]] for world in worlds) for p in given}
        best = top if top in worths else max(given, key=lambda position: (worths[position], position))
        return Move(None, best, worths[best])

    # The worlds

    def _worlds(
        self, answers: tuple[int, ...], blocks: list[list[int]], chance: float, guessed: float
    ) -> Iterator[_World]:
        """Yield the worlds that fit the answers so far, built tier by tier; very unlikely ones are left out.

        Args:
            answers: Of the tiers so far.
            blocks: By answer, the tiers that vote for it.
            chance: How likely all of it is.
            guessed: The same without the answers already given: how likely the guessed part is.
        """
        of = len(answers)
        if of == len(self._answers):
            yield _World(answers, chance, self._right(blocks))
            return
        if self._answers[of] == -1:
            # Nobody votes for a missing answer, and nobody repeats it.
            yield from self._worlds((*answers, len(blocks)), [*blocks, []], chance, guessed)
            return
        chances = self._votes.chances(of, blocks, self._hardness) if of else [1.0]
        for answer, share in enumerate(chances):
            guess = guessed * share if self._answers[of] is None else guessed
            if guess > _UNLIKELY and self._fits(of, answer, answers):
                voters = [list(block) for block in blocks] + ([[]] if answer == len(blocks) else [])
                voters[answer].append(of)
                yield from self._worlds((*answers, answer), voters, chance * share, guess)

    def _fits(self, of: int, answer: int, answers: tuple[int, ...]) -> bool:
        """Say whether tier `of` may give `answer`: where it has answered, the same as those whose answer it shares."""
        own = self._answers[of]
        return own is None or all(
            (given == own) == (answers[position] == answer)
            for position, given in enumerate(self._answers[:of])
            if given is not None and given >= 0
        )

    def _right(self, blocks: Sequence[Sequence[int]]) -> tuple[float, ...]:
        """Return the chance of each answer to be right, once all tiers have answered."""
        sum_of_votes = self._votes.copies.sum_of_votes
        weights = [exp(sum_of_votes(block, self._trust)) if block else 0.0 for block in blocks]
        none = exp(_NONE * self._votes.new[-1])
        total = sum(weights) + none
        return tuple(weight / total for weight in weights)

    @cached_property
    def _trust(self) -> tuple[float, ...]:
        """By tier, the weight of its vote for the truth."""
        hard = _HARD * bounded(self._doubt)
        return (*(_TRUST * vote - hard for vote in self._votes.votes[-1]), _TOP)


@dataclass(frozen=True, slots=True)
class _Terms:
    """The arguments of `Outlook.best`."""

    costs: Sequence[float]
    price: float
    usable: Sequence[int]


def _groups(worlds: Sequence[_World], asked: tuple[int, ...]) -> list[list[_World]]:
    """Group the worlds that look the same after `asked` have answered."""
    # Only who agrees with whom can be seen, so the answers are renumbered in the order of first appearance.
    groups: dict[tuple[int, ...], list[_World]] = {}
    for world in worlds:
        seen: dict[int, int] = {}
        pattern = tuple(seen.setdefault(world.answers[position], len(seen)) for position in asked)
        groups.setdefault(pattern, []).append(world)
    return list(groups.values())

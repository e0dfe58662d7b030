"""What a judge is given and what it says."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

from llm_tiers.answer import Answer, Usage
from llm_tiers.equality import Equality, FinalAnswers
from llm_tiers.requests import Request, Response

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llm_tiers.call import Call
    from llm_tiers.tiers import Ladder, Tier

__all__ = ["Case", "Judge", "JudgeFunction", "Judgement", "Review", "Verdict"]


class Verdict(StrEnum):
    """Whether an answer stands. Only a valid one is returned; uncertain ones go one tier up, as invalid ones do."""

    VALID = "valid"
    INVALID = "invalid"
    UNCERTAIN = "uncertain"


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict and its origin.

    Attributes:
        verdict: Whether the answer stands.
        by: What decided, in a word, for the trace.
        warning: What went wrong in judging, or None.
        why: What the judge found, in a few words without the answer's contents, or None.
        instead: Name of the tier whose earlier answer stands in place of this one, or None.
        skip_to: Name of the tier to go on with where the answer does not stand; None: the next one.
        confidence: Chance that the top tier would have given the answer that stands, in [0, 1]; None where the judge
            does not say.
    """

    verdict: Verdict
    by: str
    warning: str | None = None
    why: str | None = None
    instead: str | None = None
    skip_to: str | None = None
    confidence: float | None = None


@dataclass(frozen=True)
class Case:
    """What there is to judge.

    Attributes:
        call: The user's call.
        ladder: All tiers, cheapest first.
        answer: The answer to judge.
        others: What other tiers answered to the same call, in the order of the calls.
        equality: When two answers are the same.
        insight: What the starter of the same policy noted of the call.
        sameness: What is known of pairs of answers, by their tiers' names: True and False, and None where it was tried
            to no avail. It belongs to the call, so that no pair is compared twice.
        cost: Returns what a tier's answer of so many tokens costs in US$, or None where that is not known.
    """

    call: Call
    ladder: Ladder
    answer: Answer
    others: tuple[Answer, ...] = ()
    equality: Equality = field(default_factory=FinalAnswers)
    insight: Any = None
    sameness: dict[frozenset[str], bool | None] = field(default_factory=dict)
    cost: Callable[[Tier, Usage], float | None] = lambda _tier, _usage: None

    @cached_property
    def by_form(self) -> Judgement | None:
        """What the answer's form alone says of it; None where it says nothing, or no form is asked for."""
        form = self.call.form
        if form is None or not form.covers(self.answer):
            return None
        flaw = form.flaw(self.answer)
        return Judgement(Verdict.VALID if flaw is None else Verdict.INVALID, "schema", why=flaw)


Review: TypeAlias = Generator[Request, Response, Judgement]

JudgeFunction: TypeAlias = Callable[[str, str], bool | None]
"""A user's own judge: the question and the answer as text to True (valid), False (invalid) or None (uncertain)."""


class Judge(ABC):
    """Decides whether an answer stands. One object serves all calls, so it keeps nothing of a call.

    `a | b` accepts what either accepts, and asks `b` only where `a` did not accept. `a & b` accepts what both
    accept, and asks `b` only where `a` did not reject. Where neither side decides, any uncertainty remains. Either
    side may be a plain function of question and answer.
    """

    judges_missing = False
    """Whether the judge is asked about missing answers too; otherwise they go one tier up."""

    @abstractmethod
    def review(self, case: Case) -> Review:
        """Judge `case`, asking for model calls where that is needed."""

    def invitation(self, tier: Tier, ladder: Ladder) -> str | None:  # noqa: ARG002
        """Return what to add to the user's messages so that `tier` may abstain, or None."""
        return None

    def identity(self) -> str:
        """Return what a cache of answers tells judges apart by."""
        return repr(self)

    def own_tiers(self) -> Iterator[Tier]:
        """Yield the models outside the ladder that the judge calls."""
        yield from ()

    def asks(self, case: Case) -> Tier | None:  # noqa: ARG002
        """Return the tier that the judge will ask about `case`, or None where it asks none."""
        return None

    def check(self, ladder: Ladder) -> None:
        """Check the judge against the ladder.

        Raises:
            ConfigError: The judge names a tier that the ladder lacks.
        """

    # Local imports: the compositions are judges themselves.
    def __or__(self, other: Judge | JudgeFunction) -> Judge:
        from llm_tiers.judges.compose import Either

        return Either(self, other)

    def __ror__(self, other: JudgeFunction) -> Judge:
        from llm_tiers.judges.compose import Either

        return Either(other, self)

    def __and__(self, other: Judge | JudgeFunction) -> Judge:
        from llm_tiers.judges.compose import Both

        return Both(self, other)

    def __rand__(self, other: JudgeFunction) -> Judge:
        from llm_tiers.judges.compose import Both

        return Both(other, self)

"""A judge, a user's function as a judge, and two judges combined."""

from __future__ import annotations

import inspect
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from llm_tiers.call.requests import Request, Response
from llm_tiers.errors import ConfigError
from llm_tiers.policies.judges.case import Case, Judgement, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llm_tiers.ladder.tiers import Ladder, Tier

__all__ = ["Both", "Either", "FunctionJudge", "Judge", "JudgeFunction", "Review", "WrappingJudge", "as_judge"]

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
    """Whether the judge reviews missing answers too; otherwise they go one tier up without it."""

    judges_flawed = False
    """Whether the judge also reviews answers that do not have the form asked for; it must not accept them."""

    @abstractmethod
    def review(self, case: Case) -> Review:
        """Judge `case`, asking for model calls where that is needed."""

    def invitation(self, tier: Tier, ladder: Ladder) -> str | None:  # noqa: ARG002
        """Return what to add to the user's messages so that `tier` may abstain, or None."""
        return None

    def identity(self) -> str:
        """Return a text that a cache of answers uses to distinguish judges."""
        return repr(self)

    def own_tiers(self) -> Iterator[Tier]:
        """Yield the models outside the ladder that the judge calls."""
        yield from ()

    def asks(self, case: Case) -> Tier | None:  # noqa: ARG002
        """Return the tier that the judge will ask about `case`, or None where it asks none."""
        return None

    def note_checks(self, case: Case) -> None:
        """Note what the judge's plain functions say of an answer that they were not asked about, if it has any.

        On a profiled call this is asked of every answer, so that all of them are graded by the same source.
        """

    def survey(self, case: Case) -> Generator[Request, Response, None]:  # noqa: ARG002
        """Ask about an answer of a profiled call, for its record alone: what is found changes nothing for the user."""
        yield from ()

    def settle(self, case: Case) -> Judgement | None:  # noqa: ARG002
        """Return that an earlier answer stands instead of the top tier's, or None: the top tier's stands.

        Asked only where the plan is `profiled`, since the top tier's answer is final otherwise.
        """
        return None

    def takes_any(self, tier: Tier, ladder: Ladder, insight: Any) -> bool:  # noqa: ARG002
        """Say whether an answer of `tier` stands whatever it says, where no other tier has answered.

        Nothing is compared then and nothing asked, so it may be shown while it comes.

        Args:
            tier: The tier that is about to answer.
            ladder: The tiers.
            insight: What the starter passes on.
        """
        return False

    def check(self, ladder: Ladder) -> None:
        """Check the judge against the ladder.

        Raises:
            ConfigError: The judge names a tier that the ladder lacks.
        """

    def __or__(self, other: Judge | JudgeFunction) -> Judge:
        return Either(self, other)

    def __ror__(self, other: JudgeFunction) -> Judge:
        return Either(other, self)

    def __and__(self, other: Judge | JudgeFunction) -> Judge:
        return Both(self, other)

    def __rand__(self, other: JudgeFunction) -> Judge:
        return Both(other, self)


class FunctionJudge(Judge):
    """Let a function decide.

    Args:
        function: Takes the question and the answer as text; returns True (valid), False (invalid), None (uncertain) or
            a `Verdict`. It must not block: it runs where the call runs, the event loop included. If it raises, or
            returns anything else, the verdict is uncertain and the trace says why.
    """

    def __init__(self, function: JudgeFunction) -> None:
        self.function = function
        self._token = uuid.uuid4().hex

    def __repr__(self) -> str:
        return f"FunctionJudge({self._name})"

    def identity(self) -> str:
        """Return the function's name, or a unique token for a function without a name of its own."""
        # Lambdas and inner functions ("<lambda>", "<locals>") share names, so a cache could mix their answers up.
        name = getattr(self.function, "__qualname__", "<")
        return self._token if "<" in name else f"{self.function.__module__}.{name}"

    @property
    def _name(self) -> str:
        return getattr(self.function, "__name__", type(self.function).__name__)

    def review(self, case: Case) -> Review:
        """Ask the function."""
        yield from ()  # a review is a generator, also where it asks for nothing
        return self._asked(case)

    def note_checks(self, case: Case) -> None:
        """Ask the function."""
        self._asked(case)

    def _asked(self, case: Case) -> Judgement:
        try:
            accepted = self.function(case.call.question, case.answer.text)
        except Exception as error:  # noqa: BLE001 -- a user's judge must not cost the user the answer
            return Judgement(
                Verdict.UNCERTAIN, self._name, f"judge {self._name} raised {type(error).__name__}: {error}"
            )
        judgement = self._judgement(accepted)
        case.findings.add_check(case.answer.tier, judgement.verdict)
        return judgement

    def _judgement(self, said: object) -> Judgement:
        if isinstance(said, Verdict):
            return Judgement(said, self._name)
        if said is None:
            return Judgement(Verdict.UNCERTAIN, self._name)
        # Comparisons of numpy values return its own bool, which is no subclass of Python's.
        if isinstance(said, bool | np.bool_):
            return Judgement(Verdict.VALID if said else Verdict.INVALID, self._name)
        # What is merely truthy, such as the word "no", must not accept an answer.
        warning = f"judge {self._name} returned {type(said).__name__}; it must return True, False or None"
        return Judgement(Verdict.UNCERTAIN, self._name, warning)


def as_judge(judge: Judge | JudgeFunction) -> Judge:
    """Take a judge or a function.

    Raises:
        ConfigError: It is neither.
    """
    # A judge may be callable too, so this comes first.
    if isinstance(judge, Judge):
        return judge
    if not callable(judge) or isinstance(judge, type):
        kind = judge.__name__ if isinstance(judge, type) else type(judge).__name__
        raise ConfigError(f"judge must be one, such as PromptJudge(), or a function of question and answer, not {kind}")
    if inspect.iscoroutinefunction(judge):
        raise ConfigError("judge must be a plain function, not an async one: it runs inside sync and async calls alike")
    return FunctionJudge(judge)


class WrappingJudge(Judge):
    """A judge around another one, which it asks in its own way.

    Args:
        judge: The judge inside, or a function.

    Raises:
        ConfigError: It is neither.
    """

    def __init__(self, judge: Judge | JudgeFunction) -> None:
        self.judge = as_judge(judge)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.judge!r})"

    def identity(self) -> str:
        """Return the identity of the judge inside, marked as wrapped."""
        return f"{type(self).__name__}({self.judge.identity()})"

    def invitation(self, tier: Tier, ladder: Ladder) -> str | None:
        """Return the invitation of the judge inside."""
        return self.judge.invitation(tier, ladder)

    def note_checks(self, case: Case) -> None:
        """Ask the functions of the judge inside."""
        self.judge.note_checks(case)

    def own_tiers(self) -> Iterator[Tier]:
        """Yield the models outside the ladder that the judge inside calls."""
        yield from self.judge.own_tiers()

    def check(self, ladder: Ladder) -> None:
        """Check the judge inside against the ladder."""
        self.judge.check(ladder)


class _TwoJudges(Judge):
    """Two judges, the second asked only where the first leaves it open."""

    def __init__(self, first: Judge | JudgeFunction, second: Judge | JudgeFunction) -> None:
        self.first = as_judge(first)
        self.second = as_judge(second)

    def invitation(self, tier: Tier, ladder: Ladder) -> str | None:
        return self.first.invitation(tier, ladder) or self.second.invitation(tier, ladder)

    def identity(self) -> str:
        return f"{type(self).__name__}({self.first.identity()}, {self.second.identity()})"

    def note_checks(self, case: Case) -> None:
        self.first.note_checks(case)
        self.second.note_checks(case)

    def own_tiers(self) -> Iterator[Tier]:
        yield from self.first.own_tiers()
        yield from self.second.own_tiers()

    def check(self, ladder: Ladder) -> None:
        self.first.check(ladder)
        self.second.check(ladder)

    def _review(self, case: Case, decisive: Verdict) -> Review:
        """Return the first judge's verdict if it is `decisive`, else the second's.

        If neither is decisive and one is uncertain, so is the result.
        """
        one = yield from self.first.review(case)
        if one.verdict is decisive:
            return one
        two = yield from self.second.review(case)
        warning = "; ".join(filter(None, (one.warning, two.warning))) or None
        if two.verdict is decisive:
            return Judgement(decisive, two.by, warning)
        doubt = Verdict.UNCERTAIN in (one.verdict, two.verdict)
        return Judgement(Verdict.UNCERTAIN if doubt else two.verdict, f"{one.by}, {two.by}", warning)


class Either(_TwoJudges):
    """Accept what one of two judges accepts."""

    def __repr__(self) -> str:
        return f"({self.first!r} | {self.second!r})"

    def review(self, case: Case) -> Review:
        """Ask the second judge only where the first does not accept."""
        return self._review(case, Verdict.VALID)


class Both(_TwoJudges):
    """Accept what both of two judges accept."""

    def __repr__(self) -> str:
        return f"({self.first!r} & {self.second!r})"

    def review(self, case: Case) -> Review:
        """Ask the second judge only where the first does not reject."""
        return self._review(case, Verdict.INVALID)

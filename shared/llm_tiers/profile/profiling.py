"""A profile, from the check of its arguments to the replay file: what `llm-tiers profile` does."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np

from llm_tiers.errors import ConfigError
from llm_tiers.profile.collect import Collector, Limits
from llm_tiers.profile.estimate import Costs, Estimate, prices_of
from llm_tiers.profile.grade import check_keys, grade, problems_of
from llm_tiers.profile.progress import Progress, progress_path
from llm_tiers.profile.questions import read_questions
from llm_tiers.profile.table import Row, save_table

if TYPE_CHECKING:
    from llm_tiers.call.call import Call
    from llm_tiers.integration.asker import Asker
    from llm_tiers.profile.grade import Check, Graded
    from llm_tiers.profile.progress import Paid
    from llm_tiers.profile.questions import Question

__all__ = ["Profile", "Profiling", "TierFound"]

_TOKENS_PER_CHARACTER = 0.25
"""OpenAI's rule of thumb for English text, where the model's own client cannot count."""


@dataclass(frozen=True, slots=True)
class TierFound:
    """What a profile shows of one tier.

    Attributes:
        name: The tier's name.
        right: Mean grade of its answers, in [0, 1].
        usd: What 1,000 answers cost, in US$, at the mean cost of those found.
        seconds: Median seconds of an answer.
    """

    name: str
    right: float
    usd: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Profile:
    """The outcome of profiling.

    Attributes:
        questions: How many questions the sample has.
        rows: How many of them are in the file: every tier answered, and every answer is graded.
        unanswered: How many lack the answer of a tier.
        ungraded: How many lack the grade of an answer.
        problems: Why grades are missing or doubtful, with counts.
        failures: Why answers are missing, with counts.
        right_means: What counts as right: `"right"`, or `"same as TIER"`.
        spent: What all runs cost together, in US$.
        stopped: Why not everything was asked, or None.
        tiers: What the rows show, cheapest tier first; empty where there are none.
        undecided: How many answers of the rows cannot be compared with those of other tiers.
        estimated: How many answers came without token counts, so that these are estimated.
    """

    questions: int
    rows: int
    unanswered: int
    ungraded: int
    problems: Counter[str]
    failures: Counter[str]
    right_means: str
    spent: float
    stopped: str | None
    tiers: tuple[TierFound, ...]
    undecided: int
    estimated: int

    @property
    def is_whole(self) -> bool:
        """Whether every question is in the file."""
        return self.rows == self.questions


class Profiling:
    """A profile whose arguments have been checked; no model is asked before `run`.

    Use it as a context manager: it keeps `OUT.progress.jsonl`, the file of answers paid for, open and locked.

    Args:
        data: The sample, a file of JSON lines.
        out: The replay file.
        asker: Asks the tiers.
        check: Says how right an answer is; None to compare answers with keys, or else with the top tier's.
        limits: The bounds.

    Raises:
        ConfigError: The sample, the prices or the keys are wrong, or an earlier run left answers to other questions or
            of another ladder.
    """

    def __init__(
        self,
        data: Path,
        out: Path,
        asker: Asker,
        *,
        check: Check | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._out = out
        self._asker = asker
        self._check = check
        self._limits = limits or Limits()
        # Everything that can be wrong is checked here, before the first call is paid for. The progress comes last,
        # since it locks a file.
        self._prices = prices_of(asker.ladder, asker.prices)
        self.questions = read_questions(data)
        self._knows_truth = check_keys(data, self.questions, asker.equality, check)
        self._calls = {question.id: _call(data, asker, question) for question in self.questions}
        self._progress = Progress(progress_path(out), asker.ladder, self.questions)
        inputs = {
            name: call.tokens or round(len(f"{call.context}{call.question}{call.since}") * _TOKENS_PER_CHARACTER)
            for name, call in self._calls.items()
        }
        self._costs = Costs(asker.ladder, self._prices, inputs, self._progress.answers.values())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.close()

    @property
    def progress(self) -> Progress:
        """The answers paid for so far."""
        return self._progress

    def left(self) -> list[tuple[str, str]]:
        """Return the calls that are left, as the question's id and the tier's name."""
        names = self._asker.ladder.names
        return [(q.id, name) for q in self.questions for name in names if (q.id, name) not in self._progress.answers]

    def estimate(self) -> Estimate:
        """Return what the calls that are left will cost."""
        return self._costs.estimate(self.left())

    def run(
        self,
        *,
        on_answer: Callable[[], object] = lambda: None,
        say: Callable[[str], object] = lambda _: None,
        with_text: bool = False,
    ) -> Profile:
        """Ask what is left, grade all answers, and write the file if at least one question is complete.

        Args:
            on_answer: Called after each answer, and after each call that failed for good.
            say: Called with messages for the user while it runs.
            with_text: Whether to keep the texts of questions and answers in the file.

        Raises:
            ConfigError: The replay file cannot be written.
        """
        return asyncio.run(self.arun(on_answer=on_answer, say=say, with_text=with_text))

    async def arun(
        self,
        *,
        on_answer: Callable[[], object] = lambda: None,
        say: Callable[[str], object] = lambda _: None,
        with_text: bool = False,
    ) -> Profile:
        """Do what `run` does, within a running event loop."""
        collector = Collector(self._asker, self._progress, self._costs, self._limits, on_answer, say)
        collected = await collector.run(self.questions)
        answered = [(question, paid) for question in self.questions if (paid := self._paid(question)) is not None]
        # All answers, those of earlier runs too: keys or check may have changed, and the grades are not kept.
        graded = [await self._graded(question, paid) for question, paid in answered]
        rows = [
            Row(question, self._calls[question.id].query, self._calls[question.id].node, paid, one)
            for (question, paid), one in zip(answered, graded, strict=True)
            if one.is_whole
        ]
        if rows:
            ladder, embedding = self._asker.ladder, self._asker.embedding
            save_table(
                self._out,
                rows,
                ladder,
                self._prices,
                embedding,
                knows_truth=self._knows_truth,
                with_text=with_text,
            )
        return Profile(
            questions=len(self.questions),
            rows=len(rows),
            unanswered=len(self.questions) - len(answered),
            ungraded=len(answered) - len(rows),
            problems=problems_of(graded),
            failures=Counter(collected.failures.values()),
            right_means="right" if self._knows_truth else f"same as {self._asker.ladder.top.name}",
            spent=self._progress.spent,
            stopped=collected.stopped,
            tiers=_found(rows, self._asker.ladder.names),
            undecided=sum(row.graded.undecided for row in rows),
            estimated=sum(paid.estimated for paid in self._progress.answers.values()),
        )

    def _paid(self, question: Question) -> tuple[Paid, ...] | None:
        found = [self._progress.answers.get((question.id, name)) for name in self._asker.ladder.names]
        known = tuple(paid for paid in found if paid is not None)
        return known if len(known) == len(found) else None

    async def _graded(self, question: Question, paid: tuple[Paid, ...]) -> Graded:
        answers = [one.answer for one in paid]
        asked = self._calls[question.id].question
        return await grade(asked, question.key, answers, self._asker.equality, self._check)


def _call(data: Path, asker: Asker, question: Question) -> Call:
    try:
        return asker.call(question.messages, question.node)
    except ConfigError as error:
        raise ConfigError(f"{data}, line {question.line}: {error}") from None


def _found(rows: list[Row], names: tuple[str, ...]) -> tuple[TierFound, ...]:
    if not rows:
        return ()
    grades = np.array([row.graded.grades for row in rows], dtype=np.float64)
    # A cost that is unknown (None) becomes NaN, and so does the tier's mean: a sum without it would look too cheap.
    costs = np.array([[one.cost_usd for one in row.paid] for row in rows], dtype=np.float64)
    seconds = np.array([[one.seconds for one in row.paid] for row in rows])
    return tuple(
        TierFound(name, float(right), float(usd) * 1_000, float(median))
        for name, right, usd, median in zip(
            names, grades.mean(axis=0), costs.mean(axis=0), np.median(seconds, axis=0), strict=True
        )
    )

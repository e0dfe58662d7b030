"""Asking every tier every question: several questions at once, at the allowed pace, within the budget."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llm_tiers.errors import AllTiersFailed, ConfigError
from llm_tiers.profile.pace import Fault, Pace
from llm_tiers.profile.progress import Paid
from llm_tiers.usage import Usage

if TYPE_CHECKING:
    from llm_tiers.flow.engine import Outcome
    from llm_tiers.integration.asker import Asker
    from llm_tiers.profile.estimate import Costs
    from llm_tiers.profile.progress import Progress
    from llm_tiers.profile.questions import Question

__all__ = ["Collected", "Collector", "Limits"]

# More than the default concurrency: one short outage, which fails all questions under way, does not end the run.
_MOST_FAILURES_IN_A_ROW = 10
"""After this many failures of one tier without an answer in between, the tier is taken to be down."""


_CHARACTERS_PER_TOKEN = 4
"""OpenAI's rule of thumb for English text."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of a profile.

    Attributes:
        concurrency: How many questions are asked at once; the tiers of one question are asked one after the other.
        requests_per_minute: The most requests to one tier in a minute; None for no limit.
        retries: How often a call is repeated after status 408, 409, 429 or 5xx, or a lost connection.
        max_cost: The most to spend, in US$, earlier runs included; None for no limit.
    """

    concurrency: int = 8
    requests_per_minute: float | None = None
    retries: int = 5
    max_cost: float | None = None


@dataclass(frozen=True, slots=True)
class Collected:
    """How the asking ended.

    Attributes:
        failures: Question id and tier name to the error, for each call that gave no answer.
        stopped: Why not everything was asked, or None.
    """

    failures: dict[tuple[str, str], str]
    stopped: str | None = None


class Collector:
    """Asks the tiers what they have not answered yet.

    Args:
        asker: Asks single tiers.
        progress: Where answers are kept; what is already there is not asked again.
        costs: What calls cost.
        limits: The bounds.
        on_answer: Called after each answer, and after each call that failed for good.
        say: Called with messages for the user while it runs.
    """

    def __init__(
        self,
        asker: Asker,
        progress: Progress,
        costs: Costs,
        limits: Limits,
        on_answer: Callable[[], object] = lambda: None,
        say: Callable[[str], object] = lambda _: None,
    ) -> None:
        self._asker = asker
        self._progress = progress
        self._costs = costs
        self._limits = limits
        self._on_answer = on_answer
        self._say = say
        self._paces = {tier.name: Pace(limits.requests_per_minute) for tier in asker.ladder}
        self._failures_in_a_row = dict.fromkeys(self._paces, 0)
        self._failures: dict[tuple[str, str], str] = {}
        self._stopped: str | None = None
        self._reserved = 0.0
        self._budget_changed = asyncio.Condition()
        self._stopping = asyncio.Event()

    async def run(self, questions: Sequence[Question]) -> Collected:
        """Ask the questions and return how it ended; the answers are added to the progress."""
        left = [question for question in questions if self._tiers_left(question)]
        # Alone, since the first answers show how long answers are: eight at once could exceed a small budget.
        first = left[:1] if self._limits.max_cost is not None and not self._progress.answers else []
        await self._ask_all(iter(first))
        # One iterator for all workers: each takes the next question when it is done with its last.
        rest = iter(left[len(first) :])
        async with asyncio.TaskGroup() as group:
            for _ in range(self._limits.concurrency):
                group.create_task(self._ask_all(rest))
        return Collected(self._failures, self._stopped)

    async def _ask_all(self, questions: Iterator[Question]) -> None:
        for question in questions:
            tiers = self._tiers_left(question)
            # For all tiers together: a question that lacks an answer is not in the file, so half of one is wasted.
            usd = sum(self._costs.at_most(question.id, tier) for tier in tiers)
            if not await self._reserve(usd):
                return
            try:
                for tier in tiers:
                    if self._stopped is not None:
                        return
                    await self._ask_and_keep(question, tier)
            finally:
                await self._free(usd)

    def _tiers_left(self, question: Question) -> list[str]:
        return [name for name in self._paces if (question.id, name) not in self._progress.answers]

    async def _reserve(self, usd: float) -> bool:
        """Reserve what a question may cost, and say whether the budget allows it."""
        most = self._limits.max_cost
        async with self._budget_changed:
            # The questions under way may cost less than was reserved for them. With nothing reserved there is nothing
            # to wait for, and what is spent decides.
            while most is not None and self._progress.spent + self._reserved + usd > most and self._reserved > 0:
                await self._budget_changed.wait()
            if most is not None and self._progress.spent + usd > most:
                self._stop(
                    f"the next question may cost US$ {usd:.4g}, and US$ {self._progress.spent:.4g} of --max-cost "
                    f"{most:g} are spent; the same command with a larger --max-cost goes on"
                )
            if self._stopped is not None:
                return False
            self._reserved += usd
            return True

    async def _free(self, usd: float) -> None:
        async with self._budget_changed:
            # Subtracting may leave a rounding error instead of 0, and `_reserve` would wait for it forever.
            self._reserved = self._reserved - usd if self._reserved > usd * (1 + 1e-9) else 0.0
            self._budget_changed.notify_all()

    def _stop(self, why: str) -> None:
        # The first reason: later ones follow from it, such as workers that find the tier down as well.
        self._stopped = self._stopped or why
        self._stopping.set()

    async def _ask_and_keep(self, question: Question, tier: str) -> None:
        asked = await self._ask(question, tier)
        if asked is None:
            return
        if isinstance(asked, Fault):
            self._failures[question.id, tier] = asked.message
            self._failures_in_a_row[tier] += 1
            if asked.is_final:
                self._stop(asked.message)
            elif self._failures_in_a_row[tier] >= _MOST_FAILURES_IN_A_ROW:
                self._stop(
                    f"{_MOST_FAILURES_IN_A_ROW} calls of tier {tier!r} in a row failed; the last: {asked.message}"
                )
        else:
            self._failures_in_a_row[tier] = 0
            self._keep(asked)
            self._costs.learn(asked)
        self._on_answer()

    def _keep(self, paid: Paid) -> None:
        try:
            self._progress.add(paid)
        except ConfigError as error:
            # Raised here it would end in an exception group. The answer is in memory, so what was asked can be saved.
            self._stop(str(error))

    async def _ask(self, question: Question, tier: str) -> Paid | Fault | None:
        """Ask a tier, with retries; None if asking stopped before it was this call's turn."""
        pace = self._paces[tier]
        fault: Fault | None = None
        for retry in range(self._limits.retries + 1):
            if not await self._turn(pace):
                break
            try:
                outcome = await self._asker.ask(question.messages, tier, question.node)
            except AllTiersFailed as error:
                fault = Fault.of(error)
            else:
                return self._paid(question, outcome)
            if fault.cost_usd:
                # A failed call may cost something, such as an answer that could not be read; it counts as spent.
                self._keep(Paid(question.id, tier, time.time(), cost_usd=fault.cost_usd, failed=fault.message))
            wait = fault.wait(retry)
            if wait is None or retry == self._limits.retries:
                break
            self._say(f"{fault.message}; asking again in {wait:.0f} s")
            # For all workers: what one was told holds for the tier.
            pace.pause(wait)
        return fault

    async def _turn(self, pace: Pace) -> bool:
        """Wait for a turn and take it; False if asking has stopped."""
        while (seconds := pace.take()) > 0 and not self._stopping.is_set():
            # A pause may last ten minutes: once another call has shown that the key is wrong, nobody waits for its end.
            # Taken again after it, because another worker may have had the turn, or a new pause may have begun.
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), seconds)
        return not self._stopping.is_set()

    def _paid(self, question: Question, outcome: Outcome) -> Paid:
        answer, trace = outcome.answer, outcome.trace
        cost, usage = trace.cost_usd, answer.usage
        if usage is None:
            # The replay file marks these as estimates.
            usage = Usage(self._costs.inputs[question.id], len(answer.text) // _CHARACTERS_PER_TOKEN)
            cost = self._costs.of(answer.tier, usage)
        return Paid(
            id=question.id,
            tier=answer.tier,
            at=time.time(),
            text=answer.text,
            value=answer.value,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            estimated=answer.usage is None,
            seconds=trace.seconds,
            cost_usd=cost,
            finish=answer.finish,
        )

"""Asking every tier every question: side by side, at the pace that is allowed, within the budget."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llm_tiers.errors import AllTiersFailed
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

_FAILURES_IN_A_ROW = 10
"""Failures of one tier without an answer in between, after which it is taken to be down."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of a profile.

    Attributes:
        concurrency: Most questions that are being answered at once; each asks its tiers one after the other.
        requests_per_minute: Most requests to one tier in a minute; None for no limit.
        retries: How often a call is made again after status 408, 409, 429 or 5xx, or a lost connection.
        max_cost: Most US$ in all, earlier runs included; None for no limit.
    """

    concurrency: int = 8
    requests_per_minute: float | None = None
    retries: int = 5
    max_cost: float | None = None


@dataclass(frozen=True, slots=True)
class Collected:
    """How the asking ended.

    Attributes:
        failures: What went wrong, by question and tier; these have no answer.
        stopped: Why not everything was asked, or None.
    """

    failures: dict[tuple[str, str], str]
    stopped: str | None = None


class Collector:
    """Asks the tiers what they have not answered yet.

    Args:
        asker: Asks single tiers.
        progress: Where answers are kept; those that are there are not asked for again.
        costs: What calls cost.
        limits: The bounds.
        on_answer: Is called after each answer, and after each failure that is given up.
        say: Is called with what a user should know while it runs.
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
        self._in_a_row = dict.fromkeys(self._paces, 0)
        self._failures: dict[tuple[str, str], str] = {}
        self._stopped: str | None = None
        self._held = 0.0
        self._settled = asyncio.Condition()

    async def run(self, questions: Sequence[Question]) -> Collected:
        """Ask, and return how it ended; answers are in the progress."""
        left = [question for question in questions if self._tiers_left(question)]
        # Alone, since the first answers show how long answers are: eight at once could exceed a small budget.
        first = left[:1] if self._limits.max_cost is not None and not self._progress.answers else []
        await self._work(iter(first))
        rest = iter(left[len(first) :])
        async with asyncio.TaskGroup() as group:
            for _ in range(self._limits.concurrency):
                group.create_task(self._work(rest))
        return Collected(self._failures, self._stopped)

    async def _work(self, questions: Iterator[Question]) -> None:
        for question in questions:
            tiers = self._tiers_left(question)
            held = sum(self._costs.at_most(question.id, tier) for tier in tiers)
            if not await self._hold(held):
                return
            try:
                for tier in tiers:
                    if self._stopped is not None:
                        return
                    await self._answer(question, tier)
            finally:
                await self._release(held)

    def _tiers_left(self, question: Question) -> list[str]:
        return [name for name in self._paces if (question.id, name) not in self._progress.answers]

    async def _hold(self, usd: float) -> bool:
        """Set aside what a question may cost, and say whether the budget allows that."""
        most = self._limits.max_cost
        async with self._settled:
            # What others have set aside may turn out to be more than they need.
            while most is not None and self._progress.spent + self._held + usd > most and self._held > 0:
                await self._settled.wait()
            if most is not None and self._progress.spent + usd > most:
                self._stop(
                    f"the next question may cost US$ {usd:.4g}, and US$ {self._progress.spent:.4g} of --max-cost "
                    f"{most:g} are spent"
                )
            if self._stopped is not None:
                return False
            self._held += usd
            return True

    async def _release(self, usd: float) -> None:
        async with self._settled:
            # Subtracting what was added may leave a rounding error, and a wait for it would never end.
            self._held = self._held - usd if self._held > usd * (1 + 1e-9) else 0.0
            self._settled.notify_all()

    def _stop(self, why: str) -> None:
        self._stopped = self._stopped or why

    async def _answer(self, question: Question, tier: str) -> None:
        asked = await self._asked(question, tier)
        if isinstance(asked, Fault):
            self._failures[question.id, tier] = asked.message
            self._in_a_row[tier] += 1
            if asked.is_final:
                self._stop(asked.message)
            elif self._in_a_row[tier] >= _FAILURES_IN_A_ROW:
                self._stop(f"{_FAILURES_IN_A_ROW} calls of tier {tier!r} in a row failed; the last: {asked.message}")
        else:
            self._in_a_row[tier] = 0
            self._progress.add(asked)
            self._costs.learn(asked)
        self._on_answer()

    async def _asked(self, question: Question, tier: str) -> Paid | Fault:
        """Ask a tier, again where that makes sense."""
        pace = self._paces[tier]
        for retry in range(self._limits.retries + 1):
            await pace.turn()
            try:
                outcome = await self._asker.ask(question.messages, tier, question.node)
            except AllTiersFailed as error:
                fault = Fault.of(error)
            else:
                return self._paid(question, outcome)
            if fault.cost_usd:
                self._progress.add(Paid(question.id, tier, time.time(), cost_usd=fault.cost_usd, failed=fault.message))
            wait = fault.wait(retry)
            if wait is None or retry == self._limits.retries:
                break
            self._say(f"{fault.message}; asking again in {wait:.0f} s")
            pace.pause(wait)
        return fault

    def _paid(self, question: Question, outcome: Outcome) -> Paid:
        answer, trace = outcome.answer, outcome.trace
        cost, usage = trace.cost_usd, answer.usage
        if usage is None:
            # Some four characters are a token; the file says that it is an estimate.
            usage = Usage(self._costs.inputs[question.id], len(answer.text) // 4)
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

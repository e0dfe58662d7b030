"""The gradings of one model's calls: queued when a call ends, done in the background, kept in the history."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from llm_tiers.flow.background import Background, Work
from llm_tiers.flow.consulting import Consultant
from llm_tiers.flow.drive import drive_grading
from llm_tiers.flow.grading import ToGrade, graded
from llm_tiers.trace import Grading

if TYPE_CHECKING:
    from llm_tiers.call.performer import Performer
    from llm_tiers.flow.ledger import Ledger
    from llm_tiers.history.record import History, Record
    from llm_tiers.policies.graders.grader import Grader
    from llm_tiers.trace import Trace

__all__ = ["Gradings"]

_LOGGED_OUTCOMES = frozenset({"busy", "failed", "nonsense", "raised", "timed out"})
"""Kinds of outcomes that are logged, since somebody should act on them; the others are expected."""


class Gradings:
    """Grades calls in the background, after the user has the answer.

    Args:
        grader: The grader.
        performer: Calls the grading model; None where a function grades.
        history: Where the grades are kept, or None.
        account: Makes a ledger for what grading a call costs.
        log: Logs a warning once for each kind, which is the text before the first colon.
    """

    def __init__(
        self,
        grader: Grader,
        performer: Performer | None,
        history: History | None,
        account: Callable[[ToGrade], Ledger],
        log: Callable[[str], None],
    ) -> None:
        self._grader = grader
        self._performer = performer
        self._history = history
        self._account = account
        self._log = log
        self._background = Background("grading")
        self._consult = Consultant()
        self._spent = 0.0
        self._lock = threading.Lock()

    def begin(self, given: ToGrade, trace: Trace, report: Callable[[Trace], None]) -> None:
        """Queue a call's answers for grading, and report its trace when they are graded or given up."""
        # A function sees the context of the call. A model is called in an empty one: the runs and spans that are open
        # in the call's context will have ended by then, and must get no more children.
        context = contextvars.copy_context() if self._grader.function is not None else contextvars.Context()
        # A copy of its own for the report, since one context cannot be entered twice.
        around = contextvars.copy_context()

        def end(trace: Trace) -> None:
            around.run(report, trace)

        work = Work(
            run=lambda: end(context.run(self._graded, given, trace)),
            drop=lambda: end(_skipped(trace, "closed: the model was closed before its turn came")),
        )
        if not self._background.submit(work):
            self._log("grade skipped: too many calls wait to be graded")
            end(_skipped(trace, "full: too many calls wait to be graded"))

    def wait(self, seconds: float) -> bool:
        """Wait at most `seconds` until nothing is left to grade, and say whether that is so."""
        return self._background.wait(seconds)

    def finish(self, seconds: float) -> None:
        """Wait at most `seconds` for what is being graded, and give up the rest."""
        self._background.finish(seconds)

    def _graded(self, given: ToGrade, trace: Trace) -> Trace:
        most = self._grader.max_usd
        # Checked before a call, not within it, so the last call may exceed the bound, as documented.
        if most is not None and self._spent >= most:
            self._log(f"grade budget: grading has cost {self._spent:.4g} of at most {most:g} US$, and stops")
            return _skipped(trace, f"budget: max_usd={most:g} is spent")
        account = self._account(given)
        try:
            grading = drive_grading(graded(self._grader, given), self._performer, account, self._consult)
        except Exception as error:  # noqa: BLE001 -- the boundary to the grader: the error becomes the outcome
            grading = Grading(state="skipped", why=f"failed: {type(error).__name__}: {error}"[:200])
        grading = grading.model_copy(update={"cost_usd": account.cost_usd})
        with self._lock:
            self._spent += grading.cost_usd or 0.0
        for outcome in (*grading.outcomes.values(), *filter(None, [grading.why])):
            if outcome.partition(":")[0] in _LOGGED_OUTCOMES:
                self._log(f"grade {outcome}")
        return self._kept(trace.with_grading(grading, account.attempts, account.trace().usage), grading)

    def _kept(self, trace: Trace, grading: Grading) -> Trace:
        """Keep the grades, and the trace with them, in the call's record; if that fails, the trace says why."""
        if self._history is None:
            return trace
        try:
            self._history.revise(trace.trace_id, partial(_with_grades, grading=grading, trace=trace))
        except Exception as error:  # noqa: BLE001 -- the boundary to the history: the error becomes a part of the trace
            self._log(f"grade not kept: {type(error).__name__}: {error}")
            told = grading.model_copy(update={"why": f"not kept: {type(error).__name__}: {error}"[:200]})
            return trace.model_copy(update={"grading": told})
        return trace


def _with_grades(record: Record, grading: Grading, trace: Trace) -> Record:
    grades = {**record.grades, "grader": dict(grading.grades)} if grading.grades else record.grades
    contradicted = dict(grading.contradicted)
    return replace(record, grades=grades, contradicted=contradicted, grading_usd=grading.cost_usd, trace=trace)


def _skipped(trace: Trace, why: str) -> Trace:
    return trace.with_grading(Grading(state="skipped", why=why))

"""The shadows of a model's calls: queued when a call ends, followed in the background, kept in the history."""

from __future__ import annotations

import contextvars
import random
import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from llm_tiers.flow.background import Background, Work
from llm_tiers.flow.drive import drive_shadow
from llm_tiers.flow.shadow import Shadow, shadow

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llm_tiers.call.answer import Answer
    from llm_tiers.call.call import Call
    from llm_tiers.flow.ledger import Ledger
    from llm_tiers.flow.unseen import Unseen
    from llm_tiers.history.record import History
    from llm_tiers.policies.policy import Policy
    from llm_tiers.policies.rollout import Rollout
    from llm_tiers.trace import Trace

__all__ = ["Budget", "Shadows"]

_CREDIT = 5
"""Calls on which the other tiers may be asked before a share of the spend would allow it."""

Report = Callable[["Trace", "Ledger | None"], None]


class Budget:
    """How often the other tiers are asked: so that what they cost stays a share of what is served.

    The chance depends on the calls before, never on the call itself, so those that are drawn represent all.

    Args:
        rollout: The bounds.
        usual: Tier name to what its answer usually costs, in any unit.
    """

    def __init__(self, rollout: Rollout, usual: Mapping[str, float]) -> None:
        self._rollout = rollout
        # One usual call is taken as seen, which what is really paid soon outweighs.
        self._served = usual[rollout.serve]
        self._asking = sum(usual.values()) - usual[rollout.serve]
        self._calls, self._asked = 1, 1
        self._spent = 0.0
        self._pending = 0
        self._lock = threading.Lock()

    def draw(self, call: Call) -> tuple[bool, float]:
        """Say whether the other tiers are asked on a call, and with what chance that was drawn, in [0, 1]."""
        with self._lock:
            chance = self._chance()
            drawn = random.Random(f"observe:{call.id}").random() < chance
            self._pending += drawn
            return drawn, chance

    def charge(self, served: float | None, asking: float | None, *, asked: bool) -> None:
        """Account for a call; a cost that is not known counts as the usual one.

        Args:
            served: What the served answer cost, in US$.
            asking: What asking the other tiers cost, in US$.
            asked: Whether they were asked.
        """
        with self._lock:
            usual = self._asking / self._asked
            self._served += self._served / self._calls if served is None else served
            self._calls += 1
            if asked:
                self._pending -= 1
                self._asking += usual if asking is None else asking
                self._spent += usual if asking is None else asking
                self._asked += 1

    def _chance(self) -> float:
        most, mean = self._rollout.most_usd, self._asking / self._asked
        spent = self._spent + self._pending * mean
        # One more call must fit in as well, as far as its cost can be foreseen.
        if most is not None and spent + mean > most:
            return 0.0
        if spent > self._rollout.share * self._served + _CREDIT * mean:
            return 0.0
        return min(self._rollout.share * self._served / self._calls / mean, 1.0) if mean > 0 else 1.0


class Shadows:
    """Finds out, after the user has the answer, what tiering would have done.

    Args:
        budget: How often the other tiers are asked.
        history: Where the calls are kept, or None.
        account: Makes a ledger for what follows a call.
        clock: Returns the time in seconds since 1970.
        log: Logs a warning once for each kind, which is the text before the first colon.
    """

    def __init__(
        self,
        budget: Budget,
        history: History | None,
        account: Callable[[Call, Policy], Ledger],
        clock: Callable[[], float],
        log: Callable[[str], None],
    ) -> None:
        self._budget = budget
        self._history = history
        self._account = account
        self._clock = clock
        self._log = log
        self._background = Background("observing")

    def begin(self, ledger: Ledger, trace: Trace, report: Report) -> None:
        """Queue a call, and report its trace when its shadow is known or given up.

        Args:
            ledger: The account of the call, which was served.
            trace: Its trace.
            report: Takes the trace with what was asked, and the account of that; None where it was given up.
        """
        answer, unseen = ledger.accepted, ledger.unseen
        if answer is None or unseen is None:
            report(trace, None)
            return
        # In an empty context: the runs and spans that are open in the call's will have ended by then.
        follow = partial(contextvars.Context().run, self._followed, ledger, answer, unseen, trace, report)
        work = Work(run=follow, drop=lambda: report(trace, None))
        if not self._background.submit(work):
            self._log("observe skipped: too many calls wait to be followed")
            report(trace, None)

    def wait(self, seconds: float) -> bool:
        """Wait at most `seconds` until nothing is left to follow, and say whether that is so."""
        return self._background.wait(seconds)

    def finish(self, seconds: float) -> None:
        """Wait at most `seconds` for what is being followed, and give up the rest."""
        self._background.finish(seconds)

    def _followed(self, ledger: Ledger, answer: Answer, unseen: Unseen, trace: Trace, report: Report) -> None:
        account = self._account(ledger.call, unseen.policy)
        try:
            self._follow(account, ledger, answer, unseen)
        except Exception as error:  # noqa: BLE001 -- the user has the answer; what follows it must not be seen by them
            self._log(f"observe failed: {type(error).__name__}: {error}")
        report(trace.with_shadow(account.attempts[len(ledger.attempts) :], account.own_usage), account)

    def _follow(self, account: Ledger, ledger: Ledger, answer: Answer, unseen: Unseen) -> None:
        # Where a tier is not asked, not all can answer.
        asks, chance = (False, 0.0) if account.call.down else self._budget.draw(ledger.call)
        account.adopt(ledger.attempts)
        found = Shadow(asked=asks)
        try:
            flow = shadow(unseen.policy, account, answer, asks=asks)
            found = drive_shadow(flow, unseen.performer, self._history, account)
        finally:
            total, served = account.cost_usd, ledger.cost_usd
            asking = None if total is None or served is None else total - served
            self._budget.charge(served, asking, asked=asks)
        record = found.record(account, answer, self._clock(), chance)
        if record is not None and self._history is not None:
            self._history.remember(record)

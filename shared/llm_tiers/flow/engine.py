"""What both integrations hold: ladder, policy, history and prices, and how a call is run with them."""

from __future__ import annotations

import asyncio
import copy
import logging
import threading
import time
import uuid
from collections.abc import AsyncGenerator, Callable, Generator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from llm_tiers.arguments import grade_of, kind_of, require
from llm_tiers.call.answer import Answer
from llm_tiers.call.call import Call
from llm_tiers.call.performer import Detachable
from llm_tiers.errors import AllTiersFailed, ConfigError, FeedbackRefused, HistoryError, UnknownTrace
from llm_tiers.flow.accepted import Accepted
from llm_tiers.flow.background import SECONDS_AT_END, wait_at_exit
from llm_tiers.flow.breakers import Breakers
from llm_tiers.flow.cascade import cascade
from llm_tiers.flow.deadline import Busy, Late, LateTiers
from llm_tiers.flow.drive import adrive, adrive_live, drive, drive_live
from llm_tiers.flow.grading import ToGrade
from llm_tiers.flow.gradings import Gradings
from llm_tiers.flow.labels import after_feedback
from llm_tiers.flow.ledger import Ledger
from llm_tiers.flow.limits import Limits
from llm_tiers.flow.patience import HistoryTooSlow, prepare
from llm_tiers.flow.shadows import Budget, Shadows
from llm_tiers.flow.unseen import Unseen
from llm_tiers.history.principals import hashed
from llm_tiers.ladder.breaker import Breaker
from llm_tiers.ladder.prices import PriceBook
from llm_tiers.ladder.taken import TakenSettings
from llm_tiers.ladder.tiers import Ladder
from llm_tiers.owned import owned
from llm_tiers.policies.guarantee import Guarantee
from llm_tiers.policies.rollout import Observed as TieringObserved
from llm_tiers.policies.rollout.observed import ObservedOf, Tally
from llm_tiers.telemetry.observer import UNOBSERVED, Observed, Observer
from llm_tiers.trace import Certificate, Grading, Trace
from llm_tiers.usage import Usage

if TYPE_CHECKING:
    from llm_tiers.call.performer import AsyncPerformer, Performer
    from llm_tiers.history.record import History, Record
    from llm_tiers.policies.graders.grader import Grader
    from llm_tiers.policies.guarantee import Forecast
    from llm_tiers.policies.policy import Policy
    from llm_tiers.policies.rollout import Rollout
    from llm_tiers.telemetry.settings import Telemetry

__all__ = ["Engine", "Outcome", "TraceHook"]

logger = logging.getLogger("llm_tiers")

_MOST_LATE = 8
"""Most requests to a history that nobody waits for any more; each keeps a thread."""

_SECONDS_FOR_RECORD = 30.0
"""How long feedback waits for the record of its call, where that is kept late."""

TraceHook = Callable[[Trace], object]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The accepted answer, and what happened on the way to it."""

    answer: Answer
    trace: Trace


class Engine:
    """Runs calls. One engine serves any number of calls at once, from threads and from asyncio.

    Args:
        ladder: The tiers.
        policy: How calls are answered.
        history: Where past calls are kept, or None to keep none. `close` closes it.
        prices: What the tiers cost; by default the public list.
        on_trace: Called once with the trace of every call, failed and cancelled ones included: at its end, or where
            its answers are graded after that.
        on_end: Called with the trace of every call at its end, before anything is graded.
        grader: Grades the answers of profiled calls, or None.
        graded: Whether grades come in another way, such as from a replayed table.
        grading_performer: Calls the grader's model, in no run of the user's; None where a function grades.
        limits: How far a call goes.
        telemetry: What OpenTelemetry is told of calls; None for nothing.
        breaker: When a tier that fails is not asked for a while; None for never.
        rollout: Which calls one tier serves while tiering is only observed; None where every call is tiered.
        clock: Returns the time in seconds since 1970.
        monotonic: Returns seconds, by which a call's deadline is reckoned.
        new_id: Returns a fresh trace id.

    Raises:
        ConfigError: The policy or the grader names a tier that the ladder lacks, or the grader cannot grade.
    """

    def __init__(
        self,
        ladder: Ladder,
        policy: Policy,
        history: History | None = None,
        *,
        prices: PriceBook | None = None,
        on_trace: TraceHook | None = None,
        on_end: TraceHook | None = None,
        grader: Grader | None = None,
        graded: bool = False,
        grading_performer: Performer | None = None,
        limits: Limits | None = None,
        breaker: Breaker | None = None,
        rollout: Rollout | None = None,
        telemetry: Telemetry | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        new_id: Callable[[], str] = lambda: uuid.uuid4().hex,
    ) -> None:
        policy.check(ladder)
        self._prices = prices or PriceBook()
        # Here, not at the first call: loading the public price list takes a noticeable part of a second.
        self._prices.load(ladder)
        self.ladder = Ladder(ladder, self._prices.usual(ladder))
        self._taken = TakenSettings(self.ladder)
        self.policy = policy
        self.history = history
        self._on_trace = on_trace
        self._on_end = on_end
        self._limits = limits or Limits()
        self._breakers = Breakers(self.ladder, breaker, self._limits.deadline)
        self._observer = None if telemetry is None else Observer(telemetry, self.ladder)
        self._late_history = Late(_MOST_LATE)
        self._late_tiers = LateTiers()
        self._accepted = Accepted()
        self._clock = clock
        self._monotonic = monotonic
        self._new_id = new_id
        self._logged_kinds: set[str] = set()
        self._logged_lock = threading.Lock()
        priced = self._prices.cost(ladder.top, Usage(1, 1)) is not None if policy.needs_prices else True
        policy.check_means(ladder.top.name, priced=priced, graded=graded or grader is not None)
        self.rollout = rollout
        unpriced = [tier.name for tier in ladder if self._prices.cost(tier, Usage(1, 1)) is None]
        if rollout is not None and rollout.most_usd is not None and unpriced:
            raise ConfigError(
                f"observe_usd={rollout.most_usd:g} bounds a cost, and no price of {', '.join(map(repr, unpriced))} is "
                "known; give prices= in US$ per million tokens, or leave observe_usd out"
            )
        self._shadows: Shadows | None = None
        if rollout is not None:
            budget = Budget(rollout, self.ladder.costs)
            self._shadows = Shadows(budget, history, self._shadow_account, clock, self._log_once)
        self._gradings: Gradings | None = None
        if grader is not None:
            grader.check(self.ladder, self._prices)
            require(grader.function is not None or grading_performer is not None, "grade: a model needs a performer")
            # A starter may profile calls by itself, and says so with this attribute.
            if policy.audit == 0 and not getattr(policy.starter, "profiles", False) and rollout is None:
                logger.warning("grade= is given, but no call is profiled, so nothing is graded; give audit= too")
            account = partial(_account, grader, self.ladder, policy, self._prices, self._breakers, self._late_tiers)
            self._gradings = Gradings(grader, grading_performer, history, account, self._log_once)

    @property
    def prices(self) -> PriceBook:
        """What the tiers cost."""
        return self._prices

    def at(self, policy: Policy) -> Engine:
        """Return an engine that shares all with this one and answers by another policy.

        Raises:
            ConfigError: The policy names a tier that the ladder lacks.
        """
        policy.check(self.ladder)
        other = copy.copy(self)
        other.policy = policy
        return other

    def over(self, ladder: Ladder) -> Engine:
        """Return an engine that shares all with this one and asks the same tiers with other settings.

        Args:
            ladder: The tiers, with the names that they have here.
        """
        other = copy.copy(self)
        other.ladder = Ladder(ladder, self._prices.usual(ladder))
        return other

    def call(self, query: str, **facts: Any) -> Call:
        """Describe a call: `query` and the other attributes of `Call` except its id and time.

        `principal` is given by name here, and kept hashed.

        Raises:
            ConfigError: The pinned tier is not in the ladder, or the principal is no name.
        """
        facts["principal"] = hashed(facts.get("principal"))
        # Exploration and audits are drawn from this id, so they do not depend on the order of concurrent calls.
        # A stream is read elsewhere, when the user's span has ended; so what the call belongs to is settled here.
        around = None if self._observer is None else self._observer.around()
        call = Call(id=self._new_id(), query=query, created=self._clock(), around=around, **facts)
        if call.pin is not None and call.pin not in self.ladder:
            names = ", ".join(map(repr, self.ladder.names))
            raise ConfigError(f"model={call.pin!r} pins a tier that the ladder lacks; it has {names}")
        return call

    def run(self, call: Call, performer: Performer) -> Outcome:
        """Answer a call.

        Raises:
            AllTiersFailed: No tier gave an answer; its `trace` says what happened.
        """
        ledger = self._open(call, performer)
        with self._traced(ledger), ledger.observed.active():
            answer = drive(cascade(ledger.policy, ledger), performer, self.history, ledger)
            self._remember(ledger)
        return Outcome(answer, ledger.trace())

    async def arun(self, call: Call, performer: AsyncPerformer) -> Outcome:
        """Answer a call in asyncio; as `run`."""
        ledger = self._open(call, performer)
        with self._traced(ledger), ledger.observed.active():
            answer = await adrive(cascade(ledger.policy, ledger), performer, self.history, ledger)
            # A history may write to a disk or a server, which would block the event loop.
            await asyncio.to_thread(self._remember, ledger)
        return Outcome(answer, ledger.trace())

    def stream(self, call: Call, performer: Performer) -> Generator[Any, None, Outcome]:
        """Answer a call; yield the chunks of an answer that is not judged as they come, and return the outcome."""
        ledger = self._open(call, performer)
        with self._traced(ledger):
            live = drive_live(cascade(ledger.policy, ledger), performer, self.history, ledger)
            answer = yield from ledger.observed.each(live)
            self._remember(ledger)
        return Outcome(answer, ledger.trace())

    async def astream(self, call: Call, performer: AsyncPerformer) -> AsyncGenerator[Any, None]:
        """Answer a call in asyncio; yield chunks as `stream` does and, last, the `Outcome`."""
        ledger = self._open(call, performer)
        with self._traced(ledger):
            driven = adrive_live(cascade(ledger.policy, ledger), performer, self.history, ledger)
            live = ledger.observed.aeach(driven)
            async with owned(live) as items:
                async for item in items:
                    if isinstance(item, Answer):
                        break
                    yield item
            await asyncio.to_thread(self._remember, ledger)
        yield Outcome(item, ledger.trace())

    def feedback(
        self, trace_id: str, *, correct: bool | float, tier: str | None = None, principal: str | None = None
    ) -> Record:
        """Record how right an answer of a past call was; the next estimates change accordingly.

        Args:
            trace_id: The `trace_id` of the call's trace.
            correct: Whether the answer was right, or how right, in [0, 1].
            tier: Name of the tier whose answer this is about; by default the answer that was returned.
            principal: Who says so; None is the application itself, which may speak of any call.

        Returns:
            The record of the call as it is now.

        Raises:
            ConfigError: `correct` is neither a bool nor a number in [0, 1], or the tier did not answer the call.
            FeedbackRefused: The call was another principal's.
            UnknownTrace: The history has no record of the call.
        """
        by = hashed(principal)
        grade = grade_of(correct, "correct")
        require(tier is None or isinstance(tier, str), f"tier must be the name of a tier, or None, not {kind_of(tier)}")
        if self.history is None:
            raise UnknownTrace(f"trace_id={trace_id!r} is unknown: no history is kept")
        names = self.ladder.names

        def change(record: Record) -> Record:
            if by is not None and record.principal != by:
                whose = "another principal" if record.principal else "no principal in particular"
                raise FeedbackRefused(
                    f"trace_id={trace_id!r}: the answer went to {whose}, so principal= may not grade it; pass the "
                    f"principal that the call was made with, or leave it out to speak for the application"
                )
            return after_feedback(record, names, grade=grade, tier=tier)

        revise = partial(self.history.revise, trace_id, change)
        try:
            return revise()
        except UnknownTrace:
            # A record may be kept after the user's word: where the history was slow, or that of a served call, which is
            # kept when its shadow is known.
            self._late_history.finish(_SECONDS_FOR_RECORD)
            if self._shadows is not None:
                self._shadows.wait(_SECONDS_FOR_RECORD)
            return revise()

    def observed(self, node: str = "") -> TieringObserved:
        """Return what the calls that were only observed say of tiering, at a node and below it.

        Args:
            node: The node; `""` is the root, and so all calls.

        Raises:
            ConfigError: `node` is no text, or no history is kept.
            HistoryError: The history cannot be read.
        """
        require(isinstance(node, str), f"node must be a name, such as 'research/plan', not {kind_of(node)}")
        if self.history is None:
            raise ConfigError("observed: no history is kept, so nothing is known of past calls; give history=")
        found = self.history.recall("", node=node, k=0, study=ObservedOf())
        if found.error is not None:
            raise HistoryError(f"observed: {found.error}")
        return found.learned.observed() if isinstance(found.learned, Tally) else TieringObserved()

    def certificate(self, node: str = "") -> Certificate | None:
        """Return what the policy has proved at a node; None where nothing, or by a policy that proves nothing.

        Args:
            node: The node; `""` is the root.

        Raises:
            ConfigError: `node` is no text.
        """
        require(isinstance(node, str), f"node must be a name, such as 'research/plan', not {kind_of(node)}")
        starter = self.policy.starter
        return starter.certificate(self.history, self.ladder, node) if isinstance(starter, Guarantee) else None

    def forecast(self, *, differing: float = 0.0) -> Forecast | None:
        """Return what the policy's promise will cost to earn at a node; None for a policy that promises nothing.

        Args:
            differing: Assumed share of the calls on which the cheapest tier is worse than the top, in [0, 1].

        Raises:
            ConfigError: `differing` lies outside [0, 1].
        """
        starter = self.policy.starter
        return starter.forecast(self.ladder, differing=differing) if isinstance(starter, Guarantee) else None

    def stats(self) -> dict[str, Any]:
        """Return how the tiers are: `tiers` has the state of each one's breaker, by its name."""
        return {"tiers": self._breakers.stats()}

    def flush_grades(self, seconds: float) -> bool:
        """Wait until the answers of earlier calls are graded, and say whether they are.

        Args:
            seconds: Wait no longer.
        """
        until = time.monotonic() + seconds
        # First what is asked off the path, since it is graded after that.
        if self._shadows is not None and not self._shadows.wait(seconds):
            return False
        return self._gradings is None or self._gradings.wait(max(until - time.monotonic(), 0.0))

    def finish(self, seconds: float = SECONDS_AT_END) -> None:
        """Wait for what is asked off the path, graded and kept late, and give up the rest; the log says what.

        Args:
            seconds: Wait no longer.
        """
        until = time.monotonic() + seconds
        if self._shadows is not None:
            self._shadows.finish(seconds)
        if self._gradings is not None:
            self._gradings.finish(max(until - time.monotonic(), 0.0))
        if not self._late_history.finish(max(until - time.monotonic(), 0.0)):
            logger.warning(
                "history: %d look-ups and records that were to be kept later are given up: it does not answer",
                len(self._late_history),
            )

    def close(self, seconds: float = SECONDS_AT_END) -> None:
        """Finish what follows the calls, write what the history has pending and close it.

        Args:
            seconds: Wait no longer for what is asked off the path, graded and kept late.
        """
        self.finish(seconds)
        if self.history is not None:
            self.history.close()

    def _open(self, call: Call, performer: object) -> Ledger:
        call = replace(call, down=self._breakers.down(call.timeout))
        rollout = self.rollout
        if rollout is None or call.pin is not None or rollout.is_tiered(call):
            return self._account(call, self.policy, self._limits, self._observe(call, self.policy))
        serving = rollout.serving(self.policy)
        ledger = self._account(call, serving, self._limits, self._observe(call, serving))
        if isinstance(performer, Detachable):
            ledger.unseen = Unseen(self.policy, performer.detached())
        return ledger

    def _observe(self, call: Call, policy: Policy) -> Observed:
        return UNOBSERVED if self._observer is None else self._observer.begin(call, policy.name)

    def _shadow_account(self, call: Call, policy: Policy) -> Ledger:
        call = replace(call, down=self._breakers.down(call.timeout))
        # Nobody waits, so the history may take its time. The user's call has been told of already.
        return self._account(call, policy, replace(self._limits, history_timeout=None), UNOBSERVED)

    def _account(self, call: Call, policy: Policy, limits: Limits, observed: Observed) -> Ledger:
        return Ledger(
            call,
            self.ladder,
            policy,
            self._prices,
            taken=self._taken,
            limits=limits,
            breakers=self._breakers,
            late=self._late_history,
            late_tiers=self._late_tiers,
            clock=self._monotonic,
            observed=observed,
            accepted=self._accepted,
        )

    def _remember(self, ledger: Ledger) -> None:
        if ledger.unseen is not None:
            # The record is made after the call, with what tiering would have done.
            return
        record = ledger.record(self._clock())
        if record is None:
            return
        if record.profiled and self._gradings is not None:
            ledger.grading = Grading(state="pending")
            ledger.to_grade = self._to_grade(ledger)
        if self.history is None:
            return
        try:
            prepare(self.history)
            ledger.history_time.within(self.history, partial(self.history.remember, record), last=True)
            trouble = getattr(self.history, "trouble", None)
            if trouble is not None:
                ledger.warn(f"history: {trouble}")
        except HistoryTooSlow:
            ledger.warn("history: too slow; the record of the call is kept later")
            wait_at_exit(self._late_history)
        except Busy as error:
            ledger.warn(f"history: the record of the call is not kept: {error}")
        except Exception as error:  # noqa: BLE001 -- the boundary to the history: the error becomes a warning
            ledger.warn(f"history: {type(error).__name__}: {error}")

    def _to_grade(self, ledger: Ledger) -> ToGrade:
        return ToGrade(ledger.call, self.ladder, tuple(ledger.answers), ledger.said(), ledger.observed)

    def _traced(self, ledger: Ledger) -> _Traced:
        return _Traced(ledger, self._report)

    def _report(self, trace: Trace, ledger: Ledger) -> None:
        logger.debug("call %s ended at tier %s", trace.trace_id, trace.final)
        for warning in trace.warnings:
            # The breaker itself has said so when it opened.
            if not warning.startswith("breaker: "):
                self._log_once(warning)
        _call_hook(self._on_end, trace)
        if self._shadows is not None and ledger.unseen is not None and ledger.serves_whole:
            self._shadows.begin(ledger, trace, self._report_shadow)
        else:
            self._report_at_last(trace, ledger.to_grade)

    def _report_shadow(self, trace: Trace, account: Ledger | None) -> None:
        compares = account is not None and account.plan is not None and account.plan.is_profiled
        self._report_at_last(trace, self._to_grade(account) if account is not None and compares else None)

    def _report_at_last(self, trace: Trace, to_grade: ToGrade | None) -> None:
        if to_grade is None or self._gradings is None:
            _call_hook(self._on_trace, trace)
        else:
            self._gradings.begin(to_grade, trace, partial(self._report_graded, to_grade.observed))

    def _report_graded(self, observed: Observed, trace: Trace) -> None:
        _tell(lambda: observed.graded(trace))
        _call_hook(self._on_trace, trace)

    def _log_once(self, warning: str) -> None:
        # Once for each kind of warning, or a history that is down would fill the log at the rate of the traffic. The
        # text before the first colon is the kind; what follows differs from call to call.
        kind = warning.partition(":")[0]
        with self._logged_lock:
            if kind in self._logged_kinds:
                return
            self._logged_kinds.add(kind)
        logger.warning("%s (logged once; every trace has it)", warning)


class _Traced:
    """Passes on the trace at the end of a call, however the call ends: cancelled and abandoned streams included.

    The traceback of a failure begins here: the frames of the flow are the same each time, and the user's own code
    should be in sight. A class, since `contextlib` would put them back.
    """

    def __init__(self, ledger: Ledger, report: Callable[[Trace, Ledger], None]) -> None:
        self._ledger = ledger
        self._report = report

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        trace = self._ledger.trace()
        observed = self._ledger.observed
        if observed is not UNOBSERVED:
            _tell(lambda: observed.end(trace, self._ledger.said(), self._ledger.accepted, error))
        if isinstance(error, AllTiersFailed):
            error.trace = trace
            error.__traceback__ = None
        self._report(trace, self._ledger)


def _call_hook(hook: TraceHook | None, trace: Trace) -> None:
    if hook is None:
        return
    try:
        hook(trace)
    except Exception:
        # The user's hook must not cost the user the answer, which exists already.
        logger.exception("on_trace failed; the call is not affected")


def _tell(telling: Callable[[], None]) -> None:
    try:
        telling()
    except Exception:
        # An exporter of the user's may raise; the answer exists already.
        logger.exception("telemetry failed; the call is not affected")


def _account(
    grader: Grader,
    ladder: Ladder,
    policy: Policy,
    prices: PriceBook,
    breakers: Breakers,
    late_tiers: LateTiers,
    given: ToGrade,
) -> Ledger:
    """Return an account for the grader's model calls, which wait no longer than the grader says."""
    call = replace(given.call, timeout=grader.timeout)
    return Ledger(call, ladder, policy, prices, breakers=breakers, late_tiers=late_tiers, observed=given.observed)

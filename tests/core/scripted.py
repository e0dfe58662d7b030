"""What the core's tests drive calls with: models that follow a script, a history kept in a list, ids and a clock."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import reduce
from types import SimpleNamespace

import numpy as np

from llm_tiers import Answer, Call, Engine, Ladder, Policy, Tier, TierError, Usage
from llm_tiers.agreement.equality import ExactEquality
from llm_tiers.errors import UnknownTrace
from llm_tiers.flow.ledger import Ledger
from llm_tiers.flow.limits import Limits
from llm_tiers.history.record import Neighbour, Recollection, Record
from llm_tiers.ladder.prices import PriceBook
from llm_tiers.policies.graders import as_grader
from llm_tiers.policies.starters import Plan

WAYS = ("run", "arun", "stream", "astream")
TOKENS = Usage(100, 10)
NAMES = ("small", "medium", "large", "huge", "giant")


class Down(Exception):  # noqa: N818 -- it stands for whatever a client raises
    """What a scripted model's client raises; `chunks` are streamed before it does."""

    def __init__(self, message="overloaded", chunks=()):
        super().__init__(message)
        self.chunks = chunks


class ScriptedPerformer:
    """Answers by tier name, and as a judge or grader by the name of the tier whose answer is judged.

    A grader's entry may be a list: its replies about this answer, in turn.

    A script's entry is a text, None for a missing answer, `Down` for a failure of the client, or any other exception,
    which is raised as it is. `during` and `aduring` run while a model is called.
    """

    def __init__(self, answers, verdicts=None, *, grades=None, usage=TOKENS, seconds=None, during=None, aduring=None):
        self.answers = answers
        self.verdicts = verdicts or {}
        self.grades = grades or {}
        self.usage = usage
        self.seconds = seconds
        self.during = during
        self.aduring = aduring
        self.calls = []
        self.ended = []

    def detached(self):
        """Return what asks after the call has ended: the same script."""
        return self

    @property
    def roles(self):
        return [(call.role, call.tier.name) for call in self.calls]

    def generate(self, call):
        with self._running(call):
            if self.during:
                self.during(call)
            return self._reply(call)

    async def agenerate(self, call):
        with self._running(call):
            if self.aduring:
                await self.aduring(call)
            return self._reply(call)

    def stream(self, call):
        with self._running(call):
            if self.during:
                self.during(call)
            yield from self._chunks(call)
            return self._reply(call)

    async def astream(self, call):
        with self._running(call):
            if self.aduring:
                await self.aduring(call)
            for chunk in self._chunks(call):
                yield chunk
            yield self._reply(call)

    @contextmanager
    def _running(self, call):
        self.calls.append(call)
        try:
            yield
        finally:
            self.ended.append(call)

    def _said(self, call):
        if call.role == "grade":
            said = self.grades[call.subject]
            return said.pop(0) if isinstance(said, list) else said
        return self.verdicts.get(call.subject, "yes") if call.role == "judge" else self.answers[call.tier.name]

    def _chunks(self, call):
        said = self._said(call)
        if isinstance(said, Down):
            return said.chunks
        return said.split() if isinstance(said, str) else ()

    def _reply(self, call):
        said = self._said(call)
        name = call.tier.name
        if isinstance(said, Down):
            raise TierError(name, said) from said
        if isinstance(said, BaseException):
            raise said
        return Answer(
            tier=name,
            text=said or "",
            value=said,
            usage=self._of(self.usage, name),
            message=f"message of {name}",
            seconds=self._of(self.seconds, name),
        )

    @staticmethod
    def _of(given, name):
        return given[name] if isinstance(given, dict) else given


@dataclass
class ListHistory:
    """A `History` by brute force, with a vector for each text set by hand; of equal neighbours the latest is first."""

    vectors: dict = field(default_factory=dict)
    records: list = field(default_factory=list)
    fails_at: frozenset = frozenset()
    recalled: list = field(default_factory=list)
    given: list = field(default_factory=list)
    closed: bool = False
    during: object = None

    def recall(self, text, *, node, k, vector=None, study=None):
        if self.during:
            self.during("recall")
        self.recalled.append((text, node, k, vector))
        if "recall" in self.fails_at:
            raise OSError("disk on fire")
        here = self._unit(text)
        of_node = [record for record in self.records if record.node == node]
        near = sorted(
            (Neighbour(float(here @ record.vector), replace(record, vector=None)) for record in reversed(of_node)),
            key=lambda neighbour: -neighbour.similarity,
        )
        learned = None if study is None else reduce(study.learn, of_node, study.start())
        return Recollection(tuple(near[:k]), count=len(of_node), vector=here, learned=learned)

    def remember(self, record):
        if self.during:
            self.during("remember")
        if "remember" in self.fails_at:
            raise OSError("disk on fire")
        self.given.append(record)
        vector = self._unit(record.text) if record.vector is None else record.vector
        self.records.append(replace(record, vector=vector))

    def revise(self, trace_id, change):
        for position, record in enumerate(self.records):
            if record.id == trace_id:
                changed = change(record)
                after = changed if isinstance(changed, Record) else replace(record, labels=dict(changed))
                self.records[position] = after
                return self.records[position]
        raise UnknownTrace(f"trace_id={trace_id!r} is unknown")

    def close(self):
        self.closed = True

    def _unit(self, text):
        vector = np.asarray(self.vectors.get(text, (1.0, 0.0)), np.float32)
        return vector / np.linalg.norm(vector)


@dataclass(frozen=True)
class Planned:
    """A starter that has decided."""

    start: str
    witnesses: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    estimates: dict = field(default_factory=dict)

    def plan(self, call, ladder):
        yield from ()
        return Plan(self.start, "planned", self.witnesses, self.estimates, warnings=self.warnings)


class Clock:
    """A clock that stands still until it is told to go on."""

    def __init__(self, now=1_000.0):
        self.now = now

    def __call__(self):
        return self.now


def model(name):
    return SimpleNamespace(model_name=name)


def ladder(*names, **settings):
    """Tiers of the names given, each ten times the price of the one below; `settings` by tier name."""
    return Ladder(
        Tier(model(name), **{"price": (10.0**position, 2 * 10.0**position), **settings.get(name, {})})
        for position, name in enumerate(names or NAMES[:3])
    )


def call(query="what?", **facts):
    return Call(**{"id": "call-1", "query": query, "created": 1_000.0, **facts})


def ledger_of(policy, tiers=None, prices=None, **facts):
    return Ledger(call(**facts), tiers or ladder(), policy, prices or PriceBook())


class Bench:
    """An engine whose ids, clock and traces are in the test's hands."""

    def __init__(
        self,
        starter,
        judge,
        tiers=None,
        history=None,
        *,
        missing_counts=False,
        equality=None,
        prices=None,
        hook=None,
        audit=0.0,
        grade=None,
        grading=None,
        rollout=None,
        breaker=None,
        telemetry=None,
    ):
        self.traces = []
        self.ends = []
        self.clock = Clock()
        self.history = history
        ids = itertools.count(1)
        self.engine = Engine(
            tiers or ladder(),
            Policy("tested", starter, judge, equality or ExactEquality(missing_counts=missing_counts), audit),
            history,
            prices=prices,
            on_trace=hook or self.traces.append,
            on_end=self.ends.append,
            grader=as_grader(grade),
            grading_performer=grading,
            rollout=rollout,
            breaker=breaker,
            limits=Limits(history_timeout=None),
            telemetry=telemetry,
            clock=self.clock,
            new_id=lambda: f"call-{next(ids)}",
        )

    def ask(self, performer, query="what?", *, way="run", **facts):
        """Run one call and return its outcome."""
        return self.ask_live(performer, query, way=way, **facts)[1]

    def ask_live(self, performer, query="what?", *, way="run", chunks=None, **facts):
        """Run one call in one of the four ways; return the chunks that reached the caller, and the outcome."""
        described = self.engine.call(query, **facts)
        chunks = [] if chunks is None else chunks
        match way:
            case "run":
                return chunks, self.engine.run(described, performer)
            case "arun":
                return chunks, asyncio.run(self.engine.arun(described, performer))
            case "stream":
                return chunks, drain(self.engine.stream(described, performer), chunks)
            case "astream":
                items = asyncio.run(acollect(self.engine.astream(described, performer), chunks))
                return items, items.pop()
        raise ValueError(way)


def drain(generator, chunks):
    """Take the chunks of a generator until its end and return what it returns."""
    while True:
        try:
            chunks.append(next(generator))
        except StopIteration as stop:
            return stop.value


async def acollect(generator, items):
    async for item in generator:
        items.append(item)
    return items


def timeless(trace):
    """Return what a trace says but for how long things took, and but for the order of calls side by side."""
    data = trace.model_dump()
    del data["seconds"]
    for attempt in data["attempts"]:
        del attempt["seconds"]
    data["attempts"] = sorted(data["attempts"], key=lambda attempt: (attempt["tier"], attempt["role"]))
    return data


__all__ = [
    "NAMES",
    "WAYS",
    "Bench",
    "Clock",
    "Down",
    "ListHistory",
    "Planned",
    "ScriptedPerformer",
    "acollect",
    "call",
    "drain",
    "ladder",
    "ledger_of",
    "model",
    "timeless",
]

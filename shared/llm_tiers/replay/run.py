"""Replay a table with the real flow, starter, labels and Chroma history; only model calls are looked up."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from llm_tiers.arguments import require
from llm_tiers.call.call import Call
from llm_tiers.embedding import Embedding
from llm_tiers.errors import UnknownTrace
from llm_tiers.flow.engine import Engine
from llm_tiers.flow.limits import Limits
from llm_tiers.history import ChromaHistory
from llm_tiers.ladder.tiers import Ladder, Tier
from llm_tiers.replay.comparing import comparing_once
from llm_tiers.replay.neighbours import Neighbourhood, RememberedHistory, find_neighbours
from llm_tiers.replay.performer import RecordedPerformer
from llm_tiers.replay.policies import replay_policy
from llm_tiers.replay.scores import calibration_error, cheapest_used_when_right
from llm_tiers.replay.weighing import ESTIMATOR, Weighed, weighed_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llm_tiers.history import History, Record
    from llm_tiers.replay.policies import ReplayPolicy
    from llm_tiers.replay.table import ReplayTable
    from llm_tiers.trace import Trace

__all__ = ["Order", "ReplayResult", "neighbourhood_of", "replay"]

Order = Literal["file", "shuffle"]
_BY_QUESTION = ("right", "costs", "weights")


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """What a policy reached on a table.

    Attributes:
        file: The table's path.
        embedding: Name of the table's embedding array.
        policy: Name of the policy.
        knob: The accuracy setting in use, or None where the policy has none.
        order: Whether the questions came in the file's order or shuffled.
        seed: Seed of the shuffle and of the policy.
        n: Number of questions.
        accuracy: Share of right answers, in [0, 1].
        cost_usd: What all calls cost, judges and witnesses included, in US$.
        minutes: How long the calls took one after the other; side by side the longest counts.
        starts: How many questions each tier answered first.
        finals: How many questions were answered by each tier in the end.
        judge_calls: Number of judge calls.
        witness_calls: Number of witness calls.
        cheapest_used_when_right: Of the questions in the second half of the stream that the cheapest tier gets right,
            the share on which it answered, alone or beside another; None where there are none.
        calibration_error: Of the confidence that the traces state, in the second half of the stream: how far it is from
            the share of answers that are right, or, of `doubt` and `cascade-routing`, that equal the top tier's;
            averaged over ten bins; None where nothing is stated.
        right: Whether the answer to each question is right, in the table's order.
        costs: What each question cost, in US$, in the table's order.
        weights: What each question counts, in the table's order, where they do not count alike; `accuracy` and
            `cost_usd` are then estimates for as many calls as there are questions.
    """

    file: str
    embedding: str
    policy: str
    knob: float | None
    order: Order
    seed: int
    n: int
    accuracy: float
    cost_usd: float
    minutes: float
    starts: dict[str, int]
    finals: dict[str, int]
    judge_calls: int
    witness_calls: int
    cheapest_used_when_right: float | None
    calibration_error: float | None
    right: tuple[bool, ...] = field(default=(), repr=False)
    costs: tuple[float, ...] = field(default=(), repr=False)
    weights: tuple[float, ...] = field(default=(), repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON-ready data, without the single questions."""
        data = {key: value for key, value in asdict(self).items() if key not in _BY_QUESTION}
        if not self.weights:
            return data
        right, cost = self.weighed()
        errors = {"accuracy_error": right.error, "cost_usd_error": cost.error * self.n, "worth": right.worth}
        return data | {"estimator": ESTIMATOR} | errors

    def weighed(self) -> tuple[Weighed, Weighed]:
        """Return the estimates of the share of right answers and of the cost of one call in US$, where calls weigh."""
        return weighed_mean(self.right, self.weights), weighed_mean(self.costs, self.weights)


def replay(
    table: ReplayTable,
    policy: str,
    *,
    knob: float | None = None,
    order: Order = "file",
    seed: int = 0,
    on_question: Callable[[], object] | None = None,
    neighbourhood: Neighbourhood | None = None,
    grade: bool = False,
    feedback: float = 0.0,
) -> ReplayResult:
    """Answer every question of a table, one after the other, and learn from each.

    Args:
        table: The recorded outcomes.
        policy: A name that `replay_policy` knows.
        knob: Higher is more accurate, in [0, 1]; None for the policy's default.
        order: The file's order, or `numpy.random.default_rng(seed).permutation(N)`.
        seed: Seed of the shuffle and of the policy.
        on_question: Called after each question.
        neighbourhood: What `neighbourhood_of` found for the same table, order and seed; without it, the policy looks
            up a Chroma history of its own.
        grade: Grade every tier's answer of a profiled call by the recorded truth, as `grade=` would.
        feedback: Share of the calls, drawn by lot, on which the truth of the returned answer is given as feedback.

    Raises:
        ConfigError: The policy is unknown, or the knob or the share lies outside [0, 1].
    """
    require(0 <= feedback <= 1, f"feedback={feedback} must lie in [0, 1]")
    chosen = replay_policy(policy, table, knob=knob, seed=seed)
    rows = _rows(len(table), order, seed)
    # The neighbours that are known in advance come without records that change later.
    near = None if grade or feedback or chosen.graded else neighbourhood
    with closing(_engine(table, chosen, near)) as engine:
        traces = []
        for position, row in enumerate(rows):
            # Fixed ids and times make a replay repeatable: exploration draws from the id, and ages count positions.
            call = Call(
                id=f"{seed}-{row}",
                query=str(row),
                created=float(position),
                pin=None if chosen.pins is None else table.tiers[chosen.pins[row]],
            )
            traces.append(engine.run(call, RecordedPerformer(table, row)).trace)
            if grade or chosen.graded:
                _grade(engine, table, row, call.id)
            # Drawn from the call's id, so that the same calls get feedback under every policy.
            if chosen.gets_truth or random.Random(f"feedback:{call.id}").random() < feedback:
                _give_feedback(engine, table, row, traces[-1])
            if on_question is not None:
                on_question()
    return _result(table, chosen, order, seed, rows, traces)


def _grade(engine: Engine, table: ReplayTable, row: int, trace_id: str) -> None:
    """Grade all answers of a call, if it was profiled."""
    truth = {tier: float(right) for tier, right in zip(table.tiers, table.correct[row], strict=True)}

    def graded(record: Record) -> Record:
        said = {tier: truth[tier] for tier in record.answered}
        return replace(record, grades={**record.grades, "grader": said}) if record.profiled else record

    # A call that taught nothing has no record.
    if engine.history is not None:
        with suppress(UnknownTrace):
            engine.history.revise(trace_id, graded)


def _give_feedback(engine: Engine, table: ReplayTable, row: int, trace: Trace) -> None:
    """Say whether the answer that was returned is right."""
    if engine.history is None:
        return
    # A call that taught nothing, such as one without an answer, has no record.
    with suppress(UnknownTrace):
        engine.feedback(trace.trace_id, correct=bool(table.correct[row, table.tiers.index(trace.final or "")]))


def _rows(n: int, order: Order, seed: int) -> list[int]:
    if order == "file":
        return list(range(n))
    rows: list[int] = np.random.default_rng(seed).permutation(n).tolist()
    return rows


def neighbourhood_of(table: ReplayTable, *, order: Order = "file", seed: int = 0, k: int = 40) -> Neighbourhood:
    """Find each question's nearest earlier ones with a real Chroma history, for any number of replays.

    Args:
        table: The recorded outcomes.
        order: As `replay` takes it.
        seed: As `replay` takes it.
        k: Number of neighbours: more than any policy looks at, since a question that taught nothing is no neighbour.
    """
    return find_neighbours(recorded_history(table), [str(row) for row in _rows(len(table), order, seed)], k)


def _engine(table: ReplayTable, chosen: ReplayPolicy, neighbourhood: Neighbourhood | None) -> Engine:
    tiers = [
        Tier(
            None,
            name=name,
            price=(float(table.price_in[position]), float(table.price_out[position])),
            prior=float(table.prior[position]) if chosen.uses_priors else None,
        )
        for position, name in enumerate(table.tiers)
    ]
    history: History | None = None
    if chosen.learns:
        history = (
            recorded_history(table)
            if neighbourhood is None or chosen.needs_vectors
            else RememberedHistory(neighbourhood)
        )
    return Engine(
        Ladder(tiers),
        comparing_once(chosen.policy),
        history,
        # Nobody waits for an answer, and one that came without the history would be another policy's.
        limits=Limits(history_timeout=None),
        clock=map(float, itertools.count()).__next__,
        graded=chosen.graded,
    )


def recorded_history(table: ReplayTable) -> History:
    """Return an empty Chroma history in memory that takes the embeddings of questions from the table."""
    # The bound keeps a row of zeros, an empty text, from becoming undefined.
    vectors = table.embedding / np.linalg.norm(table.embedding, axis=1, keepdims=True).clip(1e-12)
    return ChromaHistory(embedding=Embedding(lambda row: vectors[int(row)], name=f"table:{table.embedding_name}"))


def _result(
    table: ReplayTable, chosen: ReplayPolicy, order: Order, seed: int, rows: Sequence[int], traces: Sequence[Trace]
) -> ReplayResult:
    attempts = [attempt for trace in traces for attempt in trace.attempts if attempt.error is None]
    finals = [trace.final or "" for trace in traces]
    right = [bool(table.correct[row, table.tiers.index(final)]) for row, final in zip(rows, finals, strict=True)]
    # Back to the table's order, so that runs in different orders can be compared question by question.
    in_order = np.argsort(rows)
    roles = Counter(attempt.role for attempt in attempts)
    made = ReplayResult(
        file=str(table.path),
        embedding=table.embedding_name,
        policy=chosen.name,
        knob=chosen.knob,
        order=order,
        seed=seed,
        n=len(rows),
        accuracy=sum(right) / len(rows),
        cost_usd=sum(trace.cost_usd or 0.0 for trace in traces),
        minutes=sum(trace.seconds for trace in traces) / 60,
        starts=_counts(table, [trace.start or "" for trace in traces]),
        finals=_counts(table, finals),
        judge_calls=roles["judge"],
        witness_calls=roles["witness"],
        cheapest_used_when_right=cheapest_used_when_right(table, rows, traces),
        calibration_error=calibration_error(table, rows, traces, of_truth=chosen.states_right),
        right=tuple(right[place] for place in in_order),
        costs=tuple(traces[place].cost_usd or 0.0 for place in in_order),
        weights=() if table.weights is None else tuple(table.weights.tolist()),
    )
    if not made.weights:
        return made
    accuracy, cost = made.weighed()
    return replace(made, accuracy=accuracy.mean, cost_usd=cost.mean * made.n)


def _counts(table: ReplayTable, names: Sequence[str]) -> dict[str, int]:
    counts = Counter(names)
    return {tier: counts[tier] for tier in table.tiers}

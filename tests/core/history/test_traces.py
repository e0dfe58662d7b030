"""The trace of a past call, which its record brings along."""

from dataclasses import replace

import pytest
from past_calls import EMBEDDING, record

from llm_tiers import UnknownTrace
from llm_tiers.errors import HistoryError
from llm_tiers.history import ChromaHistory
from llm_tiers.history.store import facts
from llm_tiers.trace import Attempt, Grading, Trace
from llm_tiers.usage import TotalUsage

TRACE = Trace(
    trace_id="t1",
    node="n/m",
    policy="menu",
    start="small",
    reason="the rule small+medium>large, by 30 profiled calls",
    estimates={"small": 0.5, "large": 0.75},
    neighbours=3,
    attempts=(
        Attempt(
            tier="small", role="generate", verdict="invalid", by="schema", why="no JSON", seconds=0.5, cost_usd=0.25
        ),
        Attempt(tier="medium", role="generate", error="TimeoutError"),
        Attempt(tier="large", role="generate", input_tokens=9, output_tokens=3, seconds=1.5, cost_usd=0.25),
    ),
    final="large",
    confidence=0.75,
    usage=TotalUsage(input_tokens=18, output_tokens=6),
    cost_usd=0.5,
    saved_usd=-0.25,
    seconds=2.0,
    warnings=("breaker: small skipped, its breaker is open",),
)


def test_it_is_read_by_its_id(history):
    history.remember(replace(record(1, "n/m"), trace=TRACE))
    assert history.trace("t1") == TRACE
    history.flush()
    assert history.trace("t1") == TRACE


def test_it_outlives_the_process(tmp_path):
    with ChromaHistory(tmp_path, embedding=EMBEDDING) as history:
        history.remember(replace(record(1), trace=TRACE))
    with ChromaHistory(tmp_path, embedding=EMBEDDING) as history:
        assert history.trace("t1") == TRACE


@pytest.mark.parametrize("flushed", [False, True])
def test_feedback_leaves_it_and_a_grading_adds_to_it(history, flushed):
    history.remember(replace(record(1), trace=TRACE))
    graded = TRACE.with_grading(Grading(state="done", grades={"small": 0.0}, cost_usd=0.125))
    for change, trace in (
        (lambda held: {"small": False}, TRACE),
        (lambda held: replace(held, grades={}), TRACE),
        (lambda held: replace(held, trace=graded), graded),
        (lambda held: replace(held, grades={}), graded),
    ):
        if flushed:
            history.flush()
        history.revise("t1", change)
        assert history.trace("t1") == trace
    history.flush()
    assert history.trace("t1") == graded


def test_a_record_without_one(history):
    history.remember(record(1))
    assert history.trace("t1") is None
    with pytest.raises(UnknownTrace):
        history.trace("t2")


def test_what_others_said_is_kept_only_with_the_texts(place):
    told = TRACE.model_copy(
        update={
            "attempts": (Attempt(tier="small", role="generate", error="BadRequestError: the prompt was swordfish"),),
            "warnings": ("judge: ValueError: the question was swordfish",),
            "grading": Grading(
                state="done", outcomes={"small": "raised: ValueError: swordfish"}, why="failed: swordfish"
            ),
        }
    )
    with ChromaHistory(place, embedding=EMBEDDING, namespace="without") as history:
        history.remember(replace(record(1), trace=told))
        history.revise("t1", lambda held: replace(held, trace=told))
        kept = history.trace("t1")
    assert "swordfish" not in repr(kept)
    assert (kept.attempts[0].error, kept.warnings) == ("BadRequestError", ("judge: ValueError",))
    with ChromaHistory(place, embedding=EMBEDDING, namespace="with", store_text=True) as history:
        history.remember(replace(record(1), trace=told))
        assert history.trace("t1") == told


def test_a_very_long_one_is_shortened_and_can_be_read(history):
    attempts = [Attempt(tier=f"tier-{n}", role="generate", error="x" * 200, why="y" * 200) for n in range(60)]
    long = TRACE.model_copy(update={"attempts": tuple(attempts), "warnings": ("w" * 500,) * 50})
    history.remember(replace(record(1), trace=long))
    history.flush()
    kept = history.trace("t1")
    assert len(kept.model_dump_json()) < 16_000
    assert (kept.trace_id, kept.final, kept.cost_usd) == ("t1", "large", 0.5)


def test_it_takes_little_room():
    bare, whole = (facts.write(replace(record(1), trace=trace)) for trace in (None, TRACE))
    assert len(str(whole)) - len(str(bare)) < 700


@pytest.mark.parametrize("held", ["?", "no trace", 7, facts.write(replace(record(1), trace=TRACE))["trace"][:-20]])
def test_what_others_wrote_is_refused(held):
    with pytest.raises(HistoryError, match="not written by llm-tiers"):
        facts.trace_of({"trace": held})

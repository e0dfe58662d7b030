"""Opinions that LangSmith, Langfuse and MLflow keep, as feedback on a call."""

from types import SimpleNamespace

import pytest

from llm_tiers import ConfigError, FunctionJudge, UnknownTrace, feedback_from


@pytest.fixture
def answered(scripted):
    """An engine that has answered one call, `call-1`."""
    bench = scripted.Bench(scripted.Planned("small"), FunctionJudge(lambda q, a: True), history=scripted.ListHistory())
    bench.ask(scripted.ScriptedPerformer({"small": "4"}))
    return bench


RUN = SimpleNamespace(extra={"metadata": {"llm_tiers.trace_id": "call-1"}})
SPAN = {"attributes": {"langfuse.observation.metadata.llm_tiers.trace_id": '"call-1"'}}
TRACE = SimpleNamespace(
    data=SimpleNamespace(
        spans=[
            SimpleNamespace(attributes={"metadata": {"llm_tiers.trace_id": "call-1"}}),
            SimpleNamespace(attributes={}),
        ]
    )
)


@pytest.mark.parametrize(
    ("opinion", "run"),
    [
        ({"run_id": "r", "key": "correct", "score": 0.0}, RUN),
        (SimpleNamespace(run_id="r", score=False, value=None), RUN),
        ({"traceId": "t", "observationId": "r", "value": 0.0, "dataType": "BOOLEAN"}, SPAN),
        (SimpleNamespace(trace_id="r", span_id=None, run_id=None, feedback=SimpleNamespace(value=False)), TRACE),
        ({"run_id": "r", "score": 0}, "call-1"),
    ],
    ids=["langsmith dict", "langsmith", "langfuse dict", "mlflow", "the id itself"],
)
@pytest.mark.parametrize("way", ["function", "mapping"])
def test_it_reaches_the_record(answered, opinion, run, way):
    runs = {"r": run} if way == "mapping" else {"r": run}.__getitem__

    assert feedback_from(opinion, answered.engine, runs=runs) == "call-1"
    assert answered.history.records[0].grades["feedback"] == {"small": 0.0}


def test_without_runs_the_id_is_the_trace_id(answered):
    feedback_from({"run_id": "call-1", "score": 1}, answered.engine)

    assert answered.history.records[0].grades["feedback"] == {"small": 1.0}


@pytest.mark.parametrize(
    ("opinion", "runs", "says"),
    [
        ({"run_id": "r"}, {}, "no score"),
        ({"run_id": "r", "score": 7}, {}, "the score=7 must be"),
        ({"run_id": "r", "score": "good"}, {}, "the score"),
        ({"score": 1}, {}, "names no run"),
        ({"run_id": "r", "score": 1}, {}, "'r' has no metadata of a call"),
        ({"run_id": "r", "score": 1}, {"r": [RUN, {"metadata": {"llm_tiers.trace_id": "b"}}]}, "holds 2 calls"),
        (None, {}, "no score"),
    ],
)
def test_bad_input_is_named(answered, opinion, runs, says):
    with pytest.raises(ConfigError, match=says):
        feedback_from(opinion, answered.engine, runs=runs)
    assert "feedback" not in answered.history.records[0].grades


def test_a_call_that_nobody_remembers(answered):
    with pytest.raises(UnknownTrace):
        feedback_from({"run_id": "other", "score": 1}, answered.engine)


def test_of_a_trace_with_several_calls_the_span_says_which(answered):
    def span(span_id, trace_id):
        return SimpleNamespace(span_id=span_id, attributes={"metadata": {"llm_tiers.trace_id": trace_id}})

    trace = SimpleNamespace(data=SimpleNamespace(spans=[span("one", "other"), span("two", "call-1")]))
    opinion = SimpleNamespace(trace_id="t", span_id="two", run_id="r", feedback=SimpleNamespace(value=True))

    assert feedback_from(opinion, answered.engine, runs={"t": trace}) == "call-1"


def test_a_run_that_holds_itself_ends(answered):
    run = {"metadata": {}}
    run["metadata"]["metadata"] = run
    with pytest.raises(ConfigError, match="no metadata"):
        feedback_from({"run_id": "r", "score": 1}, answered.engine, runs={"r": run})

"""Verdicts, comparisons and grades as events, and the metrics."""

import pytest
from opentelemetry import trace as otel
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from llm_tiers import Attempt, Grading, Trace
from llm_tiers.telemetry.attributes import escalations
from llm_tiers.telemetry.content import SWITCH, is_told
from llm_tiers.telemetry.evaluations import comparisons_of, disagreements, verdicts_of

ANSWERS = {"small": "3?", "medium": "4", "large": "5"}
SECONDS = 30.0


def of(records, name):
    found = [dict(record.attributes) for record in records if record.attributes["gen_ai.evaluation.name"] == name]
    return {
        attributes["llm_tiers.tier"]: (
            attributes.get("gen_ai.evaluation.score.value"),
            attributes.get("gen_ai.evaluation.score.label"),
        )
        for attributes in found
    }


def test_each_verdict_is_an_event_of_the_model_call_that_it_is_about(scripted, watched, told, way):
    watched().ask(scripted.ScriptedPerformer(ANSWERS), way=way)

    assert of(told.events, "verdict") == {"small": (0.0, "invalid"), "medium": (1.0, "valid")}
    by_id = {span.context.span_id: span.name for span in told.spans}
    verdicts = [record for record in told.events if record.attributes["gen_ai.evaluation.name"] == "verdict"]
    assert [by_id[record.span_id] for record in verdicts] == ["chat small", "chat medium"]
    assert {record.event_name for record in told.events} == {"gen_ai.evaluation.result"}


def test_answers_are_compared_with_the_one_that_was_returned(scripted, watched, told):
    watched(audit=1.0).ask(scripted.ScriptedPerformer({"small": "4", "medium": "4", "large": "5"}))

    assert of(told.events, "agreement") == {"medium": (1.0, "same"), "large": (0.0, "different")}


def test_grades_are_told_when_they_are_there(scripted, watched, told):
    bench = watched(audit=1.0, grade=lambda question, answer: answer == "5")
    bench.ask(scripted.ScriptedPerformer(ANSWERS))
    assert bench.engine.flush_grades(SECONDS)

    assert of(told.events, "grade") == {"small": (0.0, None), "medium": (0.0, None), "large": (1.0, None)}
    assert told.span("grade llm-tiers").parent.span_id == told.span().context.span_id


def test_a_grading_model_is_a_model_call_as_well(scripted, watched, told):
    grader = scripted.ScriptedPerformer({}, grades={"small": "0", "medium": "1", "large": "1"})
    bench = watched(audit=1.0, grade="large", grading=grader)
    bench.ask(scripted.ScriptedPerformer(ANSWERS))
    assert bench.engine.flush_grades(SECONDS)

    (trace,) = bench.traces
    assert [leaf for leaf in told.leaves if leaf.attributes["llm_tiers.role"] == "grade"]
    assert {leaf.parent.span_id for leaf in told.leaves} == {told.span().context.span_id}
    costs = sum(leaf.attributes["gen_ai.usage.cost"] for leaf in told.leaves)
    assert costs == pytest.approx(trace.cost_usd)
    assert told.metrics["llm_tiers.cost_usd"] == pytest.approx(trace.cost_usd)
    assert told.metrics["llm_tiers.saved_usd"] == pytest.approx(trace.saved_usd)


def test_where_nobody_takes_events_the_spans_carry_them(scripted, watched, told_without_events):
    told = told_without_events
    bench = watched(of=told, audit=1.0, grade=lambda question, answer: answer == "5")
    bench.ask(scripted.ScriptedPerformer(ANSWERS))
    assert bench.engine.flush_grades(SECONDS)

    assert of(told.span().events, "verdict") == {"small": (0.0, "invalid"), "medium": (1.0, "valid")}
    assert of(told.span("grade llm-tiers").events, "grade")["large"] == (1.0, None)


def test_metrics_count_calls_escalations_and_disagreements(scripted, watched, told):
    bench = watched(audit=1.0)
    for _ in range(2):
        bench.ask(scripted.ScriptedPerformer(ANSWERS))

    assert told.metrics["llm_tiers.calls"] == 2
    assert told.metrics["llm_tiers.escalations"] == 2
    assert told.metrics["llm_tiers.disagreements"] == 4
    assert told.metrics["llm_tiers.cost_usd"] == pytest.approx(sum(trace.cost_usd for trace in bench.traces))
    assert told.metrics["llm_tiers.saved_usd"] == pytest.approx(sum(trace.saved_usd for trace in bench.traces))


TRACE = Trace(
    trace_id="a",
    policy="tested",
    start="small",
    final="large",
    attempts=(
        Attempt(tier="small", role="generate", verdict="invalid", by="prompt", why="it says Lyon"),
        Attempt(tier="medium", role="witness", verdict="uncertain", by="prompt"),
        Attempt(tier="large", role="audit"),
    ),
    grading=Grading(state="pending"),
)


def test_of_a_trace_alone():
    assert escalations(TRACE) == 1
    assert [(one.tier, one.value, one.label) for one in verdicts_of(TRACE)] == [
        ("small", 0.0, "invalid"),
        ("medium", None, "uncertain"),
    ]
    said = {"small": 0, "medium": 1, "large": 1}
    assert [(one.tier, one.label) for one in comparisons_of(TRACE, said)] == [
        ("small", "different"),
        ("medium", "same"),
    ]
    assert disagreements(TRACE, said) == 1
    assert disagreements(TRACE, {"small": 0, "medium": -1, "large": -1}) == 0


@pytest.mark.parametrize(("with_content", "words"), [(False, "prompt"), (True, "prompt: it says Lyon")])
def test_a_judges_words_are_content(with_content, words):
    first = next(verdicts_of(TRACE))

    assert first.attributes(with_content=with_content)["gen_ai.evaluation.explanation"] == words


def test_a_call_that_is_not_sampled_is_counted_all_the_same(scripted, watched, told):
    told.providers["tracer_provider"] = TracerProvider(sampler=ALWAYS_OFF)
    watched().ask(scripted.ScriptedPerformer(ANSWERS))

    assert told.spans == ()
    assert told.metrics["llm_tiers.calls"] == 1
    assert otel.get_current_span().get_span_context().is_valid is False


def test_the_switch_is_off_by_default(monkeypatch):
    monkeypatch.delenv(SWITCH, raising=False)
    assert not is_told()
    for value, anywhere, on_spans in (("true", True, True), ("event_only", True, False), ("no_content", False, False)):
        monkeypatch.setenv(SWITCH, value)
        assert (is_told(), is_told(on_spans=True)) == (anywhere, on_spans)

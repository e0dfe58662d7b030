"""The span of a call and those of the model calls in it."""

import asyncio
import contextlib
import json

import pytest
from opentelemetry import trace as otel

from llm_tiers import AllTiersFailed, ConfigError, FunctionJudge, Telemetry
from llm_tiers.telemetry.content import SWITCH
from llm_tiers.telemetry.settings import as_telemetry

ESCALATED = {"small": "3?", "medium": "4", "large": "4"}


def test_a_call_is_one_span_with_the_model_that_answered(scripted, watched, told, way):
    watched().ask(scripted.ScriptedPerformer(ESCALATED), way=way)

    span = told.span()
    assert span.attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "llm-tiers",
        "gen_ai.request.model": "llm-tiers",
        "gen_ai.response.model": "medium",
        "llm_tiers.trace_id": "call-1",
        "llm_tiers.node": "",
        "llm_tiers.policy": "tested",
        "llm_tiers.start_tier": "small",
        "llm_tiers.answered_tier": "medium",
        "llm_tiers.reason": "planned",
        "llm_tiers.escalations": 1,
        "llm_tiers.cost_usd": pytest.approx(120e-6 * 11),
        "llm_tiers.saved_usd": pytest.approx(120e-6 * 89),
        "llm_tiers.saved_is_estimate": True,
        "llm_tiers.audit": False,
        "llm_tiers.degraded": False,
    }
    assert span.status.is_ok


def test_tokens_and_costs_are_on_the_model_calls_only(scripted, watched, told, way):
    bench = watched()
    bench.ask(scripted.ScriptedPerformer(ESCALATED), way=way)

    leaves = told.leaves
    assert [span.name for span in leaves] == ["chat small", "chat medium"]
    assert {span.parent.span_id for span in leaves} == {told.span().context.span_id}
    assert {span.kind for span in leaves} == {otel.SpanKind.CLIENT}
    assert leaves[0].attributes["gen_ai.usage.input_tokens"] == 100
    assert leaves[0].attributes["gen_ai.usage.output_tokens"] == 10
    assert leaves[0].attributes["llm_tiers.role"] == "generate"
    costs = sum(span.attributes["gen_ai.usage.cost"] for span in leaves)
    assert costs == pytest.approx(told.span().attributes["llm_tiers.cost_usd"])
    assert not [name for name in told.span().attributes if "usage" in name]


def test_nothing_that_was_asked_or_answered_is_told(scripted, watched, told):
    bench = watched()
    bench.ask(scripted.ScriptedPerformer({"small": "4711?", "medium": "4711", "large": ""}), "what is 4711?")

    said = repr([(span.attributes, span.events, span.status.description) for span in told.spans])
    assert "4711" not in said + repr([record.attributes for record in told.events])


def test_the_standard_switch_tells_a_provider_s_words_on_an_error(scripted, watched, told, monkeypatch):
    monkeypatch.setenv(SWITCH, "span_only")
    with pytest.raises(AllTiersFailed):
        watched().ask(scripted.ScriptedPerformer(dict.fromkeys(ESCALATED, scripted.Down("overloaded"))))
    assert told.leaves[0].status.description == "Down: overloaded"


def test_the_standard_switch_tells_question_and_answer(scripted, watched, told, monkeypatch):
    monkeypatch.setenv(SWITCH, "span_and_event")
    watched().ask(scripted.ScriptedPerformer(ESCALATED), "what?")

    attributes = told.span().attributes
    assert json.loads(attributes["gen_ai.input.messages"])[0]["parts"] == [{"type": "text", "content": "what?"}]
    assert json.loads(attributes["gen_ai.output.messages"])[0]["parts"] == [{"type": "text", "content": "4"}]


def test_spans_made_while_a_model_is_called_belong_to_it(scripted, watched, told, way):
    def during(call):
        told.tracer.start_span("http").end()

    async def aduring(call):
        during(call)

    with told.tracer.start_as_current_span("the user's"):
        watched().ask(scripted.ScriptedPerformer({"small": "4"}, during=during, aduring=aduring), way=way)

    assert told.span("http").parent.span_id == told.span("chat small").context.span_id
    assert told.span().parent.span_id == told.span("the user's").context.span_id


def test_side_by_side_each_model_has_its_own(scripted, watched, told, way):
    def during(call):
        told.tracer.start_span(f"http {call.tier.name}").end()

    async def aduring(call):
        during(call)

    bench = watched(audit=1.0)
    bench.ask(scripted.ScriptedPerformer(ESCALATED, during=during, aduring=aduring), way=way)

    for name in ESCALATED:
        assert told.span(f"http {name}").parent.span_id == told.span(f"chat {name}").context.span_id
    assert told.span().attributes["llm_tiers.audit"] is True


def test_what_a_consumer_does_with_a_chunk_is_no_part_of_the_call(scripted, watched, told):
    bench = watched()
    with told.tracer.start_as_current_span("the user's") as mine:
        call = bench.engine.call("what?", pin="small")
        for _ in bench.engine.stream(call, scripted.ScriptedPerformer({"small": "one two"})):
            assert otel.get_current_span() is mine

    assert told.span().end_time


def test_a_provider_that_fails_costs_nobody_the_answer(scripted, watched, told, way, caplog):
    class Failing:
        def get_logger(self, *args, **kwargs):
            return self

        def emit(self, *args, **kwargs):
            raise OSError("disk on fire")

    told.providers["logger_provider"] = Failing()
    outcome = watched().ask(scripted.ScriptedPerformer(ESCALATED), way=way)

    assert outcome.answer.text == "4"
    assert "telemetry failed" in caplog.text
    assert told.span().end_time


def test_a_stream_belongs_to_where_it_was_asked_for(scripted, watched, told):
    bench = watched()
    with told.tracer.start_as_current_span("the user's"):
        call = bench.engine.call("what?")
    scripted.drain(bench.engine.stream(call, scripted.ScriptedPerformer(ESCALATED)), [])

    assert told.span().parent.span_id == told.span("the user's").context.span_id
    assert told.span("chat small").parent.span_id == told.span().context.span_id


def test_the_judge_is_asked_inside_the_call(scripted, watched, told):
    bench = scripted.Bench(
        scripted.Planned("small"),
        FunctionJudge(lambda question, answer: told.tracer.start_span("judge").end() is None),
        telemetry=told.telemetry(),
    )
    bench.ask(scripted.ScriptedPerformer({"small": "4"}))

    assert told.span("judge").parent.span_id == told.span().context.span_id


class TestEnds:
    """However a call ends, its spans do as well, and say why."""

    def test_all_tiers_failed(self, scripted, watched, told, way):
        answers = dict.fromkeys(ESCALATED, scripted.Down("overloaded"))
        with pytest.raises(AllTiersFailed):
            watched().ask(scripted.ScriptedPerformer(answers), way=way)

        assert told.span().attributes["error.type"] == "AllTiersFailed"
        assert told.span().status.status_code is otel.StatusCode.ERROR
        assert [leaf.attributes["error.type"] for leaf in told.leaves] == ["Down"] * 3
        # A provider's words may quote the question.
        assert told.leaves[0].status.description == "Down"
        assert "overloaded" not in str(told.span().status.description)

    def test_a_bug(self, scripted, watched, told, way):
        with pytest.raises(ZeroDivisionError):
            watched().ask(scripted.ScriptedPerformer({"small": ZeroDivisionError()}), way=way)

        assert told.span().attributes["error.type"] == "ZeroDivisionError"
        assert len(told.leaves) == 1

    def test_a_stream_that_is_closed(self, scripted, watched, told):
        bench = watched()
        live = bench.engine.stream(
            bench.engine.call("what?", pin="small"), scripted.ScriptedPerformer({"small": "a b"})
        )
        next(live)
        live.close()

        assert told.span().attributes["error.type"] == "GeneratorExit"
        assert told.leaves[0].attributes["error.type"] == "cancelled"

    async def test_a_stream_that_is_closed_in_asyncio(self, scripted, watched, told):
        bench = watched()
        call = bench.engine.call("what?", pin="small")
        live = bench.engine.astream(call, scripted.ScriptedPerformer({"small": "a b"}))
        await anext(live)
        await live.aclose()

        assert told.span().attributes["error.type"] == "GeneratorExit"
        assert len(told.leaves) == 1

    async def test_a_task_that_is_cancelled(self, scripted, watched, told):
        started = asyncio.Event()

        async def aduring(call):
            started.set()
            await asyncio.Event().wait()

        bench = watched()
        performer = scripted.ScriptedPerformer({"small": "4"}, aduring=aduring)
        task = asyncio.create_task(bench.engine.arun(bench.engine.call("what?"), performer))
        await started.wait()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

        assert told.span().attributes["error.type"] == "CancelledError"
        assert told.leaves[0].attributes["error.type"] == "cancelled"


def test_where_somebody_else_counts_the_tokens_there_are_no_spans_of_model_calls(scripted, watched, told):
    bench = watched()
    bench.engine.run(bench.engine.call("what?", traced=True), scripted.ScriptedPerformer(ESCALATED))

    assert [span.name for span in told.spans] == ["chat llm-tiers"]


@pytest.mark.parametrize("wanted", [True, False])
def test_the_user_has_the_last_word(scripted, watched, told, wanted):
    bench = watched(telemetry=told.telemetry(tier_spans=wanted))
    bench.engine.run(bench.engine.call("what?", traced=wanted), scripted.ScriptedPerformer(ESCALATED))

    assert len(told.leaves) == (2 if wanted else 0)


def test_nothing_is_made_where_nothing_is_configured(scripted, watched):
    seen = []

    def during(call):
        seen.append(otel.get_current_span().get_span_context().is_valid)

    bench = watched(telemetry=Telemetry())
    bench.ask(scripted.ScriptedPerformer(ESCALATED, during=during))

    assert seen == [False, False]


@pytest.mark.parametrize("given", ["yes", 1, object()])
def test_anything_else_is_refused(given):
    with pytest.raises(ConfigError, match="telemetry must be"):
        as_telemetry(given)
    with pytest.raises(ConfigError, match="tier_spans must be"):
        Telemetry(tier_spans=given)

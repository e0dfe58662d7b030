"""The engine: whole calls in each of the four ways, with history, trace hook and failures."""

import asyncio
import logging
import threading

import pytest

from llm_tiers import (
    AccuracyEstimator,
    AllTiersFailed,
    Answer,
    ConfigError,
    Engine,
    FixedStarter,
    FunctionJudge,
    Outcome,
    PromptJudge,
    TierError,
    llm_at,
)
from llm_tiers.ladder.prices import PriceBook
from llm_tiers.policies.policy import Policy

PATIENCE = 10


@pytest.fixture
def bench(scripted):
    def bench(start="small", witnesses=(), judge=None, **settings):
        starter = scripted.Planned(start, witnesses) if isinstance(start, str) else start
        return scripted.Bench(starter, judge or PromptJudge(), **settings)

    return bench


def test_the_cheapest_right_answer_is_returned_with_its_trace(scripted, bench, way):
    performer = scripted.ScriptedPerformer({"small": "5", "medium": "4"}, {"small": "no"})
    bench = bench()
    chunks, outcome = bench.ask_live(performer, way=way, node="a/b")
    assert isinstance(outcome, Outcome)
    assert (outcome.answer.text, outcome.answer.message) == ("4", "message of medium")
    assert chunks == []
    trace = outcome.trace
    assert (trace.trace_id, trace.node, trace.policy) == ("call-1", "a/b", "tested")
    assert (trace.start, trace.final, trace.reason, trace.warnings) == ("small", "medium", "planned", ())
    assert bench.traces == [trace]


def test_an_answer_that_is_not_judged_is_streamed_where_chunks_are_wanted(scripted, bench, way):
    performer = scripted.ScriptedPerformer({"large": "one two three"})
    chunks, outcome = bench("large").ask_live(performer, way=way)
    assert chunks == (["one", "two", "three"] if "stream" in way else [])
    assert outcome.answer.text == "one two three"


def test_nothing_of_a_rejected_tier_reaches_the_user(scripted, bench, way):
    performer = scripted.ScriptedPerformer(
        {"small": "wrong words", "medium": "bad words", "large": "right words"}, {"small": "no", "medium": "perhaps"}
    )
    chunks, outcome = bench().ask_live(performer, way=way)
    assert set(chunks) <= {"right", "words"}
    assert outcome.answer.message == "message of large"


def test_the_starter_learns_from_call_to_call(scripted, bench, way):
    history = scripted.ListHistory()
    bench = bench(AccuracyEstimator(k=2, theta=0.7, priors=(0.6, 0.75, 0.8), explore=0), history=history)
    performer = scripted.ScriptedPerformer({"small": "5", "medium": "4"}, {"small": "no"})
    starts = [bench.ask(performer, way=way).trace.start for _ in range(4)]
    assert starts == ["small", "small", "medium", "medium"]
    assert len(history.records) == 4


def test_nodes_learn_apart(scripted, bench):
    bench = bench(AccuracyEstimator(k=1, theta=0.7, priors=(0.6, 0.75, 0.8), explore=0), history=scripted.ListHistory())
    performer = scripted.ScriptedPerformer({"small": "5", "medium": "4"}, {"small": "no"})
    bench.ask(performer, node="sums")
    assert bench.ask(performer, node="sums").trace.start == "medium"
    assert bench.ask(performer, node="poems").trace.start == "small"


def test_similar_queries_are_told_from_others(scripted, bench):
    history = scripted.ListHistory({"2 + 2": (1, 0), "3 + 3": (0.99, 0.14), "an ode": (0, 1)})
    starter = AccuracyEstimator(k=1, theta=0.7, priors=(0.71, 0.75, 0.8), explore=0)
    bench = bench(starter, history=history)
    performer = scripted.ScriptedPerformer({"small": "5", "medium": "4"}, {"small": "no"})
    bench.ask(performer, "2 + 2")
    assert bench.ask(performer, "3 + 3").trace.start == "medium"
    other = bench.ask(performer, "an ode").trace
    assert other.start == "small"
    assert "no past query within similarity" in other.reason


class TestFailure:
    def test_where_every_tier_fails_each_error_and_the_trace_are_carried(self, scripted, bench, way):
        down = {name: scripted.Down(f"{name} is down") for name in ("small", "medium", "large")}
        bench = bench()
        with pytest.raises(AllTiersFailed) as caught:
            bench.ask(scripted.ScriptedPerformer(down), way=way)
        assert [str(error.cause) for error in caught.value.exceptions] == [f"{name} is down" for name in down]
        trace = caught.value.trace
        assert (trace.start, trace.final, trace.saved_usd) == ("small", None, None)
        assert [attempt.error for attempt in trace.attempts] == [f"Down: {name} is down" for name in down]
        assert bench.traces == [trace]

    def test_a_pin_that_fails_is_not_replaced(self, scripted, bench, way):
        bench = bench()
        performer = scripted.ScriptedPerformer({"small": "4", "medium": scripted.Down(), "large": "4"})
        with pytest.raises(AllTiersFailed) as caught:
            bench.ask(performer, way=way, pin="medium")
        assert [error.tier for error in caught.value.exceptions] == ["medium"]
        assert performer.roles == [("generate", "medium")]

    def test_where_no_tier_can_serve_there_is_a_trace_too(self, scripted, bench, way):
        tiers = scripted.ladder(**{name: {"context_window": 1} for name in scripted.NAMES[:3]})
        bench = bench(tiers=tiers)
        with pytest.raises(AllTiersFailed):
            bench.ask(scripted.ScriptedPerformer({}), way=way, tokens=2)
        (trace,) = bench.traces
        assert trace.start is None
        assert len(trace.warnings) == 3
        assert trace.cost_usd == 0

    def test_a_top_tier_that_fails_at_once_leaves_an_uncertain_answer(self, scripted, bench, way):
        answers = {"small": "4", "medium": scripted.Down(), "large": scripted.Down()}
        outcome = bench().ask(scripted.ScriptedPerformer(answers, {"small": "perhaps"}), way=way)
        assert (outcome.answer.text, outcome.trace.final) == ("4", "small")
        assert "no judge found it valid" in outcome.trace.warnings[0]

    def test_a_top_tier_that_breaks_off_is_not_patched_with_another_tiers_answer(self, scripted, bench, way):
        """Half of one answer and the whole of another would reach the user as one."""
        answers = {"small": "4", "medium": scripted.Down(), "large": scripted.Down(chunks=("half", "an"))}
        performer = scripted.ScriptedPerformer(answers, {"small": "perhaps"})
        chunks = []
        bench = bench()
        if "stream" not in way:
            assert bench.ask(performer, way=way).answer.text == "4"
            return
        with pytest.raises(AllTiersFailed) as caught:
            bench.ask_live(performer, way=way, chunks=chunks)
        assert chunks == ["half", "an"]
        assert [error.tier for error in caught.value.exceptions] == ["medium", "large"]

    def test_a_bug_of_the_performer_is_raised_and_traced(self, scripted, bench, way):
        bench = bench()
        with pytest.raises(ZeroDivisionError):
            bench.ask(scripted.ScriptedPerformer({"small": ZeroDivisionError()}), way=way)
        (trace,) = bench.traces
        assert trace.final is None
        assert trace.attempts[0].error is not None


class TestHistoryFailing:
    @pytest.mark.parametrize("step", ["recall", "remember"])
    def test_the_call_answers_and_the_trace_says_why(self, scripted, bench, way, step):
        history = scripted.ListHistory(fails_at=frozenset({step}))
        bench = bench(AccuracyEstimator(priors=(0.9, 0.9, 0.9)), history=history)
        outcome = bench.ask(scripted.ScriptedPerformer({"small": "4"}), way=way)
        assert outcome.answer.text == "4"
        assert outcome.trace.warnings == ("history: OSError: disk on fire",)
        assert bench.traces == [outcome.trace]

    def test_it_is_logged_once_however_many_calls_there_are(self, scripted, bench, caplog):
        bench = bench(AccuracyEstimator(), history=scripted.ListHistory(fails_at=frozenset({"recall", "remember"})))
        performer = scripted.ScriptedPerformer(dict.fromkeys(scripted.NAMES, "4"))
        for _ in range(5):
            assert bench.ask(performer).trace.warnings == ("history: OSError: disk on fire",)
        (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
        assert "history: OSError: disk on fire" in record.getMessage()
        assert record.name == "llm_tiers"

    def test_it_is_logged_once_though_each_failure_reads_otherwise(self, scripted, bench, caplog):
        class Numbering(scripted.ListHistory):
            failures = 0

            def remember(self, record):
                self.failures += 1
                raise OSError(f"failure {self.failures}")

        bench = bench(history=Numbering())
        traces = [bench.ask(scripted.ScriptedPerformer({"small": "4"})).trace for _ in range(3)]
        assert [trace.warnings for trace in traces] == [(f"history: OSError: failure {n}",) for n in (1, 2, 3)]
        assert len(caplog.records) == 1

    def test_another_kind_of_warning_is_logged_too(self, scripted, bench, caplog):
        history = scripted.ListHistory(fails_at=frozenset({"remember"}))
        bench = bench("medium", history=history, tiers=scripted.ladder(small={"context_window": 10}))
        performer = scripted.ScriptedPerformer({"medium": "4"})
        bench.ask(performer)
        bench.ask(performer, tokens=11)
        messages = [record.getMessage() for record in caplog.records]
        assert len(messages) == 2
        assert "history" in messages[0]
        assert "tier small skipped" in messages[1]

    def test_another_engine_says_it_again(self, scripted, bench, caplog):
        for _ in range(2):
            bench(history=scripted.ListHistory(fails_at=frozenset({"remember"}))).ask(
                scripted.ScriptedPerformer({"small": "4"})
            )
        assert len(caplog.records) == 2

    def test_without_a_history_nothing_is_remembered_and_all_is_answered(self, scripted, bench, way):
        outcome = bench().ask(scripted.ScriptedPerformer({"small": "4"}), way=way)
        assert outcome.answer.text == "4"
        assert outcome.trace.warnings == ()


class TestJudgeFailing:
    def test_a_failed_judge_escalates_with_a_warning(self, scripted, bench, way):
        performer = scripted.ScriptedPerformer(
            {"small": "4", "medium": "5"}, {"small": scripted.Down("judge is down"), "medium": "yes"}
        )
        outcome = bench().ask(performer, way=way)
        assert outcome.answer.text == "5"
        assert outcome.trace.warnings == ("judge: tier 'medium' failed: Down: judge is down",)
        assert [(a.role, a.verdict, a.error) for a in outcome.trace.attempts] == [
            ("generate", "uncertain", None),
            ("judge", None, "Down: judge is down"),
            ("generate", "valid", None),
            ("judge", None, None),
        ]

    def test_a_function_that_raises_escalates_with_a_warning(self, scripted, bench, way):
        def broken(question, answer):
            raise ValueError("no JSON")

        performer = scripted.ScriptedPerformer(dict.fromkeys(scripted.NAMES, "4"))
        outcome = bench(judge=FunctionJudge(broken)).ask(performer, way=way)
        assert outcome.trace.final == "large"
        assert outcome.trace.warnings == ("judge broken raised ValueError: no JSON",)


class TestAbstaining:
    def test_it_costs_no_judge_call(self, scripted, bench, way):
        performer = scripted.ScriptedPerformer({"small": "Abstain.", "medium": "4"})
        outcome = bench(judge=PromptJudge(offer_abstention=True)).ask(performer, way=way)
        assert outcome.answer.tier == "medium"
        assert performer.roles == [("generate", "small"), ("generate", "medium"), ("judge", "medium")]
        assert (outcome.trace.attempts[0].verdict, outcome.trace.attempts[0].by) == ("invalid", "abstained")


class TestHook:
    def test_a_hook_that_fails_costs_nobody_the_answer(self, scripted, bench, way, caplog):
        def broken(trace):
            raise ValueError("no dashboard")

        outcome = bench(hook=broken).ask(scripted.ScriptedPerformer({"small": "4"}), way=way)
        assert outcome.answer.text == "4"
        (record,) = caplog.records
        assert "on_trace failed" in record.getMessage()
        assert "no dashboard" in str(record.exc_info[1])

    def test_it_is_called_once_a_call(self, scripted, bench, way):
        bench = bench()
        for _ in range(3):
            bench.ask(scripted.ScriptedPerformer({"small": "4"}), way=way)
        assert [trace.trace_id for trace in bench.traces] == ["call-1", "call-2", "call-3"]

    def test_none_is_needed(self, scripted):
        engine = Engine(scripted.ladder(), Policy("tested", FixedStarter(), PromptJudge()))
        assert engine.run(engine.call("what?"), scripted.ScriptedPerformer({"small": "4"})).answer.text == "4"

    @pytest.mark.parametrize("role", ["generate", "judge", "witness"])
    @pytest.mark.parametrize("kind", ["arun", "astream"])
    async def test_a_call_that_is_cancelled_is_traced_and_not_remembered(self, scripted, bench, kind, role):
        entered = asyncio.Event()

        async def hold(call):
            if call.role == role:
                entered.set()
                await asyncio.Event().wait()

        bench = bench("medium", ("small",), history=scripted.ListHistory())
        performer = scripted.ScriptedPerformer(dict.fromkeys(scripted.NAMES, "4"), aduring=hold)
        engine, call = bench.engine, bench.engine.call("what?")
        run = engine.arun(call, performer) if kind == "arun" else scripted.acollect(engine.astream(call, performer), [])
        task = asyncio.create_task(run)
        async with asyncio.timeout(PATIENCE):
            await entered.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        (trace,) = bench.traces
        assert (role, "cancelled") in [(attempt.role, attempt.error) for attempt in trace.attempts]
        assert trace.final is None
        assert bench.history.records == []
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert len(performer.ended) == len(performer.calls)

    @pytest.mark.parametrize("step", ["recall", "remember"])
    async def test_a_call_that_is_cancelled_at_its_history_is_traced(self, scripted, bench, step):
        loop = asyncio.get_running_loop()
        entered, release = asyncio.Event(), threading.Event()

        def hold(now):
            if now == step:
                loop.call_soon_threadsafe(entered.set)
                release.wait(PATIENCE)

        bench = bench(AccuracyEstimator(), history=scripted.ListHistory(during=hold))
        performer = scripted.ScriptedPerformer({"small": "4"})
        task = asyncio.create_task(bench.engine.arun(bench.engine.call("what?"), performer))
        try:
            async with asyncio.timeout(PATIENCE):
                await entered.wait()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
        finally:
            release.set()
        (trace,) = bench.traces
        assert [trace.start, trace.final] == ([None, None] if step == "recall" else ["small", "small"])
        assert len(trace.attempts) == len(performer.ended) == (0 if step == "recall" else 2)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    @pytest.mark.parametrize("kind", ["run", "stream"])
    @pytest.mark.parametrize("role", ["generate", "judge"])
    def test_a_call_that_is_interrupted_is_traced_and_not_remembered(self, scripted, bench, kind, role):
        def interrupt(call):
            if call.role == role:
                raise KeyboardInterrupt

        bench = bench(history=scripted.ListHistory())
        performer = scripted.ScriptedPerformer({"small": "4"}, during=interrupt)
        with pytest.raises(KeyboardInterrupt):
            bench.ask(performer, way=kind)
        (trace,) = bench.traces
        assert trace.attempts[-1].error == "cancelled"
        assert trace.attempts[-1].role == role
        assert bench.history.records == []

    def test_a_stream_closed_half_way_is_traced_and_not_remembered(self, scripted, bench):
        bench = bench("large", history=scripted.ListHistory())
        performer = scripted.ScriptedPerformer({"large": "one two"})
        stream = bench.engine.stream(bench.engine.call("what?"), performer)
        assert next(stream) == "one"
        stream.close()
        (trace,) = bench.traces
        assert [(a.tier, a.error) for a in trace.attempts] == [("large", "cancelled")]
        assert performer.ended == performer.calls
        assert bench.history.records == []

    async def test_an_async_stream_closed_half_way_is_traced_and_not_remembered(self, scripted, bench):
        bench = bench("large", history=scripted.ListHistory())
        performer = scripted.ScriptedPerformer({"large": "one two"})
        stream = bench.engine.astream(bench.engine.call("what?"), performer)
        assert await anext(stream) == "one"
        await stream.aclose()
        (trace,) = bench.traces
        assert [(a.tier, a.error) for a in trace.attempts] == [("large", "cancelled")]
        assert performer.ended == performer.calls
        assert bench.history.records == []
        assert asyncio.all_tasks() == {asyncio.current_task()}

    def test_a_stream_that_nobody_starts_is_no_call(self, scripted, bench):
        bench = bench("large")
        bench.engine.stream(bench.engine.call("what?"), scripted.ScriptedPerformer({})).close()
        assert bench.traces == []


class TestManyCalls:
    def test_from_threads_at_once(self, scripted, bench):
        barrier = threading.Barrier(4, timeout=PATIENCE)
        bench = bench(history=scripted.ListHistory())
        performer = scripted.ScriptedPerformer({"small": "4"}, during=lambda call: barrier.wait())
        outcomes = []
        threads = [threading.Thread(target=lambda: outcomes.append(bench.ask(performer))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        assert sorted(outcome.trace.trace_id for outcome in outcomes) == [f"call-{n}" for n in range(1, 5)]
        assert all(len(outcome.trace.attempts) == 2 for outcome in outcomes)
        assert len(bench.history.records) == 4

    async def test_from_tasks_at_once(self, scripted, bench):
        barrier = asyncio.Barrier(4)

        async def meet(call):
            await barrier.wait()

        bench = bench()
        performer = scripted.ScriptedPerformer({"small": "4"}, aduring=meet)
        calls = [bench.engine.call("what?") for _ in range(4)]
        async with asyncio.timeout(PATIENCE):
            outcomes = await asyncio.gather(*(bench.engine.arun(call, performer) for call in calls))
        assert [outcome.trace.trace_id for outcome in outcomes] == [call.id for call in calls]
        assert all(len(outcome.trace.attempts) == 2 for outcome in outcomes)


class TestCall:
    def test_it_has_an_id_and_a_time(self, bench):
        bench = bench()
        bench.clock.now = 77.0
        first, second = bench.engine.call("what?", node="n"), bench.engine.call("what?")
        assert (first.id, second.id, first.created, first.node) == ("call-1", "call-2", 77.0, "n")

    def test_ids_differ_by_default(self, scripted):
        engine = Engine(scripted.ladder(), llm_at())
        ids = {engine.call("what?").id for _ in range(100)}
        assert len(ids) == 100

    def test_an_unknown_pin_is_refused_with_the_tiers_there_are(self, bench):
        with pytest.raises(
            ConfigError, match="'tiny' pins a tier that the ladder lacks; it has 'small', 'medium', 'large'"
        ):
            bench().engine.call("what?", pin="tiny")

    def test_a_pin_of_the_ladder_is_taken(self, bench):
        assert bench().engine.call("what?", pin="medium").pin == "medium"


@pytest.mark.parametrize(
    ("starter", "judge", "message"),
    [
        (FixedStarter("tiny"), PromptJudge(), "'tiny'"),
        (FixedStarter(), PromptJudge(floor="tiny"), "floor='tiny'"),
        (AccuracyEstimator(priors=(0.5,)), PromptJudge(), "priors: 1 values"),
        (AccuracyEstimator(priors={"tiny": 0.5}), PromptJudge(), "priors: .*'tiny'"),
    ],
)
def test_a_policy_that_does_not_fit_the_ladder_is_refused_before_any_call(scripted, starter, judge, message):
    with pytest.raises(ConfigError, match=message):
        Engine(scripted.ladder(), Policy("tested", starter, judge))


def test_the_users_prices_are_used(scripted, bench):
    tiers = scripted.ladder(**{name: {"price": None} for name in scripted.NAMES[:3]})
    prices = PriceBook({"small": (1000, 0), "medium": (0, 0), "large": (0, 0)})
    trace = bench(tiers=tiers, prices=prices).ask(scripted.ScriptedPerformer({"small": "4"})).trace
    assert trace.cost_usd == pytest.approx(100 * 1000 / 1e6)


def test_closing_the_engine_closes_the_history(scripted, bench):
    history = scripted.ListHistory()
    bench(history=history).engine.close()
    assert history.closed
    bench().engine.close()


def test_the_papers_policy_runs_end_to_end(scripted, way):
    history = scripted.ListHistory()
    engine_bench = scripted.Bench(llm_at().starter, llm_at().judge, history=history, missing_counts=True)
    performer = scripted.ScriptedPerformer({"small": "Abstain", "medium": "4", "large": "4"})
    for _ in range(5):
        assert engine_bench.ask(performer, way=way).trace.start == "small"
    trace = engine_bench.ask(performer, way=way).trace
    assert trace.start == "medium"
    assert trace.neighbours == 5


def test_what_the_log_says_names_no_query_and_no_answer(scripted, bench, caplog):
    caplog.set_level(logging.DEBUG)
    bench(history=scripted.ListHistory(fails_at=frozenset({"remember"}))).ask(
        scripted.ScriptedPerformer({"small": "SECRET ANSWER"}), "SECRET QUERY"
    )
    assert caplog.records
    assert "SECRET" not in caplog.text


def test_an_outcome_does_not_change(scripted, bench):
    outcome = bench().ask(scripted.ScriptedPerformer({"small": "4"}))
    with pytest.raises(AttributeError):
        outcome.answer = Answer("large", "5", "5")


def test_tier_errors_that_a_performer_raises_keep_their_cause(scripted, bench):
    cause = scripted.Down("no capacity")
    with pytest.raises(AllTiersFailed) as caught:
        bench("large").ask(scripted.ScriptedPerformer({"large": cause}), pin="large")
    (error,) = caught.value.exceptions
    assert isinstance(error, TierError)
    assert error.cause is cause

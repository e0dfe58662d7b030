"""Grading the answers of profiled calls, after the user has the answer."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading

import numpy as np
import pytest

from llm_tiers import ConfigError, FunctionJudge, Grader, Tier
from llm_tiers.call.requests import Consult
from llm_tiers.flow.consulting import Consultant
from llm_tiers.history.grades import grader_error

ANSWERS = {"small": "3", "medium": "4", "large": "4"}
SECONDS = 30.0


@pytest.fixture
def graded(scripted):
    """Run profiled calls with a grader; return the bench."""

    def graded(grade, answers=None, *, grades=None, way="run", calls=1, **settings):
        performer = scripted.ScriptedPerformer(answers or ANSWERS, grades=grades)
        bench = scripted.Bench(
            scripted.Planned("small"),
            FunctionJudge(lambda question, answer: None),
            history=scripted.ListHistory(),
            audit=settings.pop("audit", 1.0),
            grade=grade,
            grading=performer,
            **settings,
        )
        bench.performer = performer
        bench.outcomes = [bench.ask(performer, way=way) for _ in range(calls)]
        assert bench.engine.flush_grades(SECONDS)
        return bench

    return graded


def right(question, answer):
    return answer == "4"


async def right_later(question, answer):
    await asyncio.sleep(0)
    return answer == "4"


def test_all_tiers_answers_are_graded_and_kept_in_every_way(graded, way):
    bench = graded(right, way=way)
    assert bench.history.records[0].grades == {"grader": {"small": 0.0, "medium": 1.0, "large": 1.0}}
    (trace,) = bench.traces
    assert trace.grading.state == "done"
    assert trace.grading.grades == {"small": 0.0, "medium": 1.0, "large": 1.0}


def test_an_async_function_grades_in_every_way(graded, way):
    bench = graded(right_later, way=way)
    assert bench.traces[0].grading.grades == {"small": 0.0, "medium": 1.0, "large": 1.0}


def test_async_functions_share_one_event_loop_so_that_their_clients_live_on(graded):
    loops = []

    async def noted(question, answer):
        loops.append(asyncio.get_running_loop())
        return True

    graded(noted, way="arun", calls=3)
    assert len(set(loops)) == 1


def test_the_user_has_the_answer_before_anything_is_graded(scripted, way):
    let_go = threading.Event()
    bench = scripted.Bench(
        scripted.Planned("small"),
        FunctionJudge(right),
        history=scripted.ListHistory(),
        audit=1.0,
        grade=lambda question, answer: let_go.wait(SECONDS),
    )
    outcome = bench.ask(scripted.ScriptedPerformer(ANSWERS), way=way)
    assert outcome.trace.grading.state == "pending"
    assert bench.traces == []
    assert [end.grading.state for end in bench.ends] == ["pending"]
    assert not bench.engine.flush_grades(0.01)
    let_go.set()
    assert bench.engine.flush_grades(SECONDS)
    assert [trace.trace_id for trace in bench.traces] == [outcome.trace.trace_id]


def test_calls_that_are_not_profiled_are_not_graded(graded):
    bench = graded(right, audit=0.0)
    assert bench.traces[0].grading is None
    assert bench.history.records[0].grades == {}


def test_a_pinned_call_is_not_graded(scripted):
    bench = scripted.Bench(scripted.Planned("small"), FunctionJudge(right), audit=1.0, grade=right)
    bench.ask(scripted.ScriptedPerformer(ANSWERS), pin="medium")
    assert bench.traces[0].grading is None


@pytest.mark.parametrize(
    ("says", "grade"), [(True, 1.0), (False, 0.0), (0.25, 0.25), (1, 1.0), (np.float64(0.5), 0.5), (np.bool_(1), 1.0)]
)
def test_what_a_function_may_say(graded, says, grade):
    bench = graded(lambda question, answer: says)
    assert set(bench.traces[0].grading.grades.values()) == {grade}


def raising(question, answer):
    raise ValueError("no key")


def exiting(question, answer):
    raise SystemExit


@pytest.mark.parametrize(
    ("grade", "outcome"),
    [
        pytest.param(raising, "raised: ValueError: no key", id="raises"),
        pytest.param(exiting, "raised: SystemExit: ", id="exits"),
        pytest.param(lambda question, answer: "yes", "nonsense: the function returned a str", id="text"),
        pytest.param(lambda question, answer: 2.0, "nonsense: the function returned 2.0", id="two"),
        pytest.param(lambda question, answer: float("nan"), "nonsense: the function returned nan", id="nan"),
        pytest.param(lambda question, answer: None, "no opinion: the function returned None", id="none"),
    ],
)
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_function_without_a_grade_is_named_and_leaves_the_call(graded, grade, outcome, kind):
    async def later(question, answer):
        return grade(question, answer)

    bench = graded(grade if kind == "sync" else later)
    assert bench.outcomes[0].answer.text == "4"
    assert bench.traces[0].grading.outcomes == dict.fromkeys(ANSWERS, outcome)
    assert bench.traces[0].grading.state == "done"
    assert bench.history.records[0].grades == {}


def test_a_function_that_hangs_is_late_and_others_are_graded(graded):
    let_go = threading.Event()

    def hanging(question, answer):
        return answer == "4" or let_go.wait(SECONDS)

    bench = graded(Grader(hanging, timeout=0.05))
    let_go.set()
    assert bench.traces[0].grading.outcomes == {"small": "timed out: no grade within 0.05 s"}
    assert bench.history.records[0].grades == {"grader": {"medium": 1.0, "large": 1.0}}


def test_an_async_function_that_hangs_is_cancelled(graded):
    cancelled = threading.Event()

    async def hanging(question, answer):
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    bench = graded(Grader(hanging, timeout=0.05), {"small": "4", "medium": "4", "large": "4"})
    assert cancelled.wait(SECONDS)
    assert bench.traces[0].grading.outcomes["small"] == "timed out: no grade within 0.05 s"


def test_a_thread_that_cannot_be_started_does_not_count_as_running(monkeypatch):
    consult = Consultant()

    def refuse(_thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        failed = [consult(Consult(lambda: 1.0, SECONDS)).error for _ in range(10)]
    assert failed == ["raised: RuntimeError: can't start new thread"] * 10
    assert consult(Consult(lambda: 1.0, SECONDS)).value == 1.0


def test_functions_that_never_end_do_not_take_threads_without_bound(graded):
    let_go = threading.Event()
    running = []

    def hanging(question, answer):
        running.append(answer)
        let_go.wait(SECONDS)

    bench = graded(Grader(hanging, timeout=0.02), {"small": "1", "medium": "2", "large": "3"}, calls=6)
    let_go.set()
    assert len(running) == 8
    outcomes = [text for trace in bench.traces for text in trace.grading.outcomes.values()]
    assert outcomes.count("busy: 8 earlier calls of the function have not ended") == 10


def test_the_log_warns_once_for_each_kind(graded, caplog):
    with caplog.at_level(logging.WARNING, "llm_tiers"):
        graded(raising, calls=3)
    assert [record.message.partition(" (")[0] for record in caplog.records if "grade" in record.message] == [
        "grade raised: ValueError: no key"
    ]


def test_a_function_takes_messages_and_node_where_it_names_them(scripted):
    seen = []

    def noted(question, answer, *, node, messages):
        seen.append((question, answer, node, messages))

    bench = scripted.Bench(scripted.Planned("small"), FunctionJudge(right), audit=1.0, grade=noted)
    answers = scripted.ScriptedPerformer({"small": "4", "medium": "4", "large": "4"})
    bench.ask(answers, query="6 - 2?", node="sums", messages=("a message",))
    assert bench.engine.flush_grades(SECONDS)
    assert seen == [("6 - 2?", "4", "sums", ("a message",))]


def test_a_function_sees_the_context_of_the_call(scripted, way):
    tenant = contextvars.ContextVar("tenant", default=None)
    seen = set()
    tenant.set("acme")
    bench = scripted.Bench(
        scripted.Planned("small"),
        FunctionJudge(right),
        audit=1.0,
        grade=lambda question, answer: seen.add(tenant.get()),
    )
    bench.ask(scripted.ScriptedPerformer(ANSWERS), way=way)
    assert bench.engine.flush_grades(SECONDS)
    assert seen == {"acme"}


@pytest.fixture
def grader(scripted):
    return Tier(scripted.model("examiner"), price=(100.0, 200.0))


def test_a_model_grades_with_one_question_for_each_different_answer(graded, grader):
    bench = graded(grader, grades={"small": "0.25", "medium": "yes"})
    assert bench.traces[0].grading.grades == {"small": 0.25, "medium": 1.0, "large": 1.0}
    asked = [call for call in bench.performer.calls if call.role == "grade"]
    assert sorted(call.subject for call in asked) == ["medium", "small"]
    assert "what?" in asked[0].prompt.user


def test_what_grading_costs_is_in_the_trace_and_in_the_record_and_apart_from_the_call(graded, grader, scripted):
    bench = graded(grader, grades={"small": "0", "medium": "1"})
    cost = 2 * (100 * 100.0 + 10 * 200.0) / 1e6
    (trace,), (outcome,), (record,) = bench.traces, bench.outcomes, bench.history.records
    assert trace.grading.cost_usd == pytest.approx(cost)
    assert record.grading_usd == pytest.approx(cost)
    assert record.cost_usd == pytest.approx(outcome.trace.cost_usd)
    assert trace.cost_usd == pytest.approx(outcome.trace.cost_usd + cost)
    assert trace.saved_usd == pytest.approx(outcome.trace.saved_usd - cost)
    assert trace.cost_usd == pytest.approx(sum(attempt.cost_usd for attempt in trace.attempts))
    assert trace.usage.input_tokens == sum(attempt.input_tokens for attempt in trace.attempts)
    assert trace.seconds == outcome.trace.seconds
    assert [attempt.role for attempt in trace.attempts].count("grade") == 2
    assert "grade" not in [attempt.role for attempt in outcome.trace.attempts]


def test_a_grader_without_a_price_makes_the_total_unknown(graded, scripted):
    bench = graded(Tier(scripted.model("examiner")), grades={"small": "0", "medium": "1"})
    assert bench.traces[0].grading.cost_usd is None
    assert bench.traces[0].cost_usd is None
    assert bench.history.records[0].grading_usd is None


@pytest.mark.parametrize(
    "reply", ["", "2", "1.5", "-1", "nan", "yes or no", "the answer is right", "0.5/1", "1" * 300, "[" * 100_000]
)
def test_a_models_nonsense_is_named_and_not_quoted(graded, grader, reply):
    bench = graded(grader, grades={"small": reply, "medium": "1"})
    grading = bench.traces[0].grading
    assert grading.outcomes == {"small": "nonsense: the grader's reply is neither a number in [0, 1] nor yes or no"}
    assert grading.grades == {"medium": 1.0, "large": 1.0}


@pytest.mark.parametrize(
    ("reply", "grade"),
    [("**0.75**", 0.75), (" 1.0.", 1.0), (".5", 0.5), ("0", 0.0), ("No.", 0.0), ("Yes, it is.", 1.0)],
)
def test_replies_that_are_one_number_or_word(graded, grader, reply, grade):
    assert graded(grader, grades={"small": reply, "medium": "1"}).traces[0].grading.grades["small"] == grade


def test_a_model_that_fails_is_named(graded, grader, scripted):
    bench = graded(grader, grades={"small": scripted.Down("rate limit"), "medium": "1"})
    assert bench.traces[0].grading.outcomes == {"small": "failed: Down: rate limit"}
    assert bench.traces[0].grading.grades == {"medium": 1.0, "large": 1.0}


def test_a_model_that_hangs_is_waited_for_as_long_as_the_grader_says(scripted, grader):
    let_go = threading.Event()
    slow = scripted.ScriptedPerformer({}, grades={"small": "1"}, during=lambda call: let_go.wait(SECONDS))
    bench = scripted.Bench(
        scripted.Planned("small"), FunctionJudge(right), audit=1.0, grade=Grader(grader, timeout=0.05), grading=slow
    )
    bench.ask(scripted.ScriptedPerformer({"small": "4", "medium": "4", "large": "4"}), timeout=SECONDS)
    assert bench.engine.flush_grades(SECONDS)
    let_go.set()
    assert bench.traces[0].grading.outcomes["small"] == "failed: no answer within 0.05 s"


def test_a_bug_in_calling_the_model_does_not_end_the_grading_of_other_calls(graded, grader):
    bench = graded(grader, grades={"small": RuntimeError("a bug"), "medium": "1"}, calls=2)
    assert [trace.grading.state for trace in bench.traces] == ["skipped", "skipped"]
    assert bench.traces[0].grading.why == "failed: RuntimeError: a bug"


@pytest.mark.parametrize("grade", ["large", "by name", "by model's name"])
def test_a_tier_never_grades_its_own_answer(graded, scripted, grade):
    named = {
        "by name": Tier(scripted.model("other"), name="large"),
        "by model's name": Tier(scripted.model("large"), name="x"),
    }
    bench = graded(named.get(grade, grade), grades={"small": "0", "medium": "1"})
    grading = bench.traces[0].grading
    assert grading.grades == {"small": 0.0, "medium": 1.0}
    assert grading.outcomes == {"large": "own answer: a tier does not grade what it answered itself"}


def test_a_long_answer_is_read_in_part_and_the_trace_says_so(graded, grader):
    bench = graded(grader, {"small": "a" * 50_000, "medium": "4", "large": "4"}, grades={"small": "0", "medium": "1"})
    (asked,) = [call for call in bench.performer.calls if call.subject == "small" and call.role == "grade"]
    assert len(asked.prompt.user) < 33_000
    assert bench.traces[0].grading.outcomes == {
        "small": "cut: the grader read 32000 of the 50000 characters of small's answer"
    }


def test_a_tier_without_an_answer_is_graded_without_asking(graded, grader):
    bench = graded(grader, {"small": None, "medium": "4", "large": "4"}, grades={"medium": "1"})
    assert bench.traces[0].grading.grades == {"small": 0.0, "medium": 1.0, "large": 1.0}


def test_grading_stops_when_its_budget_is_spent(graded, grader):
    bench = graded(Grader(grader, max_usd=0.02), grades={"small": "0", "medium": "1"}, calls=1)
    bench.ask(bench.performer)
    assert bench.engine.flush_grades(SECONDS)
    assert [trace.grading.state for trace in bench.traces] == ["done", "skipped"]
    assert bench.traces[1].grading.why == "budget: max_usd=0.02 is spent"
    assert bench.traces[1].cost_usd == pytest.approx(bench.ends[1].cost_usd)


PAIRS = {"small": "a", "medium": "b", "large": "c"}


def test_pairs_are_graded_against_the_top_tiers_answer(graded, grader):
    bench = graded(Grader(grader, pairwise=True, both_orders=0), PAIRS, grades={"small": "no", "medium": "yes"})
    assert bench.traces[0].grading.grades == {"small": 0.0, "medium": 1.0, "large": 1.0}
    assert bench.traces[0].grading.contradicted == {}


def test_the_top_tiers_own_words_are_not_asked_about(graded, grader):
    bench = graded(Grader(grader, pairwise=True, both_orders=1), grades={"small": ["yes", "yes"]})
    assert bench.traces[0].grading.grades == {"small": 1.0, "medium": 1.0, "large": 1.0}
    assert [call.subject for call in bench.performer.calls if call.role == "grade"] == ["small", "small"]


def test_both_orders_show_the_graders_own_error(graded, grader):
    grades = {"small": ["yes", "no"], "medium": ["yes", "yes"]}
    bench = graded(Grader(grader, pairwise=True, both_orders=1), PAIRS, grades=grades)
    grading = bench.traces[0].grading
    assert grading.grades == {"small": 0.5, "medium": 1.0, "large": 1.0}
    assert grading.contradicted == {"small": True, "medium": False}
    error = grader_error(bench.history.records)
    assert (error.pairs, error.contradictory) == (2, 1)


def test_the_order_of_a_pair_is_drawn_by_lot_and_the_question_keeps_its_meaning(graded, grader):
    bench = graded(
        Grader(grader, pairwise=True, both_orders=0), PAIRS, grades={"small": "no", "medium": "no"}, calls=20
    )
    first = []
    for call in bench.performer.calls:
        if call.role == "grade":
            shown = call.prompt.user
            before = shown.index(f"\n{PAIRS[call.subject]}\n") < shown.index(f"\n{PAIRS['large']}\n")
            asked = (
                "Is answer A at least as good as answer B?" if before else "Is answer B at least as good as answer A?"
            )
            assert asked in shown
            first.append(before)
    assert 5 < sum(first) < 35


def test_without_the_top_tiers_answer_there_is_nothing_to_compare_with(graded, grader, scripted):
    bench = scripted.Bench(
        scripted.Planned("small"),
        FunctionJudge(lambda question, answer: answer == "b"),
        history=scripted.ListHistory(),
        audit=1.0,
        grade=Grader(grader, pairwise=True),
        grading=scripted.ScriptedPerformer({}),
    )
    bench.ask(scripted.ScriptedPerformer(PAIRS | {"large": scripted.Down()}))
    assert bench.engine.flush_grades(SECONDS)
    assert bench.traces[0].grading.outcomes == dict.fromkeys(
        ("small", "medium"), "no reference: large gave no answer to compare with"
    )


@pytest.mark.parametrize("reply", ["perhaps", ""])
def test_a_comparison_without_a_word_is_nonsense(graded, grader, reply):
    bench = graded(Grader(grader, pairwise=True), PAIRS, grades={"small": reply, "medium": "yes"})
    assert bench.traces[0].grading.outcomes["small"] == "nonsense: the grader's reply is neither yes nor no"


def test_grades_wait_for_no_history(scripted):
    bench = scripted.Bench(scripted.Planned("small"), FunctionJudge(right), audit=1.0, grade=right)
    bench.ask(scripted.ScriptedPerformer(ANSWERS))
    assert bench.engine.flush_grades(SECONDS)
    assert bench.traces[0].grading.grades == {"small": 0.0, "medium": 1.0, "large": 1.0}


def test_a_history_that_fails_is_named_and_the_grades_are_in_the_trace(scripted):
    history = scripted.ListHistory(fails_at=frozenset({"remember"}))
    bench = scripted.Bench(scripted.Planned("small"), FunctionJudge(right), history=history, audit=1.0, grade=right)
    bench.ask(scripted.ScriptedPerformer(ANSWERS))
    assert bench.engine.flush_grades(SECONDS)
    grading = bench.traces[0].grading
    assert grading.grades == {"small": 0.0, "medium": 1.0, "large": 1.0}
    assert grading.why.startswith("not kept: UnknownTrace")


def test_feedback_and_grades_stay_apart(graded):
    bench = graded(right)
    trace_id = bench.traces[0].trace_id
    bench.engine.feedback(trace_id, correct=True, tier="small")
    assert bench.history.records[0].grades == {
        "grader": {"small": 0.0, "medium": 1.0, "large": 1.0},
        "feedback": {"small": 1.0},
    }


def test_closing_waits_for_what_is_being_graded(scripted):
    started, let_go = threading.Event(), threading.Event()

    def slow(question, answer):
        started.set()
        let_go.wait(SECONDS)
        return True

    history = scripted.ListHistory()
    bench = scripted.Bench(scripted.Planned("small"), FunctionJudge(right), history=history, audit=1.0, grade=slow)
    bench.ask(scripted.ScriptedPerformer(ANSWERS))
    assert started.wait(SECONDS)
    closing = threading.Thread(target=bench.engine.close)
    closing.start()
    assert not history.closed
    let_go.set()
    closing.join(SECONDS)
    assert history.closed
    assert history.records[0].grades["grader"] == {"small": 1.0, "medium": 1.0, "large": 1.0}


def test_what_closing_gives_up_is_reported(scripted, caplog):
    let_go = threading.Event()
    bench = scripted.Bench(
        scripted.Planned("small"), FunctionJudge(right), audit=1.0, grade=lambda question, answer: let_go.wait(SECONDS)
    )
    for _ in range(6):
        bench.ask(scripted.ScriptedPerformer(ANSWERS))
    bench.engine.close(0.01)
    given_up = [trace.grading.why for trace in bench.traces]
    assert given_up == ["closed: the model was closed before its turn came"] * 2
    assert "grading: given up for 6 calls (4 under way), after 0.01 s" in caplog.text
    let_go.set()
    assert bench.engine.flush_grades(SECONDS)
    assert len(bench.traces) == 6


def test_the_hook_may_close_the_model(scripted):
    def hook(trace):
        closed.append(bench.engine.close())

    closed = []
    bench = scripted.Bench(scripted.Planned("small"), FunctionJudge(right), audit=1.0, grade=right, hook=hook)
    bench.ask(scripted.ScriptedPerformer(ANSWERS))
    assert bench.engine.flush_grades(SECONDS)
    assert closed == [None]


@pytest.mark.parametrize(("audit", "warned"), [(0.0, True), (0.1, False)])
def test_a_grader_that_has_nothing_to_grade_is_warned_of(scripted, caplog, audit, warned):
    scripted.Bench(scripted.Planned("small"), FunctionJudge(right), audit=audit, grade=right)
    assert ("no call is profiled" in caplog.text) is warned


def test_a_pair_that_two_tiers_share_counts_once_in_the_graders_error(graded, grader):
    answers = {"small": "a", "medium": "a", "large": "c"}
    says = {name: ["yes", "no"] for name in answers}
    bench = graded(Grader(grader, pairwise=True, both_orders=1), answers, grades=says)
    assert bench.traces[0].grading.grades == {"small": 0.5, "medium": 0.5, "large": 1.0}
    assert grader_error(bench.history.records).pairs == 1


def test_a_model_without_a_performer_is_refused(scripted, grader):
    with pytest.raises(ConfigError, match="grade: a model needs a performer"):
        scripted.Bench(scripted.Planned("small"), FunctionJudge(right), grade=grader)

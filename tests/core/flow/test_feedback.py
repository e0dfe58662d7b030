"""What a user's word on a past answer changes."""

import pytest

from llm_tiers import AccuracyEstimator, ConfigError, PromptJudge, UnknownTrace
from llm_tiers.flow.labels import after_feedback, labels_after_feedback
from llm_tiers.history.record import Record

TIERS = ("small", "medium", "large", "huge")


def record(labels, *, final, answered, agreed):
    return Record("call-1", "", 0.0, labels, answered[0], final, answered, agreed, None)


@pytest.mark.parametrize(
    ("case", "correct", "labels"),
    [
        pytest.param(
            {"final": "small", "answered": ("small",), "agreed": ("small",)}, False, {"small": False}, id="alone-wrong"
        ),
        pytest.param(
            {"final": "small", "answered": ("small",), "agreed": ("small",)},
            True,
            {"small": True, "medium": True, "large": True, "huge": True},
            id="alone-right",
        ),
        pytest.param(
            {"final": "medium", "answered": ("medium", "small"), "agreed": ("medium", "small")},
            False,
            {"small": False, "medium": False},
            id="agreed-wrong",
        ),
        pytest.param(
            {"final": "medium", "answered": ("small", "medium"), "agreed": ("medium",)},
            True,
            {"small": False, "medium": True, "large": True, "huge": True},
            id="differed-right",
        ),
        pytest.param(
            {"final": "huge", "answered": ("large", "huge"), "agreed": ("huge",)},
            False,
            {"large": False, "huge": False},
            id="top-wrong",
        ),
    ],
)
def test_what_feedback_makes_of_the_labels(case, correct, labels):
    own = TIERS.index(case["final"])
    before = dict.fromkeys(set(case["answered"]) - set(case["agreed"]), False)
    before |= dict.fromkeys((*case["agreed"], *TIERS[own:]), True)
    assert labels_after_feedback(record(before, **case), TIERS, correct=correct) == labels


def test_a_tier_above_that_was_tried_keeps_its_label():
    tried = record(
        {"small": True, "medium": False, "large": True}, final="small", answered=("small", "medium"), agreed=("small",)
    )
    assert labels_after_feedback(tried, TIERS, correct=False) == {"small": False, "medium": False}


def test_feedback_can_be_taken_back():
    wrong = record({"small": False}, final="small", answered=("small",), agreed=("small",))
    assert labels_after_feedback(wrong, TIERS, correct=True) == {"small": True}


def test_a_record_of_a_tier_that_left_the_ladder_can_still_be_revised():
    old = record({"tiny": True, "small": True}, final="tiny", answered=("tiny",), agreed=("tiny",))
    assert labels_after_feedback(old, TIERS, correct=False) == {"tiny": False, "small": True}


@pytest.fixture
def bench(scripted):
    starter = AccuracyEstimator(k=1, strength=1.0, theta=0.7, priors=(0.6, 0.65, 0.65), explore=0)
    return scripted.Bench(starter, PromptJudge(), history=scripted.ListHistory())


def test_the_next_estimate_changes(scripted, bench):
    performer = scripted.ScriptedPerformer({"small": "4", "medium": "4", "large": "4"})
    first = bench.ask(performer).trace
    second = bench.ask(performer).trace
    assert second.start == "small"
    assert second.estimates == pytest.approx({"small": 0.8, "medium": 0.825, "large": 0.825})

    bench.engine.feedback(second.trace_id, correct=False)
    bench.engine.feedback(first.trace_id, correct=False)
    third = bench.ask(performer).trace
    assert third.estimates == pytest.approx({"small": 0.3, "medium": 0.65, "large": 0.65})
    assert third.start == "medium"


def test_feedback_returns_the_record_as_it_is_now(scripted, bench):
    trace = bench.ask(scripted.ScriptedPerformer({"small": "4"})).trace
    revised = bench.engine.feedback(trace.trace_id, correct=False)
    assert (revised.id, revised.labels) == (trace.trace_id, {"small": False})
    assert bench.history.records[0].labels == {"small": False}
    assert bench.engine.feedback(trace.trace_id, correct=True).labels == {"small": True}


def test_an_unknown_id_is_an_error(bench):
    with pytest.raises(UnknownTrace, match="call-99"):
        bench.engine.feedback("call-99", correct=True)


def test_without_a_history_every_id_is_unknown(scripted):
    bench = scripted.Bench(AccuracyEstimator(), PromptJudge())
    with pytest.raises(UnknownTrace, match="'call-1' is unknown: no history is kept"):
        bench.engine.feedback("call-1", correct=True)


def profiled(final="small", said=None, **facts):
    said = said or {"small": 0, "medium": 1, "large": 1}
    agreed = tuple(name for name, number in said.items() if number == said[final])
    labels = {name: name in agreed for name in said}
    return Record("call-1", "", 0.0, labels, final, final, tuple(said), agreed, None, said=said, **facts)


def test_feedback_grades_what_was_returned_and_keeps_other_sources_apart():
    graded = after_feedback(profiled(grades={"grader": {"small": 0.25}}), TIERS, grade=1.0)
    assert graded.grades == {"grader": {"small": 0.25}, "feedback": {"small": 1.0}}
    assert graded.labels == {"small": True, "medium": False, "large": False}


def test_feedback_on_a_tiers_answer_labels_those_that_said_the_same():
    graded = after_feedback(profiled(), TIERS, grade=0.9, tier="medium")
    assert graded.grades == {"feedback": {"medium": 0.9}}
    assert graded.labels == {"small": True, "medium": True, "large": True}


def test_feedback_on_another_tiers_same_answer_is_about_the_returned_one_too():
    graded = after_feedback(profiled(final="medium"), TIERS, grade=0.0, tier="large")
    assert graded.grades == {"feedback": {"large": 0.0}}
    assert graded.labels == {"small": False, "medium": False, "large": False}


def test_a_grade_of_one_half_labels_nothing():
    before = profiled()
    graded = after_feedback(before, TIERS, grade=0.5)
    assert (graded.grades, graded.labels) == ({"feedback": {"small": 0.5}}, before.labels)


def test_feedback_on_several_answers_of_a_call_adds_up(scripted, bench):
    trace = bench.ask(scripted.ScriptedPerformer({"small": "4", "medium": "4"}, {"small": "no"})).trace
    bench.engine.feedback(trace.trace_id, correct=True)
    kept = bench.engine.feedback(trace.trace_id, correct=0.25, tier="small")
    assert kept.grades == {"feedback": {"medium": 1.0, "small": 0.25}}


def test_feedback_for_a_tier_that_did_not_answer_names_those_that_did(scripted, bench):
    trace = bench.ask(scripted.ScriptedPerformer({"small": "4"})).trace
    with pytest.raises(ConfigError, match=r"tier='huge' did not answer the call 'call-1'; .* answers of 'small'"):
        bench.engine.feedback(trace.trace_id, correct=True, tier="huge")
    assert bench.history.records[0].grades == {}


@pytest.mark.parametrize("correct", [2, -0.1, float("nan"), "yes", None, float("inf"), 10**400])
def test_feedback_that_is_no_grade_is_refused(scripted, bench, correct):
    trace = bench.ask(scripted.ScriptedPerformer({"small": "4"})).trace
    with pytest.raises(ConfigError, match=r"correct.* must be True, False or a number in"):
        bench.engine.feedback(trace.trace_id, correct=correct)


def test_feedback_on_what_is_no_tiers_name_is_refused(bench):
    with pytest.raises(ConfigError, match="tier must be the name of a tier, or None, not a int"):
        bench.engine.feedback("call-1", correct=True, tier=3)

"""What the record keeps of judges: checks of a user's function, verdicts of a model, and what these cost."""

from __future__ import annotations

import pytest

from llm_tiers import Agreement, PromptJudge, Verdict
from llm_tiers.policies import Doubt
from llm_tiers.policies.judges import Thrifty
from llm_tiers.policies.judges.judge import as_judge


def record_of(scripted, judge, answers, verdicts=None, start="small", witnesses=()):
    bench = scripted.Bench(scripted.Planned(start, witnesses), as_judge(judge), history=scripted.ListHistory())
    outcome = bench.ask(scripted.ScriptedPerformer(answers, verdicts))
    return outcome.trace, bench.history.records[0]


@pytest.mark.parametrize("right", [True, Verdict.VALID])
def test_what_a_users_function_says_is_a_check(scripted, right):
    answers = {"small": "3", "medium": "4"}
    _, record = record_of(scripted, lambda question, answer: right if answer == "4" else False, answers)
    assert record.grades == {"check": {"small": 0.0, "medium": 1.0}}
    assert (record.verdicts, record.verdict_costs) == ({}, {})


@pytest.mark.parametrize("says", [None, "no opinion"])
def test_a_function_that_does_not_decide_grades_nothing(scripted, says):
    _, record = record_of(scripted, lambda question, answer: says, {"small": "3", "medium": "4", "large": "5"})
    assert record.grades == {}


def test_a_function_within_a_composition_is_a_check_too(scripted):
    judge = Agreement() & Thrifty(lambda question, answer: answer == "4")
    _, record = record_of(scripted, judge, {"small": "4", "medium": "4"}, start="medium", witnesses=("small",))
    assert record.grades == {"check": {"medium": 1.0}}


def test_what_a_model_says_is_a_verdict_with_its_cost(scripted):
    answers, verdicts = {"small": "3", "medium": "4"}, {"small": "no", "medium": "yes"}
    trace, record = record_of(scripted, PromptJudge(), answers, verdicts)
    assert record.verdicts == {"small": False, "medium": True}
    judged = [attempt.cost_usd for attempt in trace.attempts if attempt.role == "judge"]
    assert list(record.verdict_costs.values()) == pytest.approx(judged)
    assert record.grades == {}


def test_a_model_that_leaves_it_open_costs_and_says_nothing(scripted):
    answers = {"small": "3", "medium": "4", "large": "5"}
    _, record = record_of(scripted, PromptJudge(), answers, {"small": "perhaps", "medium": scripted.Down()})
    assert record.verdicts == {}
    assert list(record.verdict_costs) == ["small"]


def test_agreement_is_no_verdict(scripted):
    answers = {"small": "4", "medium": "4"}
    _, record = record_of(scripted, Agreement() | PromptJudge(), answers, start="medium", witnesses=("small",))
    assert (record.verdicts, record.grades) == ({}, {})


def exact(question, answer):
    return answer == "4"


@pytest.mark.parametrize(
    "judge",
    [exact, Agreement() | Thrifty(exact), Doubt(judge=as_judge(exact))],
    ids=["function", "composition", "doubt"],
)
@pytest.mark.parametrize(
    "answers", [{"small": "4"}, {"small": "3", "medium": "5"}], ids=["small-stands", "top-answers"]
)
def test_on_a_profiled_call_a_function_checks_every_answer(scripted, judge, answers):
    bench = scripted.Bench(scripted.Planned("small"), as_judge(judge), history=scripted.ListHistory(), audit=1.0)
    said = {"medium": "5", "large": "4", **answers}
    bench.ask(scripted.ScriptedPerformer(said))
    assert bench.history.records[0].grades == {"check": {name: float(text == "4") for name, text in said.items()}}


def test_a_missing_answer_is_not_checked(scripted):
    bench = scripted.Bench(scripted.Planned("small"), as_judge(exact), history=scripted.ListHistory(), audit=1.0)
    bench.ask(scripted.ScriptedPerformer({"small": None, "medium": "4", "large": None}))
    assert bench.history.records[0].grades == {"check": {"medium": 1.0}}

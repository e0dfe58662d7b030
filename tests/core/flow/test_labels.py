"""What a call teaches, by the rule of LLM-AT and with the calls that teach nothing."""

import pytest

from llm_tiers import AccuracyEstimator, AllTiersFailed, Answer, PromptJudge
from llm_tiers.agreement.equality import ExactEquality
from llm_tiers.flow.labels import labels_of_call

TIERS = ("small", "medium", "large")


def said(tier, value):
    return Answer(tier, value or "", value)


@pytest.mark.parametrize(
    ("answers", "labels"),
    [
        ({"small": "4"}, {"small": True, "medium": True, "large": True}),
        ({"medium": "4"}, {"medium": True, "large": True}),
        ({"small": "5", "medium": "4"}, {"small": False, "medium": True, "large": True}),
        ({"small": "4", "medium": "4"}, {"small": True, "medium": True, "large": True}),
        ({"small": "4", "medium": "5", "large": "4"}, {"small": True, "medium": False, "large": True}),
        ({"small": None, "medium": "4"}, {"small": False, "medium": True, "large": True}),
    ],
)
def test_the_rule_with_the_last_answer_accepted(answers, labels):
    given = [said(tier, value) for tier, value in answers.items()]
    assert labels_of_call(TIERS, given, given[-1], ExactEquality().same) == labels


@pytest.mark.parametrize(
    ("answers", "labels"),
    [
        ({"small": "4", "large": "5"}, {"small": True, "large": False}),
        ({"small": "4", "large": None}, {"small": True, "large": False}),
        ({"small": "4", "medium": "4"}, {"small": True, "medium": True}),
        ({"small": "4"}, {"small": True}),
    ],
)
@pytest.mark.parametrize("assumed", [True, False])
def test_a_tier_above_that_answered_is_labelled_by_what_it_said(answers, labels, assumed):
    given = [said(tier, value) for tier, value in answers.items()]
    unasked = {tier: True for tier in TIERS if tier not in answers} if assumed else {}
    told = labels_of_call(TIERS, given, given[0], ExactEquality().same, assume_above=assumed)
    assert told == labels | unasked


def test_where_it_cannot_be_told_a_tier_above_has_no_label():
    given = [said("small", "4"), said("medium", "four")]
    assert labels_of_call(TIERS, given, given[0], lambda *_: None) == {"large": True, "small": True}


def test_a_tier_above_that_failed_has_no_label():
    given = [said("small", "4")]
    told = labels_of_call(TIERS, given, given[0], ExactEquality().same, failed={"medium"})
    assert told == {"small": True, "large": True}


def test_two_missing_answers_are_equal_in_the_papers_code_only():
    given = [said("small", None), said("large", None)]
    assert labels_of_call(TIERS, given, given[-1], ExactEquality().same) == {"small": False, "large": True}
    assert labels_of_call(TIERS, given, given[-1], ExactEquality(missing_counts=True).same) == {
        "small": True,
        "large": True,
    }


def only_record(bench):
    (record,) = bench.history.records
    return record


@pytest.fixture
def bench(scripted):
    def make(start="small", witnesses=(), **settings):
        starter = scripted.Planned(start, witnesses)
        return scripted.Bench(starter, PromptJudge(), history=scripted.ListHistory(), **settings)

    return make


def test_a_call_writes_what_it_taught(scripted, bench):
    performer = scripted.ScriptedPerformer({"small": "5", "medium": "4"}, {"small": "no", "medium": "yes"})
    bench = bench()
    bench.clock.now = 1_234.0
    outcome = bench.ask(performer, "2 + 2", node="sums")
    record = only_record(bench)
    assert record.labels == {"small": False, "medium": True, "large": True}
    assert (record.id, record.node, record.text, record.created) == ("call-1", "sums", "2 + 2", 1_234.0)
    assert (record.start, record.final) == ("small", "medium")
    assert record.answered == ("small", "medium")
    assert record.agreed == ("medium",)
    assert record.cost_usd == outcome.trace.cost_usd


def test_a_tier_passed_over_with_an_equal_answer_is_valid(scripted, bench):
    performer = scripted.ScriptedPerformer({"small": "4", "medium": "4"}, {"small": "no", "medium": "yes"})
    bench = bench()
    bench.ask(performer)
    assert only_record(bench).labels == {"small": True, "medium": True, "large": True}
    assert only_record(bench).agreed == ("small", "medium")


@pytest.mark.parametrize(("said", "label"), [("4", True), ("5", False), (None, False)])
def test_a_witness_is_labelled_by_its_answer(scripted, bench, said, label):
    performer = scripted.ScriptedPerformer({"small": said, "medium": "4"})
    bench = bench("medium", ("small",))
    bench.ask(performer)
    assert only_record(bench).labels == {"small": label, "medium": True, "large": True}


def test_a_witness_that_failed_has_no_label(scripted, bench):
    performer = scripted.ScriptedPerformer({"small": scripted.Down(), "medium": "4"})
    bench = bench("medium", ("small",))
    bench.ask(performer)
    assert only_record(bench).labels == {"medium": True, "large": True}


def test_a_tier_that_failed_has_no_label(scripted, bench):
    performer = scripted.ScriptedPerformer({"small": "5", "medium": scripted.Down(), "large": "4"}, {"small": "no"})
    bench = bench()
    bench.ask(performer)
    assert only_record(bench).labels == {"small": False, "large": True}
    assert only_record(bench).answered == ("small", "large")


def test_a_tier_that_could_not_serve_has_no_label(scripted, bench):
    tiers = scripted.ladder(large={"context_window": 10})
    performer = scripted.ScriptedPerformer({"small": "4"})
    bench = bench(tiers=tiers)
    bench.ask(performer, tokens=11)
    assert only_record(bench).labels == {"small": True, "medium": True}


def test_a_tier_below_the_start_has_no_label(scripted, bench):
    bench = bench("large")
    bench.ask(scripted.ScriptedPerformer({"large": "4"}))
    assert only_record(bench).labels == {"large": True}


def test_an_uncertain_tier_is_labelled_by_its_answer_too(scripted, bench):
    performer = scripted.ScriptedPerformer({"small": "4", "medium": "4"}, {"small": "perhaps"})
    bench = bench()
    bench.ask(performer)
    assert only_record(bench).labels["small"] is True


def test_a_pinned_call_writes_nothing(scripted, bench):
    bench = bench()
    bench.ask(scripted.ScriptedPerformer({"large": "4"}), pin="large")
    assert bench.history.records == []


def test_an_answer_that_no_judge_found_valid_writes_nothing(scripted, bench):
    performer = scripted.ScriptedPerformer(
        {"small": "4", "medium": scripted.Down(), "large": scripted.Down()}, {"small": "perhaps"}
    )
    bench = bench()
    assert bench.ask(performer).answer.text == "4"
    assert bench.history.records == []


def test_a_witness_returned_as_the_last_resort_writes_nothing(scripted, bench):
    down = scripted.Down()
    bench = bench("medium", ("small",))
    outcome = bench.ask(scripted.ScriptedPerformer({"small": "4", "medium": down, "large": down}))
    assert outcome.answer.tier == "small"
    assert bench.history.records == []


def test_a_missing_answer_of_the_top_tier_writes_nothing(scripted, bench):
    bench = bench("large")
    assert bench.ask(scripted.ScriptedPerformer({"large": None})).answer.value is None
    assert bench.history.records == []


def test_an_abstention_equals_nothing(scripted):
    starter, judge = scripted.Planned("medium", ("small",)), PromptJudge(offer_abstention=True)
    bench = scripted.Bench(starter, judge, history=scripted.ListHistory())
    bench.ask(scripted.ScriptedPerformer({"small": "Abstain", "medium": "Abstain"}))
    assert only_record(bench).labels == {"small": False, "medium": True, "large": True}


def test_a_call_without_an_answer_writes_nothing(scripted, bench):
    bench = bench("large")
    with pytest.raises(AllTiersFailed):
        bench.ask(scripted.ScriptedPerformer(dict.fromkeys(("small", "medium", "large"), scripted.Down())))
    assert bench.history.records == []


def test_in_the_papers_preset_two_missing_answers_are_equal(scripted, bench):
    performer = scripted.ScriptedPerformer(
        {"small": None, "medium": "5", "large": None}, {"small": "no", "medium": "no"}
    )
    bench = bench(missing_counts=True)
    assert bench.ask(performer).answer.value is None
    assert only_record(bench).labels == {"small": True, "medium": False, "large": True}
    assert only_record(bench).agreed == ("small", "large")


def test_the_embedding_made_at_the_start_is_kept_with_the_record(scripted):
    history = scripted.ListHistory({"what?": (3, 4)})
    bench = scripted.Bench(AccuracyEstimator(), PromptJudge(), history=history)
    bench.ask(scripted.ScriptedPerformer({"small": "4"}))
    (record,) = history.given
    assert record.vector.tolist() == pytest.approx([0.6, 0.8])

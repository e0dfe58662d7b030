"""The figures of a report: sums that can be checked by hand."""

import pytest
from seen_calls import COSTS, DAY, MONDAY, call, checked, profiled, traffic

from llm_tiers.history import ChromaHistory
from llm_tiers.ladder.tiers import Ladder, Tier
from llm_tiers.policies.guarantee import Guarantee
from llm_tiers.report import Promised, report_of
from llm_tiers.report.ladder import ladder_of
from llm_tiers.report.times import periods_of
from llm_tiers.telling.share import Share


def test_what_was_spent_is_the_cost_of_the_calls_with_grading():
    report = report_of([call(1, "small"), profiled(2, grading_usd=0.5), call(3, "small", "medium")])
    assert report.money.spent == pytest.approx(0.01 + 1.11 + 0.5 + 0.11)
    assert report.money.grading == pytest.approx(0.5)
    assert report.money.calls == report.money.priced == 3


def test_the_top_tier_alone_costs_what_it_did_and_its_usual_cost_where_it_was_not_asked():
    dear = profiled(1, costs={"small": 0.01, "medium": 0.1, "large": 3.0})
    report = report_of([dear, call(2, "small"), call(3, "small")])
    alone = report.money.alone["large"]
    assert alone.usd == pytest.approx(9.0)
    assert alone.estimated == 2
    assert report.money.saved("large") == pytest.approx(9.0 - 3.11 - 0.02)
    assert report.money.saved_share("large") == pytest.approx(5.87 / 9)


def test_the_usual_cost_is_that_of_the_node_and_of_calls_drawn_by_lot():
    hard = [call(n, "small", "medium", "large", node="hard", costs={**COSTS, "large": 9.0}) for n in range(20)]
    drawn = [profiled(100 + n, node="hard", costs={**COSTS, "large": 2.0}) for n in range(10)]
    other = [profiled(200 + n, node="easy") for n in range(10)]
    seen = ladder_of([*hard, *drawn, *other])
    assert seen.usual_at("hard", "large") == pytest.approx(2.0)
    assert seen.usual_at("easy", "large") == pytest.approx(1.0)
    assert seen.usual_at("unknown", "large") == pytest.approx(1.5)


def test_calls_without_a_known_cost_are_left_out_of_the_sums():
    report = report_of([profiled(1), call(2, "small", costs={}, cost_usd=None)])
    assert (report.money.calls, report.money.priced) == (2, 1)
    assert report.money.alone["large"].usd == pytest.approx(1.0)


def test_without_any_price_nothing_is_saved_and_nothing_fails():
    report = report_of([profiled(n, costs={}, cost_usd=None) for n in range(20)])
    assert report.money.priced == 0
    assert report.money.saved(report.top) is None


def test_the_ladder_is_that_of_the_newest_profiled_calls():
    old = [call(n, "ancient", costs={"ancient": 1.0}) for n in range(5)]
    seen = ladder_of([*old, *(profiled(10 + n) for n in range(20)), call(99, "small")])
    assert seen.names == ("small", "medium", "large")
    assert seen.former == ("ancient",)


def test_one_call_on_which_the_top_failed_does_not_shorten_the_ladder():
    assert ladder_of([profiled(1), *(call(n, "small", "medium", profiled=True) for n in range(2, 9))]).top == "large"


def test_without_profiled_calls_the_ladder_is_put_together():
    seen = ladder_of([call(1, "small", "medium"), call(2, "medium", "large"), call(3, "small")])
    assert seen.names == ("small", "medium", "large")


def test_a_node_with_a_ladder_of_its_own_is_measured_by_its_own_top():
    mine = [profiled(n, node="a") for n in range(30)]
    theirs = [
        call(100 + n, "tiny", "huge", node="b", audited=True, costs={"tiny": 0.5, "huge": 5.0}, final="huge")
        for n in range(20)
    ]
    report = report_of([*mine, *theirs])
    assert {node.name: node.ladder.top for node in report.nodes} == {"a": "large", "b": "huge"}


def test_escalated_are_the_calls_that_went_beyond_the_first_step_of_their_rule():
    first = call(1, "small", "medium", rule="small+medium>large")
    beyond = call(2, "small", "medium", "large", said=(0, 1, 2), rule="small+medium>large")
    report = report_of([first, beyond, profiled(3), call(4, "small"), call(5, "small", "medium")])
    # Of four calls that were not drawn: one by its rule, one that has none and ended above its start.
    assert report.answers.escalated.value == pytest.approx(0.5)
    assert report.answers.escalated.of == 4
    assert report.answers.profiled == 1


def test_agreement_with_the_top_is_counted_on_calls_drawn_by_lot_alone():
    calls = [profiled(1), profiled(2, (1, 0, 0)), call(3, "small", "medium", "large", said=(0, 1, 1))]
    like_top = report_of(calls).answers.like_top
    assert like_top["small"] == Share(0.5, 2)
    assert like_top["medium"] == Share(1.0, 2)
    assert "large" not in like_top


def test_sources_of_grades_are_kept_apart():
    grades = {"check": {"small": 0.0, "large": 1.0}, "feedback": {"large": 0.5}}
    found = report_of([profiled(1, grades=grades), checked(2, (1, 1, 1))]).answers
    assert found.grades["check"]["small"] == Share(0.5, 2)
    assert found.grades["feedback"] == {"large": Share(0.5, 1)}
    assert found.graded == {"check": 2, "feedback": 1}
    assert found.returned["check"] == Share(1.0, 2)


def test_confidence_is_compared_with_grades_and_not_with_equality():
    graded = [checked(n, (1, 1, n % 2), confidence=0.95) for n in range(10)]
    ungraded = [profiled(100 + n, confidence=0.2) for n in range(10)]
    found = report_of([*graded, *ungraded]).calibration
    assert found.calls == 10
    (one,) = found.bins
    assert (one.confidence, one.right.value) == (pytest.approx(0.95), 0.5)
    assert found.error == pytest.approx(0.45)
    assert report_of(ungraded).calibration is None


def test_a_step_of_time_without_a_call_is_there_too():
    calls = [call(1, "small", day=0), call(2, "medium", day=3)]
    periods = periods_of(calls, ladder_of(calls))
    assert {one.seconds for one in periods} == {6 * 3600}
    assert sum(one.money.calls for one in periods) == 2
    assert sum(not one.finals for one in periods) == len(periods) - 2
    assert periods[0].begin == MONDAY


@pytest.mark.parametrize("years", [0, 0.01, 0.1, 1, 30, 56])
def test_there_are_never_more_steps_than_a_page_can_show(years):
    calls = [call(1, "small", day=-365.25 * years), call(2, "small")]
    periods = periods_of(calls, ladder_of(calls))
    assert len(periods) <= 61
    assert sum(one.money.calls for one in periods) == 2


def test_you_are_here_is_what_the_rules_of_the_calls_reach():
    # small and medium agree wherever both are right; on the others the rule asks large, which is always right.
    calls = [checked(n, (n % 4 != 0, True, True), rule="small+medium>large") for n in range(100)]
    found = report_of(calls).frontier
    assert found.source == "check"
    assert found.graded == 1
    assert found.here.right.value == 1.0
    by_name = {rule.name: rule for rule in found.rules}
    assert by_name["small"].right.value == pytest.approx(0.75)
    assert by_name["small"].cost == pytest.approx(0.01)
    assert by_name["small+medium>large"].cost == pytest.approx(0.11 + 0.25)
    assert by_name["small+medium>large"].right.value == 1.0
    assert found.ahead == 0
    assert found.ahead_low < 0 < found.ahead_high
    assert [rule.name for rule in found.rules if rule.best] == ["small", "medium"]
    assert found.best_single.name == "medium"


def test_the_best_single_tier_is_the_top_where_nobody_graded():
    assert report_of([checked(n, (1, 1, n % 2)) for n in range(40)]).best_single == "small"
    assert report_of([profiled(n, (0, 0, n % 2)) for n in range(40)]).best_single == "large"


def test_nodes_count_by_their_calls_not_by_how_many_were_profiled():
    right = [checked(n, (1, 1, 1), node="a", rule="small") for n in range(20)]
    wrong = [checked(100 + n, (0, 1, 1), node="b", rule="small") for n in range(80)]
    more = [call(200 + n, "small", node="a", rule="small") for n in range(60)]
    assert report_of([*right, *wrong, *more]).frontier.here.right.value == pytest.approx(0.5)


def test_without_profiled_calls_there_is_no_frontier():
    assert report_of([call(n, "small", "medium") for n in range(50)]).frontier is None


def test_a_proof_is_the_certificate_that_a_guarantee_has_on_the_same_records(tmp_path):
    from llm_tiers.embedding import Embedding

    calls = [profiled(n, node="", text=str(n)) for n in range(300)]
    policy = Guarantee(0.1)
    ladder = Ladder([Tier(None, name=name) for name in COSTS], costs=COSTS)
    with ChromaHistory(embedding=Embedding(lambda _: [1.0, 0.0], name="one")) as history:
        for one in calls:
            history.remember(one)
        certificate = policy.certificate(history, ladder)
    (node,) = report_of(calls, promised=Promised(0.1)).nodes
    assert certificate is not None
    assert node.proof.rules == certificate.rules
    assert node.proof.calls == certificate.calls
    assert node.proof.since == certificate.since


def test_the_busiest_nodes_have_figures_and_the_others_are_together():
    calls = [call(n, "small", node=f"node-{n % 30}") for n in range(300)]
    nodes = report_of(calls).nodes
    assert len(nodes) == 25
    assert nodes[-1].name is None
    assert nodes[-1].nodes == 6
    assert sum(node.money.calls for node in nodes) == 300


def test_intervals_of_few_calls_are_wide_and_stay_within_bounds():
    one = Share(1.0, 1)
    assert one.low < 0.3
    assert one.high == 1.0
    assert Share(0.0, 10_000).high < 0.001
    assert Share.counted(0, 0) is None


def test_sums_of_nodes_and_of_steps_are_the_whole():
    report = report_of(traffic(400))
    assert sum(node.money.spent for node in report.nodes) == pytest.approx(report.money.spent)
    assert sum(one.money.spent for one in report.periods) == pytest.approx(report.money.spent)
    whole = report.money.alone["large"].usd
    assert sum(one.money.alone["large"].usd for one in report.periods) == pytest.approx(whole)
    assert report.last - report.first <= 15 * DAY

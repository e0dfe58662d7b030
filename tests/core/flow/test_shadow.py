"""Observing tiering: the present tier serves as before, and what tiering would have done is found out after that."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from llm_tiers import AllTiersFailed, Breaker, ConfigError, FunctionJudge, UnknownTrace
from llm_tiers.call.requests import ModelCall, Recall
from llm_tiers.flow.shadow import Shadow, shadow
from llm_tiers.flow.shadows import Budget
from llm_tiers.history.record import Recollection
from llm_tiers.policies.named import menu
from llm_tiers.policies.rollout import Rollout, as_rollout

ANSWERS = {"small": "3", "medium": "4", "large": "4"}
SECONDS = 30.0
ALL = {"ramp": 0.0, "share": 1.0}


def right(question, answer):
    return answer == "4"


@pytest.fixture
def observing(scripted):
    """Return a bench whose calls `serve` answers while a policy is observed."""

    def observing(serve="large", *, start="small", judge=right, **settings):
        rollout = Rollout(serve, **{**ALL, **settings.pop("rollout", {})})
        return scripted.Bench(
            settings.pop("starter", None) or scripted.Planned(start),
            FunctionJudge(judge),
            history=settings.pop("history", None) or scripted.ListHistory(),
            rollout=rollout,
            **settings,
        )

    return observing


def asked(bench, performer, **facts):
    outcome = bench.ask(performer, **facts)
    assert bench.engine.flush_grades(SECONDS)
    return outcome


class TestTheUser:
    def test_gets_the_answer_of_the_present_tier_live_in_every_way(self, observing, scripted, way):
        bench = observing()
        chunks, outcome = bench.ask_live(scripted.ScriptedPerformer({**ANSWERS, "large": "4 it is"}), way=way)
        assert bench.engine.flush_grades(SECONDS)
        assert outcome.answer.text == "4 it is"
        assert chunks == (["4", "it", "is"] if "stream" in way else [])
        assert [one.tier for one in outcome.trace.attempts] == ["large"]
        assert (outcome.trace.start, outcome.trace.final) == ("large", "large")
        assert outcome.trace.reason == "observed: large serves"

    def test_waits_for_nothing_but_that_tier(self, observing, scripted, way):
        served = threading.Event()
        waited = []

        def during(call):
            if call.tier.name != "large":
                waited.append(served.wait(SECONDS))

        async def aduring(call):
            during(call)

        history = scripted.ListHistory(during=lambda _: waited.append(served.wait(SECONDS)))
        bench = observing(history=history)
        outcome = bench.ask(scripted.ScriptedPerformer(ANSWERS, during=during, aduring=aduring), way=way)
        assert outcome.answer.text == "4"
        assert not waited
        served.set()
        assert bench.engine.flush_grades(SECONDS)
        assert waited
        assert all(waited)

    def test_gets_what_the_tiers_client_raises(self, observing, scripted, way):
        bench = observing()
        down = scripted.Down("overloaded", chunks=("half",) if "stream" in way else ())
        with pytest.raises(scripted.Down) as raised:
            bench.ask(scripted.ScriptedPerformer({**ANSWERS, "large": down}), way=way)
        assert raised.value is down
        assert not isinstance(raised.value, AllTiersFailed)
        assert bench.engine.flush_grades(SECONDS)
        assert bench.history.records == []
        assert [trace.final for trace in bench.traces] == [None]

    def test_sees_nothing_of_a_tier_that_fails_off_the_path(self, observing, scripted, way):
        bench = observing()
        performer = scripted.ScriptedPerformer({**ANSWERS, "small": scripted.Down()})
        outcome = asked(bench, performer, way=way)
        assert (outcome.answer.text, outcome.trace.warnings) == ("4", ())
        (record,) = bench.history.records
        assert (record.final, record.answered, record.tiered) == ("large", ("medium", "large"), "medium")

    def test_sees_nothing_of_a_bug_off_the_path(self, observing, scripted, caplog):
        bench = observing()
        outcome = asked(bench, scripted.ScriptedPerformer({**ANSWERS, "small": RuntimeError("boom")}))
        assert outcome.answer.text == "4"
        assert "observe failed: RuntimeError: boom" in caplog.text
        # It is asked all the same the next time.
        assert asked(bench, scripted.ScriptedPerformer(ANSWERS)).answer.text == "4"
        assert len(bench.traces) == 2

    def test_may_speak_before_the_record_is_there(self, observing, scripted):
        bench = observing()
        trace = bench.ask(scripted.ScriptedPerformer(ANSWERS)).trace
        record = bench.engine.feedback(trace.trace_id, correct=False)
        assert record.grades["feedback"] == {"large": 0.0}
        with pytest.raises(UnknownTrace):
            bench.engine.feedback("nobody", correct=True)

    def test_can_pin_a_tier_as_before(self, observing, scripted):
        bench = observing()
        assert asked(bench, scripted.ScriptedPerformer(ANSWERS), pin="small").trace.reason == "pinned"
        assert bench.history.records == []

    def test_gets_the_tiers_answer_whatever_its_breaker_says(self, observing, scripted):
        bench = observing("small", breaker=Breaker(failures=1))
        for _ in range(3):
            with pytest.raises(scripted.Down):
                bench.ask(scripted.ScriptedPerformer({**ANSWERS, "small": scripted.Down()}))
        assert asked(bench, scripted.ScriptedPerformer(ANSWERS)).answer.text == "3"


class TestTheRecord:
    def test_holds_what_all_tiers_said_beside_what_tiering_would_have_done(self, observing, scripted, way):
        bench = observing()
        performer = scripted.ScriptedPerformer(ANSWERS)
        asked(bench, performer, way=way)
        (record,) = bench.history.records
        assert sorted(call.tier.name for call in performer.calls) == ["large", "medium", "small"]
        assert record.said == {"small": 0, "medium": 1, "large": 1}
        assert (record.start, record.final, record.agreed) == ("large", "large", ("medium", "large"))
        assert (record.audited, record.planned, record.tiered) == (True, "small", "medium")
        # The small tier's answer is found wrong, the medium one's right, and the large tier is not needed.
        assert record.tiered_usd == pytest.approx(record.costs["small"] + record.costs["medium"])
        assert record.cost_usd == pytest.approx(sum(record.costs.values()))
        assert record.labels == {"small": False, "medium": True, "large": True}

    def test_holds_the_plan_alone_where_the_others_are_not_asked(self, observing, scripted):
        bench = observing(rollout={"share": 0.0})
        performer = scripted.ScriptedPerformer(ANSWERS)
        asked(bench, performer)
        (record,) = bench.history.records
        assert [call.tier.name for call in performer.calls] == ["large"]
        assert (record.planned, record.tiered, record.audited, record.final) == ("small", None, False, "large")
        assert (record.chance, record.complete_chance) == (1.0, 0.0)

    def test_is_made_of_a_cheap_tier_that_serves_as_well(self, observing, scripted):
        bench = observing("small", rollout={"share": 0.0})
        asked(bench, scripted.ScriptedPerformer(ANSWERS))
        (record,) = bench.history.records
        # Nobody said that its answer is right.
        assert (record.final, record.labels) == ("small", {})

    def test_keeps_nothing_where_the_served_answer_is_cut_short(self, observing, scripted, monkeypatch):
        bench = observing()
        performer = scripted.ScriptedPerformer(ANSWERS)
        reply = performer._reply
        monkeypatch.setattr(performer, "_reply", lambda call: replace(reply(call), finish="length"))
        asked(bench, performer)
        assert bench.history.records == []
        assert len(bench.traces) == 1

    def test_where_tiering_would_have_failed_says_so(self, observing, scripted):
        bench = observing("medium", judge=lambda question, answer: False)
        answers = {"small": "3", "medium": "4", "large": scripted.Down()}
        asked(bench, scripted.ScriptedPerformer(answers))
        (record,) = bench.history.records
        assert (record.planned, record.tiered, record.final) == ("small", None, "medium")

    def test_nobody_is_asked_while_a_tier_is_down(self, observing, scripted):
        bench = observing(breaker=Breaker(failures=1))
        asked(bench, scripted.ScriptedPerformer({**ANSWERS, "small": scripted.Down()}))
        performer = scripted.ScriptedPerformer(ANSWERS)
        asked(bench, performer)
        assert [call.tier.name for call in performer.calls] == ["large"]
        assert bench.history.records[-1].complete_chance == 0

    def test_is_graded_after_that(self, observing, scripted):
        bench = observing(grade=right)
        outcome = asked(bench, scripted.ScriptedPerformer(ANSWERS))
        assert bench.history.records[0].grades["grader"] == {"small": 0.0, "medium": 1.0, "large": 1.0}
        (trace,) = bench.traces
        assert trace.grading.state == "done"
        assert outcome.trace.grading is None
        # What was asked off the path is a part of what the call cost in the end.
        assert {one.tier for one in trace.attempts} == {"small", "medium", "large"}
        assert trace.cost_usd == pytest.approx(bench.history.records[0].cost_usd)

    def test_of_the_default_policy_shows_the_rule_and_leaves_learning_alone(self, observing, scripted):
        policy = menu()
        bench = observing(starter=policy.starter)
        bench.engine = bench.engine.at(policy)
        for number in range(30):
            asked(bench, scripted.ScriptedPerformer(ANSWERS), query=f"what? {number}")
        records = bench.history.records
        assert all(record.planned for record in records)
        drawn = [record for record in records if record.audited]
        assert drawn
        assert all(record.tiered for record in drawn)
        study = policy.starter.study(bench.engine.ladder)
        known = bench.history.recall("what? 1", node="", k=0, study=study).learned
        assert len(known.profile.counted) == len(drawn)
        assert known.profile.learning == 0


class TestTheFlow:
    def test_asks_the_others_only(self, scripted):
        policy = menu()
        ledger = scripted.ledger_of(policy)
        served = scripted.ScriptedPerformer(ANSWERS).generate(ModelCall(ledger.ladder.top))
        flow = shadow(policy, ledger, served, asks=True)
        assert isinstance(next(flow), Recall)
        request = flow.send(Recollection())
        assert {call.tier.name for call in request.calls} == {"small", "medium"}
        flow.close()

    def test_makes_the_plan_alone(self, scripted):
        policy = menu()
        ledger = scripted.ledger_of(policy)
        served = scripted.ScriptedPerformer(ANSWERS).generate(ModelCall(ledger.ladder.top))
        flow = shadow(policy, ledger, served, asks=False)
        next(flow)
        with pytest.raises(StopIteration) as stop:
            flow.send(Recollection())
        assert stop.value.value == Shadow()


class TestTheBudget:
    COSTS = {"small": 0.01, "medium": 0.2, "large": 1.0}  # noqa: RUF012 -- never changed

    def run(self, scripted, rollout, number=3_000):
        budget, served = Budget(rollout, self.COSTS), self.COSTS[rollout.serve]
        asking = sum(self.COSTS.values()) - served
        spent, chances = 0.0, []
        for place in range(number):
            drawn, chance = budget.draw(scripted.call(id=f"c{place}"))
            budget.charge(served, asking if drawn else None, asked=drawn)
            spent += asking if drawn else 0.0
            chances.append(chance)
        return spent, chances

    @pytest.mark.parametrize("share", [0.05, 0.2])
    @pytest.mark.parametrize("serve", ["small", "medium", "large"])
    def test_asking_costs_the_share_of_what_is_served(self, scripted, share, serve):
        spent, chances = self.run(scripted, Rollout(serve, share=share))
        cost = self.COSTS[serve]
        credit = 6 * (sum(self.COSTS.values()) - cost)
        assert 0.8 * share * 3_000 * cost - credit <= spent <= share * 3_000 * cost + credit
        assert all(0 <= chance <= 1 for chance in chances)

    def test_an_assumed_cost_that_is_far_too_high_does_not_stop_it(self, scripted):
        budget = Budget(Rollout("large", share=0.3), self.COSTS)
        asked = 0
        for place in range(400):
            drawn, _ = budget.draw(scripted.call(id=f"c{place}"))
            asked += drawn
            budget.charge(0.01, 0.0021 if drawn else None, asked=drawn)
        # A third of 4 US$ pays for all of them.
        assert asked > 380

    def test_what_is_under_way_counts_as_spent(self, scripted):
        budget = Budget(Rollout("large", share=1.0, most_usd=1.0), self.COSTS)
        drawn = [budget.draw(scripted.call(id=f"c{place}"))[0] for place in range(20)]
        assert sum(drawn) == 4

    def test_where_it_pays_every_call_is_asked(self, scripted):
        assert min(self.run(scripted, Rollout("large", share=1.0), 50)[1]) == 1.0

    def test_the_bound_in_dollars_holds(self, scripted):
        spent, chances = self.run(scripted, Rollout("large", share=1.0, most_usd=2.0))
        assert 1.5 < spent <= 2.0
        assert chances[-1] == 0

    def test_nothing_is_asked_for_nothing(self, scripted):
        assert self.run(scripted, Rollout("large", share=0.0))[0] == 0
        assert self.run(scripted, Rollout("large", most_usd=0.0))[0] == 0


class TestTheRamp:
    def tiered(self, scripted, ramp, conversations=2_000):
        rollout = Rollout("large", ramp=ramp)
        calls = [scripted.call(conversation=f"thread:{number}", id=f"c{number}") for number in range(conversations)]
        return {one.conversation for one in calls if rollout.is_tiered(one)}

    def test_takes_its_share_and_keeps_it_as_it_grows(self, scripted):
        tenth, half = self.tiered(scripted, 0.1), self.tiered(scripted, 0.5)
        assert len(tenth) / 2_000 == pytest.approx(0.1, abs=0.03)
        assert tenth < half
        assert self.tiered(scripted, 0.0) == set()
        assert len(self.tiered(scripted, 1.0)) == 2_000

    def test_a_conversation_is_tiered_as_a_whole_and_the_others_are_served(self, observing, scripted):
        bench = observing(rollout={"ramp": 0.5})
        by_thread = {}
        for thread in [*range(12)] * 3:
            trace = asked(bench, scripted.ScriptedPerformer(ANSWERS), conversation=f"thread:{thread}").trace
            by_thread.setdefault(thread, set()).add((trace.start, trace.final))
        assert set(map(frozenset, by_thread.values())) == {
            frozenset({("large", "large")}),
            frozenset({("small", "medium")}),
        }
        # One history: what was observed and what was tiered.
        assert {record.planned is None for record in bench.history.records} == {True, False}


class TestArguments:
    NAMES = ("small", "medium", "large")

    def test_without_a_mode_every_call_is_tiered(self):
        assert as_rollout(self.NAMES) is None
        assert as_rollout(self.NAMES, mode="tier") is None

    def test_the_top_serves_by_default(self):
        assert as_rollout(self.NAMES, mode="observe") == Rollout("large", 0.0, 0.2, None)

    @pytest.mark.parametrize(
        ("given", "says"),
        [
            ({"mode": "watch"}, "mode='watch' is unknown; there are 'tier', 'observe'"),
            ({"mode": 3}, "mode=3 is unknown"),
            ({"mode": "observe", "serve": "gpt"}, "serve='gpt' must name the tier .* 'small', 'medium', 'large'"),
            ({"mode": "observe", "serve": ["large"]}, "serve=.* must name the tier"),
            ({"mode": "observe", "ramp": 1.5}, r"ramp=1.5 must lie in \[0, 1\]; 0.1 tiers"),
            ({"mode": "observe", "ramp": -0.1}, r"ramp=-0.1 must lie in \[0, 1\]"),
            ({"mode": "observe", "ramp": float("nan")}, "ramp=nan must lie in"),
            ({"mode": "observe", "ramp": True}, "ramp=True must be a number"),
            ({"mode": "observe", "ramp": "0.1"}, "ramp='0.1' must be a number"),
            ({"mode": "observe", "observe_share": 2}, "observe_share=2 must lie in"),
            ({"mode": "observe", "observe_usd": -1}, "observe_usd=-1 must be 0 or more US"),
            ({"mode": "observe", "observe_usd": float("inf")}, "observe_usd=inf must be"),
            ({"serve": "large"}, "serve='large' needs mode='observe'"),
            ({"mode": "tier", "ramp": 0.1}, "ramp=0.1 needs mode='observe'"),
            ({"observe_share": 0.1}, "observe_share=0.1 needs mode='observe'"),
        ],
    )
    def test_a_wrong_one_is_named_with_the_fix(self, given, says):
        with pytest.raises(ConfigError, match=says):
            as_rollout(self.NAMES, **given)

"""Waiting no longer than a time-out, and a call no longer than its deadline."""

import threading

import pytest

from llm_tiers import AllTiersFailed, ConfigError, FixedStarter, PromptJudge
from llm_tiers.call.requests import ModelCall
from llm_tiers.flow.attempt import Attempt
from llm_tiers.flow.deadline import Busy, Deadline, Late, TooLate, within
from llm_tiers.flow.limits import DEADLINE, Limits
from llm_tiers.policies.policy import Policy


@pytest.fixture
def bench(scripted):
    def bench(**limits):
        made = scripted.Bench(FixedStarter("small"), PromptJudge())
        made.engine._limits, made.engine._monotonic = Limits(**limits), scripted.Clock()
        return made

    return bench


def takes(bench, seconds):
    def during(call):
        bench.engine._monotonic.now += seconds

    async def aduring(call):
        during(call)

    return {"during": during, "aduring": aduring}


def test_after_the_deadline_no_tier_is_asked(scripted, bench, way):
    bench = bench()
    performer = scripted.ScriptedPerformer({"small": scripted.Down(), "medium": "4"}, **takes(bench, DEADLINE + 1))
    with pytest.raises(AllTiersFailed) as failure:
        bench.ask(performer, way=way)
    assert performer.roles == [("generate", "small")]
    assert failure.value.trace.warnings == (
        "deadline: medium was not asked, deadline=900 s is over",
        "deadline: large was not asked, deadline=900 s is over",
    )


def test_an_answer_that_came_in_time_stands_in(scripted, bench, way):
    bench = bench(deadline=10)
    performer = scripted.ScriptedPerformer({"small": "4", "medium": "4"}, {"small": "perhaps"}, **takes(bench, 6))
    outcome = bench.ask(performer, way=way)
    assert (outcome.answer.text, outcome.trace.degraded) == ("4", True)


def test_without_a_deadline_the_call_takes_its_time(scripted, bench, way):
    bench = bench(deadline=None)
    performer = scripted.ScriptedPerformer({"small": scripted.Down(), "medium": "4"}, **takes(bench, 10_000))
    assert bench.ask(performer, way=way).answer.text == "4"


def test_late_work_is_counted_until_it_ends():
    late, release = Late(1), threading.Event()
    # Tests before this one may have left models that hang for good.
    before = set(threading.enumerate())
    with pytest.raises(TooLate):
        within(0.01, release.wait, late)
    assert len(late) == 1
    with pytest.raises(Busy, match="1 earlier calls have not ended"):
        late.check()
    release.set()
    for thread in set(threading.enumerate()) - before:
        if thread.name == "llm-tiers-deadline":
            thread.join(10)
    late.check()


def test_a_time_out_inside_the_work_is_the_works_own():
    def work():
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own") as error:
        within(60, work)
    assert not isinstance(error.value, TooLate)


def test_how_long_is_waited_for_a_tier(scripted):
    def waits(limits, timeout=None, at=0.0):
        clock = scripted.Clock()
        ledger = scripted.ledger_of(Policy("x", FixedStarter("small"), PromptJudge()))
        ledger.limits, ledger.deadline = limits, Deadline(limits.deadline, clock)
        clock.now += at
        (tier, *_) = scripted.ladder(small={"timeout": timeout})
        attempt = Attempt(ModelCall(tier), ledger, 0)
        return attempt.seconds, attempt.thread_seconds

    assert waits(Limits()) == (300, None)
    assert waits(Limits(), timeout=7) == (7, 7)
    assert waits(Limits(deadline=10)) == (10, 10)
    assert waits(Limits(deadline=10), timeout=7, at=4) == (6, 6)
    assert waits(Limits(deadline=None), timeout=float("inf")) == (None, None)


@pytest.mark.parametrize("wrong", [0, -1, "fast", True])
def test_a_deadline_that_is_none_is_refused(wrong):
    with pytest.raises(ConfigError, match="deadline"):
        Limits(deadline=wrong)

"""Guarantees through the real flow and a real history: earned, used, audited, withdrawn, earned again, found again."""

import itertools
import random
from contextlib import closing
from dataclasses import replace

import pytest

from llm_tiers import (
    SMART,
    Answer,
    ChromaHistory,
    ConfigError,
    Embedding,
    Engine,
    Guarantee,
    Ladder,
    Policy,
    PromptJudge,
    Tier,
    TierError,
    Usage,
)
from llm_tiers.flow.limits import Limits
from llm_tiers.history.record import Record
from llm_tiers.policies.graders import as_grader
from llm_tiers.policies.guarantee.standing import Promise
from llm_tiers.policies.guarantee.study import StandingOf
from llm_tiers.policies.named import as_policy

NAMES = ("small", "medium", "large")


class World:
    """Tiers that differ from the top tier on a share of the questions, by lot; the shares may change."""

    def __init__(self, small=0.02, medium=0.01, top_wrong=0.0):
        self.shares = {"small": small, "medium": medium, "large": 0.0}
        self.top_wrong = top_wrong
        self.down = ()

    def generate(self, call):
        name = call.tier.name
        if name in self.down:
            raise TierError(name, "down")
        lot = random.Random(f"{name}:{self.now}").random()
        text = f"answer {name}" if lot < self.shares[name] else "answer"
        return Answer(name, text, text, Usage(1_000_000, 0), seconds=0.0)

    def stream(self, call):
        yield from ()
        return self.generate(call)


def engine_of(policy, history=None, *, grade=None, priced=True):
    tiers = [
        Tier(None, name=name, price=(4.0**place, 4.0**place) if priced or name != "large" else None)
        for place, name in enumerate(NAMES)
    ]
    flat = Embedding(lambda _text: [1.0, 0.0], name="flat")
    clock = map(float, itertools.count()).__next__
    return Engine(
        Ladder(tiers),
        as_policy(policy),
        history or ChromaHistory(embedding=flat),
        clock=clock,
        grader=as_grader(grade),
        limits=Limits(history_timeout=None),
        on_trace=lambda _trace: None,
    )


def ask(engine, world, calls, *, start=0, node=""):
    traces = []
    for number in range(start, start + calls):
        world.now = number
        call = engine.call(f"question {number}", node=node)
        call = type(call)(id=f"call-{number}", query=call.query, node=node, created=float(number))
        traces.append(engine.run(call, world).trace)
    return traces


def asked(trace):
    return sorted({attempt.tier for attempt in trace.attempts}, key=NAMES.index)


def test_a_certificate_is_earned_and_the_cheap_tier_answers():
    world = World()
    with closing(engine_of(Guarantee(0.2, expected_calls=3_000))) as engine:
        traces = ask(engine, world, 400)
        held = engine.certificate()
    assert asked(traces[0]) == list(NAMES)
    assert traces[0].final == "large"
    assert traces[0].certificate is None
    assert traces[0].reason.startswith("profiling: 0 calls so far")
    # Certified: the small tier answers alone, but for audits.
    assert sum(trace.final == "small" for trace in traces[-100:]) > 85
    assert traces[-1].certificate == held
    assert held.rules.keys() >= {"small"}
    assert held.sources == {"equality": held.calls}
    assert (held.delta, held.confidence, held.of) == (0.2, 0.95, "equality")
    assert 0 < held.since < 400


def test_nodes_earn_their_own_certificates():
    world = World()
    with closing(engine_of(Guarantee(0.2, expected_calls=3_000))) as engine:
        ask(engine, world, 200, node="a/b")
        assert engine.certificate("a/b") is not None
        assert engine.certificate("a") is None
        assert engine.certificate("c") is None


def test_where_cheaper_tiers_differ_too_often_few_calls_leave_the_top():
    world = World(small=0.6, medium=0.5)
    with closing(engine_of(Guarantee(0.05, expected_calls=3_000))) as engine:
        traces = ask(engine, world, 400)
    assert sum(trace.final == "large" for trace in traces[100:]) / 300 > 0.85


def test_drift_withdraws_the_certificate_and_it_is_earned_again():
    world = World()
    with closing(engine_of(Guarantee(0.2))) as engine:
        ask(engine, world, 400)
        assert engine.certificate() is not None
        world.shares |= {"small": 0.9}
        traces = ask(engine, world, 1_500, start=400)
        again = engine.certificate()
    warned = [place for place, trace in enumerate(traces) if any("withdrawn" in text for text in trace.warnings)]
    assert warned[0] < 800
    event = traces[warned[0]]
    assert event.certificate is None
    assert event.final == "large"
    # The medium tier still does, so it is earned again, from what came after.
    assert again is not None
    assert again.since > 400 + warned[0]
    assert "medium" in "".join(again.rules)


def test_a_grade_that_comes_after_its_call_withdrew_the_certificate_changes_nothing():
    study = StandingOf(NAMES, (1.0, 4.0, 16.0), Promise(0.2, 0.05, 3_000), "equality", "")
    said = dict.fromkeys(NAMES, 0)
    last = Record("1", "", 7.0, {}, "large", "large", NAMES, NAMES, None, said=said, audited=True)
    withdrawn = replace(study.start(), began=7.0, withdrawals=1)
    revised = study.revise(withdrawn, last, replace(last, said={**said, "small": 1}))
    assert revised.counts.min() == 0
    assert revised.profiled == 0


def says_what_is_right(_question, answer):
    return answer == "answer"


def test_a_judge_that_knows_lets_a_tier_answer_that_often_errs():
    world = World(small=0.4, medium=0.4)
    promise = Guarantee(0.1, expected_calls=3_000, judge=says_what_is_right)
    with closing(engine_of(promise)) as engine:
        ask(engine, world, 500)
        held = engine.certificate()
        traces = ask(engine, world, 200, start=500)
    assert any("small?" in name for name in held.rules)
    # What the judge finds wrong is never returned.
    assert not any(
        attempt.verdict == "invalid" for trace in traces for attempt in trace.attempts if attempt.tier == trace.final
    )
    assert sum(trace.final == "small" for trace in traces) > 50


def test_a_judge_who_is_always_wrong_earns_nothing():
    world = World(small=0.4, medium=0.4)

    def wrong(question, answer):
        return not says_what_is_right(question, answer)

    with closing(engine_of(Guarantee(0.1, expected_calls=3_000, judge=wrong))) as engine:
        ask(engine, world, 500)
        held = engine.certificate()
    assert held is None or not any("?" in name for name in held.rules)


class Judging(World):
    """Tiers that also judge: they say yes to everything, or fail."""

    fails = False

    def generate(self, call):
        if call.role != "judge":
            return super().generate(call)
        if self.fails:
            raise TierError(call.tier.name, "down")
        return Answer(call.tier.name, "yes", None, Usage(500_000, 0), seconds=0.0)


def test_verdicts_on_profiled_calls_are_paid_and_end_where_they_buy_nothing():
    promise = Guarantee(0.1, expected_calls=3_000, judge=PromptJudge(model="medium"))
    with closing(engine_of(promise)) as engine:
        traces = ask(engine, Judging(small=0.5, medium=0.5), 600)
    judged = [trace for trace in traces if any(attempt.role == "judge" for attempt in trace.attempts)]
    # All three tiers, and two verdicts of half an answer of the medium tier each.
    assert traces[0].cost_usd == pytest.approx(1 + 4 + 16 + 2 * 2)
    assert traces[0].final == "large"
    # A judge that says yes to everything makes nothing cheaper.
    last = max(traces.index(trace) for trace in judged)
    assert last < 200
    assert sum(len(asked(trace)) == 3 for trace in traces[last + 1 :]) > 10


def test_a_judge_that_fails_proves_nothing_and_costs_no_answer():
    world = Judging(small=0.0, medium=0.0)
    world.fails = True
    with closing(engine_of(Guarantee(0.1, expected_calls=3_000, judge=PromptJudge(model="medium")))) as engine:
        traces = ask(engine, world, 300)
        held = engine.certificate()
    assert all(trace.final for trace in traces)
    assert "small" in held.rules


@pytest.mark.parametrize("down", [("large",), ("medium", "large")])
def test_with_a_judge_a_lower_answer_is_returned_where_the_top_tier_fails_on_a_profiled_call(down):
    world = Judging(small=0.0, medium=0.0)
    world.down = down
    with closing(engine_of(Guarantee(0.1, expected_calls=3_000, judge=PromptJudge()))) as engine:
        (trace,) = ask(engine, world, 1)
    assert trace.final in ("small", "medium")


def test_a_judge_beside_a_guarantee_is_refused():
    with pytest.raises(ConfigError, match=r"Guarantee\(judge="):
        as_policy(Guarantee(0.1), judge=says_what_is_right)
    with pytest.raises(ConfigError, match="judge"):
        Guarantee(0.1, judge=3)


def test_a_promise_that_the_top_tier_mostly_keeps_by_itself_is_watched_closely_too():
    # Two calls in ten may go to the small tier, whose answers then all become wrong.
    world = World(small=0.4, medium=1.0)
    with closing(engine_of(Guarantee(0.1, expected_calls=3_000))) as engine:
        ask(engine, world, 1_000)
        assert "large" in engine.certificate().rules
        world.shares |= {"small": 1.0}
        traces = ask(engine, world, 500, start=1_000)
    assert any("withdrawn" in text for trace in traces for text in trace.warnings)


def test_a_restart_changes_nothing(tmp_path):
    flat = Embedding(lambda _text: [1.0, 0.0], name="flat")
    promise = Guarantee(0.2, expected_calls=3_000)
    with closing(engine_of(promise, ChromaHistory(tmp_path / "one", embedding=flat))) as engine:
        through = ask(engine, World(), 300)
    for first, count in ((0, 55), (55, 145), (200, 100)):
        with closing(engine_of(promise, ChromaHistory(tmp_path / "two", embedding=flat))) as engine:
            for trace in ask(engine, World(), count, start=first):
                whole = through[int(trace.trace_id.removeprefix("call-"))]
                assert (trace.reason, trace.final, trace.cost_usd) == (whole.reason, whole.final, whole.cost_usd)


def test_grades_are_what_counts_where_they_are_asked_for():
    world = World(small=0.0)
    # The small tier says what the large one says, but a check finds only the medium tier's answers right.
    world.shares["medium"] = 1.0

    def right(_question, answer):
        return answer == "answer medium"

    with closing(engine_of(Guarantee(0.2, of="grade", expected_calls=3_000), grade=right)) as engine:
        for start in range(0, 400, 20):
            ask(engine, world, 20, start=start)
            engine.flush_grades(30)
        held = engine.certificate()
    assert held.of == "grade"
    assert held.sources.keys() == {"grader"}
    assert held.calls > 0


class Unlike(World):
    """The cheap tiers always say the same, the top tier something else where it is wrong."""

    def generate(self, call):
        name = call.tier.name
        wrong = random.Random(f"top:{self.now}").random() < self.top_wrong
        text = "wrong" if wrong and name == "large" else "answer"
        return Answer(name, text, text, Usage(1_000_000, 0), seconds=0.0)


def told(*, tells, of="feedback"):
    """Earn a certificate where the top tier errs on three calls in ten, as a user says of some of its answers."""
    world = Unlike(top_wrong=0.3)
    with closing(engine_of(Guarantee(0.1, of=of, expected_calls=3_000))) as engine:
        for number in range(600):
            (trace,) = ask(engine, world, 1, start=number)
            wrong = trace.final == "large" and random.Random(f"top:{number}").random() < 0.3
            if tells(wrong):
                engine.feedback(trace.trace_id, correct=not wrong)
        return engine.certificate()


def test_feedback_alone_earns_a_certificate_where_the_top_tier_errs():
    held = told(tells=lambda _wrong: True)
    assert held.rules == pytest.approx({"small": 1.0})
    assert held.of == "feedback"
    assert "feedback" in held.sources


def test_users_who_only_complain_or_only_praise_prove_nothing_wrong():
    # Of what nobody spoke of, the loss is never taken to be too small.
    assert told(tells=lambda wrong: wrong).rules == pytest.approx({"small": 1.0})
    # Else the small tier differs on three calls in ten, so it may answer a third of them at most.
    assert told(tells=lambda wrong: not wrong).rules.get("small", 0) < 1 / 3
    assert told(tells=lambda _wrong: False).rules.get("small", 0) < 1 / 3
    assert told(tells=lambda _wrong: True, of="equality").rules.get("small", 0) < 1 / 3


def test_a_users_word_on_one_answer_does_not_hide_a_graders_on_all():
    study = StandingOf(NAMES, (1.0, 4.0, 16.0), Promise(0.2, 0.05, 3_000), "grade", "")
    said = {"small": 0, "medium": 1, "large": 1}
    grades = {"feedback": {"large": 1.0}, "grader": {"small": 0.0, "medium": 1.0, "large": 1.0}}
    record = Record("1", "", 7.0, {}, "large", "large", NAMES, NAMES, None, said=said, audited=True, grades=grades)
    found = study.evidence(record)
    assert found.source == "grader"
    assert found.losses[0] == 1.0


def test_without_grades_not_every_call_is_profiled_for_ever():
    def silent(_question, _answer):
        return None

    with closing(engine_of(Guarantee(0.2, of="grade", expected_calls=3_000), grade=silent)) as engine:
        traces = ask(engine, World(), 300)
        engine.flush_grades(30)
    assert sum(len(asked(trace)) == 3 for trace in traces[150:]) < 20
    assert all(trace.final == "large" for trace in traces)


def test_an_unknown_cost_beside_a_tier_that_is_free_breaks_nothing():
    free = StandingOf(("small", "large"), (0.0, 1.0), Promise(0.05, 0.05), "equality", "")
    record = Record("a", "", 0.0, {}, "large", "large", ("small", "large"), ("small", "large"), None, audited=True)
    shown = free.evidence(replace(record, said={"small": 0, "large": 0}, costs={"small": 0.0}))
    assert shown.asking == 1.0


def test_once_the_expected_calls_are_over_the_trace_says_so():
    with closing(engine_of(Guarantee(0.05, expected_calls=20))) as engine:
        traces = ask(engine, World(), 22)
    assert "no further calls are expected" in traces[-1].reason


def test_too_few_calls_to_pay_are_not_profiled():
    with closing(engine_of(Guarantee(0.05, expected_calls=20))) as engine:
        traces = ask(engine, World(), 5)
        ahead = engine.forecast()
    assert all(asked(trace) == ["large"] for trace in traces)
    assert "too few" in traces[0].reason
    assert not ahead.pays


def test_what_does_not_pay_at_first_is_profiled_once_more_calls_can_be_expected():
    # Of five hundred calls, two in a thousand that may differ save less than profiling costs.
    with closing(engine_of(Guarantee(0.002))) as engine:
        study = engine.policy.starter.study(engine.ladder, "")
    standing = study.start()
    assert not standing.profiles
    record = Record("1", "", 0.0, {}, "large", "large", ("large",), ("large",), None, said={"large": 0})
    for _ in range(20_000):
        standing = study.learn(standing, record)
        if standing.profiles:
            break
    assert standing.profiles
    assert standing.seen > 500


def test_a_tier_that_fails_while_profiling_costs_nothing_but_the_evidence():
    world = World()
    world.down = ("small",)
    with closing(engine_of(Guarantee(0.2, expected_calls=3_000))) as engine:
        traces = ask(engine, world, 40)
        assert engine.certificate() is None
    assert all(trace.final == "large" for trace in traces)


def test_a_history_that_fails_leaves_the_top_tier():
    class Broken:
        def recall(self, *_args, **_kwargs):
            raise OSError("disk on fire")

        def remember(self, record):
            raise OSError("disk on fire")

        def close(self):
            """Nothing is open."""

    with closing(engine_of(Guarantee(0.2), Broken())) as engine:
        (trace,) = ask(engine, World(), 1)
    assert trace.final == "large"
    assert any("disk on fire" in text for text in trace.warnings)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"delta": 0}, "delta"),
        ({"delta": 1}, "delta"),
        ({"delta": True}, "delta"),
        ({"delta": "much"}, "delta"),
        ({"delta": 0.1, "confidence": 1.0}, "confidence"),
        ({"delta": 0.1, "confidence": 95}, "confidence"),
        ({"delta": 0.1, "expected_calls": 0}, "expected_calls"),
        ({"delta": 0.1, "expected_calls": 1.5}, "expected_calls"),
        ({"delta": 0.1, "of": "taste"}, "of="),
    ],
)
def test_bad_arguments_are_named(arguments, named):
    with pytest.raises(ConfigError, match=named):
        Guarantee(**arguments)


def test_a_guarantee_needs_the_price_of_the_top_tier():
    with pytest.raises(ConfigError, match="no price of 'large'"):
        engine_of(Guarantee(0.1), priced=False)
    with pytest.raises(ConfigError, match="no price of 'large'"):
        engine_of(SMART.paper(0.1, items=10), priced=False)


def test_grades_need_somebody_who_gives_them():
    with pytest.raises(ConfigError, match="grade="):
        engine_of(Guarantee(0.1, of="grade"))


def test_a_forecast_refuses_what_is_no_share():
    with closing(engine_of(Guarantee(0.1))) as engine, pytest.raises(ConfigError, match="differing"):
        engine.forecast(differing=2)


def test_other_policies_promise_nothing():
    with closing(engine_of("agree")) as engine:
        assert engine.certificate() is None
        assert engine.forecast() is None
        with pytest.raises(ConfigError, match="node"):
            engine.certificate(3)


def test_smart_profiles_then_mixes():
    world = World(small=0.0, medium=0.0)
    with closing(engine_of(SMART.paper(0.1, items=300))) as engine:
        traces = ask(engine, world, 200)
    profiled = [trace for trace in traces if trace.reason.startswith("profiling")]
    assert len(profiled) % 10 == 0
    assert 30 <= len(profiled) < 100
    assert {trace.final for trace in traces[len(profiled) :]} == {"small"}
    assert "mix after" in traces[-1].reason


@pytest.mark.parametrize(
    ("arguments", "named"), [({"delta": 2, "items": 10}, "delta"), ({"delta": 0.1, "items": 0}, "items")]
)
def test_bad_arguments_of_smart_are_named(arguments, named):
    with pytest.raises(ConfigError, match=named):
        SMART.paper(**arguments)


def test_a_policy_may_be_given_as_a_guarantee():
    policy = as_policy(Guarantee(0.1))
    assert isinstance(policy, Policy)
    assert policy.name == "guarantee"
    assert as_policy(SMART.paper(0.1, items=10)).name == "smart-paper"

"""The menu: which rule answers a node's calls, when a call is profiled, and what the flow makes of it."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_tiers import (
    AllTiersFailed,
    Answer,
    Call,
    ConfigError,
    Engine,
    Guarantee,
    Ladder,
    Policy,
    Tier,
    TierError,
    Usage,
)
from llm_tiers.agreement.imagined import imagined_ladders
from llm_tiers.flow.limits import Limits
from llm_tiers.history import ChromaHistory
from llm_tiers.history.record import Recollection, Record
from llm_tiers.policies.menu import FixedRule, RuleJudge
from llm_tiers.policies.menu.backed import Backed
from llm_tiers.policies.menu.known import ProfileOf
from llm_tiers.policies.menu.learning import Learning
from llm_tiers.policies.menu.menu import MenuStarter
from llm_tiers.policies.menu.outcomes import outcome_of, rules_of
from llm_tiers.policies.menu.profile import NO_PROFILE, UNASKED, ProfiledCall, profiled_call
from llm_tiers.policies.menu.profiling import Profiling
from llm_tiers.policies.menu.rule import Single
from llm_tiers.policies.menu.worth import choose
from llm_tiers.policies.named import as_policy, menu
from llm_tiers.replay import BUNDLED, load_table, replay

USUAL = {"a": 0.02, "b": 0.2, "c": 1.0}
NAMES = tuple(USUAL)
COSTS = tuple(USUAL.values())

PARTITIONS = {2: [(0, 0), (0, 1)], 3: [(0, 0, 0), (0, 0, 1), (0, 1, 0), (0, 1, 1), (0, 1, 2)]}


def profile_of(*calls):
    profile = NO_PROFILE
    for call in calls:
        profile = profile.after(sum(call.costs), call, 0.0)
    return profile


def called(said, grades=(), number=0):
    return ProfiledCall(str(number), said, COSTS[: len(said)], grades, "grader" if grades else None)


# Imagined ladders


@pytest.mark.parametrize("tiers", PARTITIONS)
def test_the_chances_of_all_patterns_sum_to_one_on_every_ladder(tiers):
    ladders = imagined_ladders(tiers)
    total = sum(np.exp(ladders.explain(said).log_chance) for said in PARTITIONS[tiers])
    assert total == pytest.approx(np.ones_like(total), abs=1e-6)


@given(st.lists(st.integers(-1, 3), min_size=2, max_size=5))
@settings(max_examples=60)
def test_equal_answers_are_equally_right_and_missing_ones_never(said):
    right = imagined_ladders(len(said)).explain(tuple(said)).right
    assert right.min() >= 0
    assert right.max() <= 1
    for place, number in enumerate(said):
        if number < 0:
            assert (right[:, place] == 0).all()
        else:
            same = said.index(number)
            assert right[:, place] == pytest.approx(right[:, same])


def test_two_that_agree_are_more_likely_right_than_a_third_that_does_not():
    ladders = imagined_ladders(3)
    seen = {((0, 0, 0), ()): 60, ((0, 0, 1), ()): 10, ((0, 1, 1), ()): 20, ((0, 1, 2), ()): 10}
    right = ladders.right((0, 0, 1), ladders.weights(seen))
    assert right[0] == right[1]
    assert right[0] > 0.3


def test_a_prior_says_who_is_thought_to_be_best_and_how_able():
    assert imagined_ladders(3).best == 2
    ladders = imagined_ladders(3, (None, 0.95, 0.6))
    assert ladders.best == 1
    right = ladders.calls[1].mean(axis=0)
    assert right[1] == pytest.approx(0.93, abs=0.05)
    assert right[2] == pytest.approx(0.6, abs=0.05)


# The choice


def test_a_top_tier_that_is_stated_to_be_worse_than_a_cheaper_one_is_not_followed():
    ladder = Ladder(
        Tier(None, name=name, price=(price, price), prior=prior)
        for name, price, prior in zip(NAMES, COSTS, (0.5, 0.95, 0.7), strict=True)
    )
    starter = MenuStarter()
    known = starter.study(ladder).start()
    for number in range(40):
        known = known.after(1.2, called((0, 1, 2), number=number))
    choice = starter.choice(known)
    assert choice.rule == Single(NAMES, "b")
    assert choice.estimates["b"] > choice.estimates["c"]


def test_a_cheap_tier_that_is_always_right_is_chosen_and_a_useless_one_is_not():
    calls = [called((0, 1, 2), grades, number) for number, grades in enumerate([(1.0, 0.0, 0.0)] * 40)]
    assert choose(profile_of(*calls), USUAL, price=0.05).rule == Single(NAMES, "a")
    calls = [called((0, 1, 2), grades, number) for number, grades in enumerate([(0.0, 0.0, 1.0)] * 40)]
    assert "a" not in choose(profile_of(*calls), USUAL, price=0.05).rule.tiers


def test_answers_that_never_coincide_leave_the_top_tier_where_nothing_is_graded():
    calls = [called((0, 1, 2), number=number) for number in range(60)]
    assert choose(profile_of(*calls), USUAL, price=0.05).rule == Single(NAMES, "c")


def test_tiers_that_always_agree_leave_the_cheapest():
    calls = [called((0, 0, 0), number=number) for number in range(100)]
    assert choose(profile_of(*calls), USUAL, price=0.05).rule == Single(NAMES, "a")


def test_a_top_tier_that_often_gives_nothing_is_backed():
    some = [called((0, 1, -1), (1.0, 1.0, 0.0), number) for number in range(10)]
    others = [called((0, 1, 2), (0.0, 0.0, 1.0), number) for number in range(10, 60)]
    assert choose(profile_of(*some, *others), USUAL, price=0.01).rule == Backed(NAMES, "a")


def test_the_dearer_a_right_answer_is_worth_the_dearer_the_rule():
    calls = [called((0, 1, 2), (0.6, 0.8, 0.9), number) for number in range(60)]
    profile = profile_of(*calls)
    assert choose(profile, USUAL, price=9.9, worth_usd=0.5).rule == Single(NAMES, "a")
    assert choose(profile, USUAL, price=9.9, worth_usd=100.0).rule == Single(NAMES, "c")


def test_ungraded_calls_are_left_out_once_a_few_are_graded():
    ungraded = [called((0, 0, 0), number=number) for number in range(50)]
    graded = [called((0, 1, 2), (0.0, 0.0, 1.0), number) for number in range(50, 58)]
    assert profile_of(*ungraded, *graded[:7]).source == "grader"
    assert len(profile_of(*ungraded, *graded[:7]).counted) == 57
    assert profile_of(*ungraded, *graded).counted == tuple(graded)


@given(st.lists(st.tuples(st.tuples(*[st.integers(-1, 2)] * 3), st.tuples(*[st.floats(0, 1)] * 3)), max_size=25))
@settings(max_examples=40)
def test_a_choice_is_whole_whatever_was_seen(seen):
    calls = [called(said, grades, number) for number, (said, grades) in enumerate(seen)]
    choice = choose(profile_of(*calls), USUAL, price=0.05)
    assert choice.rule in rules_of(NAMES)
    assert 0 <= choice.saving.per_call() < 1
    assert set(choice.estimates) == set(NAMES)
    assert all(0 <= chance <= 1 for chance in (*choice.estimates.values(), *choice.confidence(choice.rule).values()))


# Profiled calls


def record(**facts):
    usual = {
        "id": "1", "node": "", "created": 0.0, "labels": {}, "start": "c", "final": "c", "answered": NAMES,
        "agreed": ("c",), "cost_usd": 1.0, "said": {"a": 0, "b": 1, "c": 1}, "audited": True,
    }  # fmt: skip
    return Record(**{**usual, **facts})


def test_a_record_tells_of_all_tiers_only_where_all_below_the_top_answered_a_profiled_call():
    assert profiled_call(record(), USUAL) == ProfiledCall("1", (0, 1, 1), COSTS)
    assert profiled_call(record(audited=False), USUAL) is None
    assert profiled_call(record(audited=False, profiled=True), USUAL) == ProfiledCall("1", (0, 1, 1), COSTS)
    spared = profiled_call(record(answered=("a", "b"), said={"a": 0, "b": 0}, grades={"check": {"a": 1.0}}), USUAL)
    assert spared == ProfiledCall("1", (0, 0, UNASKED), COSTS, (1.0, 1.0), "check")
    assert profiled_call(record(answered=("a", "c")), USUAL) is None


def test_answers_that_cannot_be_compared_differ():
    assert profiled_call(record(said={"a": -1}), USUAL).said == (-1, 0, 1)


def test_a_grade_holds_for_every_tier_with_that_answer_and_a_missing_one_is_wrong():
    told = profiled_call(record(said={"a": -1, "b": 0, "c": 0}, grades={"feedback": {"c": 1.0}}), USUAL)
    assert (told.grades, told.source) == ((0.0, 1.0, 1.0), "feedback")
    # What only one tier is told of leaves the other answers open.
    told = profiled_call(record(grades={"feedback": {"a": 1.0}}), USUAL)
    assert (told.grades, told.partly) == ((1.0, None, None), True)


# When to profile


def test_the_first_calls_are_profiled_later_ones_rarely_once_the_choice_is_clear():
    learning, sure = Learning(), profile_of(*[called((0, 1, 2), (0.0, 0.0, 1.0), number) for number in range(100)])
    assert learning.chance(NO_PROFILE, choose(NO_PROFILE, USUAL, 0.05)) == 1
    sure = dataclasses.replace(sure, learning=0.0)
    assert learning.chance(sure, choose(sure, USUAL, 0.05)) < 0.02


@pytest.mark.parametrize("quality", [0.65, 1.0])
def test_even_where_money_hardly_counts_a_clear_choice_is_not_profiled_on(quality):
    calls = [called((0, 1, 2), (0.3, 0.6, float(number % 10 > 0)), number) for number in range(200)]
    profile = dataclasses.replace(profile_of(*calls), learning=0.0)
    choice = choose(profile, USUAL, MenuStarter(quality=quality).price)
    assert "c" in choice.rule.tiers
    assert Learning().chance(profile, choice) < 0.1


def test_nothing_is_profiled_beyond_the_learning_share():
    choice = choose(NO_PROFILE, USUAL, 0.05)
    assert Learning(0.0).chance(NO_PROFILE, choice) == 0
    # The first hundred calls have a credit of 40 answers of the top tier, later ones pay for their own learning.
    first = dataclasses.replace(NO_PROFILE, count=99, spent=100.0, learning=59.0)
    assert Learning(0.2).chance(first, choice) > 0
    assert Learning(0.2).chance(dataclasses.replace(first, learning=61.0), choice) == 0
    later = dataclasses.replace(first, count=1_000, spent=200.0, first_learning=30.0)
    assert Learning(0.2).chance(dataclasses.replace(later, learning=69.0), choice) > 0
    assert Learning(0.2).chance(dataclasses.replace(later, learning=71.0), choice) == 0


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("path", BUNDLED, ids=lambda path: path.stem)
def test_the_first_twenty_calls_cost_little_more_than_the_top_tier(path, seed):
    table = small(load_table(path), seed, 20)
    result = replay(table, "menu", order="file", seed=seed)
    top = (table.gen_in * table.price_in + table.gen_out * table.price_out)[:, -1].sum() / 1e6
    assert result.cost_usd <= 1.3 * top


@pytest.mark.parametrize("prices", [(1.0, 1.2, 1.4, 1.5), (0.67, 1.0, 1.0, 1.0), (0.1, 0.2, 0.4, 1.0)])
def test_the_first_twenty_calls_cost_little_more_than_the_top_tier_whatever_the_prices(prices):
    # The set whose top tier always answers: one that often does not is backed by another, which costs more.
    table = next(table for table in map(load_table, BUNDLED) if (table.answer_equal[:, -1] >= 0).all())
    tokens = np.ones_like(table.gen_in)
    for seed in range(6):
        priced = dataclasses.replace(table, gen_in=tokens, gen_out=tokens, price_in=prices, price_out=prices)
        result = replay(small(priced, seed, 20), "menu", order="file", seed=seed)
        assert result.cost_usd <= 1.3 * 20 * 2 * prices[-1] / 1e6 + 1e-12


# In the flow


def small(table, seed, size):
    rows = np.random.default_rng(seed).permutation(len(table))[:size]
    by_row = {
        field.name: getattr(table, field.name)[rows]
        for field in dataclasses.fields(table)
        if isinstance(getattr(table, field.name), np.ndarray) and len(getattr(table, field.name)) == len(table)
    }
    return dataclasses.replace(table, **by_row)


@pytest.mark.parametrize("quality", [0.2, 0.65])
def test_the_flow_decides_as_the_study_does_without_it(quality):
    table = small(load_table(BUNDLED[0]), 1, 60)
    result = replay(table, "menu", knob=quality, order="file", seed=3)
    price = 1_000 * table.price_in / 1e6 + 300 * table.price_out / 1e6
    starter = MenuStarter(quality=quality, seed=3)
    study = ProfileOf(tuple(zip(table.tiers, price.tolist(), strict=True)))
    costs = (table.gen_in * table.price_in + table.gen_out * table.price_out) / 1e6
    known = study.start()
    for row in range(len(table)):
        said = in_order(table.answer_equal[row].tolist())
        rule, audits = starter.decide(known, f"3-{row}", table.embedding[row])
        accepted, asked = outcome_of(rule, said)
        cost = float(costs[row].sum() if audits else costs[row] @ asked)
        assert result.costs[row] == pytest.approx(cost)
        assert result.right[row] == table.correct[row, accepted]
        heard = said if audits or asked[-1] else (*said[:-1], UNASKED)
        call = ProfiledCall(str(row), heard, tuple(costs[row].tolist()), vector=table.embedding[row])
        seen = call if audits or isinstance(rule, Profiling) else None
        known = known.after(cost, seen, starter.choice(known).rule_for(table.embedding[row]))


def in_order(row):
    numbers = {}
    return tuple(number if number < 0 else numbers.setdefault(number, len(numbers)) for number in row)


class Scripted:
    """Answers what `says` gives by tier; None is no answer."""

    def __init__(self, says):
        self.says = says

    def generate(self, call):
        value = self.says[call.tier.name]
        return Answer(call.tier.name, value or "", value, Usage(1_000_000, 0))

    def stream(self, call):
        yield from ()
        return self.generate(call)


def engine_of(policy, history=None, prices=COSTS):
    ladder = Ladder(Tier(None, name=name, price=(price, price)) for name, price in zip(NAMES, prices, strict=True))
    return Engine(ladder, policy, history, limits=Limits(history_timeout=None))


def test_a_profiled_call_is_remembered_also_where_the_top_tier_gives_nothing():
    with_history = ChromaHistory(embedding=lambda _text: [1.0, 0.0])
    engine = engine_of(menu(), with_history)
    outcome = engine.run(engine.call("what?"), Scripted({"a": "1", "b": "2", "c": None}))
    assert outcome.answer.value in {"1", "2"}
    again = engine.run(engine.call("what?"), Scripted({"a": "1", "b": "2", "c": None}))
    assert "1 profiled call" in again.trace.reason
    engine.close()


def test_grades_that_come_later_change_the_choice():
    engine = engine_of(menu(quality=0.35), ChromaHistory(embedding=lambda _text: [1.0, 0.0]))
    says = Scripted({"a": "1", "b": "2", "c": "3"})
    traces = [engine.run(engine.call("what?"), says).trace for _ in range(30)]
    assert traces[-1].final == "c"
    for trace in traces:
        for tier, correct in (("a", True), ("b", False), ("c", False)):
            if tier in {attempt.tier for attempt in trace.attempts}:
                engine.feedback(trace.trace_id, correct=correct, tier=tier)
    trace = engine.run(engine.call("what?"), says).trace
    assert (trace.start, trace.final) == ("a", "a")
    assert "by grades (feedback)" in trace.reason
    assert trace.estimates["a"] > trace.estimates["c"]
    assert 0.5 < trace.confidence <= 1
    engine.close()


def test_a_top_tier_that_is_worse_than_a_cheaper_one_is_reported_by_grades():
    study = ProfileOf(tuple(USUAL.items()))
    known = study.start()
    for number in range(30):
        known = known.after(1.2, called((0, 1, 2), (0.0, 1.0, float(number % 2)), number))
    assert known.choice(0.03).better_than_top == "b"
    ungraded = study.start()
    for number in range(30):
        ungraded = ungraded.after(1.2, called((0, 0, 1), number=number))
    assert ungraded.choice(0.03).better_than_top is None


def test_without_grades_a_tier_is_named_that_the_others_side_with_as_often_as_with_the_top():
    study = ProfileOf(tuple(USUAL.items()))
    alike, sides_with_b, *sides_with_top = map(called, ((0, 0, 0), (0, 0, 1), (0, 1, 0), (0, 1, 1)))
    for calls, named in (
        ([alike] * 24 + [sides_with_b] * 3, "b"),
        ([alike] * 24 + sides_with_top * 2, None),
        ([alike] * 12 + [sides_with_b], None),  # too few
        ([called((0, 1, 2))] * 30, None),  # free text
    ):
        known = study.start()
        for number, call in enumerate(calls):
            known = known.after(1.2, dataclasses.replace(call, id=str(number)))
        assert known.choice(0.03).as_good_as_top == named
        assert known.choice(0.03).better_than_top is None


def test_calls_that_stand_for_others_side_for_those_too():
    """Where the cheaper tiers agree the top is seldom asked: its few dissents there are many."""
    asked = [called((0, 0, 0))] * 24 + [called((0, 0, 1))] + [called((0, 1, 0))] * 2 + [called((0, 1, 1))] * 8
    calls = [*asked, *[called((0, 0, UNASKED))] * 60]
    known = ProfileOf(tuple(USUAL.items())).start()
    for number, call in enumerate(calls):
        known = known.after(1.2, dataclasses.replace(call, id=str(number)))
    assert known.choice(0.03).as_good_as_top == "b"


def test_a_user_who_pays_for_a_top_tier_that_nothing_shows_to_be_better_is_told_once_in_the_log(caplog):
    engine = engine_of(menu(quality=0.9), ChromaHistory(embedding=lambda _text: [1.0, 0.0]), prices=(0.1, 0.4, 1.0))
    told = []
    for number in range(120):
        differ = number % 5 == 0
        says = Scripted({"a": "1", "b": "1", "c": "2"} if differ else {"a": "3", "b": "1", "c": "1"})
        told += engine.run(engine.call("what?"), says).trace.warnings
    assert {warning for warning in told if warning.startswith("top tier")} == {
        "top tier: nothing shows yet that c is better than b; grade= would tell"
    }
    assert caplog.text.count("nothing shows yet") == 1
    engine.close()


def test_a_few_grades_among_ungraded_calls_say_nothing_of_the_top_yet():
    few = [called((0, 1, 1), (0.0, 1.0, 0.0), number) for number in range(3)]
    mixed = profile_of(called((0, 1, 2)), *few, called((0, 0, 1), number=9))
    assert choose(mixed, USUAL, 0.03).better_than_top is None
    assert mixed.source == "grader"


def test_a_restart_changes_nothing():
    study = ProfileOf(tuple(USUAL.items()))
    records = [record(id=str(number), said={"a": 0, "b": number % 2, "c": 1}) for number in range(20)]
    known = study.start()
    for one in records:
        known = study.learn(known, one)
    later = study.start()
    for one in records:
        later = study.learn(later, one)
    assert later.profile == known.profile
    assert later.choice(0.03) == known.choice(0.03)


def test_a_user_is_told_that_free_text_needs_grades():
    engine = engine_of(menu(), ChromaHistory(embedding=lambda _text: [1.0, 0.0]))
    says = Scripted({"a": "1", "b": "2", "c": "3"})
    traces = [engine.run(engine.call("what?"), says).trace for _ in range(150)]
    told = [any(warning.startswith("no grades") for warning in trace.warnings) for trace in traces]
    assert not any(told[:12])
    assert told[-1]
    for trace in traces:
        for tier in {attempt.tier for attempt in trace.attempts}:
            engine.feedback(trace.trace_id, correct=tier == "c", tier=tier)
    assert not any(warning.startswith("no grades") for warning in engine.run(engine.call("what?"), says).trace.warnings)
    engine.close()


@pytest.mark.parametrize("says", [{"a": "1", "b": "1", "c": "1"}, {"a": "1", "b": "2", "c": "2"}])
def test_nor_where_answers_coincide(says):
    engine = engine_of(menu(), ChromaHistory(embedding=lambda _text: [1.0, 0.0]))
    for _ in range(60):
        trace = engine.run(engine.call("what?"), Scripted(says)).trace
        assert trace.warnings == ()
    engine.close()


@pytest.mark.parametrize(("prices", "most"), [(COSTS, 200), ((0.67, 0.8, 1.0), 10)], ids=["steep", "close"])
def test_calls_that_begin_side_by_side_are_not_all_profiled(prices, most):
    engine = engine_of(menu(), prices=prices)
    starter = MenuStarter()
    known = starter.study(engine.ladder).start()
    plans = []
    for _ in range(400):
        # None of them has ended when the next one begins.
        planning = starter.plan(engine.call("what?"), engine.ladder)
        next(planning)
        with pytest.raises(StopIteration) as ended:
            planning.send(Recollection(learned=known))
        plans.append(ended.value.value)
    assert 0 < sum(plan.is_profiled for plan in plans) < most


def test_a_profiled_call_that_never_ends_does_not_stop_learning_for_good():
    starter = MenuStarter()
    ladder = engine_of(menu()).ladder
    study = starter.study(ladder)
    known = study.start()
    for number in range(400):
        known.underway.begin(f"cancelled {number}", 0)
    assert starter.learning.chance(known.profile, starter.choice(known), known.underway.number(0)) == 0
    for number in range(200):
        known = study.learn(known, record(id=str(number), audited=False))
    assert known.underway.number(known.profile.count) == 0


def test_a_rule_dearer_than_the_top_tier_is_not_chosen_at_any_quality():
    known = ProfileOf((("a", 0.67), ("b", 0.8), ("c", 1.0))).start()
    for number in range(200):
        # Where the two cheap ones agree they are right, and the top is not always.
        said, right = ((0, 0, 1), (1.0, 1.0, 0.0)) if number % 4 == 0 else ((0, 1, 2), (0.0, 0.0, 1.0))
        known = known.after(2.47, ProfiledCall(str(number), said, (0.67, 0.8, 1.0), right, "check"))
    for quality in (0.5, 0.8, 1.0):
        assert set(MenuStarter(quality=quality).choice(known).rule.tiers) != {"a", "b", "c"}


def test_where_all_tiers_are_free_not_every_call_waits_for_all():
    engine = engine_of(menu(), ChromaHistory(embedding=lambda _text: [1.0, 0.0]), prices=(0, 0, 0))
    says = Scripted({"a": "1", "b": "1", "c": "1"})
    asked = [len(engine.run(engine.call("what?"), says).trace.attempts) for _ in range(400)]
    assert sum(number == 3 for number in asked[200:]) < 120
    engine.close()


def test_where_only_the_top_tier_is_free_it_answers_and_learning_ends():
    known = ProfileOf((("a", 0.67), ("b", 0.8), ("c", 0.0))).start()
    for number in range(100):
        known = known.after(1.47, ProfiledCall(str(number), (0, 0, 0), (0.67, 0.8, 0.0), (1.0, 1.0, 1.0), "check"))
    starter = MenuStarter()
    choice = starter.choice(known)
    assert choice.rule == Single(NAMES, "c")
    # An overflow would be a warning of numpy's, which fails here.
    assert 0 <= starter.learning.chance(known.profile, choice, 0) < 0.1


def test_calls_of_any_quality_learn_from_each_other():
    embedding = ChromaHistory(embedding=lambda _text: [1.0, 0.0])
    cheap, careful = (engine_of(menu(quality=quality), embedding) for quality in (0.2, 0.9))
    says = Scripted({"a": "1", "b": "2", "c": "3"})
    for _ in range(3):
        cheap.run(cheap.call("what?"), says)
    assert "3 profiled calls" in careful.run(careful.call("what?"), says).trace.reason
    known = MenuStarter(quality=0.2).study(cheap.ladder).start()
    for number in range(40):
        known = known.after(1.2, called((0, 1, 2), (0.9, 0.8, 1.0), number))
    chosen = [MenuStarter(quality=quality).choice(known).rule for quality in (0.2, 0.9)]
    assert chosen == [Single(NAMES, "a"), Single(NAMES, "c")]
    cheap.close()
    careful.close()


def test_tiers_that_cannot_serve_are_not_counted_on_and_nothing_is_profiled():
    engine = engine_of(menu())
    ladder = Ladder([Tier(None, name="a"), Tier(None, name="b"), Tier(None, name="c", capabilities=frozenset())])
    engine = Engine(ladder, menu())
    call = engine.call("what?", needs=frozenset({"tools"}))
    trace = engine.run(call, Scripted({"a": "1", "b": "2"})).trace
    assert trace.final == "b"


# Bad input


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ({"quality": 1.5}, "quality"),
        ({"quality": "high"}, "quality"),
        ({"worth_usd": 0}, "worth_usd"),
        ({"worth_usd": -1.0}, "worth_usd"),
        ({"quality": 0.5, "worth_usd": 1.0}, "quality and worth_usd"),
        ({"learning": 1.2}, "learning"),
        ({"learning": -0.1}, "learning"),
    ],
)
def test_wrong_arguments_are_named(arguments, names):
    with pytest.raises(ConfigError, match=names):
        menu(**arguments)


def test_the_top_tier_cannot_back_itself():
    with pytest.raises(ConfigError, match="top tier"):
        Backed(NAMES, "c")


def test_the_name_is_known():
    assert as_policy("menu").name == "menu"
    assert as_policy("menu", quality=0.9).starter.quality == 0.9


# Tiers that fail


class Failing(Scripted):
    """As `Scripted`, but tiers for which it has nothing fail."""

    def generate(self, call):
        if call.tier.name not in self.says:
            raise TierError(call.tier.name, "down")
        return super().generate(call)


@pytest.mark.parametrize("rule", ["c", "b+c"])
def test_where_the_tiers_of_a_rule_are_down_the_others_answer(rule):
    fixed = {"c": Single(NAMES, "c"), "b+c": Backed(NAMES, "b")}[rule]
    engine = engine_of(Policy("own", FixedRule(lambda names: fixed), RuleJudge()))
    outcome = engine.run(engine.call("what?"), Failing({"a": "4"}))
    assert outcome.answer.value == "4"
    assert outcome.trace.final == "a"
    assert any("degraded" in warning for warning in outcome.trace.warnings)
    with pytest.raises(AllTiersFailed):
        engine.run(engine.call("what?"), Failing({}))


def test_a_profiled_call_returns_what_it_has_where_the_top_tier_is_down():
    engine = engine_of(menu(), ChromaHistory(embedding=lambda _text: [1.0, 0.0]))
    outcome = engine.run(engine.call("what?"), Failing({"a": "1", "b": "2"}))
    assert outcome.answer.value in {"1", "2"}
    engine = engine_of(as_policy(Guarantee(0.2, expected_calls=5_000)), ChromaHistory(embedding=lambda _text: [1.0]))
    outcome = engine.run(engine.call("what?"), Failing({"a": "1", "b": "2"}))
    assert outcome.answer.value == "2"


def test_an_answer_that_was_cut_is_none_where_the_top_tier_is_down():
    class Cut(Failing):
        def generate(self, call):
            return dataclasses.replace(super().generate(call), finish="length")

    engine = engine_of(menu(), ChromaHistory(embedding=lambda _text: [1.0, 0.0]))
    with pytest.raises(AllTiersFailed):
        engine.run(engine.call("what?"), Cut({"a": "1", "b": "2"}))


@pytest.mark.parametrize(("quality", "answers"), [(0.0, "b"), (1.0, "c")])
def test_while_a_tier_is_down_the_one_of_the_others_that_is_worth_most_answers(quality, answers):
    starter = MenuStarter(quality=quality)
    ladder = engine_of(menu()).ladder
    call = Call(id="1", query="what?", down={"a": "its breaker is open"})
    planning = starter.plan(call, ladder)
    next(planning)
    with pytest.raises(StopIteration) as stop:
        planning.send(Recollection())
    plan = stop.value.value
    assert (plan.start, plan.audit) == (answers, False)
    assert "a" not in plan.witnesses


@given(st.integers(0, 10_000))
@settings(max_examples=20)
def test_where_nothing_is_worth_its_price_a_witness_of_the_top_tier_is_not_asked(seed):
    """At quality 1 the top tier and the same one with a witness are worth the same but for the errors of sums."""
    draw = np.random.default_rng(seed)
    known = ProfileOf(tuple(USUAL.items())).start()
    for number in range(60):
        said = in_order(np.where(draw.random(3) < (0.85, 0.9, 0.95), 0, draw.integers(1, 4, 3)))
        known = known.after(1.2, dataclasses.replace(called(said, number=number), vector=draw.normal(size=8)))
    choice = known.choice(0.0)
    for _ in range(50):
        assert not isinstance(choice.rule_for(draw.normal(size=8)), Backed)

"""Profiled calls that spare the top tier: who is asked, whose answer stands, and what the others stand for."""

import asyncio
import dataclasses
import itertools
import statistics
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_tiers import Answer, Embedding, Engine, Grader, Ladder, Policy, Tier, TierError, Usage
from llm_tiers.agreement.equality import ExactEquality
from llm_tiers.agreement.imagined import imagined_ladders
from llm_tiers.call.form import Form
from llm_tiers.flow.limits import Limits
from llm_tiers.history import ChromaHistory
from llm_tiers.history.record import Record
from llm_tiers.policies.menu import Cascade, FixedRule, Profiled, RuleJudge, Single, menu_of, replayed
from llm_tiers.policies.menu.profile import NO_PROFILE, UNASKED, ProfiledCall, profiled_call
from llm_tiers.policies.menu.profiling import ASKED_SHARE, Profiling, foreseen_in
from llm_tiers.policies.menu.running import plan_of
from llm_tiers.policies.menu.worth import choose
from llm_tiers.policies.named import menu

NAMES = ("a", "b", "c", "d")
PATIENT = Limits(history_timeout=None)
PRICES = {"a": 0.02, "b": 0.05, "c": 0.2, "d": 1.0}


# The two dearest below the top agree.
FORESEEN = frozenset({(0, 0, 0), (0, 1, 1), (-1, 0, 0)})


class Scripted:
    """Answers what `says` gives by tier; None is no answer, and a tier that it lacks fails."""

    def __init__(self, says):
        self.says = says

    def generate(self, call):
        if call.tier.name not in self.says:
            raise TierError(call.tier.name, "down")
        value = self.says[call.tier.name]
        return Answer(call.tier.name, value or "", value, Usage(1_000_000, 0))

    async def agenerate(self, call):
        return self.generate(call)

    def stream(self, call):
        yield from ()
        return self.generate(call)


class Starting(FixedRule):
    """Begins a rule on a profiled call."""

    def plan(self, call, ladder):
        yield from ()
        plan = plan_of(self.rule(ladder.names), "profiled")
        return type(plan)(**{**{name: getattr(plan, name) for name in plan.__slots__}, "profiled": True})


def engine_of(policy, history=None, names=NAMES):
    ladder = Ladder(Tier(None, name=name, price=(PRICES[name], PRICES[name])) for name in names)
    return Engine(ladder, policy, history, limits=PATIENT)


def profile(rule, says, *, form=None, names=NAMES):
    policy = Policy("profiling", Starting(lambda _names: rule), RuleJudge(), ExactEquality())
    engine = engine_of(policy, names=names)
    return engine.run(engine.call("what?", form=form), Scripted(says)).trace


def asked(trace):
    return {attempt.tier for attempt in trace.attempts}


# The rule


def test_a_top_tier_whose_answer_is_foreseen_is_not_asked():
    rule = Profiling(NAMES, rule=Single(NAMES, "c"), surest=Single(NAMES, "d"), foreseen=FORESEEN)
    trace = profile(rule, {"a": "5", "b": "4", "c": "4", "d": "4"})
    assert (asked(trace), trace.final) == ({"a", "b", "c"}, "c")
    trace = profile(rule, {"a": "4", "b": "5", "c": "4", "d": "4"})
    assert (asked(trace), trace.final) == (set(NAMES), "d")


def test_a_rule_that_needs_the_top_tier_is_not_left_without_it():
    rule = Profiling(NAMES, rule=Single(NAMES, "d"), surest=Single(NAMES, "d"), foreseen=FORESEEN)
    trace = profile(rule, {"a": "4", "b": "4", "c": "4", "d": "9"})
    assert (asked(trace), trace.final) == (set(NAMES), "d")


def test_where_all_answered_the_surest_rule_may_accept_a_cheaper_tier():
    rule = Profiling(NAMES, rule=Single(NAMES, "a"), surest=Single(NAMES, "c"), foreseen=FORESEEN)
    trace = profile(rule, {"a": "1", "b": "2", "c": "3", "d": "4"})
    assert (asked(trace), trace.final) == (set(NAMES), "c")
    assert [attempt.verdict for attempt in trace.attempts if attempt.tier == "c"] == ["valid"]


@given(
    st.integers(0, 30),
    st.integers(0, 30),
    st.fixed_dictionaries({name: st.sampled_from(["1", "2", None]) for name in NAMES}),
    st.sets(st.sampled_from(NAMES), max_size=3),
)
@settings(max_examples=150)
def test_the_flow_does_what_a_replay_says_whatever_fails(one, other, says, down):
    rules = menu_of(NAMES)
    rule = Profiling(NAMES, rules[one % len(rules)], rules[other % len(rules)], FORESEEN)
    heard = {name: None if name in down else value for name, value in says.items()}
    if not any(heard.values()):
        return
    said = {name: -1 if value is None else int(value) for name, value in heard.items()}
    found = replayed(rule, Profiled(said, PRICES, {}, {}))
    trace = profile(rule, {name: value for name, value in says.items() if name not in down})
    assert asked(trace) == set(found.asked)
    assert said[trace.final] >= 0
    # Where even the top tier fails, the dearest answer stands, whatever the rules say.
    assert trace.final == found.accepted or NAMES[-1] in down


def test_an_answer_without_the_form_asked_for_is_neither_foreseen_by_nor_returned():
    form = Form(text_flaw=lambda answer: "no number" if answer.text == "x" else None)
    rule = Profiling(NAMES, rule=Single(NAMES, "c"), surest=Single(NAMES, "c"), foreseen=FORESEEN)
    trace = profile(rule, {"a": "4", "b": "x", "c": "x", "d": "4"}, form=form)
    assert (asked(trace), trace.final) == (set(NAMES), "d")


def test_it_is_the_same_without_threads():
    rule = Profiling(NAMES, rule=Single(NAMES, "c"), surest=Cascade(NAMES, ("a", "b", "c")), foreseen=FORESEEN)
    policy = Policy("profiling", Starting(lambda _names: rule), RuleJudge(), ExactEquality())
    for says in ({"a": "1", "b": "2", "c": "2", "d": "9"}, {"a": "1", "b": "1", "c": "2", "d": "9"}, {"d": "9"}):
        engine = engine_of(policy)
        sync = engine.run(engine.call("what?"), Scripted(says)).trace
        parallel = asyncio.run(engine.arun(engine.call("what?"), Scripted(says))).trace
        assert (asked(sync), sync.final) == (asked(parallel), parallel.final)


def test_what_is_foreseen_has_been_seen_a_few_times_and_mostly_agreed():
    assert foreseen_in([(0, 0, 0, 0)] * 2).patterns == frozenset()
    assert foreseen_in([(0, 0, 0, 0)] * 3).patterns == {(0, 0, 0)}
    assert foreseen_in([(0, 1, 1, 1)] * 4 + [(0, 1, 1, 2)] * 3).patterns == {(0, 1, 1)}
    assert foreseen_in([(0, 1, 1, 1)] * 4 + [(0, 1, 1, 2)] * 4).patterns == frozenset()
    assert foreseen_in([(0, 0, 1, 1)] * 9 + [(0, -1, -1, 0)] * 9 + [(0, 0)] * 9).patterns == frozenset()


# What the calls stand for


def calls_of(*counted):
    """Make profiled calls of `(said, grades, number)`."""
    costs = tuple(PRICES.values())
    made = [(said, grades) for said, grades, number in counted for _ in range(number)]
    return [
        ProfiledCall(str(place), said, costs, grades, "grader" if grades else None)
        for place, (said, grades) in enumerate(made)
    ]


def chosen(*counted, price=0.1):
    known = NO_PROFILE
    for call in calls_of(*counted):
        known = known.after(sum(call.costs), call, 0.0)
    return choose(known, PRICES, price)


ALIKE, RIGHT, OTHER = (0, 0, 0, 0), (1.0, 1.0, 1.0, 1.0), (0, 1, 2, 3)


@given(st.integers(1, 20), st.integers(0, 30), st.integers(0, 20), st.booleans())
@settings(max_examples=60)
def test_a_spared_call_counts_as_those_with_the_top_tier_that_it_resembles(full, spared, others, graded):
    right, half = (RIGHT, (0.0, 0.0, 0.0, 1.0)) if graded else ((), ())
    whole = chosen((ALIKE, right, full + spared), (OTHER, half, others))
    known = chosen((ALIKE, right, full), ((0, 0, 0, UNASKED), right[:-1], spared), (OTHER, half, others))
    assert known.weight == pytest.approx(whole.weight)
    # Imagined calls stand for some of them, so the estimates are near each other, not equal.
    if graded and full + others >= 8:
        assert known.estimates["c"] == pytest.approx(whole.estimates["c"])
        assert known.estimates["d"] == pytest.approx(whole.estimates["d"], abs=0.1)


def test_calls_that_the_top_tier_was_asked_on_for_their_disagreement_do_not_stand_for_all():
    # On every call where the tiers differ the top is wrong, which alone would make it the worst tier.
    differ, alike = (OTHER, (0.0, 0.0, 1.0, 0.0), 20), (ALIKE, RIGHT, 20)
    biased = chosen(differ, alike)
    known = chosen(differ, alike, ((0, 0, 0, UNASKED), RIGHT[:-1], 60))
    assert biased.estimates["d"] < 0.6
    assert known.estimates["d"] == pytest.approx(0.8, abs=0.03)


def test_grades_that_compare_with_the_top_tier_lack_on_spared_calls_and_bias_nothing():
    differ, alike = (OTHER, (0.0, 0.0, 0.0, 1.0), 20), (ALIKE, RIGHT, 20)
    graded = chosen(differ, alike, ((0, 0, 0, UNASKED), RIGHT[:-1], 60))
    compared = chosen(differ, alike, ((0, 0, 0, UNASKED), (), 60))
    assert compared.estimates["c"] == pytest.approx(graded.estimates["c"], abs=0.05)
    assert compared.rule == graded.rule


def test_what_few_calls_stand_for_is_less_certain_than_as_many_calls_would_be():
    mixed = [(ALIKE, RIGHT, 6), (ALIKE, (1.0, 1.0, 1.0, 0.0), 4), (OTHER, (0.0, 0.0, 1.0, 1.0), 10)]
    spared = chosen(*mixed, ((0, 0, 0, UNASKED), RIGHT[:-1], 90))
    full = chosen((ALIKE, RIGHT, 60), (ALIKE, (1.0, 1.0, 1.0, 0.0), 40), mixed[-1])
    assert spared.weight == pytest.approx(full.weight)
    assert spared.saving.per_call() > full.saving.per_call()


# At a node


def embedding():
    return Embedding(lambda _text: [1.0, 0.0], name="constant")


def run_node(says, number, history, first=0):
    ids = (f"t{place}" for place in itertools.count(first))
    ladder = Ladder(Tier(None, name=name, price=(price, price)) for name, price in PRICES.items())
    # What is profiled is drawn by a call's id.
    engine = Engine(ladder, menu(seed=1), history, limits=PATIENT, new_id=ids.__next__)
    traces = [engine.run(engine.call(f"what? {place}"), Scripted(says)).trace for place in range(number)]
    engine.close()
    return traces


def test_a_node_whose_tiers_always_agree_costs_less_than_half_of_the_top_tier_from_the_first_calls_on():
    history = ChromaHistory(embedding=embedding())
    traces = run_node(dict.fromkeys(NAMES, "4"), 100, history)
    assert sum(trace.cost_usd for trace in traces) < 50 * PRICES["d"]
    assert not any(trace.start == "d" for trace in traces[-50:] if not trace.reason.startswith("profiled"))


def test_the_surer_the_top_tiers_answer_is_foreseen_the_fewer_calls_have_to_show_it():
    shares = [foreseen_in([(0, 0, 0, 0)] * number).share for number in (3, 10, 100)]
    assert ASKED_SHARE >= shares[0] > shares[1] > shares[2] > 0
    assert foreseen_in([(0, 0, 0, 0)] * 40 + [(0, 0, 0, 1)] * 30).share > shares[0]


def test_a_node_with_cheap_calls_spends_no_more_on_learning_than_a_fifth_beside_what_its_first_hundred_calls_did():
    traces = run_node(dict.fromkeys(NAMES, "4"), 400, ChromaHistory(embedding=embedding()))
    served = statistics.mean(trace.cost_usd for trace in traces[100:] if not trace.reason.startswith("profiled"))
    first, later = ([trace.cost_usd for trace in part] for part in (traces[:100], traces[100:]))
    assert served < 0.1 * PRICES["d"]
    assert sum(later) - served * len(later) <= 0.2 * (sum(first) + sum(later)) + sum(PRICES.values())


def test_a_record_says_which_calls_represent_all_and_a_restart_keeps_it(tmp_path):
    run_node(dict.fromkeys(NAMES, "4"), 40, ChromaHistory(tmp_path, embedding=embedding()))
    again = ChromaHistory(tmp_path, embedding=embedding())
    kinds = Counter((facts["profiled"], facts["audited"], "d" in facts["answered"]) for facts in again.export())
    # Calls on which all tiers were asked by lot, which represent all, and those on which the top tier was spared.
    assert kinds[True, True, True] > 0
    assert kinds[True, False, False] > 0
    profiled = sum(number for (is_profiled, *_), number in kinds.items() if is_profiled)
    assert kinds[True, True, True] / profiled < 2 * ASKED_SHARE
    reason = run_node(dict.fromkeys(NAMES, "4"), 1, again, first=40)[0].reason
    assert f"{kinds[True, False, False]} more without the top tier" in reason


def test_while_the_top_tier_is_down_the_others_teach_and_answer():
    history = ChromaHistory(embedding=embedding())
    traces = run_node({"a": "4", "b": "4", "c": "4"}, 60, history)
    assert {trace.final for trace in traces} <= {"a", "b", "c"}
    assert statistics.median(len(trace.attempts) for trace in traces[-20:]) < len(NAMES)


def test_a_restart_charges_the_same_to_learning_also_where_grades_came_later(tmp_path):
    says = dict(zip(NAMES, "1234", strict=True))
    ladder = Ladder(Tier(None, name=name, price=(price, price)) for name, price in PRICES.items())
    ids = (f"t{place}" for place in itertools.count())
    spent = []
    for number in (60, 1):
        history = ChromaHistory(tmp_path, embedding=embedding())
        engine = Engine(ladder, menu(quality=0.3, seed=1), history, limits=PATIENT, new_id=ids.__next__)
        study = engine.policy.starter.study(ladder)
        # What is known before this run's own calls.
        spent.append(history.recall("what?", node="", k=0, study=study).learned.profile.learning)
        for _ in range(number):
            trace = engine.run(engine.call("what?"), Scripted(says)).trace
            for attempt in trace.attempts:
                engine.feedback(trace.trace_id, correct=attempt.tier == "a", tier=attempt.tier)
        spent.append(history.recall("what?", node="", k=0, study=study).learned.profile.learning)
        engine.close()
    assert spent[1] > 0
    assert spent[2] == pytest.approx(spent[1])


# Queries of several kinds


def two_kinds(text):
    return [1.0, 0.1] if text.startswith("easy") else [0.1, 1.0]


class Kinds(Scripted):
    """Every tier knows easy queries, the dearest alone the hard ones."""

    def __init__(self):
        super().__init__({})

    def generate(self, call):
        self.says = dict(zip(NAMES, "1234", strict=True))
        return super().generate(call)


def test_in_a_node_of_two_kinds_each_gets_its_own_rule_also_after_a_restart(tmp_path):
    def grade(question, answer):
        return question.startswith("easy") or answer == "4"

    ladder = Ladder(Tier(None, name=name, price=(price, price)) for name, price in PRICES.items())
    ids = (f"t{place}" for place in itertools.count())
    for first in (0, 240):
        history = ChromaHistory(tmp_path, embedding=Embedding(two_kinds, name="two kinds"))
        engine = Engine(
            ladder, menu(quality=0.0, seed=2), history, limits=PATIENT, new_id=ids.__next__, grader=Grader(grade)
        )
        traces = []
        for place in range(first, first + (40 if first else 240)):
            kind = ("easy", "hard")[place % 2]
            traces.append((kind, engine.run(engine.call(f"{kind} {place}"), Kinds()).trace))
            engine.finish()
        late = [(kind, trace) for kind, trace in traces[-40:] if trace.reason.startswith("rule")]
        assert {trace.final for kind, trace in late if kind == "hard"} == {"d"}
        assert {trace.final for kind, trace in late if kind == "easy"} == {"a"}
        engine.close()


def test_a_query_unlike_all_others_or_of_another_embedding_gets_the_nodes_rule():
    calls = [
        dataclasses.replace(call, vector=np.array([1.0, 0.0], np.float32))
        for call in calls_of((OTHER, (1.0, 0.0, 0.0, 0.0), 40))
    ]
    known = NO_PROFILE
    for call in calls:
        known = known.after(sum(call.costs), call, 0.0)
    choice = choose(known, PRICES, 0.1)
    assert choice.rule == Single(NAMES, "a")
    for query in (None, np.zeros(2, np.float32), np.array([0.0, -1.0], np.float32), np.ones(3, np.float32)):
        assert choice.rule_for(query) == choice.rule


# Grades of some answers


def record_of(said, grades, **facts):
    usual = {
        "id": "1", "node": "", "created": 0.0, "labels": {}, "start": "c", "final": "c", "answered": tuple(said),
        "agreed": ("c",), "cost_usd": 1.0, "said": said, "audited": True, "grades": grades,
    }  # fmt: skip
    return profiled_call(Record(**{**usual, **facts}), PRICES)


def test_a_grader_that_graded_all_is_not_displaced_by_feedback_on_one_answer():
    said, grader = {"a": 0, "b": 1, "c": 2, "d": 3}, {"a": 0.0, "b": 0.0, "c": 1.0, "d": 1.0}
    call = record_of(said, {"grader": grader, "feedback": {"c": 1.0}})
    assert (call.grades, call.source, call.is_graded) == ((0.0, 0.0, 1.0, 1.0), "grader", True)
    # Users who say it of each answer are believed before a grader.
    call = record_of(said, {"grader": grader, "feedback": {"a": 1.0, "b": 0.0, "c": 0.0, "d": 0.0}})
    assert (call.grades, call.source, call.is_graded) == ((1.0, 0.0, 0.0, 0.0), "feedback", True)


def test_feedback_on_the_returned_answer_does_not_select_the_calls_on_which_tiers_agree():
    alike = record_of({"a": 0, "b": 0, "c": 0, "d": 0}, {"feedback": {"d": 1.0}})
    differ = record_of({"a": 0, "b": 1, "c": 2, "d": 3}, {"feedback": {"d": 1.0}})
    known = NO_PROFILE
    for place in range(40):
        known = known.after(1.0, dataclasses.replace(alike if place % 2 else differ, id=str(place)), 0.0)
    assert len(known.counted) == 40
    choice = choose(known, PRICES, 0.01)
    # On half of the calls the others are not right.
    assert choice.estimates["a"] < 0.75
    assert choice.estimates["d"] > 0.9
    assert choice.rule != Single(NAMES, "a")


def test_what_is_told_of_one_answer_is_evidence_on_the_others():
    ladders = imagined_ladders(3)
    weights = ladders.weights({((0, 1, 2), ()): 20, ((0, 0, 0), ()): 20})
    free = ladders.right((0, 1, 2), weights)
    wrong, right = (ladders.right((0, 1, 2), weights, (None, None, told)) for told in (False, True))
    assert (wrong[2], right[2]) == (pytest.approx(0), pytest.approx(1))
    assert wrong[1] < free[1] < right[1]
    assert ladders.right((0, 0, 1), weights, (True, None, None))[1] == pytest.approx(1)


def test_graded_calls_without_the_top_tier_do_not_displace_those_with_it():
    known = NO_PROFILE
    for call in calls_of((OTHER, (), 30), ((0, 0, 0, UNASKED), RIGHT[:-1], 12)):
        known = known.after(1.0, call, 0.0)
    assert len(known.counted) == 30
    assert sum(known.spared.values()) == 12


@pytest.mark.parametrize("part", [0.2, 0.5, 1.0])
def test_where_a_part_of_the_calls_is_graded_all_kinds_count_in_proportion(part):
    def split(said, grades, number):
        return (said, grades, round(number * part)), (said, (), number - round(number * part))

    half = (0.0, 0.0, 0.0, 1.0)
    choice = chosen(
        *split(OTHER, half, 100), *split(ALIKE, RIGHT, 50), *split((0, 0, 0, UNASKED), RIGHT[:-1], 150), price=0.01
    )
    assert choice.estimates["c"] == pytest.approx(200 / 300, abs=0.06)


def test_a_call_whose_history_does_not_answer_is_not_profiled():
    def embed(_text):
        raise OSError("no embedding today")

    for history in (None, ChromaHistory(embedding=Embedding(embed, name="failing"))):
        engine = engine_of(menu(), history)
        traces = [engine.run(engine.call("what?"), Scripted(dict.fromkeys(NAMES, "4"))).trace for _ in range(5)]
        assert not any("profiled," in trace.reason for trace in traces)
        assert {len(trace.attempts) for trace in traces} == {len(traces[0].attempts)}
        engine.close()

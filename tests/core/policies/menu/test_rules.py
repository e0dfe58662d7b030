"""Rules of the menu: what each does, and that the flow does what a replay of the same call says."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_tiers import Answer, ConfigError, Engine, Ladder, Policy, Tier, Usage
from llm_tiers.agreement.equality import ExactEquality
from llm_tiers.call.form import Form
from llm_tiers.flow.limits import Limits
from llm_tiers.history.record import Record
from llm_tiers.policies.menu import (
    Accept,
    Ask,
    AskVerdict,
    CallState,
    Cascade,
    FixedRule,
    Judged,
    Profiled,
    RuleJudge,
    Single,
    agree_all,
    agree_two,
    menu_of,
    profiled,
    replayed,
)

NAMES = ("a", "b", "c", "d", "e")
PRICES = {name: 10.0**place for place, name in enumerate(NAMES)}
# A judge is the judged tier itself, but never the cheapest.
VERDICT_PRICES = {**PRICES, "a": PRICES["b"]}


class Recorded:
    """Answers what a pattern says: by tier a number, -1 for a missing answer; and a judge's verdicts."""

    def __init__(self, said, verdicts=None):
        self.said = said
        self.verdicts = verdicts or {}

    def generate(self, call):
        if call.role == "judge":
            word = {True: "yes", False: "no", None: "perhaps"}[self.verdicts[call.subject]]
            return Answer(call.tier.name, word, None, Usage(0, 1_000_000))
        number = self.said[call.tier.name]
        value = None if number < 0 else str(number)
        return Answer(call.tier.name, value or "", value, Usage(1_000_000, 0))

    def stream(self, call):
        yield from ()
        return self.generate(call)


def run(rule, said, verdicts=None, *, audit=0.0, history=None, form=None):
    ladder = Ladder(Tier(None, name=name, price=(PRICES[name], PRICES[name])) for name in rule.ladder)
    policy = Policy("rule", FixedRule(lambda _names: rule), RuleJudge(), ExactEquality(), audit)
    engine = Engine(ladder, policy, history, limits=Limits(history_timeout=None))
    return engine.run(engine.call("what?", form=form), Recorded(said, verdicts)).trace


def asked(trace):
    return [attempt.tier for attempt in trace.attempts if attempt.role != "judge"]


@st.composite
def patterns(draw):
    """A ladder, a rule of its menu, what each tier says, and what a judge says of it."""
    names = NAMES[: draw(st.integers(2, len(NAMES)))]
    rule = draw(st.sampled_from(menu_of(names, judged=True)))
    said = {name: draw(st.integers(-1, 2)) for name in names}
    verdicts = {name: draw(st.sampled_from([True, False, None])) for name in names if said[name] >= 0}
    return rule, said, verdicts


@given(patterns())
@settings(max_examples=150)
def test_the_flow_does_what_a_replay_of_the_call_says(pattern):
    rule, said, verdicts = pattern
    call = Profiled(said, PRICES, verdicts, VERDICT_PRICES)
    found = replayed(rule, call)
    trace = run(rule, said, verdicts)
    assert trace.final == found.accepted
    assert sorted(asked(trace)) == sorted(found.asked)
    assert trace.cost_usd == pytest.approx(found.cost)


@given(patterns())
@settings(max_examples=100)
def test_no_rule_returns_a_missing_answer_or_a_rejected_one_where_it_heard_another(pattern):
    rule, said, verdicts = pattern
    found = replayed(rule, Profiled(said, PRICES, verdicts, PRICES))
    heard = [name for name in found.asked if said[name] >= 0]
    stood = [name for name in heard if verdicts[name] is not False]
    assert said[found.accepted] >= 0 or not stood


@given(patterns())
@settings(max_examples=100)
def test_a_profiled_call_in_the_history_replays_as_the_pattern_does(pattern):
    rule, said, _ = pattern
    if isinstance(rule, Judged):
        return
    kept = []

    class History:
        def remember(self, record):
            kept.append(record)

    trace = run(rule, said, {}, audit=1.0, history=History())
    if not kept:
        # An answer that stood only because the tiers above gave none teaches nothing.
        assert said[rule.ladder[-1]] < 0
        return
    again = replayed(rule, profiled(kept[0]))
    assert again.accepted == trace.final == replayed(rule, Profiled(said, PRICES, {}, {})).accepted
    assert again.cost == pytest.approx(replayed(rule, Profiled(said, PRICES, {}, {})).cost)


def test_a_cascade_stops_at_the_first_two_that_agree():
    rule = Cascade(NAMES[:4], ("a", "b", "c", "d"))
    assert rule.first == ("a", "b")
    assert rule.next(CallState({"a": 0, "b": 0})) == Accept("b")
    assert rule.next(CallState({"a": 0, "b": 1})) == Ask(("c",))
    assert rule.next(CallState({"a": 0, "b": 1, "c": 0})) == Accept("c")
    assert rule.next(CallState({"a": 0, "b": 1, "c": 2})) == Ask(("d",))
    assert rule.next(CallState({"a": 0, "b": 1, "c": 2, "d": 3})) == Accept("d")


def test_missing_answers_agree_with_nothing():
    assert Cascade(NAMES[:3], ("a", "b", "c")).next(CallState({"a": -1, "b": -1})) == Ask(("c",))


def test_a_single_tier_without_an_answer_goes_one_tier_up():
    rule = Single(NAMES[:3], "a")
    assert rule.next(CallState({"a": -1})) == Ask(("b",))
    assert rule.next(CallState({"a": -1, "b": 0})) == Accept("b")


def test_a_verdict_decides_whether_the_other_tier_is_asked():
    rule = Judged(NAMES[:3], "a", "c")
    assert rule.next(CallState({"a": 0})) == AskVerdict("a")
    assert rule.next(CallState({"a": 0}, {"a": True})) == Accept("a")
    assert rule.next(CallState({"a": 0}, {"a": None})) == Ask(("c",))
    assert rule.next(CallState({"a": 0, "c": 1}, {"a": False})) == Accept("c")


def test_the_menu_of_a_ladder():
    assert [rule.name for rule in menu_of("abcd")] == [
        *("a", "b", "c"),
        *("a+b>c", "a+b>d", "a+c>d", "b+c>d", "a+b>c>d"),
        "d",
    ]
    assert [rule.name for rule in menu_of("ab", judged=True)] == ["a", "a?b", "b"]


def test_the_two_known_rules_are_special_cases():
    assert agree_two("abcd").name == "a+b>c"
    assert agree_all("abcde").name == "a+b>c>d>e"
    assert agree_two("ab").name == agree_all("ab").name == "b"


def test_a_witness_that_fails_counts_as_missing():
    class Failing(Recorded):
        def generate(self, call):
            from llm_tiers import TierError

            if call.tier.name == "a":
                raise TierError("a", "down")
            return super().generate(call)

    rule = Cascade(NAMES[:3], ("a", "b", "c"))
    ladder = Ladder(Tier(None, name=name, price=(1, 1)) for name in rule.ladder)
    engine = Engine(ladder, Policy("rule", FixedRule(lambda _names: rule), RuleJudge(), ExactEquality()))
    trace = engine.run(engine.call("what?"), Failing({"b": 0, "c": 0})).trace
    assert (trace.final, asked(trace)[-1]) == ("c", "c")


def test_an_answer_of_the_wrong_form_goes_where_the_rule_says_and_is_never_returned():
    def flaw(answer):
        return "no object" if answer.text == "0" else None

    rule = Cascade(NAMES[:4], ("a", "b", "d"))
    trace = run(rule, {"a": 0, "b": 0, "c": 1, "d": 0}, form=Form(object_flaw=flaw))
    assert asked(trace)[-1] == "d"
    rejected = {attempt.tier: attempt.verdict for attempt in trace.attempts}
    assert rejected["b"] == "invalid"


def test_a_rule_that_names_no_tier_of_the_ladder_is_refused():
    with pytest.raises(ConfigError, match="no tier is called 'x'"):
        Single(NAMES, "x")
    with pytest.raises(ConfigError, match="cheapest first"):
        Cascade(NAMES, ("b", "a", "c"))
    with pytest.raises(ConfigError, match="three tiers"):
        Cascade(NAMES, ("a", "b"))


def test_a_call_without_a_needed_answer_is_not_replayed():
    record = Record("1", "", 0.0, {}, "a", "a", ("a",), ("a",), None, said={"a": 0})
    assert replayed(Single(NAMES[:2], "a"), profiled(record)).accepted == "a"
    assert replayed(Single(NAMES[:2], "b"), profiled(record)) is None
    assert replayed(Judged(NAMES[:2], "a", "b"), profiled(record)) is None


def test_an_unknown_cost_makes_the_sum_unknown():
    assert replayed(Single(NAMES[:2], "a"), Profiled({"a": 0}, {}, {}, {})).cost is None

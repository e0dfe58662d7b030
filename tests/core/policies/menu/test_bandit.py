"""The bandit over rules, through the real flow and history: what a call teaches, what it chooses, and restarts."""

import numpy as np
import pytest

from llm_tiers import Answer, ChromaHistory, ConfigError, Embedding, Ladder, Tier
from llm_tiers.flow.engine import Engine
from llm_tiers.policies.menu import RuleJudge
from llm_tiers.policies.menu.bandit import RuleLinUCB
from llm_tiers.policies.named import as_policy
from llm_tiers.policies.policy import Policy
from llm_tiers.replay import BUNDLED, load_table, replay
from llm_tiers.usage import Usage

NAMES = ("a", "b", "c")
PRICES = {"a": 1.0, "b": 4.0, "c": 20.0}


class Scripted:
    """Answers what `says` gives by tier."""

    def __init__(self, says):
        self.says = says

    def generate(self, call):
        return Answer(call.tier.name, self.says[call.tier.name], self.says[call.tier.name], Usage(1_000, 100))

    def stream(self, call):
        yield from ()
        return self.generate(call)


def engine_of(history, **settings):
    tiers = [Tier(None, name=name, price=(PRICES[name], PRICES[name])) for name in NAMES]
    return Engine(Ladder(tiers), Policy("own", RuleLinUCB(**settings), RuleJudge()), history)


def history_of(where=None):
    return ChromaHistory(where, embedding=Embedding(lambda text: np.eye(4)[len(text) % 4], name="by-length"))


def arms_of(engine):
    study = engine.policy.starter.study(engine.ladder)
    return engine.history.recall("x", node="", k=0, study=study).learned


def answer(engine, answers, *, right=None, query="what?"):
    outcome = engine.run(engine.call(query), Scripted(answers))
    if right is not None:
        engine.feedback(outcome.trace.trace_id, correct=right)
    return outcome.trace


def test_a_call_teaches_every_rule_that_it_has_the_answers_for():
    engine = engine_of(history_of())
    while True:
        trace = answer(engine, {"a": "7", "b": "7", "c": "7"}, right=True)
        if {attempt.tier for attempt in trace.attempts} == {"a", "b"}:
            break
    counts = {name: ridge.count for name, ridge in arms_of(engine).ridges.items()}
    assert counts["a+b>c"] >= 1
    assert counts["a"] >= counts["a+b>c"]
    assert counts["b"] >= counts["a+b>c"]


def test_it_comes_to_the_cascade_where_that_pays():
    engine = engine_of(history_of(), price=0.3, alpha=0.5)
    draw = np.random.default_rng(3)
    finals = []
    for number in range(150):
        # a is right on two calls of three, and wrong in its own way; b and c are right.
        truth = str(number)
        said = {
            "a": truth if draw.random() < 0.66 else "0.5",
            "b": truth if draw.random() < 0.8 else "0.25",
            "c": truth,
        }
        trace = engine.run(engine.call("what?"), Scripted(said)).trace
        engine.feedback(trace.trace_id, correct=said[trace.final] == truth)
        finals.append(trace.reason.split(":")[0])
    assert finals[-30:].count("rule a+b>c") >= 20


def test_a_restart_changes_nothing(tmp_path):
    with history_of(tmp_path) as history:
        engine = engine_of(history)
        for number in range(12):
            said = {"a": "1", "b": str(number % 2), "c": "1"}
            answer(engine, said, right=bool(number % 3), query="x" * (number + 1))
        before = arms_of(engine)
    with history_of(tmp_path) as history:
        after = arms_of(engine_of(history))
    assert before.ridges.keys() == after.ridges.keys()
    assert before.costs == {rule: pytest.approx(paid) for rule, paid in after.costs.items()}
    for name, ridge in before.ridges.items():
        np.testing.assert_allclose(np.triu(ridge.inverse), np.triu(after.ridges[name].inverse), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(ridge.weights, after.ridges[name].weights, rtol=1e-9, atol=1e-12)


def test_rules_whose_tiers_cannot_serve_are_left_out():
    tiers = [Tier(None, name="a", capabilities=()), Tier(None, name="b"), Tier(None, name="c")]
    engine = Engine(Ladder(tiers), as_policy("linucb-rules"), history_of())
    call = engine.call("what?", needs=frozenset({"tools"}))
    trace = engine.run(call, Scripted({"b": "1", "c": "1"})).trace
    assert "a" not in trace.reason.split(":")[0].removeprefix("rule ")
    assert trace.final in ("b", "c")


def test_it_is_replayed_by_name():
    table = load_table(BUNDLED[0])
    result = replay(table, "linucb-rules", feedback=1.0)
    assert result.judge_calls == 0
    assert sum(result.right) / len(table) > 0.7


@pytest.mark.parametrize("wrong", [{"price": -1}, {"alpha": -1}, {"ridge": 0}, {"forgetting": 0}])
def test_wrong_arguments_are_named(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        RuleLinUCB(**wrong)

"""A bandit whose arms are rules: through the real flow and history."""

import numpy as np
import pytest

from llm_tiers import ChromaHistory, ConfigError, Embedding
from llm_tiers.history.record import Record
from llm_tiers.policies.menu import RuleJudge
from llm_tiers.policies.menu.bandit import LinUCBOfRules
from llm_tiers.policies.named import as_policy, linucb

NAMES = ("small", "medium", "large")
EMBEDDING = Embedding(lambda text: np.eye(4)["xy".index(text[0])], name="two-subjects")
PAIR = "small+medium>large"


def memory(where=None):
    return ChromaHistory(where, embedding=EMBEDDING)


def arms_of(history, bandit, ladder):
    return history.recall("x", node="", k=0, study=bandit.study(ladder)).learned


class TestLearning:
    """On x the two cheap tiers agree and are right; on y they differ and `large` alone is right."""

    def answer(self, query):
        return dict.fromkeys(NAMES, "same") if query[0] == "x" else {name: name for name in NAMES}

    def ask(self, scripted, bandit, history, rounds, first=0):
        bench = scripted.Bench(bandit, RuleJudge(), scripted.ladder(*NAMES), history)
        traces = []
        for number in range(first, first + rounds):
            query = f"{'xy'[number % 2]}{number}"
            trace = bench.ask(scripted.ScriptedPerformer(self.answer(query)), query).trace
            bench.engine.feedback(trace.trace_id, correct=query[0] == "x" or trace.final == "large")
            traces.append((query[0], trace))
        return bench, traces

    def test_it_finds_which_rule_is_worth_most_for_which_question(self, scripted):
        with memory() as history:
            _, traces = self.ask(scripted, LinUCBOfRules(ridge=1, alpha=0.5, price=0.3), history, 120)
        late = traces[80:]
        assert sum(trace.final == "large" for subject, trace in late if subject == "y") >= 15
        assert sum(trace.final == "large" for subject, trace in late if subject == "x") <= 5

    def test_a_record_names_the_rule_that_answered(self, scripted):
        with memory() as history:
            _, traces = self.ask(scripted, LinUCBOfRules(), history, 6)
            records = list(history.export())
        rules = {record["rule"] for record in records}
        assert len(records) == len(traces)
        assert None not in rules
        assert rules <= {*NAMES, PAIR}

    def test_a_restart_is_none(self, scripted, tmp_path):
        # A first grade is learned as if it had been known at once; one that replaces an assumption changes rounding.
        bandit = LinUCBOfRules(ridge=1, rewards="grades")
        with memory(tmp_path) as history:
            bench, _ = self.ask(scripted, bandit, history, 30)
            before = arms_of(history, bandit, bench.engine.ladder)
        with memory(tmp_path) as history:
            after = arms_of(history, bandit, bench.engine.ladder)
        assert before.costs == after.costs
        assert before.ridges.keys() == after.ridges.keys() != set()
        for name, ridge in before.ridges.items():
            assert np.array_equal(np.triu(ridge.inverse), np.triu(after.ridges[name].inverse))
            assert np.array_equal(ridge.weights, after.ridges[name].weights)


class TestWhatACallShows:
    def rewards(self, scripted, **facts):
        record = Record(
            "1", "", 0.0, {}, "medium", "medium", **{"answered": NAMES, "agreed": ("medium",), "cost_usd": 7.0, **facts}
        )
        study = LinUCBOfRules().study(scripted.ladder(*NAMES))
        return dict(study._rights(record)), dict(study._costs(record))

    def test_an_ordinary_call_shows_the_rule_that_answered_and_the_cost_of_all_its_answers(self, scripted):
        grades = {"feedback": {"medium": 0.75}}
        rights, costs = self.rewards(scripted, answered=("small", "medium"), rule=PAIR, grades=grades)
        assert rights == {PAIR: 0.75}
        assert costs == {PAIR: 7.0}

    def test_a_call_without_grades_shows_its_cost_alone(self, scripted):
        rights, costs = self.rewards(scripted, answered=("small", "medium"), rule=PAIR)
        assert rights == {}
        assert costs == {PAIR: 7.0}

    def test_a_profiled_call_shows_every_rule(self, scripted):
        said = {"small": 0, "medium": 0, "large": 1}
        grades = {"grader": {"small": 0.0, "medium": 0.0, "large": 1.0}}
        paid = {"small": 1.0, "medium": 2.0, "large": 4.0}
        rights, costs = self.rewards(scripted, audited=True, rule="small", said=said, grades=grades, costs=paid)
        assert rights == {"small": 0.0, "medium": 0.0, PAIR: 0.0, "large": 1.0}
        assert costs == {"small": 1.0, "medium": 2.0, PAIR: 3.0, "large": 4.0}

    def test_without_grades_what_equals_the_top_tiers_answer_is_as_right_as_that(self, scripted):
        said = {"small": 0, "medium": 1, "large": 1}
        rights, _ = self.rewards(scripted, audited=True, rule="small", said=said)
        assert rights == pytest.approx({"small": 0.0, "medium": 0.85, PAIR: 0.85, "large": 0.85})

    def test_another_policys_call_shows_nothing(self, scripted):
        assert self.rewards(scripted, answered=("small", "medium"), grades={"feedback": {"medium": 1.0}}) == ({}, {})


class TestByName:
    def test_it_is_a_named_policy(self):
        policy = as_policy("linucb-rules")
        assert policy.name == "linucb-rules"
        assert isinstance(policy.starter, LinUCBOfRules)
        assert linucb(arms="rules", price=0.2).starter.price == 0.2
        assert not isinstance(linucb().starter, LinUCBOfRules)

    def test_bad_input_is_named(self):
        with pytest.raises(ConfigError, match="arms"):
            linucb(arms="words")
        with pytest.raises(ConfigError, match="warm_start"):
            LinUCBOfRules(warm_start=object())
        with pytest.raises(ConfigError, match="witness"):
            LinUCBOfRules(witness="below")
        with pytest.raises(ConfigError, match="price"):
            LinUCBOfRules(price=-1)
        with pytest.raises(ConfigError, match="judge="):
            as_policy("linucb-rules", judge=lambda _question, _answer: True)

    def test_a_tier_that_cannot_serve_the_call_leaves_the_rules_without_it(self, scripted):
        tiers = scripted.ladder(*NAMES, medium={"capabilities": frozenset()}, large={"capabilities": frozenset()})
        with memory() as history:
            bench = scripted.Bench(LinUCBOfRules(price=0), RuleJudge(), tiers, history)
            answers = dict.fromkeys(NAMES, "same")
            trace = bench.ask(scripted.ScriptedPerformer(answers), "x", needs=frozenset({"tools"})).trace
        assert trace.final == "small"

"""The bandit through the real flow and history: where it starts, what it learns from, and that a restart is none."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_tiers import ChromaHistory, ConfigError, Embedding, Ladder, Tier
from llm_tiers.history.record import Recollection, Record
from llm_tiers.policies.judges import FunctionJudge
from llm_tiers.policies.judges.unjudged import Unjudged
from llm_tiers.policies.named import as_policy
from llm_tiers.policies.starters import FixedStarter, LinUCB
from llm_tiers.policies.starters.rewards import rights_of

NAMES = ("small", "medium", "large")
WIDTH = 8


def vector_of(text):
    """Questions about one subject lie close to each other, and `x` and `y` are as far as can be."""
    subject = {"x": 0, "y": 1}[text[0]]
    noise = np.random.default_rng(int(text[1:] or 0)).normal(size=WIDTH)
    return np.eye(WIDTH)[subject] + 0.1 * noise


EMBEDDING = Embedding(vector_of, name="two-subjects")


def memory(where=None, **settings):
    return ChromaHistory(where, embedding=EMBEDDING, **settings)


def bench_of(scripted, bandit, history, judge=None):
    return scripted.Bench(bandit, judge or Unjudged(), scripted.ladder(*NAMES), history)


def arms_of(history, bandit, ladder, node=""):
    return history.recall("x", node=node, k=0, study=bandit.study(ladder)).learned


def assert_same_bits(one, other):
    assert one.ridges.keys() == other.ridges.keys() != set()
    assert one.costs == other.costs
    for name, ridge in one.ridges.items():
        assert ridge.count == other.ridges[name].count
        assert np.array_equal(np.triu(ridge.inverse), np.triu(other.ridges[name].inverse))
        assert np.array_equal(ridge.weights, other.ridges[name].weights)


def assert_close(one, other):
    for name in one.ridges.keys() | other.ridges.keys():
        inverse, again = (np.triu(arms.ridges[name].inverse) for arms in (one, other))
        np.testing.assert_allclose(inverse, again, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(one.ridges[name].weights, other.ridges[name].weights, rtol=1e-9, atol=1e-12)


says_its_name = {name: name for name in NAMES}


class TestStart:
    def ask(self, scripted, bandit, tiers=None):
        history = memory()
        with history:
            bench = scripted.Bench(bandit, Unjudged(), tiers or scripted.ladder(*NAMES), history)
            return bench.ask(scripted.ScriptedPerformer(says_its_name), "x").trace

    def test_without_a_past_the_priors_and_the_price_decide(self, scripted):
        assert self.ask(scripted, LinUCB(price=0)).start == "large"
        assert self.ask(scripted, LinUCB(price=10)).start == "small"
        assert self.ask(scripted, LinUCB(price=0, priors={"small": 0.9})).start == "small"

    def test_a_tiers_own_prior_counts(self, scripted):
        assert self.ask(scripted, LinUCB(price=0), scripted.ladder(*NAMES, medium={"prior": 0.99})).start == "medium"

    def test_the_published_bandit_starts_at_the_cheapest_of_equals(self, scripted):
        assert self.ask(scripted, LinUCB.paper()).start == "small"

    def test_a_tier_that_cannot_serve_the_call_is_not_chosen(self, scripted):
        tiers = scripted.ladder(*NAMES, large={"capabilities": frozenset()})
        with memory() as history:
            bench = scripted.Bench(LinUCB(price=0), Unjudged(), tiers, history)
            trace = bench.ask(scripted.ScriptedPerformer(says_its_name), "x", needs=frozenset({"tools"})).trace
        assert trace.start == "medium"

    def test_the_trace_says_what_each_tier_promises(self, scripted):
        trace = self.ask(scripted, LinUCB())
        assert trace.estimates == pytest.approx({"small": 0.65, "medium": 0.75, "large": 0.85})
        assert "upper bound" in trace.reason

    def test_a_history_that_fails_costs_no_answer(self, scripted):
        history = scripted.ListHistory(fails_at=frozenset({"recall"}))
        bench = scripted.Bench(LinUCB(), Unjudged(), scripted.ladder(*NAMES), history)
        outcome = bench.ask(scripted.ScriptedPerformer(says_its_name), "x")
        assert outcome.answer.text == outcome.trace.start
        assert any("disk on fire" in warning for warning in outcome.trace.warnings)

    def test_without_a_history_the_priors_decide(self, scripted):
        bench = scripted.Bench(LinUCB(price=0), Unjudged(), scripted.ladder(*NAMES))
        assert bench.ask(scripted.ScriptedPerformer(says_its_name), "x").trace.start == "large"


class TestFeedback:
    """`small` is right about x alone, `large` about both; the middle tier never."""

    def feed(self, scripted, bandit, history, way="run", rounds=40):
        bench = bench_of(scripted, bandit, history)
        starts = []
        for number in range(rounds):
            query = f"{'xy'[number % 2]}{number}"
            trace = bench.ask(scripted.ScriptedPerformer(says_its_name), query, way=way).trace
            starts.append((query[0], trace.start))
            correct = trace.final == "large" or (trace.final == "small" and query[0] == "x")
            bench.engine.feedback(trace.trace_id, correct=correct)
        return starts

    @pytest.mark.parametrize("bandit", [LinUCB(ridge=1, alpha=0.5), LinUCB.paper(alpha=0.5)])
    def test_it_finds_who_is_right_about_what(self, scripted, way, bandit):
        with memory() as history:
            starts = self.feed(scripted, bandit, history, way, rounds=80)
        late = starts[60:]
        assert late.count(("x", "small")) >= 8
        assert late.count(("y", "large")) >= 8

    def test_without_exploration_it_stays_with_what_works(self, scripted):
        with memory() as history:
            starts = self.feed(scripted, LinUCB(alpha=0, price=0), history)
        assert {start for _, start in starts} == {"large"}

    def test_a_warm_start_knows_from_the_first_call(self, scripted):
        rng = np.random.default_rng(0)
        queries = [f"{'xy'[number % 2]}{number}" for number in range(200)]
        about_x = np.array([query[0] == "x" for query in queries])
        table = table_of(
            embedding=np.stack([vector_of(query) for query in queries]),
            correct=np.stack([about_x, rng.random(200) < 0, np.ones(200, bool)], axis=1),
        )
        bandit = LinUCB(ridge=1, warm_start=table)
        with memory() as history:
            assert self.feed(scripted, bandit, history, rounds=2) == [("x", "small"), ("y", "large")]


def table_of(*, tiers=NAMES, embedding=None, correct=None, n=4):
    embedding = np.eye(n, WIDTH) if embedding is None else embedding
    n, k = len(embedding), len(tiers)
    tokens = np.full((n, k), 10)
    prices = 10.0 ** np.arange(k)
    return SimpleNamespace(
        tiers=tuple(tiers),
        embedding=embedding.astype(np.float32),
        correct=np.ones((n, k), bool) if correct is None else correct,
        price_in=prices,
        price_out=2 * prices,
        gen_in=tokens,
        gen_out=tokens,
    )


class TestRestart:
    BANDITS = (LinUCB(rewards="grades"), LinUCB.paper(), LinUCB(rewards="grades", forgetting=0.95))

    def live(self, scripted, history, bandit, *, rounds, feedback, lag=0, judge=None):
        """Answer calls, many of them the same few queries, and tell of some, `lag` calls later."""
        bench = bench_of(scripted, bandit, history, judge)
        rng = np.random.default_rng(1)
        told = []
        for number in range(rounds):
            trace = bench.ask(scripted.ScriptedPerformer(says_its_name), f"x{number % 7}", node="a/b").trace
            told.append((trace.trace_id, rng.random() < feedback, bool(rng.random() < 0.6)))
            if number >= lag and told[number - lag][1]:
                bench.engine.feedback(told[number - lag][0], correct=told[number - lag][2])
        return bench.engine.ladder

    @pytest.mark.parametrize("bandit", BANDITS, ids=repr)
    def test_the_state_is_the_same_to_the_last_bit(self, scripted, tmp_path, bandit):
        with memory(tmp_path / "tiers") as history:
            ladder = self.live(scripted, history, bandit, rounds=150, feedback=0.8)
            before = {node: arms_of(history, bandit, ladder, node) for node in ("a", "a/b")}
        with memory(tmp_path / "tiers") as again:
            for node, arms in before.items():
                assert_same_bits(arms, arms_of(again, bandit, ladder, node))

    def test_what_a_check_grades_is_the_same_to_the_last_bit(self, scripted, tmp_path):
        bandit, check = LinUCB(), FunctionJudge(lambda question, answer: len(answer) == 6)
        with memory(tmp_path / "tiers") as history:
            ladder = self.live(scripted, history, bandit, rounds=60, feedback=0, judge=check)
            before = arms_of(history, bandit, ladder, "a/b")
        with memory(tmp_path / "tiers") as again:
            assert_same_bits(before, arms_of(again, bandit, ladder, "a/b"))

    def test_a_record_that_waits_is_learned_as_one_that_is_stored(self, scripted, tmp_path):
        bandit = LinUCB()
        with memory(tmp_path / "tiers") as history:
            ladder = self.live(scripted, history, bandit, rounds=30, feedback=1)
            # Another penalty makes another study, which starts with what there is at the time.
            waiting = arms_of(history, LinUCB(ridge=3), ladder, "a/b")
        with memory(tmp_path / "tiers") as again:
            assert_same_bits(waiting, arms_of(again, LinUCB(ridge=3), ladder, "a/b"))

    @pytest.mark.parametrize(
        "judge", [None, FunctionJudge(lambda question, answer: len(answer) > 5)], ids=["none", "check"]
    )
    def test_feedback_that_comes_late_counts_as_if_it_had_come_at_once(self, scripted, tmp_path, judge):
        bandit = LinUCB(rewards="any")
        with memory(tmp_path / "tiers") as history:
            ladder = self.live(scripted, history, bandit, rounds=60, feedback=0.5, lag=9, judge=judge)
            before = arms_of(history, bandit, ladder, "a/b")
        with memory(tmp_path / "tiers") as again:
            assert_close(before, arms_of(again, bandit, ladder, "a/b"))

    def test_late_feedback_on_what_a_check_had_graded_is_exact_though_observations_are_forgotten(
        self, scripted, tmp_path
    ):
        bandit, check = LinUCB(forgetting=0.9), FunctionJudge(lambda question, answer: True)
        with memory(tmp_path / "tiers") as history:
            ladder = self.live(scripted, history, bandit, rounds=30, feedback=0, judge=check)
            # A better source changes what is known of an answer that was learned long ago.
            history.revise("call-3", lambda record: dataclasses.replace(record, grades={"check": {record.final: 0.0}}))
            before = arms_of(history, bandit, ladder, "a/b")
        with memory(tmp_path / "tiers") as again:
            assert_close(before, arms_of(again, bandit, ladder, "a/b"))

    def test_more_records_than_other_studies_start_with_are_learned(self, scripted, tmp_path):
        bandit, ladder = LinUCB(), scripted.ladder(*NAMES)
        with memory(tmp_path / "tiers") as history:
            for number in range(1_100):
                history.remember(record(f"r{number}", grades={"check": {"small": 1.0}}, text=f"x{number}"))
            assert arms_of(history, bandit, ladder).count == 1_100
        with memory(tmp_path / "tiers") as again:
            assert arms_of(again, bandit, ladder).count == 1_100


def record(trace_id="r", *, answered=("small",), said=None, text="x", vector=None, **facts):
    return Record(
        **{
            "id": trace_id,
            "node": "",
            "created": 1.0,
            "labels": {},
            "start": answered[0],
            "final": answered[-1],
            "answered": answered,
            "agreed": answered[-1:],
            "cost_usd": None,
            "said": dict.fromkeys(answered, 0) if said is None else said,
            "text": text,
            "vector": vector,
        }
        | facts
    )


class TestWhatARecordShows:
    def test_an_unjudged_answer_shows_nothing(self):
        assert rights_of(record(labels={"small": True}), "large") == {}

    def test_the_better_source_counts(self):
        grades = {"feedback": {"small": 0.0}, "check": {"small": 1.0}, "grader": {"small": 0.5}}
        assert rights_of(record(grades=grades, verdicts={"small": False}), "large") == {"small": 1.0}

    def test_equal_answers_are_equally_right(self):
        seen = record(answered=("small", "medium"), grades={"feedback": {"medium": 0.25}})
        assert rights_of(seen, "large") == {"small": 0.25, "medium": 0.25}

    def test_a_verdict_counts_where_nothing_better_is_known(self):
        assert rights_of(record(verdicts={"small": False}), "large") == {"small": 0.0}

    def test_what_differs_from_the_tops_answer_is_wrong_whatever_a_verdict_says(self):
        seen = record(answered=("small", "large"), said={"small": 0, "large": 1}, verdicts={"small": True})
        assert rights_of(seen, "large") == {"small": 0.0}

    def test_a_top_that_was_wrong_is_no_measure(self):
        seen = record(
            answered=("small", "large"), said={"small": 0, "large": 1}, grades={"feedback": {"large": 0.0}},
            labels={"small": False, "large": False},
        )  # fmt: skip
        assert rights_of(seen, "large") == {"large": 0.0}

    def test_two_that_agree_are_right(self):
        seen = record(answered=("small", "medium"), labels={"small": True, "medium": True})
        assert rights_of(seen, "large") == {"small": 1.0, "medium": 1.0}

    def test_a_missing_answer_is_wrong(self):
        seen = record(answered=("small", "medium"), said={"small": -1, "medium": 0}, grades={"check": {"medium": 1.0}})
        assert rights_of(seen, "large", graded_only=True) == {"small": 0.0, "medium": 1.0}

    @settings(max_examples=100)
    @given(st.data())
    def test_only_tiers_that_answered_are_learned_of_and_all_within_bounds(self, data):
        answered = tuple(data.draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True)))
        by_tier = st.dictionaries(st.sampled_from(NAMES), st.floats(0, 1))
        seen = record(
            answered=answered,
            said={name: data.draw(st.integers(-1, 2)) for name in answered},
            labels=data.draw(st.dictionaries(st.sampled_from(NAMES), st.booleans())),
            verdicts={name: data.draw(st.booleans()) for name in answered[:1]},
            grades=data.draw(st.dictionaries(st.sampled_from(["check", "feedback", "grader"]), by_tier)),
        )
        found = rights_of(seen, "large")
        assert found.keys() <= set(answered)
        assert all(0 <= right <= 1 for right in found.values())


class TestNodes:
    def test_a_new_node_starts_with_what_its_parent_knows(self, scripted):
        bandit = LinUCB(alpha=0, price=0)
        with memory() as history:
            bench = bench_of(scripted, bandit, history)
            for number in range(30):
                trace = bench.ask(scripted.ScriptedPerformer(says_its_name), f"x{number}", node="a/old").trace
                bench.engine.feedback(trace.trace_id, correct=trace.final == "medium")
            elsewhere = bench.ask(scripted.ScriptedPerformer(says_its_name), "x", node="b").trace
            beside = bench.ask(scripted.ScriptedPerformer(says_its_name), "x", node="a/new").trace
        assert elsewhere.start == "large"
        assert beside.start == "medium"


def replied(bandit, scripted, reply, ladder=None):
    """Step the starter by hand, with what the history replies."""
    planning = bandit.plan(scripted.call(), ladder or scripted.ladder(*NAMES))
    next(planning)
    with pytest.raises(StopIteration) as stopped:
        planning.send(reply)
    return stopped.value.value


class TestBadInput:
    @pytest.mark.parametrize(
        ("settings", "named"),
        [
            ({"alpha": -0.1}, "alpha=-0.1"),
            ({"alpha": float("nan")}, "alpha=nan"),
            ({"ridge": 0}, "ridge=0"),
            ({"ridge": float("inf")}, "ridge=inf"),
            ({"forgetting": 0}, "forgetting=0"),
            ({"forgetting": 1.01}, "forgetting=1.01"),
            ({"price": -1}, "price=-1"),
            ({"price": True}, "price=True"),
            ({"priors": {"small": 2}}, "priors="),
            ({"rewards": "all"}, "rewards='all'"),
            ({"witness": "above"}, "witness='above'"),
            ({"warm_start": "profile.npz"}, "warm_start must be a table"),
        ],
    )
    def test_a_wrong_argument_is_named(self, settings, named):
        with pytest.raises(ConfigError, match=named):
            LinUCB(**settings)

    def test_recorded_outcomes_of_other_tiers(self, scripted):
        bandit = LinUCB(warm_start=table_of(tiers=("tiny", "vast")))
        with pytest.raises(ConfigError, match="recorded with the tiers tiny, vast, but the ladder is small"):
            bench_of(scripted, bandit, None)

    def test_recorded_outcomes_of_another_embedding_before_a_model_is_called(self, scripted):
        bandit = LinUCB(warm_start=table_of(embedding=np.eye(4, 5)))
        performer = scripted.ScriptedPerformer(says_its_name)
        with memory() as history, pytest.raises(ConfigError, match="have 5 dimensions, the history's 8"):
            bench_of(scripted, bandit, history).ask(performer, "x")
        assert performer.calls == []

    def test_a_record_of_another_width_is_left_out_with_a_warning(self, scripted):
        bandit, ladder = LinUCB(), scripted.ladder(*NAMES)
        study = bandit.study(ladder)
        graded = {"grades": {"check": {"small": 1.0}}}
        arms = study.learn(study.start(), record("one", vector=np.ones(WIDTH, np.float32), **graded))
        arms = study.learn(arms, record("two", vector=np.ones(3, np.float32), **graded))
        assert arms.count == 1
        plan = replied(bandit, scripted, Recollection(vector=np.ones(WIDTH, np.float32), learned=arms))
        assert plan.warnings == ("linucb: 1 past calls have an embedding of another width and teach nothing",)

    def test_a_past_of_another_width_leaves_the_priors_with_a_warning(self, scripted):
        bandit, ladder = LinUCB(price=0), scripted.ladder(*NAMES)
        study = bandit.study(ladder)
        wrong = record(vector=np.ones(3, np.float32), answered=("large",), grades={"check": {"large": 0.0}})
        arms = study.learn(study.start(), wrong)
        plan = replied(bandit, scripted, Recollection(vector=np.ones(WIDTH, np.float32), learned=arms))
        assert plan.start == "large"
        assert "3 dimensions" in plan.warnings[0]


class TestByName:
    @pytest.mark.parametrize("name", ["linucb", "metallm"])
    def test_both_bandits_are_policies(self, name):
        policy = as_policy(name)
        assert policy.name == name
        assert isinstance(policy.starter, LinUCB)

    def test_an_unjudged_answer_that_is_missing_goes_one_tier_up(self, scripted):
        bench = scripted.Bench(FixedStarter(), Unjudged(), scripted.ladder(*NAMES))
        outcome = bench.ask(scripted.ScriptedPerformer({**says_its_name, "small": None}))
        assert outcome.answer.text == "medium"

    def test_on_a_free_ladder_price_plays_no_part(self, scripted):
        tiers = Ladder([Tier(scripted.model("a"), price=(0, 0)), Tier(scripted.model("b"), price=(0, 0))])
        with memory() as history:
            bench = scripted.Bench(LinUCB(price=100), Unjudged(), tiers, history)
            starts = [bench.ask(scripted.ScriptedPerformer({"a": "1", "b": "2"}), "x").trace.start for _ in range(2)]
        # At first the list's order says which is dearer; then it is known that none costs anything.
        assert starts == ["a", "b"]

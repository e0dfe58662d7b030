"""Whose calls a node shows to whom: one principal's many calls do not move what others get."""

import itertools
import random
from dataclasses import dataclass, replace

import pytest
from past_calls import EMBEDDING, ids, record

from llm_tiers import Answer, Engine, FeedbackRefused, Ladder, Tier, Usage
from llm_tiers.errors import ConfigError
from llm_tiers.history import ChromaHistory
from llm_tiers.history.principals import hashed
from llm_tiers.history.store import library
from llm_tiers.history.store.crowd import LATEST, Crowd
from llm_tiers.policies.named import as_policy

FACTOR = 1.25
"""What 400 calls of one user may do to another's cost; docs/reliability.md states it."""


@dataclass(frozen=True)
class Complete:
    """A study that learns from all records of a node."""

    def start(self):
        return ()

    def learn(self, result, record):
        return (*result, record.id)

    def revise(self, result, before, after):
        return result


class Counting:
    """A study of how many calls a node has had; 0 is a result like any other."""

    def start(self):
        return 0

    def learn(self, result, record):
        return result + 1


COUNTING = Counting()


def by(number, principal, **facts):
    return replace(record(number, **facts), principal=principal)


def fill(history, principals, node="n"):
    for number, principal in enumerate(principals):
        history.remember(by(number, principal, node=node))


def seen(history, reader, node="n"):
    return history.recall("question", node=node, k=3, study=COUNTING, principal=reader)


class TestCrowd:
    def test_a_principal_with_more_than_a_quarter_is_left_out_for_others(self, history):
        fill(history, ["a"] * 11 + [f"b{number}" for number in range(30)])

        assert seen(history, "b1").learned == 30
        assert seen(history, "b1").count == 30
        assert seen(history, "a").learned == 41
        assert seen(history, None).learned == 41

    def test_one_with_a_quarter_counts_like_anybody(self, history):
        fill(history, ["a"] * 10 + [f"b{number}" for number in range(30)])
        assert seen(history, "b1").learned == 40

    def test_a_few_calls_crowd_nothing(self, history):
        fill(history, ["a"] * 9)
        assert seen(history, "b").learned == 9

    def test_neighbours_of_one_that_crowds_are_not_shown_to_others(self, history):
        fill(history, ["a"] * 12 + ["b", "c"])
        history.flush()
        assert set(ids(seen(history, "d"))) == {"t12", "t13"}
        assert len(ids(seen(history, "a"))) == 3

    def test_one_of_three_who_ask_about_as_much_counts_like_anybody(self, history):
        fill(history, ["a"] * 18 + ["b"] * 12 + ["c"] * 12)
        assert [seen(history, reader).learned for reader in "abcd"] == [42] * 4

    def test_one_who_asks_half_as_much_again_as_two_others_does_not(self, history):
        fill(history, ["a"] * 19 + ["b"] * 12 + ["c"] * 12)
        assert seen(history, "b").learned == 24

    def test_nobody_in_particular_is_no_other_to_be_measured_by(self, history):
        fill(history, ["a"] * 12 + ["b"] * 12 + [None] * 12)
        assert seen(history, "b").learned == 24

    def test_what_is_learned_later_follows_the_same_rule(self, history):
        fill(history, ["a"] * 12)
        assert seen(history, "b").learned == 0

        history.remember(by(50, "a"))
        history.remember(by(51, "b"))

        assert seen(history, "b").learned == 1
        assert seen(history, "a").learned == 14

    def test_it_holds_after_a_restart(self, tmp_path):
        with ChromaHistory(tmp_path, embedding=EMBEDDING) as history:
            fill(history, ["a"] * 12 + ["b"])
        with ChromaHistory(tmp_path, embedding=EMBEDDING) as history:
            assert seen(history, "c").learned == 1

    def test_leaving_somebody_out_reads_no_more_than_the_newest_records(self, history, monkeypatch):
        monkeypatch.setattr(library, "_WITHOUT", 20)
        fill(history, [f"b{number}" for number in range(10)] + ["a"] * 15)
        history.flush()
        history.remember(by(25, "c"))

        shown = history.recall("question", node="n", k=0, study=Complete(), principal="b1").learned

        assert shown == ("t5", "t6", "t7", "t8", "t9", "t25")
        everything = history.recall("question", node="n", k=0, study=Complete(), principal="a").learned
        assert len(everything) == 26

    def test_without_principals_nothing_is_left_out(self, history):
        fill(history, [None] * 40)
        assert seen(history, "b").learned == 40
        assert seen(history, None).learned == 40

    def test_only_the_latest_calls_count(self):
        crowd = Crowd(("a",) * 600)
        for number in range(LATEST - 200):
            crowd = crowd.after(f"b{number}")
        assert crowd.left_out("c") == frozenset()
        assert crowd.number_of(frozenset({"a"})) == 200

    def test_little_is_kept_of_nodes_that_have_no_records(self, history):
        history.remember(by(1, "a"))
        for number in range(150):
            seen(history, "a", node=f"node {number}")
        assert len(history._library._studies._results) <= 101


TIERS = {"small": (0.1, 0.4), "medium": (0.5, 2.0), "large": (2.0, 8.0)}


class Performer:
    """Below the top, all tiers are right on easy questions and wrong on hard ones, each in its own way."""

    def __init__(self, question):
        self.question = question

    def generate(self, call):
        name = call.tier.name
        wrong = "hard" in self.question and name != "large"
        said = "yes" if call.role == "judge" else f"{name} guesses" if wrong else self.question
        return Answer(tier=name, text=said, value=said, usage=Usage(100, 10), message=None)


def engine(policy="menu"):
    ladder = Ladder([Tier("a model", name=name, price=price) for name, price in TIERS.items()])
    numbers = itertools.count()
    history = ChromaHistory(embedding=EMBEDDING)
    return Engine(ladder, as_policy(policy), history, new_id=lambda: f"call {next(numbers)}")


def cost_of_others(policy, before, users, attacked):
    """What a call of other users costs after one user's 400 calls with wrong feedback, in US$."""
    running = engine(policy)

    def ask(question, principal):
        call = running.call(question, principal=principal)
        trace = running.run(call, Performer(question)).trace
        if principal == "hostile":
            running.feedback(call.id, correct=trace.final == "large", principal=principal)
        return trace.cost_usd

    for number in range(before):
        ask(f"easy {number}", f"user {number % users}")
    for number in range(400 if attacked else 0):
        ask(f"hard {number}", "hostile")
    costs = [ask(f"easy {1000 + number}", f"user {number % users}") for number in range(100)]
    running.close()
    return sum(costs) / len(costs)


@pytest.mark.parametrize(("before", "users"), [(0, 20), (100, 20), (0, 3), (300, 3), (600, 3)])
def test_400_calls_of_one_user_do_not_raise_anothers_cost(before, users):
    unmoved = cost_of_others("menu", before, users, attacked=False)
    assert cost_of_others("menu", before, users, attacked=True) <= FACTOR * unmoved


def cost_and_accuracy(order, calls=200):
    """What a call of a team costs, in US$, and how often its answer is right; a fifth of the questions is hard."""
    running = engine()
    cost, right = 0.0, 0
    for number in range(calls):
        question = f"{'hard' if number % 5 == 0 else 'easy'} {number}"
        trace = running.run(running.call(question, principal=next(order)), Performer(question)).trace
        cost += trace.cost_usd
        right += question.startswith("easy") or trace.final == "large"
    running.close()
    return cost / calls, right / calls


def test_three_who_ask_equally_much_learn_as_fast_as_one():
    alone, by_one = cost_and_accuracy(itertools.repeat("ada"))
    in_turn, by_three = cost_and_accuracy(itertools.cycle(["ada", "bob", "eve"]))
    assert in_turn == pytest.approx(alone)
    assert by_three == by_one


def test_three_who_ask_in_no_order_learn_hardly_slower():
    drawn = random.Random(1)
    alone, by_one = cost_and_accuracy(itertools.repeat("ada"))
    mixed, by_three = cost_and_accuracy(iter(lambda: drawn.choice(["ada", "bob", "eve"]), None))
    assert mixed <= 1.1 * alone
    assert by_three >= by_one


class TestFeedback:
    @pytest.fixture
    def bench(self):
        running = engine("estimate")
        yield running
        running.close()

    def asked(self, bench, principal):
        call = bench.call("easy", principal=principal)
        bench.run(call, Performer("easy"))
        return call.id

    def test_whoever_got_the_answer_may_grade_it(self, bench):
        trace_id = self.asked(bench, "ada")
        assert bench.feedback(trace_id, correct=False, principal="ada").grades["feedback"] == {"small": 0.0}

    @pytest.mark.parametrize("asker", ["ada", None])
    def test_another_principal_may_not(self, bench, asker):
        trace_id = self.asked(bench, asker)
        with pytest.raises(FeedbackRefused, match=r"principal= may not grade it") as raised:
            bench.feedback(trace_id, correct=False, principal="bob")
        assert "ada" not in str(raised.value)
        assert "bob" not in str(raised.value)

    @pytest.mark.parametrize("asker", ["ada", None])
    def test_the_application_itself_may(self, bench, asker):
        assert bench.feedback(self.asked(bench, asker), correct=True).grades["feedback"] == {"small": 1.0}

    @pytest.mark.parametrize("wrong", ["", 7, b"ada"])
    def test_a_principal_is_a_name(self, bench, wrong):
        with pytest.raises(ConfigError, match="principal must be the name"):
            bench.call("easy", principal=wrong)


def test_no_name_of_a_principal_is_stored(tmp_path):
    running = engine()
    call = running.call("easy", principal="ada@example.org")
    running.run(call, Performer("easy"))
    running.history.flush()
    (kept,) = running.history.export()
    running.close()
    assert kept["principal"] == hashed("ada@example.org")
    assert "ada" not in repr(kept)
    assert "ada" not in repr(call)

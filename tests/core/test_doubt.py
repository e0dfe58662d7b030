"""The doubt cascade: who is asked, what stands, and what is learned from the pair's agreement."""

import numpy as np
import pytest

from llm_tiers import ChromaHistory, ConfigError, Policy, PromptJudge, Usage
from llm_tiers.equality import FinalAnswers
from llm_tiers.policies import as_policy, doubt
from llm_tiers.replay import BUNDLED, load_table, replay
from llm_tiers.starters import Doubt

VAGUE = ("Paris lies on the Seine.", "The Seine flows through Paris.")


def said(*numbers):
    """What small, medium, large, huge answer; None for nothing."""
    names = ("small", "medium", "large", "huge")
    return {
        name: None if number is None else number if isinstance(number, str) else f"The answer is {number}."
        for name, number in zip(names, numbers, strict=False)
    }


@pytest.fixture
def bench(scripted):
    def bench(tiers=4, history=None, **settings):
        both = Doubt(**settings)
        names = ("small", "medium", "large", "huge")[:tiers]
        history = scripted.ListHistory() if history is None else history
        return scripted.Bench(both, both, scripted.ladder(*names), history, equality=FinalAnswers())

    return bench


@pytest.fixture
def ask(scripted):
    """Ask once; return the trace, and who was called for what."""

    def ask(bench, answers, verdicts=None, *, way="run", usage=None):
        performer = scripted.ScriptedPerformer(answers, verdicts, **({} if usage is None else {"usage": usage}))
        outcome = bench.ask(performer, way=way)
        return outcome.trace, sorted(performer.roles)

    return ask


def test_two_that_agree_stand_and_nobody_judges(bench, ask, way):
    trace, roles = ask(bench(), said(4, 4), way=way)

    assert roles == [("generate", "medium"), ("witness", "small")]
    assert (trace.start, trace.final) == ("medium", "medium")
    attempt = next(attempt for attempt in trace.attempts if attempt.role == "generate")
    assert (attempt.verdict, attempt.by) == ("valid", "doubt")
    assert attempt.why == "doubt 0.30 <= 0.57"


@pytest.mark.parametrize(("third", "final"), [(4, "large"), (5, "large"), (6, "large")])
def test_where_two_differ_a_third_decides(bench, ask, way, third, final):
    trace, roles = ask(bench(), said(4, 5, third), way=way)

    assert roles == [("generate", "large"), ("generate", "medium"), ("witness", "small")]
    assert trace.final == final


def test_much_doubt_asks_the_top(bench, ask, way):
    trace, _ = ask(bench(quality=1), said(4, 5, 6, 7), way=way)
    assert trace.final == "huge"

    trace, _ = ask(bench(quality=1), said(4, 4, 5, 6), way=way)
    assert trace.final == "huge"


def test_a_third_answer_that_is_missing_leaves_the_second(bench, ask, way):
    bench = bench()
    trace, roles = ask(bench, said(4, 5, None), way=way)

    assert roles == [("generate", "large"), ("generate", "medium"), ("witness", "small")]
    assert trace.final == "medium"
    assert trace.warnings == ()
    assert bench.history.given[0].final == "medium"


def test_a_second_answer_that_is_missing_is_decided_by_the_third(bench, ask):
    trace, _ = ask(bench(), said(4, None, 4))
    assert trace.final == "large"


def test_the_pairs_agreement_is_what_is_learned(bench, ask):
    bench = bench()
    ask(bench, said(4, 4))
    ask(bench, said(4, 5, 5))

    assert [dict(record.said) for record in bench.history.given] == [
        {"medium": 0, "small": 0},
        {"medium": 0, "small": 1, "large": 0},
    ]
    trace, _ = ask(bench, said(4, 4))
    # (1 of 2 differed + the prior's 2 x 0.3) / (2 + 2)
    assert trace.estimates["medium"] == pytest.approx(1 - (1 + 0.6) / 4)


def test_where_two_always_agree_the_cheapest_answers_alone_and_is_checked_now_and_then(bench, ask):
    bench = bench()
    starts = [ask(bench, said(4, 4))[0].start for _ in range(60)]

    assert set(starts[:8]) == {"medium"}
    assert starts[20:].count("small") > 20
    assert "medium" in starts[20:]


def test_where_two_never_agree_they_are_not_asked(bench, ask):
    bench = bench()
    plans = [ask(bench, said(4, 5, 6, 6))[0] for _ in range(40)]

    late = plans[25:]
    assert sum(plan.start == "large" for plan in late) > len(late) / 3
    above = next(plan for plan in late if plan.start == "large")
    assert [attempt.tier for attempt in above.attempts if attempt.role == "witness"] == ["medium"]


def test_a_hard_query_has_the_third_tier_beside(bench, ask, scripted):
    bench = bench(quality=0.9)
    for _ in range(4):
        ask(bench, said(4, 5, 6, 6))
    slow = {"small": 1.0, "medium": 2.0, "large": 5.0, "huge": 9.0}
    performer = scripted.ScriptedPerformer(said(4, 5, 5, 5), seconds=slow)

    trace = bench.ask(performer).trace

    assert trace.final in ("large", "huge")
    # Side by side the longest counts.
    assert trace.seconds == pytest.approx(5.0 if trace.final == "large" else 14.0)


def test_long_answers_raise_the_doubt(bench, ask):
    bench = bench()
    for number in range(10):
        ask(bench, said(4, 4 + number % 2, 5), usage=Usage(100, 50))

    usual, _ = ask(bench, said(4, 5, 5), usage=Usage(100, 50))
    long, _ = ask(bench, said(4, 5, 5), usage=Usage(100, 5_000))

    def doubt_of(trace):
        return float(next(a.why for a in trace.attempts if a.tier == "large").split()[1])

    assert doubt_of(long) > doubt_of(usual) + 0.3


class TestTwoTiers:
    def test_both_answer_until_it_is_known_that_the_cheaper_one_will_do(self, bench, ask):
        bench = bench(tiers=2)
        first, roles = ask(bench, said(4, 4))
        assert (first.final, roles) == ("medium", [("generate", "medium"), ("witness", "small")])

        for _ in range(6):
            last, roles = ask(bench, said(4, 4))
        assert (last.final, roles) == ("small", [("generate", "small")])

    def test_the_dearer_one_answers_where_they_differ(self, bench, ask):
        bench = bench(tiers=2)
        finals = {ask(bench, said(4, 5))[0].final for _ in range(12)}
        assert finals == {"medium"}


class TestFreeText:
    def test_the_cheapest_tier_says_whether_two_texts_say_the_same(self, bench, ask):
        answers = {"small": VAGUE[0], "medium": VAGUE[1], "large": "x"}
        trace, roles = ask(bench(), answers, {"medium": "yes"})

        assert roles == [("generate", "medium"), ("judge", "small"), ("witness", "small")]
        assert trace.final == "medium"

    def test_where_that_cannot_be_told_either_a_model_judges(self, bench, ask):
        answers = {"small": VAGUE[0], "medium": VAGUE[1], "large": "x", "huge": "y"}
        _, roles = ask(bench(), answers, {"medium": "perhaps", "large": "yes"})

        assert ("judge", "small") in roles
        assert ("judge", "medium") in roles

    def test_a_witness_that_fails_leaves_it_to_the_judge(self, bench, ask, scripted):
        trace, roles = ask(bench(), said(4, 4) | {"small": scripted.Down()}, {"medium": "yes"})

        assert ("judge", "medium") in roles
        assert trace.final == "medium"


def test_what_is_learned_is_found_again_in_a_folder(bench, ask, tmp_path):
    def vector(text):
        return np.array([1.0, 0.0])

    from llm_tiers.history import Embedding

    for _ in range(2):
        with ChromaHistory(tmp_path / "tiers", embedding=Embedding(vector, name="one")) as history:
            known = bench(history=history)
            traces = [ask(known, said(4, 4))[0] for _ in range(20)]

    assert traces[0].start == "small"
    assert traces[0].neighbours == 20


@pytest.mark.parametrize("path", BUNDLED, ids=lambda path: path.stem)
def test_it_costs_little_more_than_half_of_llm_at_at_its_accuracy(path):
    table = load_table(path)
    ours, theirs = (replay(table, policy, order="shuffle", seed=0) for policy in ("doubt", "llm-at"))

    assert ours.cost_usd < 0.6 * theirs.cost_usd
    assert ours.accuracy > theirs.accuracy - 0.01
    assert ours.minutes < theirs.minutes
    assert ours.judge_calls <= 5


def test_a_higher_quality_is_dearer(scripted):
    table = load_table(BUNDLED[0])
    costs = [replay(table, "doubt", knob=quality).cost_usd for quality in (0, 0.25, 0.6, 1)]
    assert costs == sorted(costs)


def test_it_is_known_by_name():
    policy = as_policy("doubt")
    assert (policy.name, policy.starter, policy.starter.quality) == ("doubt", policy.judge, 0.25)
    assert isinstance(doubt(quality=0.5), Policy)
    assert repr(policy.judge) == f"Doubt(quality=0.25, judge={PromptJudge()!r})"


@pytest.mark.parametrize(
    ("argument", "wrong"),
    [
        ("quality", 1.1),
        ("quality", "high"),
        ("k", 0),
        ("strength", 0),
        ("strength", float("inf")),
        ("prior", -0.1),
        ("half_life", 0),
    ],
)
def test_an_argument_out_of_its_range_is_refused(argument, wrong):
    with pytest.raises(ConfigError, match=argument):
        Doubt(**{argument: wrong})

"""The doubt cascade: who is asked, what stands, and what is learned from the tiers' agreement."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_tiers import ChromaHistory, ConfigError, Policy, PromptJudge, Usage
from llm_tiers.agreement.equality import FinalAnswers
from llm_tiers.embedding import Embedding
from llm_tiers.policies.doubt import Doubt
from llm_tiers.policies.judges import Thrifty
from llm_tiers.policies.named import as_policy, doubt
from llm_tiers.replay import BUNDLED, load_table, replay

VAGUE = ("Paris lies on the Seine.", "The Seine flows through Paris.")
NAMES = ("small", "medium", "large", "huge")


def said(*numbers):
    """What small, medium, large, huge answer; None for nothing."""
    return {
        name: None if number is None else number if isinstance(number, str) else f"The answer is {number}."
        for name, number in zip(NAMES, numbers, strict=False)
    }


@pytest.fixture
def bench(scripted):
    def bench(tiers=4, history=None, audit=0.0, **settings):
        both = Doubt(**{"explore": 0.0, **settings})
        history = scripted.ListHistory() if history is None else history
        return scripted.Bench(
            both, both, scripted.ladder(*NAMES[:tiers]), history, equality=FinalAnswers(), audit=audit
        )

    return bench


@pytest.fixture
def ask(scripted):
    """Ask once; return the trace, and who was called for what."""

    def ask(bench, answers, verdicts=None, *, way="run", usage=None):
        performer = scripted.ScriptedPerformer(answers, verdicts, **({} if usage is None else {"usage": usage}))
        outcome = bench.ask(performer, way=way)
        return outcome.trace, sorted(performer.roles)

    return ask


def asked(trace):
    return {attempt.tier for attempt in trace.attempts}


def test_two_that_agree_stand_and_nobody_judges(bench, ask, way):
    trace, roles = ask(bench(), said(4, 4), way=way)

    assert roles == [("generate", "medium"), ("witness", "small")]
    assert (trace.start, trace.final) == ("medium", "medium")
    attempt = next(attempt for attempt in trace.attempts if attempt.role == "generate")
    assert (attempt.verdict, attempt.by) == ("valid", "doubt")
    assert attempt.why.startswith("right with chance 0.")
    assert 0.5 < trace.confidence < 1


@pytest.mark.parametrize("third", [4, 5, 6])
def test_where_two_differ_a_dearer_one_decides(bench, ask, way, third):
    trace, roles = ask(bench(quality=0.5), said(4, 5, third, third), way=way)

    assert roles[-2:] == [("generate", "medium"), ("witness", "small")]
    assert trace.final in ("large", "huge")


def test_the_highest_quality_goes_to_the_top_where_it_may_differ(bench, ask, way):
    trace, _ = ask(bench(quality=1), said(4, 5, 6, 7), way=way)
    assert trace.final == "huge"
    assert trace.confidence is None


def test_a_missing_answer_is_not_returned_where_another_tier_gave_one(bench, ask, way):
    bench = bench(tiers=3, quality=0.9)
    trace, _ = ask(bench, said(4, 5, None), way=way)

    assert trace.final == "medium"
    assert "large" in asked(trace)


@pytest.mark.parametrize("declining", ["Abstain", "I'm sorry, I cannot help with that."])
def test_a_refusal_or_an_abstention_is_no_answer(bench, ask, declining):
    bench = bench()
    trace, _ = ask(bench, {"small": declining, "medium": declining, "large": "The answer is 4.", "huge": "4"})

    assert trace.final in ("large", "huge")
    assert bench.history.given[0].said["small"] == -1


def test_where_all_are_silent_so_far_the_next_tier_is_asked(bench, ask):
    trace, _ = ask(bench(), said(None, None, 4, 4))
    assert trace.final in ("large", "huge")


def test_what_each_tier_said_is_learned(bench, ask):
    bench = bench()
    ask(bench, said(4, 4))
    ask(bench, said(4, 5, 5, 5))

    first, second = bench.history.given
    assert dict(first.said) == {"medium": 0, "small": 0}
    assert second.said["small"] != second.said["medium"]
    assert first.share == pytest.approx(0.25)
    # One that agreed of one seen (similarity 1), and a prior of 2 times the usual share (0.5 + 0) / (2 + 1).
    assert second.share == pytest.approx(2 * (0.5 / 3) / 3)
    assert set(second.costs) == set(second.answered)


def test_where_two_always_agree_the_cheapest_answers_alone(bench, ask):
    bench = bench(quality=0)
    starts = [ask(bench, said(4, 4))[0].start for _ in range(180)]

    assert set(starts[:20]) == {"medium"}
    assert set(starts[160:]) == {"small"}


def test_they_are_tried_again_now_and_then(bench, ask):
    bench = bench(quality=0, explore=0.2)
    starts = [ask(bench, said(4, 4))[0].start for _ in range(150)]
    assert 0 < starts[110:].count("medium") < 20


def test_cheap_tiers_that_never_stand_are_not_asked_any_more(bench, ask):
    bench = bench(quality=0.6)
    answers = [said(number + 1000, number + 2000, number, number) for number in range(80)]
    traces = [ask(bench, given)[0] for given in answers]

    assert {"small", "medium"} <= asked(traces[0])
    late = traces[60:]
    assert all(trace.final in ("large", "huge") for trace in late)
    assert sum(trace.start in ("large", "huge") and not {"small", "medium"} & asked(trace) for trace in late) > 15


def test_a_tier_that_says_what_the_one_below_says_is_skipped(bench, ask):
    """Medium is a copy of small; only huge tells who is right."""
    bench = bench(quality=0.6)
    traces = []
    for number in range(120):
        wrong = number % 3 == 0
        cheap, dear = (number + 1000 if wrong else number), number
        traces.append(ask(bench, said(cheap, cheap, dear, dear))[0])

    late = traces[80:]
    assert sum("medium" in asked(trace) for trace in late) < len(late) / 2


def test_long_answers_raise_the_doubt(bench, ask):
    bench = bench(quality=0.2)
    for number in range(10):
        ask(bench, said(4, 4 + number % 2, 4), usage=Usage(100, 50))

    usual, _ = ask(bench, said(4, 4, 4), usage=Usage(100, 55))
    long, _ = ask(bench, said(4, 4, 4, 4), usage=Usage(100, 5_000))

    def chance_of(trace):
        return 1.0 if trace.confidence is None else trace.confidence

    assert usual.confidence > chance_of(long) or long.final == "huge"


def test_a_question_that_the_user_called_wrong_counts_as_one_on_which_tiers_differ(bench, ask):
    bench = bench()
    trace, _ = ask(bench, said(4, 4))
    before = ask(bench, said(4, 4))[0].reason
    bench.engine.feedback(trace.trace_id, correct=False)
    after = ask(bench, said(4, 4))[0].reason

    def share(reason):
        return float(reason.partition("differ on ")[2].split()[0])

    assert share(after) > share(before)


class TestTwoTiers:
    def test_both_answer_until_something_is_known(self, bench, ask):
        bench = bench(tiers=2)
        first, roles = ask(bench, said(4, 4))
        assert (first.final, roles) == ("medium", [("generate", "medium"), ("witness", "small")])

        for _ in range(25):
            last, roles = ask(bench, said(4, 4))
        assert (last.final, roles) == ("small", [("generate", "small")])

    def test_the_dearer_one_answers_where_they_differ(self, bench, ask):
        bench = bench(tiers=2, quality=0.6)
        finals = [ask(bench, said(4, 5))[0].final for _ in range(40)]
        assert set(finals) == {"medium"}


@pytest.mark.parametrize("tiers", [2, 3, 4])
@given(numbers=st.lists(st.sampled_from([1, 2, 3, None]), min_size=4, max_size=4), quality=st.floats(0, 1))
def test_the_answer_is_one_that_was_given_and_is_missing_only_if_all_are(scripted, tiers, numbers, quality):
    both = Doubt(quality=quality)
    bench = scripted.Bench(both, both, scripted.ladder(*NAMES[:tiers]), scripted.ListHistory(), equality=FinalAnswers())
    outcome = bench.ask(scripted.ScriptedPerformer(said(*numbers[:tiers])), way="run")

    answers = dict(zip(NAMES, numbers[:tiers], strict=False))
    assert outcome.answer.tier in asked(outcome.trace)
    if outcome.answer.value is None:
        assert all(answers[tier] is None for tier in asked(outcome.trace))


class TestFreeText:
    def test_the_cheapest_tier_says_whether_two_texts_say_the_same(self, bench, ask):
        answers = {"small": VAGUE[0], "medium": VAGUE[1], "large": "x"}
        trace, roles = ask(bench(quality=0.2), answers, {"medium": "yes"})

        assert roles == [("generate", "medium"), ("judge", "small"), ("witness", "small")]
        assert trace.final == "medium"

    def test_what_it_said_is_learned_as_a_label(self, bench, ask):
        bench = bench(quality=0.2)
        ask(bench, {"small": VAGUE[0], "medium": VAGUE[1], "large": "x"}, {"medium": "yes"})

        (record,) = bench.history.given
        assert record.said["small"] == record.said["medium"]
        assert record.labels["small"]

    def test_a_pair_is_asked_about_once(self, bench, ask):
        answers = {"small": VAGUE[0], "medium": VAGUE[1], "large": "The answer is 4.", "huge": "The answer is 4."}
        _, roles = ask(bench(quality=0.7), answers, {"medium": "no", "large": "no"})

        # medium and small, large and small, large and medium; that huge says what large says is seen for nothing.
        assert ("generate", "huge") in roles
        assert roles.count(("judge", "small")) == 3

    def test_where_that_cannot_be_told_either_a_model_judges(self, bench, ask):
        answers = {"small": VAGUE[0], "medium": VAGUE[1], "large": "x", "huge": "y"}
        _, roles = ask(bench(judge=PromptJudge()), answers, {"medium": "perhaps", "large": "yes"})

        assert ("judge", "small") in roles
        assert ("judge", "medium") in roles

    def test_answers_that_cannot_be_compared_teach_nothing_of_agreement(self, bench, ask):
        bench = bench(judge=PromptJudge())
        ask(bench, {"small": VAGUE[0], "medium": VAGUE[1], "large": "x", "huge": "y"}, {"medium": "perhaps"})

        assert len(bench.history.given[0].said) < len(bench.history.given[0].answered)


def test_what_is_learned_is_found_again_in_a_folder(bench, ask, tmp_path):
    def vector(text):
        return np.array([1.0, 0.0])

    for _ in range(2):
        with ChromaHistory(tmp_path / "tiers", embedding=Embedding(vector, name="one")) as history:
            known = bench(history=history, quality=0)
            traces = [ask(known, said(4, 4))[0] for _ in range(110)]

    assert traces[0].start == "small"
    assert traces[0].neighbours == 20


class TestAudit:
    def test_all_tiers_answer_and_the_answer_is_the_same(self, bench, ask, way):
        plain, _ = ask(bench(), said(4, 4, 5, 6), way=way)
        bench = bench(audit=1.0)
        audited, roles = ask(bench, said(4, 4, 5, 6), way=way)

        assert (audited.final, audited.start) == (plain.final, plain.start)
        assert roles == [("audit", "huge"), ("audit", "large"), ("generate", "medium"), ("witness", "small")]
        assert audited.cost_usd > plain.cost_usd
        (record,) = bench.history.given
        assert set(record.said) == set(NAMES)
        assert record.said["large"] != record.said["huge"]

    def test_an_answer_that_was_given_early_is_used_in_its_turn(self, bench, ask):
        trace, roles = ask(bench(audit=1.0, quality=1), said(4, 5, 6, 7))

        assert trace.final == "huge"
        assert len(roles) == 4

    def test_so_many_calls_are_drawn(self, bench, ask):
        bench = bench(audit=0.25)
        drawn = [len(ask(bench, said(4, 4, 4, 4))[1]) == 4 for _ in range(80)]
        assert 8 < sum(drawn) < 34


@pytest.mark.parametrize("path", BUNDLED, ids=lambda path: path.stem)
def test_it_costs_little_more_than_half_of_llm_at_at_its_accuracy(path):
    table = load_table(path)
    ours = replay(table, "doubt", order="shuffle", seed=0)
    theirs = replay(table, "llm-at", order="shuffle", seed=0)

    assert ours.cost_usd < 0.6 * theirs.cost_usd
    assert ours.accuracy > theirs.accuracy - 0.01
    assert ours.minutes < theirs.minutes
    assert ours.judge_calls == 0


def test_a_higher_quality_is_dearer():
    table = load_table(BUNDLED[0])
    costs = [replay(table, "doubt", knob=quality).cost_usd for quality in (0, 0.25, 0.6, 1)]
    assert costs == sorted(costs)


def test_it_is_known_by_name():
    policy = as_policy("doubt")
    assert (policy.name, policy.starter) == ("doubt", policy.judge)
    assert isinstance(doubt(quality=0.5), Policy)
    assert repr(Doubt(quality=0.25)) == f"Doubt(quality=0.25, judge={Thrifty(PromptJudge())!r})"


@pytest.mark.parametrize(
    ("argument", "wrong"),
    [
        ("quality", 1.1),
        ("quality", "high"),
        ("k", 0),
        ("strength", 0),
        ("strength", float("inf")),
        ("explore", -0.1),
        ("half_life", 0),
    ],
)
def test_an_argument_out_of_its_range_is_refused(argument, wrong):
    with pytest.raises(ConfigError, match=argument):
        Doubt(**{argument: wrong})


@pytest.mark.parametrize("wrong", [1.5, -1, "often"])
def test_a_chance_of_audits_out_of_its_range_is_refused(wrong):
    with pytest.raises(ConfigError, match="audit="):
        as_policy(audit=wrong)

"""A replay that learns from the recorded truth: grades on profiled calls, feedback on a share of the others."""

from dataclasses import replace

import numpy as np
import pytest

from llm_tiers import ConfigError
from llm_tiers.history import ChromaHistory
from llm_tiers.replay import BUNDLED, load_table, replay

N = 60


@pytest.fixture(scope="module")
def table():
    whole = load_table(BUNDLED[0])
    by_question = (name for name in whole.__slots__ if getattr(getattr(whole, name), "ndim", 0) > 1)
    return replace(whole, **{name: getattr(whole, name)[:N] for name in by_question})


@pytest.fixture
def kept(monkeypatch):
    """Collect what histories are told after a call."""
    records = {}
    revise = ChromaHistory.revise

    def listening(self, trace_id, change):
        records[trace_id] = revise(self, trace_id, change)
        return records[trace_id]

    monkeypatch.setattr(ChromaHistory, "revise", listening)
    return records


def test_grades_are_the_recorded_truth_and_only_of_profiled_calls(table, kept):
    replay(table, "guarantee:0.5", grade=True)

    profiled = [record for record in kept.values() if record.audited]
    assert profiled
    for record in profiled:
        row = int(record.id.partition("-")[2])
        truth = dict(zip(table.tiers, map(float, table.correct[row]), strict=True))
        assert record.grades["grader"] == {tier: truth[tier] for tier in record.answered}
    assert not any(record.grades for record in kept.values() if not record.audited)


def test_feedback_is_the_truth_of_the_returned_answer_on_a_share_of_the_calls(table, kept):
    replay(table, "default", feedback=0.3)

    assert 0.1 * N < len(kept) < 0.6 * N
    for record in kept.values():
        row = int(record.id.partition("-")[2])
        right = float(table.correct[row, table.tiers.index(record.final)])
        assert record.grades["feedback"][record.final] == right


def test_the_same_calls_are_told_about_under_every_policy(table, kept):
    replay(table, "default", feedback=0.5)
    first = set(kept)
    kept.clear()
    replay(table, "estimate", feedback=0.5)

    assert len(first ^ set(kept)) <= N // 10  # calls without a record, such as those that nobody answered


def test_a_policy_that_learns_nothing_is_unchanged(table):
    alone = f"single:{table.tiers[0]}"
    assert replay(table, alone, grade=True, feedback=1.0).right == replay(table, alone).right


def test_a_share_is_no_more_than_one(table):
    with pytest.raises(ConfigError, match=r"feedback=1.5 must lie in \[0, 1\]"):
        replay(table, "default", feedback=1.5)


def test_a_guarantee_of_grades_is_graded_by_the_truth_without_being_told_to(table, kept):
    replay(table, "guarantee-grade:0.5")

    profiled = [record for record in kept.values() if record.audited]
    assert profiled
    assert all(record.grades["grader"] for record in profiled)


def test_a_guarantee_of_grades_lets_a_tier_answer_that_is_right_as_often(table):
    # The cheap tier differs from the top tier wherever that is wrong.
    said = table.answer_equal.copy()
    said[:] = 0
    wrong = np.arange(N) % 2 == 0
    said[wrong, 0] = 1
    right = np.ones_like(table.correct)
    right[wrong, -1] = False
    equal = replace(table, answer_equal=said, answer_exact=said, correct=right, abstained=np.zeros_like(right))
    long = repeated(equal, 10)

    by_grade, by_equality = replay(long, "guarantee-grade:0.1"), replay(long, "guarantee:0.1")
    assert by_grade.finals[table.tiers[0]] > N * 3
    assert by_equality.finals[table.tiers[0]] < N * 3
    assert by_grade.accuracy > by_equality.accuracy


def test_a_guarantee_may_ask_the_recorded_judge_where_there_is_one(table):
    judged = replay(table, "guarantee-judged:0.1")
    assert judged.judge_calls > 0
    assert replay(table, "guarantee:0.1").judge_calls == 0

    silent = replace(table, verdict=np.full_like(table.verdict, -1))
    with pytest.raises(ConfigError, match=r"has no verdicts; take guarantee:0\.1"):
        replay(silent, "guarantee-judged:0.1")


def test_a_bandit_of_rules_learns_from_feedback(table):
    result = replay(repeated(table, 4), "linucb-rules", feedback=1.0)
    assert result.judge_calls == 0
    assert sum(count > 0 for count in result.starts.values()) > 1


def repeated(table, times):
    by_question = (name for name in table.__slots__ if getattr(getattr(table, name), "ndim", 0) > 1)
    return replace(table, **{name: np.concatenate([getattr(table, name)] * times) for name in by_question})

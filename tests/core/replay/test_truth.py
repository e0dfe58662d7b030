"""A replay that learns from the recorded truth: grades on profiled calls, feedback on a share of the others."""

from dataclasses import replace

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

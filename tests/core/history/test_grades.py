"""How right past answers are: stored by source, and read by the best source."""

from __future__ import annotations

import dataclasses
import json

import pytest
from past_calls import EMBEDDING, record

from llm_tiers import ChromaHistory
from llm_tiers.history.grades import SOURCES, best_grades, grader_error
from llm_tiers.history.store import facts


def graded(**grades):
    return dataclasses.replace(record(1), grades=grades)


def test_grades_and_verdicts_survive_a_restart(tmp_path):
    with ChromaHistory(tmp_path, embedding=EMBEDDING) as history:
        history.remember(record(1))
    with ChromaHistory(tmp_path, embedding=EMBEDDING) as history:
        (found,) = history.recall("question 1", node="n", k=1).neighbours
    assert found.record == dataclasses.replace(record(1), text=None)


def test_an_older_record_reads_as_one_without_grades():
    metadata = facts.write(record(1))
    kept = json.loads(metadata["record"])
    for name in ("grades", "verdicts", "verdict_costs", "contradicted", "grading_usd"):
        del kept[name]
    old = facts.read("t1", metadata | {"record": json.dumps(kept)})
    assert (old.grades, old.verdicts, old.verdict_costs, old.contradicted) == ({}, {}, {}, {})
    assert old.grading_usd == 0


@pytest.mark.parametrize("source", SOURCES[:-1])
def test_the_best_source_speaks_alone(source):
    worse = SOURCES[SOURCES.index(source) + 1 : -1]
    grades = {source: {"small": 0.5}} | {other: {"small": 1.0, "large": 1.0} for other in worse}
    assert best_grades(graded(**grades), "large") == ({"small": 0.5}, source)


def test_without_grades_what_equals_the_top_counts_and_says_so():
    call = dataclasses.replace(graded(feedback={}), said={"small": 0, "medium": -1, "large": 0, "other": 1})
    expected = {"small": 1.0, "medium": 0.0, "large": 1.0, "other": 0.0}
    assert best_grades(call, "large") == (expected, "equality")


@pytest.mark.parametrize("said", [{}, {"small": 0}, {"small": 0, "large": -1}], ids=["nobody", "no-top", "top-refused"])
def test_nothing_is_known_without_grades_and_the_tops_answer(said):
    assert best_grades(dataclasses.replace(graded(), said=said), "large") == ({}, None)


def test_the_graders_own_error_is_a_share_of_the_pairs_shown_both_ways():
    calls = [dataclasses.replace(record(1), contradicted=kept) for kept in ({}, {"a": True, "b": False}, {"a": False})]
    error = grader_error(calls)
    assert (error.pairs, error.contradictory, error.share) == (3, 1, pytest.approx(1 / 3))
    assert grader_error(calls[:1]).share is None

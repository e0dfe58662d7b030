"""What calibration weighs beside the knob, and what it says where nothing is graded."""

import json
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from llm_tiers.calibration.audited import FEWEST, audited_calls
from llm_tiers.cli import app
from llm_tiers.history import Record
from llm_tiers.policies.named import as_policy

NAMES = ("small", "medium", "large")
N = 60


def write(path, correct, *, equal=None, **more):
    """Write a table of what is right; answers are equal where both are right, unless `equal` says which are."""
    correct = np.array(correct)
    n, k = correct.shape
    ones = np.ones((n, k), int)
    np.savez(
        path,
        tiers=np.array(NAMES[:k]),
        price_in=np.zeros(k),
        price_out=10.0 ** np.arange(k),
        prior=np.full(k, 0.5),
        embedding=np.random.default_rng(0).normal(size=(n, 4)).astype(np.float32),
        correct=correct,
        abstained=0 * ones,
        verdict=-ones,
        judge_tier=-ones,
        gen_in=0 * ones,
        gen_out=1_000 * ones,
        gen_s=0.0 * ones,
        judge_in=0 * ones,
        judge_out=0 * ones,
        judge_s=0.0 * ones,
        answer_exact=np.where(correct, 0, np.arange(1, k + 1)) if equal is None else equal,
        **more,
    )
    return path


def calibrate(*arguments):
    return CliRunner().invoke(app, ["calibrate", *map(str, arguments)])


def found_on(*arguments):
    done = calibrate(*arguments, "--json", "-")
    return done.exit_code, json.loads(done.stdout)


def test_a_single_tier_that_reaches_the_target_at_the_least_cost_is_recommended_and_can_be_loaded(tmp_path):
    # The middle tier is always right, and the cheapest never: whatever is asked beside the middle one is wasted.
    table = write(tmp_path / "table.npz", [[0, 1, 1]] * N)
    out = tmp_path / "tiers.json"
    done = calibrate(table, "--accuracy", 0.9, "--out", out)
    assert done.exit_code == 0, done.output
    assert "recommended: medium alone: accuracy 1.000" in done.output.replace("\n", " ")
    settings = json.loads(out.read_text())
    assert (settings["policy"], settings["knob"]) == ("single:medium", None)
    policy = as_policy(settings=out)
    assert (policy.name, policy.starter.tier) == ("single:medium", "medium")


def test_a_cheaper_tier_that_reaches_the_target_on_average_alone_is_named(tmp_path):
    # Nine of ten are no proof of nine of ten, so the dearer tier is recommended.
    table = write(
        tmp_path / "table.npz", np.stack([np.arange(N) < 0, np.arange(N) % 10 > 0, np.arange(N) >= 0], axis=1)
    )
    told = calibrate(table, "--accuracy", 0.9, "--policy", "agree-two").output.replace("\n", " ")
    assert "recommended: large alone: accuracy 1.000" in told
    assert "cheaper, and it reaches the target on average: medium alone: accuracy .900" in told
    assert "60 questions are too few to be sure of it" in told
    sure = calibrate(table, "--accuracy", 0.8, "--policy", "agree-two").output
    assert "recommended: medium alone" in sure
    assert "on average" not in sure


def test_a_single_tier_can_be_the_nearest_where_nothing_reaches_the_target(tmp_path):
    # The two cheaper tiers share every wrong answer, so a policy that goes by agreement never asks the top.
    top = np.arange(N) % 8 > 0
    low = np.arange(N) % 4 > 0
    table = write(
        tmp_path / "table.npz", np.stack([low & top, low & top, top], axis=1), equal=np.tile([0, 0, 1], (N, 1))
    )
    status, found = found_on(table, "--accuracy", 0.99, "--policy", "agree-two")
    assert status == 1
    assert found["recommended"] is None
    assert found["nearest"]["policy"] == "single:large"
    assert found["nearest"]["accuracy"]["mean"] == pytest.approx(top.mean())


def test_a_fixed_rule_is_recommended_and_the_best_that_a_file_can_hold_is_named(tmp_path):
    # The cheaper two are right on different thirds and on one third both, so their agreement tells when to ask the top.
    at = np.arange(N) % 3
    table = write(tmp_path / "table.npz", np.stack([at != 1, at != 2, at >= 0], axis=1))
    out = tmp_path / "tiers.json"
    done = calibrate(table, "--accuracy", 0.9, "--policy", "agree-two", "--out", out)
    told = done.output.replace("\n", " ")
    assert done.exit_code == 0, done.output
    assert "recommended: policy agree-two: accuracy 1.000" in told
    assert "the best that it can hold is large alone" in told
    assert json.loads(out.read_text())["policy"] == "single:large"


def test_a_file_that_knows_equality_alone_is_warned_of(tmp_path):
    alike = write(tmp_path / "alike.npz", [[1, 1, 1]] * N, right_means=np.array("same as large"))
    known = write(tmp_path / "known.npz", [[1, 1, 1]] * N)
    warned = calibrate(alike, "--policy", "agree-two").output.replace("\n", " ")
    assert "warning: nothing here is graded" in warned
    assert "same as large" in warned
    assert "warning" not in calibrate(known, "--policy", "agree-two").output
    assert "calibrate each by itself" in calibrate(alike, known).output.replace("\n", " ")


def profiled(**facts):
    return Record(
        "id", "", 1.0, {}, "small", "large", ("small", "large"), ("large",), 3.0,
        said={"small": 0, "large": 1}, costs={"small": 1.0, "large": 2.0}, audited=True,
        vector=np.ones(2, np.float32), **facts,
    )  # fmt: skip


class TestGradesOfHistories:
    def test_grades_come_before_equality_with_the_top(self):
        # The cheap tier is right and the top wrong, which equality would say the other way round.
        graded = profiled(grades={"grader": {"small": 1.0, "large": 0.2}})
        found = audited_calls([("x", [graded] * FEWEST + [profiled()] * 7)])
        (table,) = found.tables
        assert table.correct.tolist() == [[True, False]] * FEWEST
        assert found.right_means == f"graded by grader ({FEWEST})"

    def test_the_most_trusted_source_that_graded_every_answer_counts(self):
        grades = {
            "feedback": {"large": 1.0},  # says nothing of the cheap tier, so it cannot compare the two
            "grader": {"small": 1.0, "large": 0.0},
        }
        checked = grades | {"check": {"small": 0.0, "large": 1.0}}
        found = audited_calls([("x", [profiled(grades=grades)] * 60 + [profiled(grades=checked)] * 60)])
        (table,) = found.tables
        assert table.correct.tolist() == [[True, False]] * 60 + [[False, True]] * 60
        assert found.right_means == "graded by check (60), grader (60)"

    def test_with_too_few_grades_equality_stands_in_for_all(self):
        graded = profiled(grades={"grader": {"small": 1.0, "large": 0.0}})
        found = audited_calls([("x", [graded] * (FEWEST - 1) + [profiled()] * 50)])
        (table,) = found.tables
        assert table.correct.tolist() == [[False, True]] * (FEWEST + 49)
        assert found.right_means == "same as large"

    def test_a_missing_answer_needs_no_grade_and_is_not_right(self):
        silent = replace(profiled(grades={"grader": {"large": 1.0}}), said={"small": -1, "large": 0})
        (table,) = audited_calls([("x", [silent] * FEWEST)]).tables
        assert table.correct.tolist() == [[False, True]] * FEWEST

"""`replay --grade` and `--feedback`: what policies are told of the recorded truth."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from llm_tiers import ConfigError
from llm_tiers.cli import app
from llm_tiers.history import ChromaHistory
from llm_tiers.replay import load_table, replay

N = 60


@pytest.fixture
def table(tmp_path):
    """Return a table in which the cheaper tiers agree and are wrong wherever the top is right."""
    path = tmp_path / "table.npz"
    ones = np.ones((N, 3), int)
    np.savez(
        path,
        tiers=np.array(["small", "medium", "large"]),
        price_in=np.zeros(3),
        price_out=np.array([1.0, 5.0, 10.0]),
        prior=np.full(3, 0.5),
        embedding=np.random.default_rng(0).normal(size=(N, 4)).astype(np.float32),
        correct=ones * [0, 0, 1],
        abstained=0 * ones,
        verdict=-ones,
        judge_tier=-ones,
        gen_in=0 * ones,
        gen_out=1_000 * ones,
        gen_s=0.0 * ones,
        judge_in=0 * ones,
        judge_out=0 * ones,
        judge_s=0.0 * ones,
        answer_exact=ones * [0, 0, 1],
    )
    return load_table(path)


@pytest.fixture
def kept(monkeypatch):
    """Collect the records that a replay's history holds when it is closed."""
    records = []
    close = ChromaHistory.close

    def collect(history):
        records.extend(history.export())
        close(history)

    monkeypatch.setattr(ChromaHistory, "close", collect)
    return records


def test_grade_tells_the_truth_of_every_answer_of_profiled_calls_alone(table, kept):
    replay(table, "default", audit=0.5, grade=True)
    profiled = [record for record in kept if record["audited"]]
    assert 10 < len(profiled) < 50
    for record in kept:
        truth = {"grader": {"small": 0.0, "medium": 0.0, "large": 1.0}} if record["audited"] else {}
        assert record["grades"] == truth


def test_feedback_tells_the_truth_of_the_returned_answer_on_a_share(table, kept):
    replay(table, "default", feedback=0.5, seed=3)
    told = [record for record in kept if record["grades"]]
    assert 15 < len(told) < 45
    for record in told:
        assert record["grades"] == {"feedback": {record["final"]: float(record["final"] == "large")}}
    first = {record["id"] for record in told}
    kept.clear()
    replay(table, "default", feedback=0.5, seed=3)
    assert {record["id"] for record in kept if record["grades"]} == first


def test_a_policy_that_ignores_grades_is_unchanged(table):
    for policy in ("default", "agree-two", "single:small"):
        assert replay(table, policy, audit=0.3, grade=True) == replay(table, policy, audit=0.3)


def test_the_command_line_tells_too_and_refuses_what_is_no_share(table, tmp_path):
    def run(*arguments):
        return CliRunner().invoke(app, ["replay", str(table.path), "--policy", "linucb", *map(str, arguments)])

    out = tmp_path / "out.json"
    assert run("--json", out).exit_code == 0
    (plain,) = json.loads(out.read_text())
    assert run("--feedback", 1, "--json", out).exit_code == 0
    (told,) = json.loads(out.read_text())
    # The two cheap tiers agree, so that they are wrong can be learned from the user alone.
    assert told["accuracy"] > plain["accuracy"]
    for option in ("--feedback", "--audit"):
        refused = run(option, 1.5)
        assert refused.exit_code == 2
        assert f"{option} 1.5 must lie in [0, 1]" in refused.output.replace("\n", "")
    with pytest.raises(ConfigError, match=r"feedback=-0.1 must lie in \[0, 1\]"):
        replay(table, "default", feedback=-0.1)

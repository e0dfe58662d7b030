"""The benchmark of every policy, run as a user runs it, on small tables of any shape."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "frontier.py"
KEYS = ["file", "embedding", "policy", "knob", "accuracy", "accuracy_se", "cost_usd", "minutes"]


def table(path, k, *, verdicts, embedding="embedding"):
    n = 24
    rng = np.random.default_rng(k)
    said = np.where(rng.random((n, k)) < np.linspace(0.4, 1, k), 0, rng.integers(1, 4, size=(n, k)))
    judged = (np.arange(k) < k - 1) & np.full((n, k), verdicts)
    none = np.zeros((n, k))
    np.savez(
        path,
        tiers=np.array([f"tier-{j}" for j in range(k)]),
        price_in=np.zeros(k),
        price_out=10.0 ** np.arange(k),
        prior=np.full(k, 0.7),
        correct=said == 0,
        abstained=none,
        verdict=np.where(judged, said == 0, -1),
        judge_tier=np.where(judged, 0, -1),
        gen_in=none,
        gen_out=none + 1_000,
        gen_s=none + 1,
        judge_in=none,
        judge_out=none + judged,
        judge_s=none,
        answer_exact=said,
        **{embedding: rng.normal(size=(n, 8))},
    )
    return path


@pytest.mark.parametrize(
    ("k", "verdicts", "embedding"), [(2, False, "embedding_wordllama"), (3, True, "embedding"), (5, False, "embedding")]
)
def test_every_policy_has_its_points(tmp_path, k, verdicts, embedding):
    path, out, plot = table(tmp_path / "t.npz", k, verdicts=verdicts, embedding=embedding), "out.json", "out.png"
    command = [sys.executable, SCRIPT, path, "--json", out, "--plot", plot, "--seeds", "2"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    points = json.loads((tmp_path / out).read_text())
    assert all(list(point) == KEYS for point in points)
    assert {(point["file"], point["embedding"]) for point in points} == {(str(path), embedding)}
    knobs = {}
    for point in points:
        knobs.setdefault(point["policy"], set()).add(point["knob"])
    tiers = [f"tier-{j}" for j in range(k)]
    fixed = {*(f"single:{tier}" for tier in tiers), *(f"start:{tier}" for tier in tiers)}
    fixed |= {"agree-two", "agree-all", "oracle", "random"}
    learning = {"default", "doubt", "cascade-routing", "agree", "estimate", "llm-at", "llm-at-answers"}
    assert set(knobs) == fixed | learning
    assert all(knobs[policy] == {None} for policy in fixed)
    assert {0, 0.5, 1} <= knobs["doubt"]
    assert {0.35, 0.55} <= knobs["default"]
    assert 0.7 in knobs["llm-at"]
    assert len(points) == sum(map(len, knobs.values()))
    assert ("No verdicts are recorded" in done.stdout) is not verdicts
    assert ("with a useless tier (copy)" in done.stdout) is (k > 2)
    assert (tmp_path / plot).stat().st_size > 10_000

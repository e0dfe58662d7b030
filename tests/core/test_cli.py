"""The command line as others script against it."""

import json
from importlib.util import find_spec

import numpy as np
import pytest
from typer.testing import CliRunner

from llm_tiers.cli import app
from llm_tiers.replay import BUNDLED

MATH, MCQA = map(str, BUNDLED)

KEYS = [
    "file",
    "embedding",
    "policy",
    "knob",
    "order",
    "seed",
    "n",
    "accuracy",
    "cost_usd",
    "minutes",
    "starts",
    "finals",
    "judge_calls",
    "witness_calls",
    "cheapest_used_when_right",
    "calibration_error",
]


@pytest.fixture
def run():
    runner = CliRunner()
    return lambda *arguments: runner.invoke(app, [str(argument) for argument in arguments])


def test_the_json_has_one_object_for_each_file_policy_and_seed(run, tmp_path):
    out = tmp_path / "out.json"
    policies = ("--policy", "single:o1", "--policy", "random")
    done = run("replay", MATH, MCQA, *policies, "--order", "shuffle", "--seed", 1, "--seed", 2, "--json", out)
    assert done.exit_code == 0, done.output
    results = json.loads(out.read_text())
    assert [list(result) for result in results] == [KEYS] * 8
    found = {(result["file"], result["policy"], result["seed"]) for result in results}
    assert found == {(file, name, seed) for file in (MATH, MCQA) for name in ("single:o1", "random") for seed in (1, 2)}
    single = results[0]
    assert single["accuracy"] == 0.7925
    assert single["knob"] is None
    assert single["order"] == "shuffle"
    assert single["embedding"] == "embedding_wordllama"
    assert single["finals"] == {"gpt-4o-mini": 0, "gpt-4o": 0, "o1-mini": 0, "o1": 400}


def test_the_shuffle_is_numpys_permutation(run, tmp_path):
    out = tmp_path / "out.json"
    table = dict(np.load(MATH))
    # The judge accepts the cheapest tier on five questions alone: those that the shuffle puts into the cold start.
    first = np.random.default_rng(4).permutation(400)[:5]
    table["verdict"][:, 0] = 0
    table["verdict"][first, 0] = 1
    table["judge_tier"][:, 0] = 1
    table["abstained"][:] = 0
    path = tmp_path / "table.npz"
    np.savez(path, **table)
    done = run("replay", path, "--policy", "llm-at", "--order", "shuffle", "--seed", 4, "--json", out)
    assert done.exit_code == 0, done.output
    assert json.loads(out.read_text())[0]["finals"]["gpt-4o-mini"] == 5


def test_the_knob_is_theta_for_llm_at(run, tmp_path):
    out = tmp_path / "out.json"
    done = run("replay", MATH, "--policy", "llm-at", "--knob", 0, "--json", out)
    assert done.exit_code == 0, done.output
    (result,) = json.loads(out.read_text())
    assert result["knob"] == 0
    assert result["starts"]["gpt-4o-mini"] == 400


def test_the_default_knob_is_told(run, tmp_path):
    out = tmp_path / "out.json"
    run("replay", MATH, "--policy", "llm-at", "--embedding", "embedding", "--json", out)
    (result,) = json.loads(out.read_text())
    assert result["knob"] == 0.7
    assert result["embedding"] == "embedding"


def test_the_plot_is_a_picture(run, tmp_path):
    picture = tmp_path / "out.png"
    done = run("replay", MATH, "--policy", "single:o1", "--policy", "oracle", "--plot", picture)
    assert done.exit_code == 0, done.output
    from PIL import Image

    with Image.open(picture) as image:
        assert image.format == "PNG"
        assert len(image.convert("RGB").getcolors(maxcolors=1 << 20)) > 10


def test_the_demo_prints_every_row_and_draws(run, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    picture = tmp_path / "demo.png"
    done = run("demo", "--plot", picture)
    assert done.exit_code == 0, done.output
    rows = ("always gpt-4o-mini", "always o1", "LLM-AT, published", "MetaLLM, published", "llm-tiers, default")
    for row in (*rows, "SMART, published", "guarantee, 10%", "oracle"):
        assert done.output.count(row) >= 2
    # Warnings of recorded calls are nobody's business.
    assert "left out" not in done.output
    assert "no tier above" not in done.output
    assert picture.stat().st_size > 10_000


@pytest.fixture
def no_matplotlib(monkeypatch):
    monkeypatch.setattr("llm_tiers.cli.find_spec", lambda name: None if name == "matplotlib" else find_spec(name))


def test_without_matplotlib_a_plot_is_refused_before_anything_is_replayed(run, tmp_path, no_matplotlib):
    out = tmp_path / "out.json"
    done = run("replay", MATH, "--policy", "oracle", "--json", out, "--plot", tmp_path / "out.png")
    assert done.exit_code == 2
    assert "pip install 'llm-tiers[plot]'" in done.output
    assert list(tmp_path.iterdir()) == []


def test_without_matplotlib_the_demo_goes_on_without_its_picture(run, tmp_path, no_matplotlib):
    done = run("demo", "--plot", tmp_path / "demo.png")
    assert done.exit_code == 0, done.output
    assert "oracle" in done.output
    assert "pip install 'llm-tiers[plot]'" in done.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere.npz",), "no such file"),
        ((MATH, "--policy", "magic"), "policy 'magic' is unknown"),
        ((MATH, "--policy", "single:gpt-9"), "has no such tier; it has gpt-4o-mini"),
        ((MATH, "--knob", "2"), "knob=2.0 must lie in"),
        ((MATH, "--embedding", "nothing"), "the array 'nothing' is missing"),
        ((MATH, "--json", "/no/such/folder/out.json"), "there is no folder"),
        ((MATH, "--json", "."), "cannot be written"),
        ((MATH, "--plot", "."), "cannot be written"),
    ],
)
def test_bad_input_is_told_in_a_line(run, arguments, message):
    done = run("replay", *arguments)
    assert done.exit_code == 2
    assert message in done.output.replace("\n", "")
    assert "Traceback" not in done.output

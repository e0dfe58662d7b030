"""The bandit through the real flow and history decides as it does in arrays, and as another library's does."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from llm_tiers import LinUCB
from llm_tiers.replay import BUNDLED, load_table, replay

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "bandit.py"
MATH = BUNDLED[0]


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("bandit_benchmark", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def table():
    return load_table(MATH)


@pytest.mark.parametrize("bandit", [LinUCB.paper(), LinUCB(rewards="grades")], ids=["metallm", "linucb"])
def test_flow_and_history_decide_as_the_arrays_do(script, table, bandit):
    rows = np.random.default_rng(3).permutation(len(table))[:100].tolist()
    starts = script.starts_in_the_flow(table, rows, bandit)
    assert starts == script.starts_in_arrays(table, rows, bandit)
    assert len(set(starts)) > 1


def test_the_published_bandit_chooses_as_mabwisers_does(script, table):
    pytest.importorskip("mabwiser")
    stream = script.Stream(table)
    rows = list(range(80))
    chosen = script.published(stream, rows)
    assert chosen == script.of_mabwiser(stream, rows)
    assert len(set(chosen)) > 1


def test_a_replay_tells_the_published_bandit_the_truth_and_judges_nothing():
    result = replay(load_table(MATH), "metallm")
    assert result.judge_calls == 0
    assert sum(result.starts.values()) == result.n
    # Told nothing, it would have stayed at the cheapest tier.
    assert min(result.starts.values()) > 0


def test_a_replay_lets_the_bandit_learn_from_agreement_and_verdicts():
    result = replay(load_table(MATH), "linucb")
    assert result.judge_calls > 0
    assert result.accuracy > 0.6325  # always gpt-4o

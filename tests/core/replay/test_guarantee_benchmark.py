"""The benchmark of guarantees: its arrays decide as the real flow does, and it runs as a user runs it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from llm_tiers.replay import BUNDLED, load_table

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


@pytest.fixture
def promises(monkeypatch):
    """The benchmark's package; it lies beside its script."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "promises"]:
        del sys.modules[name]


@pytest.mark.usefixtures("promises")
@pytest.mark.parametrize("judged", [False, True])
@pytest.mark.parametrize(("path", "delta"), list(zip(BUNDLED, (0.2, 0.1), strict=True)))
def test_the_flow_and_the_arrays_decide_alike(path, delta, judged):
    from promises.flow import lots_of, through_the_flow
    from promises.outcomes import outcomes_of
    from promises.streams import Streams

    table = load_table(path)
    answered = np.flatnonzero(table.answer_equal[:, -1] >= 0)
    rows = np.random.default_rng(1).integers(len(answered), size=400)
    ids = [f"call-{place}" for place in range(len(rows))]
    traces = through_the_flow(table, answered[rows], ids, delta, judged=judged)
    arrays = Streams(outcomes_of(table, judged=judged), rows[None], delta).run(lots=lots_of(ids))
    unit = (table.gen_in * table.price_in + table.gen_out * table.price_out)[answered, -1].mean() / 1e6
    assert sum(trace.cost_usd for trace in traces) / unit == pytest.approx(arrays.total[0])
    audits = sum(any(attempt.role == "audit" for attempt in trace.attempts) for trace in traces)
    assert audits == arrays.asked[0] < len(rows)
    final = traces[-1].certificate
    expected = outcomes_of(table, judged=judged).rules
    held = {expected[arrays.one[0]]: 1 - arrays.share[0], expected[arrays.other[0]]: arrays.share[0]}
    assert final.rules == pytest.approx({name: share for name, share in held.items() if share > 0})


def test_the_benchmark_prints_its_tables(tmp_path):
    out = tmp_path / "cells.json"
    command = [sys.executable, str(BENCHMARKS / "guarantee.py"), str(BUNDLED[0])]
    options = ["--streams", "3", "--calls", "600", "--through-the-flow", "0", "--json", str(out)]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("| llm_at_math |") == 4 + 4
    assert [cell["delta"] for cell in json.loads(out.read_text())] == [0.03, 0.05, 0.1, 0.15]

"""What a history costs as it grows: `remember`, writing, memory, and the first call after a restart.

    python benchmarks/growth.py                 # 20,000 records
    python benchmarks/growth.py --records 100000

Each figure is printed as it is measured. The last two are of a process of its own, as after a restart.
"""

from __future__ import annotations

import argparse
import itertools
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from llm_tiers import ChromaHistory, Embedding, Ladder, Tier
from llm_tiers.errors import HistoryError
from llm_tiers.history.record import Record
from llm_tiers.policies.named import as_policy

DIMENSION = 256
NAMES = ("small", "medium", "large")
PRICES = ((0.1, 0.4), (0.5, 2.0), (2.0, 8.0))
PROFILED_SHARE = 0.05
REFUSED_FOR = 1.0
"""Seconds until a record that was refused is given again: an application would have lost it."""


def embedding() -> Embedding:
    """An embedding that is never asked: the records bring their vectors."""
    return Embedding(lambda _text: np.ones(DIMENSION), name="growth")


def record(number: int, draw: np.random.Generator) -> Record:
    """A record as the default policy makes it."""
    profiled = draw.random() < PROFILED_SHARE
    wrong = draw.random() < 0.2  # noqa: PLR2004
    answered = NAMES if profiled else NAMES[:2]
    said = {name: int(wrong and name == "small") for name in answered}
    vector = draw.standard_normal(DIMENSION).astype(np.float32)
    return Record(
        id=f"{number:032x}",
        node="",
        created=1.7e9 + number,
        labels=dict.fromkeys(answered, True),
        start="small",
        final=answered[-1],
        answered=answered,
        agreed=answered[-1:],
        cost_usd=0.0004,
        said=said,
        tokens=dict.fromkeys(answered, 120),
        costs={"small": 0.00005, "medium": 0.0002, "large": 0.001},
        confidence=0.8,
        audited=profiled,
        rule="small+medium>large",
        text=f"question {number}",
        vector=vector / np.linalg.norm(vector),
    )


def rss() -> float:
    """The memory of this process, in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def grow(folder: str, number: int) -> None:
    """Add records as fast as they are taken, then write them."""
    draw = np.random.default_rng(0)
    refused = 0
    with ChromaHistory(folder, embedding=embedding()) as history:
        history.remember(record(0, draw))
        history.flush()
        study = as_policy("default").starter.study(ladder())  # type: ignore[attr-defined]
        history.recall("", node="", k=0, study=study)
        before, seconds = rss(), []
        started = time.perf_counter()
        for position in range(1, number):
            made = record(position, draw)
            began = time.perf_counter()
            while not taken_by(history, made):
                refused += 1
                time.sleep(REFUSED_FOR)
                began = time.perf_counter()
            seconds.append(time.perf_counter() - began)
        given = time.perf_counter() - started
        waiting = history.stats().pending
        history.flush()
        written = time.perf_counter() - started
        kept = history.stats().records
        taken = np.sort(seconds) * 1e3
        print(f"{number} records: remember takes {np.median(taken):.3f} ms (median), ", end="")
        print(f"{taken[int(0.99 * len(taken))]:.2f} ms (99 %), {taken[-1]:.1f} ms (longest)")
        print(f"given in {given:.1f} s with {refused} refusals, of which {waiting} then waited; ", end="")
        print(f"written in {written:.1f} s; {kept} kept")
        print(f"memory: {rss() - before:.0f} MB more, {(rss() - before) * 1e6 / number:.0f} bytes a record")
    size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    print(f"disk: {size / number:.0f} bytes a record", flush=True)


def taken_by(history: ChromaHistory, made: Record) -> bool:
    """Add a record; False where so many wait already that it is refused."""
    try:
        history.remember(made)
    except HistoryError:
        return False
    return True


def ladder() -> Ladder:
    """Three tiers with prices."""
    return Ladder(Tier(name, name=name, price=price) for name, price in zip(NAMES, PRICES, strict=True))


def reopen(folder: str) -> None:
    """Open a grown history and make the first look-ups."""
    tiers = ladder()
    with ChromaHistory(folder, embedding=embedding()) as history:
        began = time.perf_counter()
        history.prepare()
        print(f"reopening: {(time.perf_counter() - began) * 1e3:.0f} ms, Chroma's import and opening")
        before = rss()
        vector = np.random.default_rng(1).standard_normal(DIMENSION)
        for policy, times in itertools.product(("default", "linucb", "estimate"), ("first", "second")):
            starter = as_policy(policy).starter
            study = starter.study(tiers) if hasattr(starter, "study") else None
            began = time.perf_counter()
            history.recall("", node="", k=10 if study is None else 0, vector=vector, study=study)
            print(f"  {policy}: {times} look-up {(time.perf_counter() - began) * 1e3:.1f} ms")
        print(f"memory of the look-ups: {rss() - before:.0f} MB", flush=True)


def main() -> None:
    """Run one part, or both with a folder of their own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=20_000)
    parser.add_argument("--folder", help="grow or reopen this one")
    parser.add_argument("--reopen", action="store_true", help="only reopen it")
    given = parser.parse_args()
    if given.reopen:
        reopen(given.folder)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or temporary
        grow(folder, given.records)
        subprocess.run([sys.executable, __file__, "--reopen", "--folder", folder], check=True)  # noqa: S603


if __name__ == "__main__":
    main()

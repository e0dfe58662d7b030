"""How long `llm-tiers report` takes on a large history: `python benchmarks/report_scale.py [CALLS] [FOLDER]`.

It makes a history of CALLS calls (100,000 by default) in FOLDER, unless one is there, and measures reading it, making
the figures, writing the page and, where Chromium is installed, showing the page. The calls are drawn at random, with
fixed seed: six nodes over eight weeks, four tiers, a tenth of the calls profiled, a third of these graded.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

import numpy as np

from llm_tiers.embedding import Embedding
from llm_tiers.history import ChromaHistory, Record
from llm_tiers.history.reading import read_records
from llm_tiers.report import page_of, report_of

NAMES = ("nano", "small", "medium", "large")
COSTS = np.array([0.0002, 0.001, 0.004, 0.02])
RIGHT = np.array([0.62, 0.76, 0.85, 0.91])
NODES = ("chat", "research/plan", "research/search", "research/answer", "support/triage", "support/reply")
PROFILED = 0.1
DIMENSION = 256
WEEKS = 8

Result = TypeVar("Result")


def records(calls: int, *, seed: int = 0, vectors: bool = False) -> Iterator[Record]:
    """Yield calls as the default would have made them, oldest first."""
    draw = np.random.default_rng(seed)
    began = 1_790_000_000.0
    for number in range(calls):
        known = bool(draw.random() < PROFILED)
        right = draw.random() < RIGHT
        said = [0 if one else 1 + int(draw.integers(3)) for one in right]
        cascade = said[0] == said[1]
        places = range(4) if known else (0, 1) if cascade else (0, 1, 3)
        final = NAMES[3] if known else NAMES[1] if cascade else NAMES[3]
        costs = {NAMES[place]: float(COSTS[place] * draw.uniform(0.5, 1.5)) for place in places}
        graded = known and draw.random() < 1 / 3
        yield Record(
            id=f"{seed}-{number:07d}",
            node=NODES[int(draw.integers(len(NODES)))],
            created=began + number * WEEKS * 604_800 / calls,
            labels={},
            start=NAMES[0],
            final=final,
            answered=tuple(NAMES[place] for place in places),
            agreed=(final,),
            cost_usd=sum(costs.values()),
            said={NAMES[place]: said[place] for place in places},
            tokens={NAMES[place]: 300 for place in places},
            costs=costs,
            confidence=float(draw.uniform(0.6, 1.0)),
            audited=known,
            profiled=known,
            grades={"check": {NAMES[place]: float(right[place]) for place in places}} if graded else {},
            rule="nano+small>large",
            vector=draw.standard_normal(DIMENSION).astype(np.float32) if vectors else None,
        )


def make(folder: Path, calls: int) -> None:
    """Write a history of so many calls."""
    embedding = Embedding(lambda _: np.ones(DIMENSION, dtype=np.float32), name="report-scale")
    with ChromaHistory(folder, embedding=embedding, capacity=calls) as history:
        for record in records(calls, vectors=True):
            history.remember(record)


def main() -> None:
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(scratch) / "tiers"  # noqa: PLR2004
        if not folder.exists():
            took("writing the history", lambda: make(folder, calls))
        import chromadb  # noqa: F401 -- its second of loading is not counted

        found = took("reading the history", lambda: read_records(str(folder), vectors=False))
        report = took("making the figures", lambda: report_of(found, where=str(folder)))
        page = took("writing the page", lambda: page_of(report))
        path = Path(scratch) / "report.html"
        path.write_text(page, encoding="utf-8")
        print(f"{len(found):,} calls, {len(page.encode()) / 1e3:.0f} kB of HTML")
        show(path)


def took(what: str, work: Callable[[], Result]) -> Result:
    """Do it and print for how long it took."""
    began = time.perf_counter()
    result = work()
    print(f"{what}: {time.perf_counter() - began:.2f} s")
    return result


def show(path: Path) -> None:
    """Print when a browser has loaded and painted the page."""
    chromium = shutil.which("chromium")
    if chromium is None or find_spec("playwright") is None:
        print("shown in: not measured, since Chromium or the package playwright is not installed")
        return
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        opened = browser.new_page()
        opened.goto(path.as_uri())
        loaded = "performance.getEntriesByType('navigation')[0].loadEventEnd"
        painted = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0"
        print(f"shown in: {max(opened.evaluate(loaded), opened.evaluate(painted)) / 1e3:.2f} s")
        browser.close()


if __name__ == "__main__":
    main()

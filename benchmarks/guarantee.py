"""Guarantees on streams drawn with replacement from recorded outcomes: promises kept, cost beside SMART's, drift.

    python benchmarks/guarantee.py [FILE.npz ...] [--streams 200] [--calls 20000] [--json OUT.json]

Prints Markdown. A promise is broken in a stream if a mixture of rules ever answered that truly differs from the top tier
on more than delta of the table's questions. SMART's is broken if it truly differs on more than delta of all items, those
profiled included, which is what it promises. Both know how many calls there will be, and see the same questions. In the
second half of a drift stream, the cheapest tier gives a wrong answer to every second question.

A few streams run through the real flow and history; their decisions must be those of the arrays.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from promises.drift import worse
from promises.flow import same_decisions
from promises.outcomes import Outcomes, outcomes_of
from promises.published import run_smart
from promises.setting import paper_setting
from promises.streams import Ints, Streams

from llm_tiers.replay import BUNDLED, ReplayTable, load_table

DELTAS = (0.03, 0.05, 0.1, 0.15)
DRIFTING = 0.1


@dataclass(frozen=True)
class Cell:
    """One set and promise. Costs are shares of what the top tier alone costs."""

    file: str
    delta: float
    cost: float
    smart_cost: float
    broken: float
    smart_broken: float
    profiled: float
    smart_profiled: float

    @property
    def ratio(self) -> float:
        return self.cost / self.smart_cost


def streams_of(outcomes: Outcomes, streams: int, calls: int) -> Ints:
    draws = [np.random.default_rng(seed).integers(len(outcomes.losses), size=calls) for seed in range(streams)]
    return np.stack(draws)


def cell_of(outcomes: Outcomes, rows: Ints, delta: float) -> Cell:
    ours = Streams(outcomes, rows, delta).run()
    theirs = [run_smart(outcomes, stream, delta) for stream in rows]
    return Cell(
        outcomes.name,
        delta,
        float(ours.total.mean() / rows.shape[1]),
        float(np.mean([one.cost for one in theirs])),
        float(ours.broke.mean()),
        float(np.mean([one.of_all > delta for one in theirs])),
        float(ours.asked.mean()),
        float(np.mean([one.n for one in theirs])),
    )


def kept(cells: Sequence[Cell]) -> Iterator[str]:
    yield "| set | delta | cost | SMART's cost | ratio | broken | SMART's broken | profiled | SMART's |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for cell in cells:
        yield (
            f"| {cell.file} | {cell.delta} | {cell.cost:.3f} | {cell.smart_cost:.3f} | {cell.ratio:.3f} "
            f"| {cell.broken:.1%} | {cell.smart_broken:.1%} | {cell.profiled:.0f} | {cell.smart_profiled:.0f} |"
        )
    yield ""
    dearest = max(cells, key=lambda cell: cell.ratio)
    yield f"most broken: {max(cell.broken for cell in cells):.1%}; dearest beside SMART: {dearest.ratio:.3f} "
    yield f"({dearest.file}, {dearest.delta})"


def drift_line(table: ReplayTable, streams: int, calls: int) -> str:
    before, after = outcomes_of(table), outcomes_of(worse(table))
    runs = Streams(before, streams_of(before, streams, calls), DRIFTING).run(after=after)
    half = calls // 2
    certified = [any(at < half for at in earned) for earned in runs.earned]
    found = [
        next((at - half for at in ends if at > half), np.inf)
        for ends, held in zip(runs.withdrawn, certified, strict=True)
        if held
    ]
    again = [
        any(at > ends[-1] for at in earned)
        for ends, earned in zip(runs.withdrawn, runs.earned, strict=True)
        if ends and ends[-1] > half
    ]
    early = sum(any(at <= half for at in ends) for ends in runs.withdrawn)
    median = f"{np.median(found):.0f}" if found else "-"
    soon = f"{np.mean(np.array(found) <= 500):.1%}" if found else "-"  # noqa: PLR2004
    return (
        f"| {before.name} | {sum(certified)} of {streams} | {median} | {soon} "
        f"| {np.mean(again) if again else float('nan'):.1%} | {early} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="*", default=list(BUNDLED))
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--through-the-flow", type=int, default=2, help="streams that the real flow runs, of each set")
    parser.add_argument("--json", type=Path, help="write every cell")
    arguments = parser.parse_args()
    began = time.monotonic()
    tables = [load_table(path) for path in arguments.files]
    cells = []
    for table in tables:
        outcomes = outcomes_of(table)
        rows = streams_of(outcomes, arguments.streams, arguments.calls)
        cells += [cell_of(outcomes, rows, delta) for delta in DELTAS]
    print("\n".join(kept(cells)))
    print(f"\ndrift, delta {DRIFTING}\n")
    print(
        "| set | certified before | calls until withdrawn, median | within 500 | earned again | withdrawn too early |"
    )
    print("|---|---|---|---|---|---|")
    for table in tables:
        print(drift_line(table, arguments.streams, arguments.calls))
    print("\nSMART as published, with match rates and prices as in the paper\n")
    print("\n".join(paper_setting(arguments.streams)))
    for table in tables:
        for seed in range(arguments.through_the_flow):
            print(same_decisions(table, seed=seed))
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(cell) for cell in cells], indent=2) + "\n")
    print(f"{time.monotonic() - began:.0f} seconds")


if __name__ == "__main__":
    main()

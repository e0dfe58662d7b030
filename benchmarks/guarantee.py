"""Guarantees on streams drawn with replacement from recorded outcomes: promises kept, cost beside SMART's, drift.

    python benchmarks/guarantee.py [FILE.npz ...] [--streams 200] [--calls 20000] [--json OUT.json]

Prints Markdown. A promise is broken in a stream if a mixture of rules ever answered that truly differs from the top
tier on more than delta of the table's questions. SMART's is broken if it truly differs on more than delta of all items,
those profiled included, which is what it promises. Both know how many calls there will be, and see the same questions.
In the second half of a drift stream, the cheapest tier, or all below the top, give one wrong answer to every second
question.

A few streams run through the real flow and history; their decisions must be those of the arrays.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from promises.drift import drift_lines
from promises.flow import same_decisions
from promises.outcomes import Outcomes, outcomes_of
from promises.published import run_smart
from promises.setting import paper_setting
from promises.streams import Ints, Streams

from llm_tiers.replay import BUNDLED, load_table

# From stricter than the cheapest tiers allow on most sets to looser than needed.
DELTAS = (0.03, 0.05, 0.1, 0.15)
DRIFTING = (0.05, 0.15)


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
    # All streams at once in arrays; through the flow they would take many hours.
    ours = Streams(outcomes, rows, delta).run()
    theirs = [run_smart(outcomes, stream, delta) for stream in rows]
    return Cell(
        outcomes.name,
        delta,
        float(ours.total.mean() / rows.shape[1]),
        float(np.mean([one.cost for one in theirs])),
        float(ours.broke.mean()),
        # A little above delta, because its mixture may promise exactly that, and come out a rounding error above.
        float(np.mean([one.of_all > delta + 1e-9 for one in theirs])),
        float(ours.asked.mean()),
        float(np.mean([one.n for one in theirs])),
    )


def line_of(cell: Cell) -> str:
    return (
        f"| {cell.file} | {cell.delta} | {cell.cost:.3f} | {cell.smart_cost:.3f} | {cell.ratio:.3f} "
        f"| {cell.broken:.1%} | {cell.smart_broken:.1%} | {cell.profiled:.0f} | {cell.smart_profiled:.0f} |"
    )


def worst_of(cells: Sequence[Cell]) -> str:
    dearest = max(cells, key=lambda cell: cell.ratio)
    broken = max(cell.broken for cell in cells)
    where = f"{dearest.file}, {dearest.delta}"
    return f"\nmost broken: {broken:.1%}; dearest beside SMART: {dearest.ratio:.3f} ({where})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="*", default=list(BUNDLED))
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--through-the-flow", type=int, default=2, help="streams that the real flow runs, of each set")
    parser.add_argument(
        "--judged", action="store_true", help="rules that ask the recorded judge too, where a file has verdicts"
    )
    parser.add_argument("--json", type=Path, help="write every cell")
    arguments = parser.parse_args()
    began = time.monotonic()
    tables = [load_table(path) for path in arguments.files]
    cells = []
    print("| set | delta | cost | SMART's cost | ratio | broken | SMART's broken | profiled | SMART's |")
    print("|---|---|---|---|---|---|---|---|---|")
    for table in tables:
        outcomes = outcomes_of(table, judged=arguments.judged and table.has_verdicts)
        rows = streams_of(outcomes, arguments.streams, arguments.calls)
        for delta in DELTAS:
            cells.append(cell_of(outcomes, rows, delta))
            print(line_of(cells[-1]), flush=True)
    print(worst_of(cells))
    print("\nwhat gets worse in the middle, and whether that is found where it truly breaks the promise\n")
    print("| set | worse | delta | broken | withdrawn after, median | within 500 | earned again | withdrawn before |")
    print("|---|---|---|---|---|---|---|---|")
    for table in tables:
        # Fewer streams, because every line takes a run of its own over all of them.
        rows = streams_of(outcomes_of(table), max(arguments.streams // 5, 1), arguments.calls)
        for line in drift_lines(table, rows, DRIFTING):
            print(line, flush=True)
    print("\nSMART as published, with match rates and prices as in the paper\n")
    print("\n".join(paper_setting(arguments.streams)))
    for table in tables:
        for seed in range(arguments.through_the_flow):
            print(same_decisions(table, seed=seed, judged=arguments.judged and table.has_verdicts))
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(cell) for cell in cells], indent=2) + "\n")
    print(f"{time.monotonic() - began:.0f} seconds")


if __name__ == "__main__":
    main()

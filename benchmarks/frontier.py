"""Accuracy against cost and time: every policy at every setting of its knob, on recorded outcomes.

    python benchmarks/frontier.py [FILE.npz ...] [--json OUT.json] [--plot OUT.png] [--seeds 6]

Each table is replayed with each of its embeddings in shuffled orders, through the real flow; the neighbours come from a
real Chroma history, found once for each table, embedding and order, since they do not depend on the policy. A point
is the mean over the orders. `accuracy_se` is the standard error of a bootstrap over the questions: the mean over the
orders of each question's outcome, questions drawn with replacement.

Prints Markdown: for each policy the cost (and time) at which its frontier reaches LLM-AT's accuracy (its published
setting, same embedding, same orders), as a share of LLM-AT's; and the cost at which it reaches the top tier's accuracy
minus 0.2 points, as a share of the top tier's.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

import numpy as np

from llm_tiers.replay import BUNDLED, ReplayResult, ReplayTable, load_table, neighbourhood_of, replay

EMBEDDINGS = ("embedding", "embedding_wordllama")
THETAS = (0.5, 0.6, 0.65, 0.68, 0.7, 0.72, 0.74, 0.77, 0.8)
KNOBS: dict[str, tuple[float, ...]] = {
    "llm-at": THETAS,
    "default": THETAS,
    "agree": THETAS,
    "doubt": (0, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1),
}
PUBLISHED = 0.7
"""LLM-AT's own threshold."""


@dataclass(frozen=True)
class Point:
    """A policy at one setting, on one table with one embedding: means over the orders."""

    file: str
    embedding: str
    policy: str
    knob: float | None
    accuracy: float
    accuracy_se: float
    cost_usd: float
    minutes: float


@dataclass(frozen=True)
class Job:
    """All policies at all settings on one table, embedding and order."""

    path: Path
    embedding: str
    seed: int

    def run(self) -> list[ReplayResult]:
        table = load_table(self.path, self.embedding)
        near = neighbourhood_of(table, order="shuffle", seed=self.seed)
        return [
            replay(table, policy, knob=knob, order="shuffle", seed=self.seed, neighbourhood=near)
            for policy, knob in settings(table)
        ]


def settings(table: ReplayTable) -> Iterator[tuple[str, float | None]]:
    yield from ((f"single:{tier}", None) for tier in table.tiers)
    yield from ((f"start:{tier}", None) for tier in table.tiers)
    yield from (("random", None), ("oracle", None))
    yield from ((policy, knob) for policy, knobs in KNOBS.items() for knob in knobs)


def point(results: Sequence[ReplayResult]) -> Point:
    """Make a point of the runs that differ by their order alone."""
    first = results[0]
    by_question = np.mean([result.right for result in results], axis=0)
    return Point(
        file=first.file,
        embedding=first.embedding,
        policy=first.policy,
        knob=first.knob,
        accuracy=fmean(result.accuracy for result in results),
        # The standard deviation of a bootstrap's mean is known without drawing.
        accuracy_se=float(by_question.std() / np.sqrt(len(by_question))),
        cost_usd=fmean(result.cost_usd for result in results),
        minutes=fmean(result.minutes for result in results),
    )


def reached(points: Sequence[Point], accuracy: float) -> tuple[float, float] | None:
    """Return the cost and the minutes at which a frontier reaches an accuracy, interpolated, or None."""
    frontier: list[Point] = []
    for candidate in sorted(points, key=lambda point: point.cost_usd):
        if not frontier or candidate.accuracy > frontier[-1].accuracy:
            frontier.append(candidate)
    above = next((place for place, candidate in enumerate(frontier) if candidate.accuracy >= accuracy), None)
    if above is None:
        return None
    high, low = frontier[above], frontier[max(above - 1, 0)]
    share = 1.0 if high is low else (accuracy - low.accuracy) / (high.accuracy - low.accuracy)
    return (
        low.cost_usd + share * (high.cost_usd - low.cost_usd),
        low.minutes + share * (high.minutes - low.minutes),
    )


def rows(points: Sequence[Point]) -> Iterator[str]:
    """Yield the rows of the table that is printed."""
    groups = dict.fromkeys((point.file, point.embedding) for point in points)
    for file, embedding in groups:
        here = [point for point in points if (point.file, point.embedding) == (file, embedding)]
        base = next(point for point in here if point.policy == "llm-at" and point.knob == PUBLISHED)
        top = max((point for point in here if point.policy.startswith("single:")), key=lambda point: point.cost_usd)
        yield (
            f"| {Path(file).stem}, {embedding} | LLM-AT: {base.accuracy:.4f} ±{base.accuracy_se:.4f}, "
            f"US$ {base.cost_usd:.2f}, {base.minutes:.0f} min | | top: {top.accuracy:.4f}, US$ {top.cost_usd:.2f} |"
        )
        for policy in KNOBS:
            mine = [point for point in here if point.policy == policy]
            as_base, near_top = reached(mine, base.accuracy), reached(mine, top.accuracy - 0.002)
            cost, time = (f"{as_base[0] / base.cost_usd:.2f}", f"{as_base[1] / base.minutes:.2f}") if as_base else "--"
            yield f"| {policy} | {cost} | {time} | {f'{near_top[0] / top.cost_usd:.2f}' if near_top else '-'} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="*", default=list(BUNDLED))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--seeds", type=int, default=6)
    arguments = parser.parse_args()
    jobs = [
        Job(path, embedding, seed)
        for path in arguments.files
        for embedding in EMBEDDINGS
        if embedding in np.load(path).files
        for seed in range(arguments.seeds)
    ]
    with ProcessPoolExecutor() as pool:
        done = list(pool.map(Job.run, jobs))
    by_setting: dict[tuple[str, str, str, float | None], list[ReplayResult]] = {}
    for result in (result for results in done for result in results):
        by_setting.setdefault((result.file, result.embedding, result.policy, result.knob), []).append(result)
    points = [point(results) for results in by_setting.values()]
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(point) for point in points], indent=2) + "\n")
    print("| policy | cost / LLM-AT at its accuracy | time / LLM-AT | cost / top at its accuracy - 0.2 points |")
    print("|---|---|---|---|")
    print("\n".join(rows(points)))
    if arguments.plot:
        from llm_tiers.replay.plot import draw

        draw([result for results in done for result in results], arguments.plot)


if __name__ == "__main__":
    main()

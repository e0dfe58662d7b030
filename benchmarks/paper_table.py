"""A table of docs/method/figures.md: recorded outcomes, every policy, both embeddings, in file order and shuffled.

    python benchmarks/paper_table.py [--seeds 6] [--json OUT.json]

Prints Markdown: accuracy, US$ and minutes; for the shuffles their mean and the standard error over the seeds.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import mean, stdev

from llm_tiers.replay import BUNDLED, ReplayResult, load_table, replay

EMBEDDINGS = ("embedding", "embedding_wordllama")
LEARNERS = ("llm-at", "estimate")


@dataclass(frozen=True)
class Job:
    path: Path
    embedding: str
    policy: str
    order: str
    seed: int

    def run(self) -> ReplayResult:
        return replay(load_table(self.path, self.embedding), self.policy, order=self.order, seed=self.seed)


def jobs(seeds: int) -> list[Job]:
    fixed = [*(f"single:{tier}" for tier in load_table(BUNDLED[0]).tiers), "oracle", "random"]
    once = [Job(path, EMBEDDINGS[1], policy, "file", 0) for path, policy in product(BUNDLED, fixed)]
    learning = [
        Job(path, embedding, policy, order, seed)
        for path, embedding, policy in product(BUNDLED, EMBEDDINGS, LEARNERS)
        for order, seed in [("file", 0), *(("shuffle", seed) for seed in range(seeds))]
    ]
    return once + learning


def cell(results: Sequence[ReplayResult]) -> str:
    accuracy, cost, minutes = (
        [getattr(result, name) for result in results] for name in ("accuracy", "cost_usd", "minutes")
    )
    if len(results) == 1:
        return f"{accuracy[0]:.4f}, {cost[0]:.3f}, {minutes[0]:.1f}"
    root = len(results) ** 0.5
    spread = f"±{stdev(accuracy) / root:.4f}", f"±{stdev(cost) / root:.2f}"
    return f"{mean(accuracy):.4f} {spread[0]}, {mean(cost):.2f} {spread[1]}, {mean(minutes):.1f}"


def judge_facts(path: Path) -> str:
    """What judging the cheapest tier cost, and how often it accepted a wrong answer."""
    table = load_table(path)
    judged = table.verdict[:, 0] >= 0
    by = table.judge_tier[judged, 0]
    judging = table.judge_in[judged, 0] @ table.price_in[by] + table.judge_out[judged, 0] @ table.price_out[by]
    answering = table.gen_in[judged, 0].sum() * table.price_in[0] + table.gen_out[judged, 0].sum() * table.price_out[0]
    wrong = judged & ~table.correct[:, 0]
    accepted = (table.verdict[wrong, 0] == 1).mean()
    return (
        f"{path.stem}: judging an answer of {table.tiers[0]} cost {judging / answering:.0f} times what the answer did; "
        f"the judge accepted {accepted:.0%} of its wrong answers"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with ProcessPoolExecutor() as pool:
        results = list(pool.map(Job.run, jobs(options.seeds)))
    if options.json is not None:
        options.json.write_text(json.dumps([result.to_dict() for result in results], indent=2) + "\n")
    rows: dict[tuple[str, str, str], dict[str, list[ReplayResult]]] = {}
    for result in results:
        key = (result.policy, result.embedding if result.policy in LEARNERS else "", result.order)
        rows.setdefault(key, {}).setdefault(result.file, []).append(result)
    print("| policy | embedding | order |", " | ".join(path.stem for path in BUNDLED), "|")
    print("|---|---|---|" + "---|" * len(BUNDLED))
    for (policy, embedding, order), by_file in rows.items():
        print(f"| {policy} | {embedding} | {order} |", " | ".join(cell(by_file[str(path)]) for path in BUNDLED), "|")
    print()
    for path in BUNDLED:
        print(judge_facts(path))


if __name__ == "__main__":
    main()

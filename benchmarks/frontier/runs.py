"""What is replayed: every policy at every setting, on each table with each of its embeddings, in each order."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from llm_tiers.replay import (
    ReplayResult,
    ReplayTable,
    load_table,
    neighbourhood_of,
    replay,
    replay_policy,
    with_copy,
    with_worse,
)

EMBEDDINGS = ("embedding", "embedding_wordllama")
PUBLISHED = 0.7
"""LLM-AT's own threshold."""

KNOBS: Mapping[str, tuple[float, ...]] = {
    "default": (0, 0.1, 0.2, 0.35, 0.65, 0.8, 0.95),
    "doubt": (0, 0.24, 0.27, 0.3, 0.33, 0.37, 0.4, 0.5, 0.64, 0.7, 1),
    "cascade-routing": (0.2, 0.3, 0.4, 0.5, 0.6),
    "agree": (0.65, 0.7, 0.75),
    "estimate": (0.65, 0.7, 0.75),
    "llm-at": (0.65, PUBLISHED, 0.75),
    "llm-at-answers": (PUBLISHED,),
}

JUDGED = ("agree", "estimate", "llm-at", "llm-at-answers")
"""Policies that depend on a recorded judge's verdicts; on a table without verdicts they have one setting."""

USELESS = {"copy": with_copy, "worse": with_worse}
"""Ladders with a useless tier. The doubt cascade is replayed on them, at some settings and in some orders."""
USELESS_KNOBS = (0.24, 0.27, 0.3, 0.33, 0.37, 0.43)
USELESS_ORDERS = 2


@dataclass(frozen=True)
class Run:
    """One replay, and which ladder it was on.

    `""` is the table's own; `"usual"` is that too, in the orders and at the settings that useless ladders are run with.
    """

    ladder: str
    result: ReplayResult


@dataclass(frozen=True)
class Learning:
    """All policies that depend on the order, on one table, embedding and order; the neighbours are found once."""

    path: Path
    embedding: str
    seed: int

    def run(self) -> list[Run]:
        table = load_table(self.path, self.embedding)
        near = neighbourhood_of(table, order="shuffle", seed=self.seed)

        def runs(ladder: str, one: ReplayTable, settings: Iterable[tuple[str, float | None]]) -> list[Run]:
            return [
                Run(ladder, replay(one, name, knob=knob, order="shuffle", seed=self.seed, neighbourhood=near))
                for name, knob in settings
            ]

        done = runs("", table, learning_settings(table))
        if self.seed < USELESS_ORDERS and len(table.tiers) > 2:  # noqa: PLR2004 -- where a useless tier finds a place
            settings = set(_useless_settings(table))
            done += [Run("usual", run.result) for run in done if (run.result.policy, run.result.knob) in settings]
            for ladder, make in USELESS.items():
                done += runs(ladder, make(table), sorted(settings))
        return done


@dataclass(frozen=True)
class Fixed:
    """All policies that are the same in every order and with every embedding, on one table."""

    path: Path

    def run(self) -> list[Run]:
        table = load_table(self.path)
        return [Run("", replay(table, name)) for name in fixed_settings(table)]


def fixed_settings(table: ReplayTable) -> Iterator[str]:
    yield from (f"single:{tier}" for tier in table.tiers)
    yield from (f"start:{tier}" for tier in table.tiers)
    yield from ("agree-two", "agree-all", "oracle")


def learning_settings(table: ReplayTable) -> Iterator[tuple[str, float | None]]:
    yield "random", None
    for policy, knobs in KNOBS.items():
        if policy in JUDGED and not table.has_verdicts:
            yield policy, PUBLISHED
        else:
            own = replay_policy(policy, table).knob
            yield from ((policy, knob) for knob in sorted({*knobs, own}))


def _useless_settings(table: ReplayTable) -> Iterator[tuple[str, float | None]]:
    yield from (("doubt", knob) for knob in sorted({*USELESS_KNOBS, replay_policy("doubt", table).knob}))


def run_all(files: Sequence[Path], orders: int) -> list[Run]:
    """Replay everything on all processors. A fixed policy's run is given once for each embedding."""
    embeddings = {path: _embeddings(path) for path in files}
    jobs = [
        Learning(path, embedding, seed)
        for path in sorted(files, key=lambda path: -path.stat().st_size)  # the longest first
        for embedding in embeddings[path]
        for seed in range(orders)
    ]
    # Processes, because a replay is Python code that holds the GIL.
    with ProcessPoolExecutor(initializer=_quiet) as pool:
        learning = pool.map(Learning.run, jobs)
        fixed = pool.map(Fixed.run, map(Fixed, files))
        done = [
            Run("", replace(run.result, embedding=embedding))
            for path, runs in zip(files, fixed, strict=True)
            for embedding in embeddings[path]
            for run in runs
        ]
        done += [run for runs in learning for run in runs]
    # In the order of the files as given, whichever ended first; `sorted` keeps the order within each.
    return sorted(done, key=lambda run: files.index(Path(run.result.file)))


def _quiet() -> None:
    # Otherwise each of a thousand replays would log that the top tier gave no answer.
    logging.getLogger("llm_tiers").setLevel(logging.ERROR)


def _embeddings(path: Path) -> list[str]:
    default = load_table(path).embedding_name  # says what is wrong with the file, too
    with np.load(path) as file:
        return [name for name in EMBEDDINGS if name in file.files] or [default]

"""Replays of policies over their knobs, in several orders, on several cores."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import ceil
from multiprocessing import get_context
from typing import TYPE_CHECKING

import numpy as np

from llm_tiers.calibration.points import Measurement
from llm_tiers.replay import neighbourhood_of, replay

if TYPE_CHECKING:
    from llm_tiers.calibration.sources import Sample
    from llm_tiers.replay import ReplayResult, ReplayTable
    from llm_tiers.replay.neighbours import Neighbourhood

__all__ = ["Setting", "Sweep"]

Setting = tuple[str, float | None]
"""A policy's name and its knob."""

_QUESTIONS = 3_000
_MOST_ORDERS = 6
"""A short table is replayed in more orders: the fewer the questions, the more a mean depends on their order."""

_WORTH_A_PROCESS = 20_000
"""Fewer questions than these take less time than starting processes."""


class Sweep:
    """Replays a sample. Neighbours are found once for each table and order, since they do not depend on the policy.

    Args:
        sample: The questions.
        workers: Processes to replay with, where there is enough to do.
        on_work: Called with the questions that are going to be answered, before they are.
        on_step: Called with the questions that were.
    """

    def __init__(
        self,
        sample: Sample,
        *,
        workers: int = 1,
        on_work: Callable[[int], object] = lambda _: None,
        on_step: Callable[[int], object] = lambda _: None,
    ) -> None:
        self.orders = min(_MOST_ORDERS, max(1, ceil(_QUESTIONS / len(sample))))
        self._tables = sample.tables
        self._workers = workers
        self._on_work = on_work
        self._on_step = on_step
        self._near: dict[tuple[int, int], Neighbourhood] = {}

    def _orders_of(self, setting: Setting) -> int:
        # A tier that always answers alone learns nothing, so the order does not matter.
        return 1 if setting[0].startswith("single:") else self.orders

    def measure(self, settings: Sequence[Setting]) -> list[Measurement]:
        """Replay every table with every setting in every order."""
        n = sum(map(len, self._tables))
        look_ups = 0 if self._near else self.orders
        self._on_work(n * (look_ups + sum(map(self._orders_of, settings))))
        self._find_neighbours()
        jobs = [
            _Job(at, place, setting, order)
            for at, setting in enumerate(settings)
            for order in range(self._orders_of(setting))
            for place in range(len(self._tables))
        ]
        results: dict[_Job, ReplayResult] = {}
        for job, result in self._replays(jobs):
            # In the order in which they end; the measurements put them back in that of the settings.
            results[job] = result
            self._on_step(result.n)
        return [self._measurement(at, setting, results) for at, setting in enumerate(settings)]

    def _measurement(self, at: int, setting: Setting, results: dict[_Job, ReplayResult]) -> Measurement:
        return Measurement.of(
            [
                [results[_Job(at, place, setting, order)] for order in range(self._orders_of(setting))]
                for place in range(len(self._tables))
            ]
        )

    def _find_neighbours(self) -> None:
        for place, table in enumerate(self._tables):
            for order in range(self.orders):
                if (place, order) not in self._near:
                    self._near[place, order] = neighbourhood_of(table, order="shuffle", seed=order)
                    self._on_step(len(table))

    def _replays(self, jobs: Sequence[_Job]) -> Iterator[tuple[_Job, ReplayResult]]:
        questions = sum(len(self._tables[job.place]) for job in jobs)
        # With few questions left after a first sweep, starting processes would take longer than the replays.
        workers = min(self._workers, ceil(questions / _WORTH_A_PROCESS), len(jobs))
        tasks = [(job, self._tables[job.place], self._near[job.place, job.order]) for job in jobs]
        if workers <= 1:
            yield from map(_run, tasks)
            return
        # Spawned, because Chroma's engine hangs in a forked process.
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            light = [(job, _without_vectors(table), near) for job, table, near in tasks]
            try:
                for future in as_completed([pool.submit(_run, task) for task in light]):
                    yield future.result()
            finally:
                # After an interrupt the user should not wait for the jobs that have not started.
                pool.shutdown(cancel_futures=True)


@dataclass(frozen=True, slots=True)
class _Job:
    """One replay.

    Attributes:
        at: Position of the setting.
        place: Position of the table.
        setting: Policy and knob.
        order: Seed of the shuffle.
    """

    at: int
    place: int
    setting: Setting
    order: int


def _run(task: tuple[_Job, ReplayTable, Neighbourhood]) -> tuple[_Job, ReplayResult]:
    job, table, near = task
    policy, knob = job.setting
    with _quiet():
        return job, replay(table, policy, knob=knob, order="shuffle", seed=job.order, neighbourhood=near)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep recorded calls out of the log, where they would look like real ones."""
    logger = logging.getLogger("llm_tiers")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _without_vectors(table: ReplayTable) -> ReplayTable:
    """Return the table without its vectors, so that sending it to a process is fast: its neighbours are known."""
    return replace(table, embedding=np.empty((len(table), 0), dtype=np.float32))

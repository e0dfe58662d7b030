"""The bandit on streams of recorded questions: python benchmarks/bandit.py [FILE.npz ...]

With LLM_TIERS_REPLAY=FILE.npz:FILE.npz... further files come from the environment; without any, the two that come with
the package are read. It prints, for each file:

1. the truth as reward: what MetaLLM's bandit and `LinUCB()` gather in the first pass and over ten, beside the best
   single tier's reward, which is known in hindsight only, and beside mabwiser's LinUCB on the same stream;
2. through the real flow: `linucb` learns from agreement and verdicts, `linucb-rules` chooses among the menu's rules
   and is told the truth of its answers, as `metallm` is, beside the default policy;
3. whether the real flow and history decide as the arrays do; and once, how long an update takes at 384 dimensions.

A reward is 1 for a right answer, less .1 for what the dearest tier costs on average. Figures are rewards per hundred
questions. It needs mabwiser: pip install 'llm-tiers[benchmarks]'.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from llm_tiers import Call, Engine, Ladder, Policy, Tier
from llm_tiers.policies.judges.unjudged import Unjudged
from llm_tiers.policies.starters.arms import Arms, RecordedRows, Settings
from llm_tiers.policies.starters.linucb import LinUCB
from llm_tiers.replay import BUNDLED, ReplayTable, load_table, replay
from llm_tiers.replay.performer import RecordedPerformer
from llm_tiers.replay.run import recorded_history

PRICE = 0.1
"""The weight of the cost in a reward: the default of `LinUCB`."""

PASSES = 10
"""Passes over a file: with one, hundreds of dimensions leave a bandit no time to learn."""

SEEDS = (0, 1, 2)
FLOW_QUESTIONS = 200
WIDE = 384
"""The dimensions of MiniLM's vectors."""

CONSOLE = Console(width=120)


def ladder_of(table: ReplayTable) -> Ladder:
    prices = zip(table.tiers, table.price_in, table.price_out, strict=True)
    return Ladder(Tier(None, name=name, price=(float(read), float(written))) for name, read, written in prices)


class Stream:
    """A table as a bandit sees it: vectors, how right each tier is, and what it costs, the dearest's mean being 1."""

    def __init__(self, table: ReplayTable) -> None:
        self.table = table
        self.rows = RecordedRows.of(table)
        self.costs = self.rows.costs / self.rows.costs[:, -1].mean()
        self.rewards = self.rows.correct - PRICE * self.costs

    @property
    def best(self) -> float:
        return float(100 * self.rewards.mean(axis=0).max())

    def order(self, seed: int | None) -> NDArray[np.int64]:
        n = len(self.rewards)
        return np.arange(n) if seed is None else np.random.default_rng(seed).permutation(n)


def published(stream: Stream, rows: Sequence[int]) -> list[int]:
    """MetaLLM's bandit: the tier that it chooses for each question, told its reward."""
    # From the arms alone instead of `LinUCB.paper()`, so that the reward is the recorded one, as mabwiser is told it.
    arms, names = Arms(Settings(ridge=1.0)), stream.table.tiers
    chosen = []
    for row in rows:
        x = arms.settings.features(stream.rows.vectors[row])
        bounds = [arms.expected(name, x) + arms.deviation(name, x) for name in names]
        chosen.append(int(np.argmax(bounds)))
        arms = arms.after(names[chosen[-1]], x, float(stream.rewards[row, chosen[-1]]))
    return chosen


def mended(stream: Stream, rows: Sequence[int]) -> list[int]:
    """`LinUCB()`: the tier that it chooses for each question, told whether its answer is right and what it cost."""
    bandit, ladder, names = LinUCB(price=PRICE), usual_ladder(stream.table), stream.table.tiers
    study = bandit.study(ladder)
    arms, chosen = study.start(), []
    for row in rows:
        promises = bandit.promises(arms, ladder, stream.rows.vectors[row])
        chosen.append(max(range(len(names)), key=lambda tier: promises[names[tier]].bound))
        right, cost = stream.rows.correct[row, chosen[-1]], stream.rows.costs[row, chosen[-1]]
        name = names[chosen[-1]]
        arms = study.observe(arms, stream.rows.vectors[row], {name: float(right)}, {name: float(cost)})
    return chosen


def usual_ladder(table: ReplayTable) -> Ladder:
    """Return the ladder as an engine makes it, with what a usual answer costs by the price list."""
    return Engine(ladder_of(table), Policy("linucb", LinUCB(), Unjudged())).ladder


def of_mabwiser(stream: Stream, rows: Sequence[int]) -> list[int]:
    from mabwiser.mab import MAB, LearningPolicy

    mab = MAB(list(range(len(stream.table.tiers))), LearningPolicy.LinUCB(alpha=1.0, l2_lambda=1.0))
    chosen: list[int] = []
    for row in rows:
        x = stream.rows.vectors[row].astype(np.float64)[None]
        # mabwiser cannot predict before its first observation. Until then all arms are equal, so the first is chosen.
        chosen.append(mab.predict(x) if chosen else 0)
        learn = mab.partial_fit if len(chosen) > 1 else mab.fit
        learn([chosen[-1]], [float(stream.rewards[row, chosen[-1]])], x)
    return chosen


def gathered(stream: Stream, rows: Sequence[int], chosen: Sequence[int]) -> float:
    return float(100 * stream.rewards[np.asarray(rows), np.asarray(chosen)].mean())


def truth(stream: Stream) -> Table:
    shown = Table(title=f"{stream.table.path.stem}: the truth as reward", title_justify="left")
    for column in ("order", "best single tier", "metallm, 1st pass", "mabwiser, 1st pass", "same choices"):
        shown.add_column(column, justify="right")
    for column in ("linucb, 1st pass", "metallm, ten passes", "linucb, ten passes"):
        shown.add_column(column, justify="right")
    found = []
    for seed in (None, *SEEDS):
        once = stream.order(seed).tolist()
        rows = once * PASSES
        papers, ours = published(stream, rows), mended(stream, rows)
        cells = [gathered(stream, once, papers[: len(once)])]
        # mabwiser is slow, and two orders show whether the choices are the same.
        if seed in (None, SEEDS[0]):
            theirs = of_mabwiser(stream, once)
            same = sum(one == other for one, other in zip(theirs, papers, strict=False))
            beside = [f"{gathered(stream, once, theirs):.2f}", f"{same} of {len(once)}"]
        else:
            beside = ["", ""]
        cells += [gathered(stream, once, ours[: len(once)])]
        cells += [gathered(stream, rows, papers), gathered(stream, rows, ours)]
        found.append(cells)
        shown.add_row(
            order_name(seed), f"{stream.best:.2f}", f"{cells[0]:.2f}", *beside, *(f"{c:.2f}" for c in cells[1:])
        )
    mean = np.mean(found, axis=0)
    shown.add_section()
    shown.add_row("mean", f"{stream.best:.2f}", f"{mean[0]:.2f}", "", "", *(f"{c:.2f}" for c in mean[1:]))
    return shown


def order_name(seed: int | None) -> str:
    return "file" if seed is None else f"shuffle {seed}"


def without_truth(stream: Stream) -> Table:
    table = stream.table
    names = [*(f"single:{tier}" for tier in table.tiers), "metallm", "linucb", "linucb-rules", "doubt"]
    shown = Table(title=f"{table.path.stem}: through the real flow, file order", title_justify="left")
    for column in ("policy", "learns from", "accuracy", "US$", "reward"):
        shown.add_column(column, justify="left" if column in ("policy", "learns from") else "right")
    lessons = {
        "metallm": "the truth of its answers",
        "linucb": "agreement, verdicts",
        "linucb-rules": "the truth of its answers",
        "doubt": "agreement",
    }
    top = float(stream.rows.costs[:, -1].mean())
    for name in names:
        result = replay(table, name, feedback=1.0 if name == "linucb-rules" else 0.0)
        reward = 100 * (result.accuracy - PRICE * result.cost_usd / len(table) / top)
        cells = (f"{result.accuracy:.4f}", f"{result.cost_usd:.3f}", f"{reward:.2f}")
        shown.add_row(name, lessons.get(name, ""), *cells)
    return shown


def starts_in_the_flow(table: ReplayTable, rows: Sequence[int], bandit: LinUCB) -> list[str]:
    """Answer questions through the engine and a Chroma history, tell the truth as feedback, and return the starts."""
    engine = Engine(ladder_of(table), Policy("linucb", bandit, Unjudged()), recorded_history(table))
    starts = []
    with closing(engine):
        for row in rows:
            call = Call(id=str(row), query=str(row), created=0.0)
            trace = engine.run(call, RecordedPerformer(table, row)).trace
            starts.append(trace.start or "")
            # `LinUCB.paper` and `rewards="grades"` learn from grades only, so the truth comes as feedback.
            if recorded(table, row, trace.start or ""):
                engine.feedback(call.id, correct=bool(table.correct[row, table.tiers.index(trace.final or "")]))
    return starts


def recorded(table: ReplayTable, row: int, start: str) -> bool:
    """Say whether a call leaves a record: where no tier from the start upward answers, there is nothing to record."""
    return bool((table.answer_exact[row, table.tiers.index(start) :] >= 0).any())


def starts_in_arrays(table: ReplayTable, rows: Sequence[int], bandit: LinUCB) -> list[str]:
    """Decide as the flow does, without it: a tier that says nothing is wrong, and the next one up answers."""
    stream, ladder = Stream(table), usual_ladder(table)
    study = bandit.study(ladder)
    arms, starts = study.start(), []
    for row in rows:
        vector = stream.rows.vectors[row]
        promises = bandit.promises(arms, ladder, vector)
        starts.append(max(table.tiers, key=lambda name: promises[name].bound))
        if recorded(table, row, starts[-1]):
            asked = list(asked_from(table, row, table.tiers.index(starts[-1])))
            rights = {table.tiers[tier]: float(stream.rows.correct[row, tier]) for tier in asked[-1:]}
            rights |= {table.tiers[tier]: 0.0 for tier in asked[:-1]}
            costs = {table.tiers[tier]: float(stream.rows.costs[row, tier]) for tier in asked}
            arms = study.observe(arms, vector, rights, costs)
    return starts


def asked_from(table: ReplayTable, row: int, start: int) -> Iterator[int]:
    for tier in range(start, len(table.tiers)):
        yield tier
        if table.answer_exact[row, tier] >= 0:
            return


def flow_and_arrays(table: ReplayTable) -> None:
    rows = np.random.default_rng(0).permutation(len(table))[:FLOW_QUESTIONS].tolist()
    for name, bandit in (("metallm", LinUCB.paper()), ("linucb", LinUCB(rewards="grades"))):
        in_flow, in_arrays = starts_in_the_flow(table, rows, bandit), starts_in_arrays(table, rows, bandit)
        same = sum(one == other for one, other in zip(in_flow, in_arrays, strict=True))
        CONSOLE.print(f"{name}: flow and history decide as the arrays do on {same} of {len(rows)} questions")


def time_per_update() -> None:
    """Print how long it takes to learn one observation: ours, and mabwiser's."""
    from mabwiser.mab import MAB, LearningPolicy

    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(400, WIDE))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    arms, name = Arms(Settings(ridge=1.0)), "tier"
    mab: Any = MAB([name, "other"], LearningPolicy.LinUCB(alpha=1.0, l2_lambda=1.0))
    mab.fit([name], [1.0], vectors[:1])
    ours, theirs = [], []
    for x in vectors:
        began = time.perf_counter()
        arms = arms.after(name, x, 1.0)
        ours.append(time.perf_counter() - began)
    # Fewer, since each of mabwiser's inverts a matrix.
    for x in vectors[:60]:
        began = time.perf_counter()
        mab.partial_fit([name], [1.0], x[None])
        theirs.append(time.perf_counter() - began)
    mine, other = float(np.median(ours)), float(np.median(theirs))
    CONSOLE.print(
        f"an update at {WIDE} dimensions, median: {1e6 * mine:.0f} microseconds, mabwiser {1e3 * other:.2f} "
        f"milliseconds: {other / mine:.0f} times as long"
    )


def files() -> list[Path]:
    named = [Path(name) for name in sys.argv[1:]]
    named += [Path(name) for name in os.environ.get("LLM_TIERS_REPLAY", "").split(os.pathsep) if name]
    return named or list(BUNDLED)


def main() -> None:
    # The warnings of replays are in their traces; logged, they would stand between the tables.
    logging.getLogger("llm_tiers").setLevel(logging.ERROR)
    time_per_update()
    for path in files():
        table = load_table(path)
        stream = Stream(table)
        CONSOLE.print(truth(stream))
        CONSOLE.print(without_truth(stream))
        flow_and_arrays(table)


if __name__ == "__main__":
    main()

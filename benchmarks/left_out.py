"""What the menu's constants are worth on sets that did not choose them.

    python benchmarks/left_out.py [FILE.npz ...] [--json OUT.json] [--seeds 6] [--knobs .35 .5 .65]

Without files those in LLM_TIERS_REPLAY (separated by colons) are read, else the two that come with the package. Each
constant is halved and doubled, one at a time. Every set in turn is left out: the setting that gains most on the others
is tried on it. Where that gains no more than the constants as they are, there is nothing in them to be tuned; the gain
on the sets left out is what to expect elsewhere. The gain is that of `everywhere.py`, in points, the mean over knobs,
orders, and graded and ungraded calls.
"""

from __future__ import annotations

import argparse
import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from everywhere.ours import run_menu
from everywhere.sets import RecordedSet, files
from numpy.typing import NDArray


@dataclass(frozen=True)
class Constant:
    """A constant of the menu, by the modules that use it."""

    name: str
    modules: tuple[str, ...]

    @property
    def value(self) -> float:
        return float(getattr(import_module(self.modules[0]), self.name))


_MENU = "llm_tiers.policies.menu"
CONSTANTS = (
    Constant("_SHRINKAGE", (f"{_MENU}.nearby",)),
    Constant("IMAGINED_CALLS", (f"{_MENU}.worth",)),
    Constant("_TRUST_IN_BEST", (f"{_MENU}.profile",)),
    Constant("_TEMPER", ("llm_tiers.agreement.imagined",)),
    Constant("_CREDIT", (f"{_MENU}.learning",)),
    Constant("_HORIZON", (f"{_MENU}.learning",)),
    Constant("_LEAST_PRICE", (f"{_MENU}.worth",)),
    Constant("ASKED_SHARE", (f"{_MENU}.profiling", f"{_MENU}.worth")),
)
"""Those that decide what is learned and how far it is trusted; the others are bounds."""


@dataclass(frozen=True)
class Setting:
    """The constants as they are, or with one of them changed."""

    constant: Constant | None = None
    factor: float = 1.0

    def __str__(self) -> str:
        return f"{self.constant.name} {self.constant.value * self.factor:g}" if self.constant else "as it is"

    def apply(self) -> None:
        """Change the constant, in a process that has computed nothing yet: much is kept once it is computed."""
        if self.constant is not None:
            changed = self.constant.value * self.factor
            for module in self.constant.modules:
                setattr(import_module(module), self.constant.name, changed)


SETTINGS = (Setting(), *(Setting(constant, factor) for constant in CONSTANTS for factor in (0.5, 2.0)))


def gain(recorded: RecordedSet, knobs: list[float], seeds: int) -> float:
    """Return the mean gain in points."""
    gains = [
        run_menu(recorded, quality, graded=graded, seed=seed).worth(quality) - recorded.best_single(quality)
        for quality in knobs
        # Without grades, a ladder whose dearest tier is not the best has no truth to learn.
        for graded in ((True, False) if recorded.top_is_best else (True,))
        for seed in range(seeds)
    ]
    return float(np.mean(gains))


def gains_with(setting: Setting, paths: list[Path], knobs: list[float], seeds: int) -> list[float]:
    """Return the gain on each set."""
    setting.apply()
    return [gain(RecordedSet.load(path), knobs, seeds) for path in paths]


def left_out(gains: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return for each set the setting that gains most on the others; `gains` is settings x sets."""
    others = gains.sum(axis=1, keepdims=True) - gains
    return np.asarray(others.argmax(axis=0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="*")
    parser.add_argument("--json", type=Path, help="write every gain")
    parser.add_argument("--seeds", type=int, default=6, help="number of orders")
    parser.add_argument("--knobs", type=float, nargs="+", default=[0.35, 0.5, 0.65])
    arguments = parser.parse_args()
    paths = arguments.files or files()
    rows: list[list[float]] = []
    # A process for each setting, and a new one each time.
    with ProcessPoolExecutor(mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        given = repeat(paths), repeat(arguments.knobs), repeat(arguments.seeds)
        for setting, row in zip(SETTINGS, pool.map(gains_with, SETTINGS, *given), strict=True):
            rows.append(row)
            print(f"{setting!s:24} mean {np.mean(row):+.2f}, worst {min(row):+.2f}", flush=True)
    gains = np.array(rows)
    chosen = left_out(gains)
    reached = gains[chosen, np.arange(len(paths))]
    for path, setting, own, usual in zip(paths, chosen.tolist(), reached.tolist(), rows[0], strict=True):
        print(f"{path.stem}: the others choose {SETTINGS[setting]}: {own:+.2f}, as it is {usual:+.2f}")
    print(f"left out: mean {reached.mean():+.2f}, worst {reached.min():+.2f}")
    print(f"as it is: mean {gains[0].mean():+.2f}, worst {gains[0].min():+.2f}")
    if arguments.json:
        by_setting = {str(setting): row for setting, row in zip(SETTINGS, rows, strict=True)}
        arguments.json.write_text(json.dumps(by_setting, indent=2) + "\n")


if __name__ == "__main__":
    main()

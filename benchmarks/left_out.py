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
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

import numpy as np
from everywhere.ours import run_menu
from everywhere.sets import RecordedSet, files
from numpy.typing import NDArray

from llm_tiers.agreement import imagined
from llm_tiers.policies.menu import learning, nearby, profile, profiling, worth


@dataclass(frozen=True)
class Constant:
    """A constant of the menu, by the modules that use it."""

    name: str
    modules: tuple[ModuleType, ...]

    @property
    def value(self) -> float:
        return float(getattr(self.modules[0], self.name))


CONSTANTS = (
    Constant("_SHRINKAGE", (nearby,)),
    Constant("IMAGINED_CALLS", (worth,)),
    Constant("_TRUST_IN_BEST", (profile,)),
    Constant("_TEMPER", (imagined,)),
    Constant("_CREDIT", (learning,)),
    Constant("_HORIZON", (learning,)),
    Constant("_LEAST_PRICE", (worth,)),
    Constant("ASKED_SHARE", (profiling, worth)),
)
"""Those that decide what is learned and how far it is trusted; the others are bounds."""

AS_IT_IS = "as it is"


def settings() -> Iterator[tuple[str, Constant | None, float]]:
    yield AS_IT_IS, None, 1.0
    for constant in CONSTANTS:
        for factor in (0.5, 2.0):
            yield f"{constant.name} {constant.value * factor:g}", constant, factor


@contextmanager
def applied(constant: Constant | None, factor: float) -> Iterator[None]:
    """Change a constant, and forget what was computed with another one."""
    with ExitStack() as stack:
        for module in () if constant is None else constant.modules:
            stack.enter_context(patch.object(module, constant.name, constant.value * factor))
        imagined.imagined_ladders.cache_clear()
        worth._imagined.cache_clear()
        yield


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
    sets = [RecordedSet.load(path) for path in arguments.files or files()]
    names, rows = [], []
    for name, constant, factor in settings():
        with applied(constant, factor):
            rows.append([gain(one, arguments.knobs, arguments.seeds) for one in sets])
        names.append(name)
        print(f"{name:24} mean {np.mean(rows[-1]):+.2f}, worst {min(rows[-1]):+.2f}", flush=True)
    gains = np.array(rows)
    chosen = left_out(gains)
    for place, (one, setting) in enumerate(zip(sets, chosen.tolist(), strict=True)):
        print(
            f"{one.name}: the others choose {names[setting]}: {gains[setting, place]:+.2f}, as it is {rows[0][place]:+.2f}"
        )
    reached = gains[chosen, np.arange(len(sets))]
    print(
        f"left out: mean {reached.mean():+.2f}, worst {reached.min():+.2f}; as it is: {gains[0].mean():+.2f}, {gains[0].min():+.2f}"
    )
    if arguments.json:
        arguments.json.write_text(json.dumps(dict(zip(names, rows, strict=True)), indent=2) + "\n")


if __name__ == "__main__":
    main()

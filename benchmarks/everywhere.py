"""The menu on every recorded set, beside single tiers, fixed rules, a router and the older policies.

    python benchmarks/everywhere.py [FILE.npz ...] [--json OUT.json] [--plot OUT.png] [--seeds 6] [--knobs .35 .65]
        [--flows 1] [--by-quality FILE.npz]

Without files those in LLM_TIERS_REPLAY (separated by colons) are read, else the two that come with the package. Each
set is shuffled; calls come one after the other, and what is learned is paid for. Worth is accuracy less the price of
the cost, 0.5 (1 - quality)**3 for each usual answer of the dearest tier, in points; the gain is the worth beyond that
of the best single tier, known in hindsight. Graded: the truth is told of the calls that all tiers answer. `--flows N`
adds the older policies, replayed through the real flow in N orders; that takes long. On sets with recorded verdicts
the menu is also run beside that judge. `--by-quality` takes a set of free
text whose answers have grades from 1 to 10, for how right they are, and compares with a coin between its dearest tiers.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

from everywhere.coin import beside_coin
from everywhere.ours import run_menu
from everywhere.picture import draw
from everywhere.points import Point, point_of
from everywhere.report import report
from everywhere.rivals import FLOWS, best_of_menu, fixed_rules, run_flow, run_router
from everywhere.sets import RecordedSet, files

from llm_tiers.policies.menu.menu import MenuStarter

# From nearly the cheapest to nearly the best.
KNOBS = (0.2, 0.35, 0.5, 0.65, 0.8, 0.95)


def points_on(recorded: RecordedSet, knobs: list[float], seeds: int, flows: int) -> Iterator[Point]:
    for quality in knobs:
        for graded in (True, False):
            ran = [run_menu(recorded, quality, graded=graded, seed=seed) for seed in range(seeds)]
            yield point_of("menu", recorded, quality, ran, graded=graded)
        if recorded.has_verdicts:
            ran = [run_menu(recorded, quality, graded=True, seed=seed, judged=True) for seed in range(seeds)]
            yield point_of("menu, judged", recorded, quality, ran, graded=True)
        router = [run_router(recorded, quality, seed=seed) for seed in range(seeds)]
        yield point_of("router", recorded, quality, router, graded=True)
        best = best_of_menu(recorded, quality)
        yield point_of("best of the menu", recorded, quality, [best], graded=True)
        for name, outcome in fixed_rules(recorded).items():
            yield point_of(name, recorded, quality, [outcome], graded=False)
        for policy in FLOWS if flows else ():
            replayed = [run_flow(recorded, policy, quality, seed=seed) for seed in range(flows)]
            outcomes = [outcome for outcome in replayed if outcome is not None]
            if outcomes:
                yield point_of(policy, recorded, quality, outcomes, graded=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="*")
    parser.add_argument("--json", type=Path, help="write every point")
    parser.add_argument("--plot", type=Path, help="draw the gains by set at the default knob")
    parser.add_argument("--seeds", type=int, default=6, help="number of orders")
    parser.add_argument("--knobs", type=float, nargs="+", default=KNOBS, help="the default's knob is added")
    parser.add_argument("--flows", type=int, default=0, help="orders in which older policies are replayed")
    parser.add_argument("--by-quality", type=Path, metavar="FILE", help="a set with grades from 1 to 10")
    arguments = parser.parse_args()
    began = time.monotonic()
    default = MenuStarter().quality
    knobs = sorted({*arguments.knobs, default})
    sets = [RecordedSet.load(path) for path in arguments.files or files()]
    points = [point for one in sets for point in points_on(one, knobs, arguments.seeds, arguments.flows)]
    if arguments.json:
        arguments.json.write_text(json.dumps([point.to_dict() for point in points], indent=2) + "\n")
    print("\n".join(report(points, sets, default)))
    if arguments.by_quality:
        recorded = RecordedSet.load(arguments.by_quality, by_quality=True)
        print("\n".join(beside_coin(recorded, knobs, arguments.seeds)))
    print(f"{time.monotonic() - began:.0f} seconds")
    if arguments.plot:
        draw(points, arguments.plot, default)


if __name__ == "__main__":
    main()

"""Accuracy against cost and time: every policy at every setting of its knob, on recorded outcomes.

    python benchmarks/frontier.py [FILE.npz ...] [--json OUT.json] [--plot docs/frontier.png] [--seeds 6]

Each table is replayed with each of its embeddings in shuffled orders, through the real flow; the neighbours come from a
real Chroma history, found once for each table, embedding and order, since they do not depend on the policy. A point
is the mean over the orders. `accuracy_se` is the standard error of a bootstrap over the questions: the mean over the
orders of each question's outcome, questions drawn with replacement.

Prints Markdown. For each policy the cost and time at which its frontier reaches the accuracy of LLM-AT (its published
setting, same embedding, same orders), as a share of LLM-AT's; the same against LLM-AT where it never returns a missing
answer; and the cost at which it reaches the top tier's accuracy minus 0.2 points, as a share of the top tier's. For the
doubt cascade also how sure that is, how often it uses the cheapest tier where that is right, how well its confidence is
calibrated, and what a useless tier costs it. Then the policies without a knob, and cascade routing.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from frontier.picture import draw
from frontier.points import points_of
from frontier.report import panels_of, report
from frontier.runs import run_all

from llm_tiers.replay import BUNDLED


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="*", default=list(BUNDLED))
    parser.add_argument("--json", type=Path, help="write every point")
    parser.add_argument("--plot", type=Path, help="draw accuracy against cost")
    parser.add_argument("--seeds", type=int, default=6, help="number of orders")
    arguments = parser.parse_args()
    began = time.monotonic()
    points = points_of(run_all(arguments.files, arguments.seeds))
    if arguments.json:
        own = [point.to_dict() for point in points if not point.ladder]
        arguments.json.write_text(json.dumps(own, indent=2) + "\n")
    panels = panels_of(points)
    for panel in panels:
        print("\n".join(report(panel)))
    print(f"{time.monotonic() - began:.0f} seconds")
    if arguments.plot:
        draw(panels, arguments.plot)


if __name__ == "__main__":
    main()

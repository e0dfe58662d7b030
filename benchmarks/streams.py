"""The default policy on scripted streams of tool calls, free text and RAG answers, through the whole product.

    python benchmarks/streams.py [--seeds 3] [--calls 400] [--policy default] [--http] [--json OUT.json]

Each call goes through `TieredChatModel`: with chat models in this process, or with `--http` over real clients and a
server on this machine, which takes longer. Which calls are profiled is drawn by their ids, so two runs differ a little.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from streams.fields import database, labels, search
from streams.kinds import Stream, free_text, tool_calls, two_tiers
from streams.models import over_http, within_process
from streams.report import LATE, row_of, table
from streams.run import Ran, run

# How often each tier is right: the spread of the bundled sets, a close ladder, and one where even the cheapest will do.
SKILLS = ((0.60, 0.80, 0.95), (0.82, 0.92, 0.97), (0.94, 0.96, 0.98))


def streams(calls: int) -> Iterator[Callable[[int], Stream]]:
    """Yield functions that make each stream from a seed."""
    # The share of calls on which tool arguments coincide decides whether agreement is worth anything, so it is varied;
    # a grader of 0.85 is a mediocre judging model, one of 0.96 a good check. The judge's errors are drawn by lot, while
    # those of a real model concern the answers that are hard to tell: with it, this is the best case.
    for coincide in (0.0, 0.3, 0.6, 0.85):
        yield partial(tool_calls, coincide, calls)
    for kind, skills in ((labels, SKILLS[2]), (search, SKILLS[2]), (search, (1.0, 1.0, 1.0)), (database, SKILLS[0])):
        yield partial(kind, skills, calls)
    for context in (False, True):
        for skills in SKILLS:
            for grader in (None, 0.85, 0.96):
                yield partial(free_text, skills, grader, calls, context=context)
            for judge in (0.85, 0.96):
                yield partial(free_text, skills, 0.96, calls, context=context, judge=judge)
    for grader in (None, 1.0):
        yield partial(two_tiers, grader, calls)


def ran(stream: Stream, seed: int, policy: str, *, http: bool) -> Ran:
    if not http:
        return run(stream, within_process(stream), seed, policy=policy)
    with over_http(stream) as tiers:
        return run(stream, tiers, seed, policy=policy)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--calls", type=int, default=400, help="calls of a stream")
    parser.add_argument("--policy", default="default")
    parser.add_argument("--http", action="store_true", help="over real clients")
    parser.add_argument("--json", type=Path, help="write the figures")
    arguments = parser.parse_args()
    if arguments.calls <= LATE:
        parser.error(f"--calls must be more than {LATE}, from which on the late calls are counted")
    began = time.monotonic()
    rows = [
        row_of([ran(make(seed), seed, arguments.policy, http=arguments.http) for seed in range(arguments.seeds)])
        for make in streams(arguments.calls)
    ]
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")
    print("\n".join(table(rows)))
    print(f"{time.monotonic() - began:.0f} seconds")


if __name__ == "__main__":
    main()

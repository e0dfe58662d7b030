"""Recorded answers of real models, served over HTTP to `TieredChatModel` with its defaults, beside the replay.

    python benchmarks/recorded_over_http.py ANSWERS.jsonl.gz

The file's format is that of `llm_tiers.testing.Recording`; its `set` and `uid` name rows of the tables that come with
the package, which know which answers are right. Every question is asked once, in the file's order, with a history for
each set, and the same rows are replayed in the same order. Prints Markdown: accuracy and cost of both, how many model
calls judged or compared, and whether the usage is what the server reported.

The MATH answers are programs. To compare those takes an `extract=`: the one here runs nothing. It takes the value that
a program gives to `answer` where that is a plain number, and for any other program says that it cannot tell, so the
cheapest model is asked whether two programs say the same (which was not recorded), and last the judge.
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from langchain_openai import ChatOpenAI

from langchain_tiers import TieredChatModel
from llm_tiers.replay import BUNDLED, ReplayTable, load_table, replay
from llm_tiers.testing import LoopbackServer, Recording
from llm_tiers.testing.recording import RecordedQuestion

PLAIN_NUMBER = re.compile(r"^answer = (-?\d+(?:\.\d+)?(?:/\d+)?)\s*\Z", re.MULTILINE)


def number_given(program: str) -> str | None:
    found = PLAIN_NUMBER.search(program)
    return found[1] if found else None


EXTRACT: Mapping[str, Callable[[str], str | None]] = {"math": number_given}


def served(server: LoopbackServer, scripts: Mapping[str, Any]) -> tuple[int, int]:
    replies = [scripts[request.model](request) for request in server.requests]
    counted = [reply for reply in replies if hasattr(reply, "input_tokens")]
    return sum(reply.input_tokens for reply in counted), sum(reply.output_tokens for reply in counted)


def rows_of(path: Path, questions: Sequence[RecordedQuestion]) -> list[int]:
    place = {str(uid): row for row, uid in enumerate(np.load(path)["uid"])}
    return [place[str(question.uid)] for question in questions]


def part_of(table: ReplayTable, rows: Sequence[int]) -> ReplayTable:
    """Return the table of these questions, in this order."""
    kept = {field.name: getattr(table, field.name) for field in fields(table)}
    of_questions = {name: held for name, held in kept.items() if len(getattr(held, "shape", ())) > 1}
    return replace(table, **{name: held[rows] for name, held in of_questions.items()})


def run(recording: Recording, name: str) -> str:
    scripts = recording.scripts()
    path = next(path for path in BUNDLED if path.stem.endswith(name))
    questions = [question for question in recording.questions if question.set == name]
    table = part_of(load_table(path), rows_of(path, questions))
    # What the tiers cost when they were recorded; some cost less today.
    prices = {tier: (table.price_in[at], table.price_out[at]) for at, tier in enumerate(table.tiers)}
    right, cost, asides, miscounted = 0, 0.0, 0, 0
    started = time.perf_counter()
    with LoopbackServer(scripts) as server:
        tiers = [ChatOpenAI(model=name, base_url=server.base_url, api_key="unused") for name in recording.models]
        with TieredChatModel(tiers=tiers, prices=prices, extract=EXTRACT.get(name)) as model:
            for row, question in enumerate(questions):
                server.forget()
                answer = model.invoke(question.prompt)
                trace = answer.response_metadata["tiers"]
                right += bool(table.correct[row, table.tiers.index(trace["final"])])
                cost += trace["cost_usd"] or 0.0
                asides += sum(attempt["role"] == "judge" for attempt in trace["attempts"])
                usage = answer.usage_metadata or {}
                miscounted += (usage.get("input_tokens"), usage.get("output_tokens")) != served(server, scripts)
    seconds = time.perf_counter() - started
    replayed = replay(table, "default")
    return (
        f"| {name} | {len(questions)} | {right / len(questions):.4f} | {replayed.accuracy:.4f} | {cost:.3f} "
        f"| {replayed.cost_usd:.3f} | {asides} | {miscounted} | {seconds:.0f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    recording = Recording.load(parser.parse_args().file)
    print("| set | questions | accuracy | in replay | US$ | in replay | judged or compared | usage off | seconds |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in dict.fromkeys(question.set for question in recording.questions):
        print(run(recording, name), flush=True)


if __name__ == "__main__":
    main()

"""Recorded answers of real models, served over HTTP to `TieredChatModel` with its defaults.

    python benchmarks/recorded_over_http.py ANSWERS.jsonl.gz

The file's format is that of `llm_tiers.testing.Recording`. Every question is asked once, in the file's order, with a
history for each set. It checks that each text returned stands (its recorded verdict is yes, or it is the top tier's)
and that the usage is what the server reported, and prints Markdown.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from pathlib import Path
from typing import Any

from langchain_openai import ChatOpenAI

from langchain_tiers import TieredChatModel
from llm_tiers.testing import LoopbackServer, Recording
from llm_tiers.testing.recording import RecordedQuestion


def stands(question: RecordedQuestion, text: str, top: str) -> bool:
    return text == question.answers[top].text or any(
        answer.verdict == "yes" for answer in question.answers.values() if answer.text == text
    )


def served(server: LoopbackServer, scripts: dict[str, Any]) -> tuple[int, int]:
    replies = [scripts[request.model](request) for request in server.requests]
    return sum(reply.input_tokens for reply in replies), sum(reply.output_tokens for reply in replies)


def run(recording: Recording, name: str) -> str:
    scripts = recording.scripts()
    questions = [question for question in recording.questions if question.set == name]
    starts, finals, cost, wrong, miscounted = Counter[str](), Counter[str](), 0.0, 0, 0
    started = time.perf_counter()
    with LoopbackServer(scripts) as server:
        tiers = [ChatOpenAI(model=name, base_url=server.base_url, api_key="unused") for name in recording.models]
        with TieredChatModel(tiers=tiers) as model:
            for question in questions:
                server.forget()
                answer = model.invoke(question.prompt)
                trace = answer.response_metadata["tiers"]
                starts[trace["start"]] += 1
                finals[trace["final"]] += 1
                cost += trace["cost_usd"]
                wrong += not stands(question, answer.text, recording.models[-1])
                usage = answer.usage_metadata or {}
                miscounted += (usage.get("input_tokens"), usage.get("output_tokens")) != served(server, scripts)
    seconds = time.perf_counter() - started
    ended = ", ".join(f"{tier} {finals[tier]}" for tier in recording.models)
    return f"| {name} | {len(questions)} | {wrong} | {miscounted} | {ended} | {cost:.3f} | {seconds:.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    recording = Recording.load(parser.parse_args().file)
    print("| set | questions | texts that do not stand | usage not as served | answered by | US$ | seconds |")
    print("|---|---|---|---|---|---|---|")
    for name in dict.fromkeys(question.set for question in recording.questions):
        print(run(recording, name), flush=True)


if __name__ == "__main__":
    main()

"""TieredChatModel beside what else there is: LangChain's standard tests and the same checks for leaks on each.

    pip install cascadeflow && python benchmarks/side_by_side

All over real `ChatOpenAI` clients and a loopback server. Prints Markdown. Without cascadeflow its column is left out.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import candidates
import leaks

SUITE = Path(__file__).with_name("standard_suite.py")


def standard(candidate: str) -> str:
    """Run the standard tests in a process of their own; return how many passed, failed and were skipped."""
    command = [sys.executable, "-m", "pytest", "-q", "--tb=no", "-p", "no:cacheprovider", "--benchmark-disable"]
    command += ["-c", os.devnull, "--rootdir", str(SUITE.parent), "-o", "asyncio_mode=auto"]
    command += ["--import-mode=importlib", str(SUITE)]
    environment = {**os.environ, "LLM_TIERS_CANDIDATE": candidate}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    last = done.stdout.strip().splitlines()[-1]
    counts = {word: int(number) for number, word in re.findall(r"(\d+) (passed|failed|skipped|error)", last)}
    return ", ".join(f"{counts.get(word, 0)} {word}" for word in ("passed", "failed", "skipped"))


def cell(results: list[bool], position: int, check: leaks.Check) -> str:
    # A wrapper that never replaces an answer has none to hold back.
    if check in leaks.OF_REPLACED and not results[0]:
        return "-"
    return "yes" if results[position] else "no"


def main() -> None:
    warnings.simplefilter("ignore")
    logging.disable()
    known = [name for name in candidates.NAMES if name != "cascadeflow" or importlib.util.find_spec("cascadeflow")]
    with contextlib.redirect_stdout(io.StringIO()):  # cascadeflow prints
        results = {name: leaks.run(name) for name in known}
    print("| |", " | ".join(candidates.NAMES[name] for name in known), "|")
    print("|---|" + "---|" * len(known))
    print("| LangChain's standard tests |", " | ".join(map(standard, known)), "|")
    for position, (title, check, _) in enumerate(leaks.CHECKS):
        print(f"| {title} |", " | ".join(cell(results[name], position, check) for name in known), "|")


if __name__ == "__main__":
    main()

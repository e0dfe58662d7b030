"""What tiering adds to a call: `invoke` on models that answer at once, beside the bare model.

    python benchmarks/overhead.py [--calls 300]

Prints Markdown: median milliseconds of one call, in turns so that a drift of the machine's speed hits all alike.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from statistics import median

from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage

from langchain_tiers import TieredChatModel
from llm_tiers import FixedStarter, Tier


def endless(text: str) -> GenericFakeChatModel:
    return GenericFakeChatModel(messages=iter(lambda: AIMessage(text), None))


def tiers() -> list[Tier]:
    return [Tier(endless("yes"), name=name, price=(1, 1)) for name in ("small", "medium", "large")]


def accept(_question: str, _answer: str) -> bool:
    return True


def timed(call: Callable[[str], object], question: str) -> float:
    started = time.perf_counter()
    call(question)
    return (time.perf_counter() - started) * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=300)
    calls = parser.parse_args().calls
    with tempfile.TemporaryDirectory() as folder:
        models = {
            "the bare model": endless("yes"),
            "fixed start, a function judges": TieredChatModel(tiers(), starter=FixedStarter(), judge=accept),
            "estimator, history in memory, a function judges": TieredChatModel(tiers(), judge=accept),
            "estimator, history in a folder, a function judges": TieredChatModel(tiers(), judge=accept, history=folder),
        }
        times: dict[str, list[float]] = {name: [] for name in models}
        for number in range(calls):
            for name, model in models.items():
                times[name].append(timed(model.invoke, f"What is {number} plus {number * 7}, in words?"))
        for model in models.values():
            if isinstance(model, TieredChatModel):
                model.close()
    print("| one `invoke` | median ms |\n|---|---|")
    for name, taken in times.items():
        print(f"| {name} | {median(taken[calls // 10 :]):.2f} |")


if __name__ == "__main__":
    main()

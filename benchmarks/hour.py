"""Mixed traffic through both frameworks, for as long as wanted: what it takes of the machine must not grow.

    python benchmarks/hour.py                 # a minute
    python benchmarks/hour.py --minutes 60

Both models answer over a loopback server that fails now and then, each with a history in a folder of its own. Calls are
whole, streamed, async, cancelled and with feedback, from twenty users at five nodes. Each line is one stretch of time;
the last two compare the end with the end of the warm-up.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import random
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from langchain_openai import ChatOpenAI
from llama_index.llms.openai_like import OpenAILike

from langchain_tiers import TieredChatModel
from llamaindex_tiers import TieredLLM
from llm_tiers import Breaker, ChromaHistory
from llm_tiers.testing import HttpError, LoopbackServer

NAMES = ("small", "medium", "large")
STRETCHES = 12
WORKERS = 4
KEPT = 500
"""Most records of a node, so that a long run evicts as it would after months."""


def rss() -> float:
    """The memory of this process, in MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6


def descriptors() -> tuple[int, int]:
    """The number of open files, sockets among them, and apart from these the files of Chroma's indexes.

    Chroma keeps the index files of a dropped collection open, four each, until its cache of indexes is full. A node at
    its capacity is copied to a new collection now and then, and the old one dropped.
    """
    others = of_indexes = 0
    for path in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            is_index = path.readlink().suffix == ".bin"
            others, of_indexes = others + (not is_index), of_indexes + is_index
    return others, of_indexes


def reply(draw: random.Random, name: str) -> Callable[[Any], Any]:
    """What a tier says: mostly the same as the others, sometimes something else, rarely an error."""

    def said(request: Any) -> Any:
        lot = draw.random()
        if lot < 0.01:  # noqa: PLR2004
            return HttpError(500)
        return f"The answer is {len(request.ask) % 7 + (lot < 0.1 and name == 'small')}."  # noqa: PLR2004

    return said


class Traffic:
    """Calls of all kinds through the two models."""

    def __init__(self, chat: TieredChatModel, llm: TieredLLM, draw: random.Random) -> None:
        self.chat = chat
        self.llm = llm
        self.draw = draw
        self.seconds: list[float] = []
        self.failed = 0
        self._number = 0

    def one(self, loop: asyncio.AbstractEventLoop) -> None:
        """Make one call and note how long it took."""
        self._number += 1
        lot = self.draw.randrange(8)
        ask = f"question {self.draw.randrange(100_000)} of kind {lot}"
        who = f"user {self.draw.randrange(20)}"
        node = f"node {self.draw.randrange(5)}"
        began = time.perf_counter()
        try:
            self._kinds()[lot](ask, who, node, loop)
        except Exception as error:  # noqa: BLE001 -- the traffic goes on, and the last line counts them
            self.failed += 1
            if self.failed <= 3:  # noqa: PLR2004
                print(f"failed: {type(error).__name__}: {str(error)[:200]}", file=sys.stderr)
        self.seconds.append(time.perf_counter() - began)

    def _kinds(self) -> tuple[Callable[[str, str, str, asyncio.AbstractEventLoop], object], ...]:
        chat, llm = self.chat, self.llm

        def feedback(ask: str, who: str, node: str, _loop: object) -> None:
            answer = chat.invoke(ask, principal=who, node=node)
            chat.feedback(answer.response_metadata["tiers"]["trace_id"], correct=True, principal=who)

        def broken_off(ask: str, who: str, node: str, _loop: object) -> None:
            stream = chat.stream(ask, principal=who, node=node)
            next(stream)
            stream.close()

        def cancelled(ask: str, who: str, node: str, loop: asyncio.AbstractEventLoop) -> None:
            loop.run_until_complete(_cancelled(chat.ainvoke(ask, principal=who, node=node)))

        return (
            lambda ask, who, node, _loop: chat.invoke(ask, principal=who, node=node),
            lambda ask, who, node, _loop: list(chat.stream(ask, principal=who, node=node)),
            lambda ask, who, node, loop: loop.run_until_complete(chat.ainvoke(ask, principal=who, node=node)),
            lambda ask, who, _node, _loop: llm.complete(ask, principal=who),
            lambda ask, who, _node, _loop: list(llm.stream_complete(ask, principal=who)),
            feedback,
            broken_off,
            cancelled,
        )


async def _cancelled(call: Coroutine[Any, Any, Any]) -> None:
    task = asyncio.ensure_future(call)
    await asyncio.sleep(0.002)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def work(traffic: Traffic, until: float) -> None:
    """Make calls until it is time."""
    loop = asyncio.new_event_loop()
    while time.monotonic() < until:
        traffic.one(loop)
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


def run(minutes: float) -> bool:
    """Run the traffic, print what it takes over time, and say whether nothing grew."""
    draw = random.Random(0)
    with (
        tempfile.TemporaryDirectory() as folder,
        LoopbackServer({name: reply(draw, name) for name in NAMES}) as server,
    ):

        def history(name: str) -> ChromaHistory:
            return ChromaHistory(f"{folder}/{name}", capacity=KEPT)

        prices = {"small": (0.1, 0.4), "medium": (0.5, 2.0), "large": (2.0, 8.0)}
        settings: dict[str, Any] = {"prices": prices, "breaker": Breaker()}
        url = server.base_url
        clients = [ChatOpenAI(model=name, base_url=url, api_key="none", max_retries=0) for name in NAMES]
        llms = [
            OpenAILike(model=name, api_base=url, api_key="none", max_retries=0, is_chat_model=True) for name in NAMES
        ]
        with (
            history("chat") as chats,
            history("llm") as texts,
            TieredChatModel(tiers=clients, history=chats, **settings) as chat,
            TieredLLM(tiers=llms, history=texts, **settings) as llm,
        ):
            return _measured(Traffic(chat, llm, draw), minutes, server)


def _measured(traffic: Traffic, minutes: float, server: LoopbackServer) -> bool:
    print("minutes   calls  failed  RSS MB  threads  descriptors  index files  median ms  99 % ms", flush=True)
    began, rows = time.monotonic(), []
    workers = [threading.Thread(target=work, args=(traffic, began + minutes * 60)) for _ in range(WORKERS)]
    for worker in workers:
        worker.start()
    for stretch in range(STRETCHES):
        # Before the workers end, which takes their threads and connections along.
        time.sleep(max(began + (stretch + 0.95) * minutes * 60 / STRETCHES - time.monotonic(), 0))
        taken, traffic.seconds = np.array(traffic.seconds) * 1e3, []
        # The server keeps what it was asked, which is no part of what is measured.
        server.forget()
        gc.collect()
        slow = (float(np.median(taken)), float(np.quantile(taken, 0.99)))
        row = (rss(), threading.active_count(), *descriptors(), *slow)
        rows.append(row)
        print(
            f"{(time.monotonic() - began) / 60:7.1f} {len(taken):7d} {traffic.failed:7d} {row[0]:7.0f} {row[1]:8d} "
            f"{row[2]:12d} {row[3]:12d} {row[4]:10.1f} {row[5]:8.1f}",
            flush=True,
        )
    for worker in workers:
        worker.join()
    # The first quarter warms up: caches fill, and Chroma's index grows to the capacity.
    first, last = rows[STRETCHES // 4], rows[-1]
    names = ("RSS MB", "threads", "descriptors", "index files", "median ms", "99 % ms")
    grown = [f"{name} {after - before:+.1f}" for name, before, after in zip(names, first, last, strict=True)]
    print(f"growth since the warm-up: {', '.join(grown)}")
    grew = last[1] > first[1] + WORKERS or last[2] > first[2] + 4 * WORKERS
    print("threads or descriptors grew" if grew else "threads and descriptors did not grow")
    return not grew


def main() -> int:
    """Run for as long as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=1.0)
    warnings.simplefilter("ignore")
    return 0 if run(parser.parse_args().minutes) else 1


if __name__ == "__main__":
    sys.exit(main())

"""The workers of a service share a folder, and the cost of learning."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack, contextmanager

import pytest

from llm_tiers import ChromaHistory
from llm_tiers.testing import LoopbackServer

WORKER = """
import sys
from langchain_openai import ChatOpenAI
from langchain_tiers import TieredChatModel
from llm_tiers import ChromaHistory, Tier

def tier(name, price):
    return Tier(ChatOpenAI(model=name, base_url=sys.argv[2], api_key="unused", max_retries=0), price=price)

tiers = [tier("small", (0.1, 0.4)), tier("large", (2, 8))]
# Stored before the call returns, so that what the next worker knows does not depend on how fast the machine is.
history = ChromaHistory(sys.argv[1], embedding="hashed", durability="sync")
with TieredChatModel(tiers=tiers, history=history, history_timeout=60) as model:
    for line in sys.stdin:
        print(model.invoke(line).content, flush=True)
history.close()
"""


@contextmanager
def worker(folder, url):
    command = [sys.executable, "-W", "ignore", "-c", WORKER, str(folder), url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.stdin.close()
        assert process.wait(60) == 0


def profiled(folder, url, workers, calls):
    """Spread calls over workers, and return how many of them all tiers answered to be compared."""
    with ExitStack() as stack:
        team = [stack.enter_context(worker(folder, url)) for _ in range(workers)]
        for number in range(calls):
            one = team[number % workers]
            one.stdin.write(f"What is {number} plus one?\n")
            one.stdin.flush()
            assert one.stdout.readline() == "the same\n"
    with ChromaHistory(folder, embedding="hashed") as history:
        records = list(history.export())
    assert len(records) == calls
    return sum(shown["profiled"] or shown["audited"] for shown in records)


@pytest.mark.skipif(os.name == "nt", reason="a folder is for one process there")
def test_four_workers_learn_together_what_one_would_learn_alone(tmp_path):
    calls = 30
    with LoopbackServer(dict.fromkeys(("small", "large"), "the same")) as server:
        alone = profiled(tmp_path / "alone", server.base_url, workers=1, calls=calls)
        together = profiled(tmp_path / "together", server.base_url, workers=4, calls=4 * calls)
    # Each by itself would come to as many as the first.
    assert alone >= calls / 2
    assert together <= 4 * alone / 2

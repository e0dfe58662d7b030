"""Kill a writer, its folder's server or the keeper, again and again; count the acknowledged records that are lost."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "core" / "history"))
from processes import ids, server_of, start

WRITE = """
    history = ChromaHistory(where, embedding=EMBEDDING)
    for number in range({first}, {first} + 100_000):
        history.remember(record(number))
        if number % 10 == 9:
            history.flush()
            say(number)
"""


def main(kills: int) -> int:
    acknowledged: set[str] = set()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "tiers"
        for turn in range(kills):
            first = turn * 100_000
            with start(WRITE.format(first=first), folder) as process:
                last = [int(process.stdout.readline()) for _ in range(2)][-1]
                if turn % 3:
                    os.kill(server_of(folder)["server" if turn % 3 == 1 else "keeper"], signal.SIGKILL)
                    last = [int(process.stdout.readline()) for _ in range(3)][-1]
                process.kill()
                rest = process.stdout.read().split()
            acknowledged |= {f"t{number}" for number in range(first, int((rest or [last])[-1]) + 1)}
        lost = acknowledged - ids(folder)
    print(f"{kills} kills: {len(lost)} of {len(acknowledged)} acknowledged records lost")
    return bool(lost)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 40))

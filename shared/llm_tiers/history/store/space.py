"""How much of a disk is left: Chroma must not meet a full one.

A write that fails for want of space leaves a transaction of SQLite open in Chroma's engine, and each later write waits
for it, for up to 1,000 seconds; in a process that has the engine inside, all threads of Python stand still meanwhile.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from llm_tiers.errors import HistoryError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["RESERVE", "check_space"]

RESERVE = 16 * 2**20
"""Bytes that stay free. A batch of 64 records with their texts, and what Chroma moves between its files after it, take
a fraction of this."""


def check_space(folder: Path) -> None:
    """Raise `HistoryError` where less than the reserve is free."""
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        # The folder is gone, which the check after the write says.
        return
    if free < RESERVE:
        raise HistoryError(
            f"the history's disk is nearly full: {free / 2**20:.1f} MB are free at {folder}, and writing stops below "
            f"{RESERVE / 2**20:g} MB; what is not written waits in memory and is written once there is space again: "
            f"remove something, or `prune` an older history"
        )

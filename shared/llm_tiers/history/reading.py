"""Reading what a history holds without the embedding that made it: nothing is looked up, and nothing is added."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from llm_tiers.errors import HistoryError
from llm_tiers.history.store import client, facts
from llm_tiers.history.store.folders import Folder, Served
from llm_tiers.history.store.places import Server
from llm_tiers.history.store.registry import is_server
from llm_tiers.history.store.service import AVAILABLE

if TYPE_CHECKING:
    from llm_tiers.history.record import Record
    from llm_tiers.history.store.places import Place

__all__ = ["read_records"]


def read_records(where: str, *, namespace: str = "default") -> list[Record]:
    """Return every record of a history with its vector, oldest first.

    Args:
        where: The history's folder, or the URL of its Chroma server.
        namespace: The part of it to read.

    Raises:
        HistoryLocked: Another process has Chroma's engine open in the folder.
        HistoryUnreachable: The server does not answer.
        HistoryError: There is no history there, or it cannot be read.
    """
    with closing(_place(where)) as place, client.chroma_errors(f"reading {where}"):
        records: dict[str, Record] = {}
        # A record lies on the shelf of its node and on those of the nodes above.
        for shelf in place.shelves(namespace).values():
            for trace_id, metadata, vector in shelf.pages(vectors=True):
                if trace_id not in records:
                    kept = np.asarray(vector, dtype=np.float32)
                    records[trace_id] = replace(facts.read(trace_id, metadata), vector=kept)
    if not records:
        raise HistoryError(f"{where} holds no history in the namespace {namespace!r}")
    return sorted(records.values(), key=lambda record: record.created)


def _place(where: str) -> Place:
    if is_server(where):
        return Server(where.rstrip("/"), {})
    folder = Path(where).expanduser().resolve()
    # Chroma would make a new database in a folder that has none.
    if not (folder / client.DATABASE).exists():
        raise HistoryError(f"{where} holds no history: it has no {client.DATABASE}")
    return Served(folder) if AVAILABLE else Folder(folder)

"""Mending a history's folder: what can be read is written to a new one, and the old one is set aside."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from llm_tiers.embedding.choice import as_embedding
from llm_tiers.errors import HistoryError
from llm_tiers.history.reading import has_database, none_in
from llm_tiers.history.store.folders import Folder
from llm_tiers.history.store.salvage import salvage

if TYPE_CHECKING:
    from llm_tiers.embedding.embedding import Embedding
    from llm_tiers.embedding.vector import Vector
    from llm_tiers.history.store.salvage import Salvaged, Saved

__all__ = ["Repaired", "repair"]

_NO_LIMIT = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Repaired:
    """What a repair found, and what became of it.

    Attributes:
        records: How many records are in the new folder, by namespace.
        without_vector: Records that could be read, but whose vector is gone, and with it their place in the index.
        unreadable: Records that could not be read.
        aside: Where the old folder is now; None after a dry run.
    """

    records: Mapping[str, int]
    without_vector: int
    unreadable: int
    aside: Path | None


def repair(where: Path | str, *, embedding: object | None = None, dry_run: bool = False) -> Repaired:
    """Write what can be read of a folder to a new one in its place; the old one is renamed, never deleted.

    Args:
        where: The folder, which no process may be using.
        embedding: What makes vectors anew for records whose vector is gone, from their texts where those were stored
            (`ChromaHistory(store_text=True)`).
        dry_run: Only say what could be read.

    Raises:
        HistoryLocked: A process uses the folder.
        HistoryError: There is no history, or the new folder could not be written; the old one is then as it was.
    """
    folder = Path(where).expanduser().resolve()
    if not has_database(str(where)):
        raise none_in(str(where))
    with closing(Folder(folder, damaged=True)):
        try:
            found = salvage(folder)
        except OSError as error:
            raise HistoryError(f"{where} cannot be read: {error}") from error
        usable = _usable(found, None if embedding is None else as_embedding(embedding))
        counts = {namespace: len(kept) for namespace, kept in usable.items() if kept}
        missing = sum(len(kept) for kept in found.records.values()) - sum(counts.values())
        if dry_run:
            return Repaired(counts, missing, found.unreadable, None)
        stamp = time.strftime("%Y%m%d-%H%M%S")
        fresh, aside = (folder.with_name(f"{folder.name}.{word}-{stamp}") for word in ("repaired", "damaged"))
        _write(fresh, found, usable)
        # Two renames: a crash in between leaves both folders, and their names say which is which.
        folder.rename(aside)
        fresh.rename(folder)
    return Repaired(counts, missing, found.unreadable, aside)


def _usable(found: Salvaged, embedding: Embedding | None) -> dict[str, list[tuple[Saved, Vector]]]:
    usable: dict[str, list[tuple[Saved, Vector]]] = {}
    for namespace, kept in found.records.items():
        usable[namespace] = []
        for saved in sorted(kept.values(), key=lambda saved: saved.record.created):
            vector = saved.vector
            if vector is None and embedding is not None and saved.record.text is not None:
                vector = embedding.embed(saved.record.text)
            if vector is not None and np.isfinite(vector).all():
                usable[namespace].append((saved, vector))
    return usable


def _write(fresh: Path, found: Salvaged, usable: Mapping[str, list[tuple[Saved, Vector]]]) -> None:
    with closing(Folder(fresh)) as place:
        for namespace, kept in usable.items():
            name = found.embeddings.get(namespace)
            if not kept:
                continue
            if name is None:
                raise HistoryError(f"the embedding of the namespace {namespace!r} cannot be read")
            library = place.library(namespace, name, capacity=_NO_LIMIT, max_nodes=_NO_LIMIT)
            for saved, vector in kept:
                library.remember(saved.record, vector, text=saved.record.text, exact=saved.exact)
            library.flush()

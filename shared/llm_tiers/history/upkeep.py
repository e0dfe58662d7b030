"""Writing to a history without the embedding that made it: records that come with their vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NoReturn

from llm_tiers.embedding.embedding import Embedding
from llm_tiers.errors import EmbeddingMismatch, HistoryError
from llm_tiers.history.chroma import ChromaHistory
from llm_tiers.history.in_a_row import in_a_row
from llm_tiers.history.reading import Held, find_held, read_records
from llm_tiers.history.record import Record

__all__ = ["Added", "add", "opened"]

_NO_EVICTION = 1_000_000_000
"""The model that uses the history evicts, by its own capacity."""

_FEWEST_NODES = 256

Added = tuple[int, int]
"""How many records were added, and how many were known."""


def opened(where: str, held: Held, *, namespace: str = "default") -> ChromaHistory:
    """Open a history to change it; texts cannot be looked up in it."""

    def refuse(_: str) -> NoReturn:
        raise HistoryError("this history was opened without its embedding")

    nodes = max(_FEWEST_NODES, len(held.nodes))
    embedding = Embedding(refuse, name=held.embedding)
    # Texts that come with records were stored where these come from, so they are kept here too.
    return ChromaHistory(
        where, embedding=embedding, namespace=namespace, capacity=_NO_EVICTION, max_nodes=nodes, store_text=True
    )


def add(
    where: str,
    records: Iterable[Record],
    source: Held,
    *,
    namespace: str = "default",
    dry_run: bool = False,
    on_record: Callable[[], object] | None = None,
) -> Added:
    """Add records to a history, which is made if there is none; those that it has already stay as they are.

    Args:
        where: The history's folder or URL.
        records: The records, with their vectors.
        source: What the history is that they come from.
        namespace: The part of the history.
        dry_run: Add nothing, and return what would be.
        on_record: Called for each record that is added.

    Raises:
        EmbeddingMismatch: The vectors were made by another embedding than the history's.
        HistoryError: The history cannot be used.
    """
    target = find_held(where, namespace=namespace)
    known = _ids(where, namespace) if target is not None else set()
    if target is not None and (target.embedding, target.dimension) != (source.embedding, source.dimension):
        raise EmbeddingMismatch(
            f"{where} was made by the embedding {target.embedding!r} with {target.dimension} dimensions, the "
            f"records by {source.embedding!r} with {source.dimension}, and their vectors cannot be compared; take "
            "another folder or namespace"
        )
    new = {record.id: record for record in records}
    count = len(new)
    for trace_id in known & new.keys():
        del new[trace_id]
    if not dry_run and new:
        nodes = dict.fromkeys((record.node for record in new.values()), 1)
        nodes |= {} if target is None else dict(target.nodes)
        with opened(where, Held(source.embedding, source.dimension, nodes), namespace=namespace) as history:
            remember = in_a_row(history)
            for record in sorted(new.values(), key=lambda one: one.created):
                remember(record)
                if on_record is not None:
                    on_record()
    return len(new), count - len(new)


def _ids(where: str, namespace: str) -> set[str]:
    return {record.id for record in read_records(where, namespace=namespace, vectors=False)}

"""The calls that a command asks of a history, read under a progress bar."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_tiers.console import bar
from llm_tiers.errors import ConfigError

if TYPE_CHECKING:
    from llm_tiers.history.record import Record

__all__ = ["read_calls"]

_MOST_NAMED = 20


def read_calls(where: str, namespace: str, *, node: str | None = None, vectors: bool = False) -> list[Record]:
    """Return the calls of a history, oldest first.

    Args:
        where: The history's folder or URL.
        namespace: The part of it.
        node: Only the calls of this node and of those below it; None for all.
        vectors: Whether they come with their vectors.

    Raises:
        ConfigError: There are no calls of the node.
        HistoryError: There is no history, or it cannot be read.
    """
    from llm_tiers.history.reading import read_records

    with bar("reading", None) as (progress, task):
        records = read_records(
            where,
            namespace=namespace,
            vectors=vectors,
            on_record=lambda done, total: progress.update(task, completed=done, total=total),
        )
    if node is None:
        return records
    kept = [record for record in records if f"{record.node}/".startswith(f"{node.rstrip('/')}/")]
    if not kept:
        nodes = ", ".join(sorted({repr(record.node) for record in records})[:_MOST_NAMED])
        raise ConfigError(f"--node {node!r}: {where} has no calls of this node; there are {nodes}")
    return kept

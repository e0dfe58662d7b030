"""Reading what can be read of a damaged folder without Chroma: its SQLite tables, and the vectors beside them.

Chroma keeps what is known of a record in `embedding_metadata`, the newest writes with their vectors in
`embeddings_queue`, and the vectors of older ones in a folder for each collection, where `data_level0.bin` has one entry
of a fixed length for each record and `index_metadata.pickle` says which record an entry belongs to.
"""

from __future__ import annotations

import json
import pickletools
import re
import sqlite3
import struct
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from llm_tiers.errors import HistoryError
from llm_tiers.history.store import facts, manifest
from llm_tiers.history.store.client import DATABASE

if TYPE_CHECKING:
    from pathlib import Path

    from llm_tiers.embedding.vector import Vector
    from llm_tiers.history.record import Record

__all__ = ["Salvaged", "Saved", "salvage"]

_COLLECTION = re.compile(r"tiers\.(.+)\.[0-9a-f]{20}\.g[0-9]+")
_DELETED = 3
"""Chroma's number for the removal of a record, in its queue."""

_MOST_GAPS = 10_000
"""Rows that cannot be read, after which a table is given up."""

_MARK = object()

_MOST_BYTES = 2**30
"""Longest file of an index that is read, and longest entry."""


@dataclass(frozen=True, slots=True)
class Saved:
    """A record that could be read.

    Attributes:
        record: The record.
        vector: Its vector, or None where that is gone.
        exact: Whether the vector is the one that was given, to the last bit.
    """

    record: Record
    vector: Vector | None
    exact: bool


@dataclass(slots=True)
class Salvaged:
    """What could be read of a folder.

    Attributes:
        records: By namespace and id.
        embeddings: The embedding of each namespace, by name, where that is known.
        unreadable: Records that are there and cannot be read.
    """

    records: dict[str, dict[str, Saved]] = field(default_factory=dict)
    embeddings: dict[str, str] = field(default_factory=dict)
    unreadable: int = 0


def salvage(folder: Path) -> Salvaged:
    """Read what can be read of a history's folder, which no process may be using; nothing is changed in it."""
    found = Salvaged(embeddings=_manifest(folder))
    with closing(sqlite3.connect(f"file:{folder / DATABASE}?mode=ro", uri=True)) as tables:
        tables.text_factory = lambda raw: raw.decode("utf-8", "replace")
        for collection, name in _rows(tables, "id, name", "collections"):
            named = _COLLECTION.fullmatch(str(name))
            if named is not None:
                _add(found, folder, tables, str(collection), namespace=named[1])
    return found


def _manifest(folder: Path) -> dict[str, str]:
    try:
        held = json.loads((folder / manifest.NAME).read_text(encoding="utf-8"))["namespaces"]
        return {str(namespace): str(facts["embedding"]) for namespace, facts in held.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _add(found: Salvaged, folder: Path, tables: sqlite3.Connection, collection: str, *, namespace: str) -> None:
    segments = [str(row[0]) for row in _rows(tables, "id", "segments", "collection = ?", collection)]
    for (embedding,) in _rows(
        tables, "str_value", "collection_metadata", "collection_id = ? AND key = 'embedding'", collection
    ):
        found.embeddings.setdefault(namespace, str(embedding))
    metadatas = _metadatas(tables, segments)
    vectors: dict[str, Vector] = {}
    for segment in segments:
        vectors |= _index(folder / segment)
    _apply_queue(tables, collection, metadatas, vectors)
    kept = found.records.setdefault(namespace, {})
    for trace_id, metadata in metadatas.items():
        try:
            record = facts.read(trace_id, metadata)
            exact = facts.vector_of(metadata)
        except (HistoryError, ValueError):
            found.unreadable += 1
            continue
        vector = vectors.get(trace_id) if exact is None else exact
        held = kept.get(trace_id)
        # It lies on several shelves, of which one may be whole.
        if held is None or held.vector is None:
            kept[trace_id] = Saved(record, vector, exact is not None)


def _metadatas(tables: sqlite3.Connection, segments: list[str]) -> dict[str, dict[str, Any]]:
    names: dict[int, str] = {}
    for segment in segments:
        for number, trace_id in _rows(tables, "id, embedding_id", "embeddings", "segment_id = ?", segment):
            names[int(number)] = str(trace_id)
    found: dict[str, dict[str, Any]] = {trace_id: {} for trace_id in names.values()}
    columns = "id, key, string_value, int_value, float_value"
    for number, key, *values in _rows(tables, columns, "embedding_metadata"):
        if number in names:
            value = next((value for value in values if value is not None), None)
            found[names[number]][str(key)] = value
    return found


def _apply_queue(
    tables: sqlite3.Connection, collection: str, metadatas: dict[str, dict[str, Any]], vectors: dict[str, Vector]
) -> None:
    columns = "operation, id, vector, metadata"
    topic = f"%{collection}"
    for operation, trace_id, vector, metadata in _rows(tables, columns, "embeddings_queue", "topic LIKE ?", topic):
        if operation == _DELETED:
            metadatas.pop(trace_id, None)
            continue
        if vector is not None and len(vector) % 4 == 0:
            vectors[trace_id] = np.frombuffer(vector, dtype="<f4").astype(np.float32)
        try:
            known = json.loads(metadata or "{}")
        except ValueError:
            continue
        if isinstance(known, dict):
            metadatas.setdefault(trace_id, {}).update(known)


def _rows(
    tables: sqlite3.Connection, columns: str, table: str, where: str = "1", *values: object
) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a table that can be read, in their order, across those that cannot."""
    after, gaps = -1, 0
    # The names are this file's own.
    query = f"SELECT rowid, {columns} FROM {table} WHERE rowid > ? AND ({where}) ORDER BY rowid"  # noqa: S608
    while gaps < _MOST_GAPS:
        try:
            for rowid, *row in tables.execute(query, (after, *values)):
                after = rowid
                yield tuple(row)
        except sqlite3.DatabaseError:
            # A page is damaged: on with the next row.
            after += 1
            gaps += 1
        else:
            return


def _index(folder: Path) -> Mapping[str, Vector]:
    """Return the vectors of a collection's index, by id; as many as can be read."""
    try:
        header = (folder / "header.bin").read_bytes()
        labels = _labels((folder / "index_metadata.pickle").read_bytes())
        entries = folder / "data_level0.bin"
        if entries.stat().st_size > _MOST_BYTES:
            return {}
        data = entries.read_bytes()
        _, _, _, count, size, label_at, vector_at = struct.unpack_from("<iQQQQQQ", header)
    except (OSError, struct.error, ValueError, AttributeError, IndexError, TypeError):
        return {}
    if not 0 < vector_at < label_at <= size - 8 or size > _MOST_BYTES:
        return {}
    found: dict[str, Vector] = {}
    for start in range(0, min(count * size, len(data) - size + 1), size):
        (label,) = struct.unpack_from("<Q", data, start + label_at)
        vector = np.frombuffer(data[start + vector_at : start + label_at], dtype="<f4").astype(np.float32)
        if label in labels and np.isfinite(vector).all() and vector.any():
            found[labels[label]] = vector
    return found


def _labels(pickled: bytes) -> dict[int, str]:
    """Return which id a label stands for.

    Raises:
        ValueError: The file is not what Chroma writes.
    """
    held = _plain(pickled)
    named = held.get("id_to_label") if isinstance(held, dict) else None
    if not isinstance(named, dict):
        raise ValueError("no id_to_label")  # noqa: TRY004 - it is the content that is wrong
    return {label: name for name, label in named.items() if isinstance(name, str) and isinstance(label, int)}


def _plain(pickled: bytes) -> object:
    """Read a pickle of dicts, texts and numbers without unpickling it, which could run what a stranger put there.

    Raises:
        ValueError: There is something else in it.
    """
    stack: list[Any] = []
    for code, argument, _ in pickletools.genops(pickled):
        match code.name:
            case "PROTO" | "FRAME" | "MEMOIZE" | "BINPUT" | "LONG_BINPUT" | "STOP":
                pass
            case "EMPTY_DICT":
                stack.append({})
            case "MARK":
                stack.append(_MARK)
            case "SETITEMS":
                start = len(stack) - 1 - stack[::-1].index(_MARK)
                items = stack[start + 1 :]
                del stack[start:]
                stack[-1].update(zip(items[::2], items[1::2], strict=True))
            case "NONE" | "BINUNICODE" | "SHORT_BINUNICODE" | "BININT" | "BININT1" | "BININT2" | "LONG1":
                stack.append(argument)
            case _:
                raise ValueError(f"{code.name} in Chroma's index")
    if len(stack) != 1:
        raise ValueError("the index ends early")
    return stack[0]

"""A history that knows a replay file from the start, as if its questions had been asked as profiled calls."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from llm_tiers.embedding import Embedding
from llm_tiers.embedding.wordllama import WORDLLAMA
from llm_tiers.errors import ConfigError, EmbeddingMismatch, ReplayFileError, UnknownTrace
from llm_tiers.history.record import Record
from llm_tiers.integration.tiered import Tiered
from llm_tiers.profile.grade import INCOMPARABLE
from llm_tiers.replay.table import load_table

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from llm_tiers.embedding.vector import Vector
    from llm_tiers.history.record import GradeSource, History
    from llm_tiers.replay.table import ReplayTable

__all__ = ["WarmStart", "warm_start"]

_RIGHT = "right"
_EXTRAS = ("grades", "said", "cost_usd", "node", "created", "record_id", "embedding_model", "query")


@dataclass(frozen=True, slots=True)
class WarmStart:
    """What a warm start did.

    Attributes:
        added: How many records are new.
        known: How many the history held already.
        right_means: What the grades mean: `"right"`, or `"same as TIER"`.
    """

    added: int
    known: int
    right_means: str


def warm_start(history: Tiered | History, source: str | os.PathLike[str], *, node: str | None = None) -> WarmStart:
    """Give a history the questions of a replay file as profiled calls; what it holds already is left as it is.

    Each record has what every tier said, its tokens and its cost, and where keys or a check said what is right, grades
    of the source `"check"`.

    Args:
        history: A `TieredChatModel`, a `TieredLLM`, or a history. Of a model, the tiers' names are checked.
        source: A file that `llm-tiers profile` wrote, or another replay file.
        node: The node that the calls belong to; by default the one in the file, else the root.

    Raises:
        ReplayFileError: The file cannot be read, or an array is misshapen.
        ConfigError: The ladder of the model has other tiers, or there is no history.
        EmbeddingMismatch: The file's vectors are of another embedding than the history's, and it holds no text to
            make others of.
    """
    table = load_table(Path(source))
    extras = _extras(table)
    opened = _history_of(history, table)
    records = _Records(table, extras, node)
    vectors = _vectors(table, extras, getattr(opened, "embedding", None))
    added = 0
    for row, record in enumerate(records):
        # Asked one by one: feedback that a record got in the meantime must not be lost by adding it again.
        if not _holds(opened, record.id):
            opened.remember(replace(record, vector=vectors[row]))
            added += 1
    return WarmStart(added, len(table) - added, table.right_means)


def _history_of(given: Tiered | History, table: ReplayTable) -> History:
    if not isinstance(given, Tiered):
        return given
    names = given.asker().ladder.names
    if names != table.tiers:
        raise ConfigError(
            f"{table.path}: its tiers are {', '.join(table.tiers)}, the model's are {', '.join(names)}; "
            "a history knows tiers by their names, so give the same: Tier(model, name=...)"
        )
    history: History = given.history
    return history


def _extras(table: ReplayTable) -> dict[str, NDArray[Any]]:
    """Read what a profile keeps beside a table; another replay file lacks it."""
    with np.load(table.path, allow_pickle=False) as file:
        extras = {name: file[name] for name in _EXTRAS if name in file.files}
    n, k = table.correct.shape
    shapes = {"embedding_model": (), "grades": (n, k), "said": (n, k), "cost_usd": (n, k)}
    for name, array in extras.items():
        if array.shape != shapes.get(name, (n,)):
            raise ReplayFileError(f"{table.path}: the array {name!r} has shape {array.shape}")
    return extras


class _Records:
    """The rows of a table as records."""

    def __init__(self, table: ReplayTable, extras: Mapping[str, NDArray[Any]], node: str | None) -> None:
        self._table = table
        # A file that does not say when it was made was made before now, and no decade ago.
        self._made = table.path.stat().st_mtime
        self._extras = extras
        self._node = node

    def __iter__(self) -> Iterator[Record]:
        return map(self._record, range(len(self._table)))

    def _record(self, row: int) -> Record:
        table, extras = self._table, self._extras
        top = table.tiers[-1]
        numbers = dict(zip(table.tiers, extras.get("said", table.answer_equal)[row].tolist(), strict=True))
        grades = dict(zip(table.tiers, map(float, extras.get("grades", table.correct)[row]), strict=True))
        costs = self._costs(row)
        checked: dict[GradeSource, dict[str, float]] = {"check": grades} if table.right_means == _RIGHT else {}
        return Record(
            id=str(extras["record_id"][row]) if "record_id" in extras else _id(table, row),
            node=self._node if self._node is not None else str(extras["node"][row]) if "node" in extras else "",
            created=float(extras["created"][row]) if "created" in extras else self._made,
            labels={tier: grade >= 0.5 for tier, grade in grades.items()},  # noqa: PLR2004 -- more right than wrong
            start=top,
            final=top,
            answered=table.tiers,
            agreed=tuple(tier for tier, number in numbers.items() if tier == top or number == numbers[top] >= 0),
            cost_usd=sum(costs.values()),
            said={tier: number for tier, number in numbers.items() if number != INCOMPARABLE},
            tokens=dict(zip(table.tiers, table.gen_out[row].tolist(), strict=True)),
            costs=costs,
            audited=True,
            grades=checked,
            text=str(extras["query"][row]) if "query" in extras else None,
        )

    def _costs(self, row: int) -> dict[str, float]:
        table = self._table
        if "cost_usd" in self._extras:
            costs = self._extras["cost_usd"][row]
        else:
            costs = (table.gen_in[row] * table.price_in + table.gen_out[row] * table.price_out) / 1e6
        return {tier: cost for tier, cost in zip(table.tiers, costs.tolist(), strict=True) if np.isfinite(cost)}


def _id(table: ReplayTable, row: int) -> str:
    """Return an id for a row of a file that names none: the same each time that the file is read."""
    said = [",".join(table.tiers).encode(), table.embedding[row].tobytes(), table.gen_out[row].tobytes(), b"%d" % row]
    return f"profile-{hashlib.sha256(b'|'.join(said)).hexdigest()[:24]}"


def _vectors(table: ReplayTable, extras: Mapping[str, NDArray[Any]], embedding: object) -> list[Vector]:
    """Return a vector a row, of the history's embedding."""
    if "embedding_model" in extras:
        made_by = str(extras["embedding_model"])
    else:
        made_by = WORDLLAMA if table.embedding_name == "embedding_wordllama" else "an unknown model"
    # A history of the user's own, without an embedding that is known, has to take the vectors as they are.
    if not isinstance(embedding, Embedding) or embedding.name == made_by:
        lengths = np.linalg.norm(table.embedding, axis=1, keepdims=True).clip(1e-12)
        return list((table.embedding / lengths).astype(np.float32))
    if "query" in extras:
        return [embedding.embed(str(query)) for query in extras["query"]]
    raise EmbeddingMismatch(
        f"{table.path}: its vectors were made by {made_by}, the history's by {embedding.name}; open the history with "
        "the file's embedding, or profile with --text, so that the file holds the questions"
    )


def _holds(history: History, record_id: str) -> bool:
    try:
        history.revise(record_id, lambda record: record)
    except UnknownTrace:
        return False
    return True

"""Adding the questions of a replay file to a history, as if they had been asked as profiled calls."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from llm_tiers.embedding import Embedding
from llm_tiers.embedding.wordllama import WORDLLAMA
from llm_tiers.errors import ConfigError, EmbeddingMismatch, ReplayFileError, UnknownTrace
from llm_tiers.history.in_a_row import in_a_row
from llm_tiers.history.record import Record
from llm_tiers.integration.tiered import Tiered
from llm_tiers.profile.grade import INCOMPARABLE
from llm_tiers.replay.table import UNREADABLE, load_table

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from llm_tiers.embedding.vector import Vector
    from llm_tiers.history.record import GradeSource, History
    from llm_tiers.replay.table import ReplayTable

__all__ = ["WarmStart", "warm_start"]

_RIGHT = "right"
_NUMBERS = ("grades", "said", "cost_usd", "created")
_EXTRAS = ("grades", "said", "cost_usd", "node", "created", "record_id", "embedding_model", "query")


@dataclass(frozen=True, slots=True)
class WarmStart:
    """The result of a warm start.

    Attributes:
        added: How many records were added.
        known: How many the history already had.
        right_means: What the grades mean: `"right"`, or `"same as TIER"`.
    """

    added: int
    known: int
    right_means: str


def warm_start(
    history: Tiered | History,
    source: str | os.PathLike[str],
    *,
    node: str | None = None,
    on_record: Callable[[], object] | None = None,
) -> WarmStart:
    """Add the questions of a replay file to a history as profiled calls; records that it already has are left alone.

    Each record has what every tier said, with its tokens and its cost. If keys or a check decided what is right, it
    also has grades with the source `"check"`.

    Args:
        history: A `TieredChatModel`, a `TieredLLM`, or a history. A model's tiers must have the names in the file.
        source: A file that `llm-tiers profile` wrote, or another replay file.
        node: The node that the calls belong to; by default the one in the file, else the root.
        on_record: Called after each question.

    Raises:
        ReplayFileError: The file cannot be read, or an array is misshapen or out of range.
        ConfigError: The ladder of the model has other tiers, or there is no history.
        EmbeddingMismatch: The file's vectors were made by another embedding than the history's, and it holds no texts
            to embed again.
    """
    table = load_table(Path(source))
    extras = _extras(table)
    opened = _history_of(history, table)
    records = _Records(table, extras, node)
    vectors = _vectors(table, extras, getattr(opened, "embedding", None))
    remember, added = in_a_row(opened), 0
    for row, record in enumerate(records):
        # Adding a record again would replace it, and lose the feedback that it has received since.
        if not _has(opened, record.id):
            remember(replace(record, vector=vectors[row]))
            added += 1
        if on_record is not None:
            on_record()
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
    """Read the arrays that `llm-tiers profile` writes besides a table's; other replay files lack them."""
    try:
        with np.load(table.path, allow_pickle=False) as file:
            extras = {name: file[name] for name in _EXTRAS if name in file.files}
    except UNREADABLE as error:
        raise ReplayFileError(f"{table.path}: not a readable .npz file: {error}") from error
    n, k = table.correct.shape
    shapes = {"embedding_model": (), "grades": (n, k), "said": (n, k), "cost_usd": (n, k)}
    for name, array in extras.items():
        expected = shapes.get(name, (n,))
        if array.shape != expected:
            raise ReplayFileError(f"{table.path}: the array {name!r} has shape {array.shape}; it must be {expected}")
        _check_values(table.path, name, array)
    return extras


def _check_values(path: Path, name: str, array: NDArray[Any]) -> None:
    wrong = None
    if name in _NUMBERS and array.dtype.kind not in "biuf":
        wrong = f"holds {array.dtype}, not numbers"
    elif name == "said" and array.dtype.kind not in "iu":
        wrong = f"holds {array.dtype}, not whole numbers"
    # Written so that NaN fails too. A cost may be NaN: then it is not known.
    elif name == "grades" and not ((array >= 0) & (array <= 1)).all():
        wrong = "must lie in [0, 1]"
    elif name == "created" and not np.isfinite(array).all():
        wrong = "has an undefined value"
    if wrong is not None:
        raise ReplayFileError(f"{path}: the array {name!r} {wrong}")


class _Records:
    """The rows of a table as records of a history."""

    def __init__(self, table: ReplayTable, extras: Mapping[str, NDArray[Any]], node: str | None) -> None:
        self._table = table
        # For files that do not say when the answers were made. Not the present time, as that would make old answers
        # count as fresh where records have a half-life.
        self._file_time = table.path.stat().st_mtime
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
            created=float(extras["created"][row]) if "created" in extras else self._file_time,
            labels={tier: grade >= 0.5 for tier, grade in grades.items()},  # noqa: PLR2004 -- more right than wrong
            start=top,
            final=top,
            answered=table.tiers,
            agreed=tuple(tier for tier, number in numbers.items() if tier == top or number == numbers[top] >= 0),
            cost_usd=sum(costs.values()) if len(costs) == len(table.tiers) else None,
            # An answer that is left out counts as unknown; with a number of its own it would count as unlike the
            # others.
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
    """Return an id for a row of a file without ids: the same each time that the file is read."""
    said = [",".join(table.tiers).encode(), table.embedding[row].tobytes(), table.gen_out[row].tobytes(), b"%d" % row]
    return f"profile-{hashlib.sha256(b'|'.join(said)).hexdigest()[:24]}"


def _vectors(table: ReplayTable, extras: Mapping[str, NDArray[Any]], embedding: object) -> list[Vector]:
    """Return a vector for each row, made by the history's embedding."""
    if "embedding_model" in extras:
        made_by = str(extras["embedding_model"])
    else:
        made_by = WORDLLAMA if table.embedding_name == "embedding_wordllama" else "an unknown model"
    # A user's own history class may have no embedding to compare with; it gets the file's vectors.
    if not isinstance(embedding, Embedding) or embedding.name == made_by:
        # Histories expect unit vectors; a vector of zeros stays one.
        lengths = np.linalg.norm(table.embedding, axis=1, keepdims=True).clip(1e-12)
        return list((table.embedding / lengths).astype(np.float32))
    if "query" in extras:
        return [embedding.embed(str(query)) for query in extras["query"]]
    raise EmbeddingMismatch(
        f"{table.path}: its vectors were made by {made_by}, the history's by {embedding.name}; open the history with "
        "the file's embedding, or profile with --text, so that the file holds the questions"
    )


def _has(history: History, record_id: str) -> bool:
    # Histories have no look-up by id; a revision that changes nothing serves as one.
    try:
        history.revise(record_id, lambda record: record)
    except UnknownTrace:
        return False
    return True

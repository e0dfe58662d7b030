"""Sources for a calibration: files of recorded outcomes, and histories with audited calls."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from llm_tiers.calibration.audited import audited_calls
from llm_tiers.errors import ConfigError
from llm_tiers.history.reading import read_records
from llm_tiers.history.store.registry import is_server
from llm_tiers.replay import load_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llm_tiers.replay import ReplayTable

__all__ = ["Sample", "sample_of"]

_SAME_AS = "same as "


@dataclass(frozen=True, slots=True)
class Sample:
    """The questions that policies are measured on.

    Attributes:
        names: Names of the sources.
        tables: The recorded outcomes, all of one ladder; each is replayed by itself.
        right_means: What counts as right: `"right"`, `"same as TIER"`, or in a history who graded.
        is_history: Whether these are calls of a history.
    """

    names: tuple[str, ...]
    tables: tuple[ReplayTable, ...]
    right_means: str
    is_history: bool = False

    @property
    def tiers(self) -> tuple[str, ...]:
        """Names of the ladder's tiers, cheapest first."""
        return self.tables[0].tiers

    @property
    def knows_truth(self) -> bool:
        """Whether somebody graded the answers, or equality with the top tier's stands in."""
        return not self.right_means.startswith(_SAME_AS)

    @property
    def has_verdicts(self) -> bool:
        """Whether every table records what a judge said."""
        return all(table.has_verdicts for table in self.tables)

    def __len__(self) -> int:
        return sum(map(len, self.tables))


def sample_of(
    sources: Sequence[str], *, node: str | None = None, namespace: str = "default", embedding: str | None = None
) -> Sample:
    """Open the sources.

    Args:
        sources: Files of recorded outcomes (`.npz`), or folders and URLs of histories; not both.
        node: For histories: take only the calls of this node and of those under it.
        namespace: For histories: the part of them to read.
        embedding: For files: name of the array with the questions' embeddings.

    Raises:
        ConfigError: There are sources of both kinds, their ladders differ, or a history has too few audited calls.
        ReplayFileError: A file cannot be read.
        HistoryError: A history cannot be read.
    """
    histories = [source for source in sources if is_server(source) or Path(source).is_dir()]
    if histories and len(histories) < len(sources):
        raise ConfigError(
            "files and histories cannot be calibrated on together: in a file the truth is known, in a history what the "
            "top tier says stands for it"
        )
    if node is not None and not histories:
        raise ConfigError(f"--node {node}: only histories have nodes; a file of recorded outcomes is one node")
    if histories:
        read = [(source, read_records(source, namespace=namespace)) for source in sources]
        audited = audited_calls(read, node=node)
        tables, means = list(audited.tables), audited.right_means
    else:
        tables = [load_table(source, embedding) for source in sources]
        means = _meaning(tables)
    # Only now, since the ladder of a history is known when its records have been read.
    _check_ladders(tables)
    return Sample(
        names=tuple(source if is_server(source) else Path(source).resolve().name for source in sources),
        tables=tuple(tables),
        right_means=means,
        is_history=bool(histories),
    )


def _meaning(tables: Sequence[ReplayTable]) -> str:
    """Return what right means in the files.

    Raises:
        ConfigError: It is not the same in all of them.
    """
    means = {table.right_means: table.path for table in tables}
    if len(means) > 1:
        told = ", ".join(f"{meaning!r} in {path}" for meaning, path in means.items())
        raise ConfigError(f"right means {told}; calibrate each by itself")
    return next(iter(means))


def _check_ladders(tables: Sequence[ReplayTable]) -> None:
    first = tables[0]
    for table in tables[1:]:
        if table.tiers != first.tiers:
            raise ConfigError(
                f"the ladders differ: {', '.join(first.tiers)} in {first.path}, {', '.join(table.tiers)} in "
                f"{table.path}; calibrate each ladder by itself"
            )

"""Sources for a calibration: files of recorded outcomes, and histories with audited calls."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from llm_tiers.calibration.audited import FEWEST, audited_tables, graded_calls, sources_of
from llm_tiers.errors import ConfigError
from llm_tiers.history.reading import read_records
from llm_tiers.history.store.registry import is_history, is_server
from llm_tiers.replay import load_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from llm_tiers.history import Record
    from llm_tiers.replay import ReplayTable

__all__ = ["SAME_AS", "Sample", "sample_of"]

SAME_AS = "same as "
"""Begins the meaning of right where equality with the top tier stands in for grades."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The questions that policies are measured on.

    Attributes:
        names: Names of the sources.
        tables: The recorded outcomes, all of one ladder; each is replayed by itself.
        right_means: What counts as right: `"right"` where the truth is known, `"graded right by ..."` in a history with
            grades, else `"same as TIER"`.
        from_history: Whether these are calls of a history, not questions of files.
        graded: In words, how many calls were graded where that was too few; else empty.
    """

    names: tuple[str, ...]
    tables: tuple[ReplayTable, ...]
    right_means: str
    from_history: bool = False
    graded: str = ""

    @property
    def tiers(self) -> tuple[str, ...]:
        """Names of the ladder's tiers, cheapest first."""
        return self.tables[0].tiers

    @property
    def knows_truth(self) -> bool:
        """Whether the source says which answers are right."""
        return not self.right_means.startswith(SAME_AS)

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
        ConfigError: There are sources of both kinds or files of which only some know the truth, their ladders differ,
            or a history has too few audited calls.
        ReplayFileError: A file cannot be read.
        HistoryError: A history cannot be read.
    """
    histories = [source for source in sources if is_history(source)]
    if histories and len(histories) < len(sources):
        raise ConfigError(
            "files and histories cannot be calibrated on together: in a file the truth is known, in a history what the "
            "top tier says stands for it"
        )
    if node is not None and not histories:
        raise ConfigError(f"--node {node}: only histories have nodes; a file of recorded outcomes is one node")
    names = tuple(source if is_server(source) else Path(source).resolve().name for source in sources)
    if not histories:
        tables = [load_table(source, embedding) for source in sources]
        _check_ladders(tables)
        return Sample(names, tuple(tables), _meaning(tables))
    read = {source: read_records(source, namespace=namespace) for source in sources}
    # All sources or none: two meanings of right cannot be averaged.
    graded = all(graded_calls(records, node=node) >= FEWEST for records in read.values())
    tables = [
        table for source, records in read.items() for table in audited_tables(source, records, node=node, graded=graded)
    ]
    # Only now, since the ladder of a history is known when its records have been read.
    _check_ladders(tables)
    number = sum(graded_calls(records, node=node) for records in read.values())
    return Sample(
        names,
        tuple(tables),
        f"graded right by {_graders(read.values(), node)}" if graded else f"{SAME_AS}{tables[0].tiers[-1]}",
        from_history=True,
        graded=f" ({number} calls have them, and it takes {FEWEST})" if number and not graded else "",
    )


def _meaning(tables: Sequence[ReplayTable]) -> str:
    meanings = {table.right_means for table in tables}
    if len(meanings) > 1:
        raise ConfigError(
            f"right means {' in one file and '.join(sorted(meanings))} in another; calibrate them by themselves"
        )
    return meanings.pop()


def _graders(histories: Iterable[Sequence[Record]], node: str | None) -> str:
    """Return who graded, and how many calls each, such as `check (80), grader (40)`."""
    counts: Counter[str] = Counter()
    for records in histories:
        counts.update(sources_of(records, node=node))
    return ", ".join(f"{source} ({number})" for source, number in counts.most_common())


def _check_ladders(tables: Sequence[ReplayTable]) -> None:
    first = tables[0]
    for table in tables[1:]:
        if table.tiers != first.tiers:
            raise ConfigError(
                f"the ladders differ: {', '.join(first.tiers)} in {first.path}, {', '.join(table.tiers)} in "
                f"{table.path}; calibrate each ladder by itself"
            )

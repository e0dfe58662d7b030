"""One node's records, wherever they are kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from llm_tiers.history import facts

if TYPE_CHECKING:
    from llm_tiers.history.exact import Hit
    from llm_tiers.history.record import Record, Vector

__all__ = ["Page", "Row", "Shelf", "Title"]

Page = tuple[str, Mapping[str, Any], "Vector | None"]
"""A record as it is kept: its id, its metadata, and its vector where that was asked for."""


class Row(NamedTuple):
    """A record ready to be written."""

    record: Record
    vector: Vector

    @property
    def metadata(self) -> dict[str, Any]:
        """What Chroma keeps beside the vector."""
        return facts.write(self.record)


class Title(NamedTuple):
    """What a collection's metadata says of it.

    Attributes:
        stem: The collection's name without its generation.
        namespace: The history's namespace.
        node: The node, as the user named it.
        embedding: Name of the embedding.
        dimension: Length of the vectors.
        generation: How often the collection was copied to shed deleted records.
    """

    stem: str
    namespace: str
    node: str
    embedding: str
    dimension: int
    generation: int

    @property
    def name(self) -> str:
        """The collection's name in Chroma."""
        return f"{self.stem}.g{self.generation}"

    def metadata(self, *, finished: bool) -> dict[str, Any]:
        """The collection's metadata; an unfinished one is a copy that was not completed."""
        return {
            "llm_tiers": 1,
            "stem": self.stem,
            "namespace": self.namespace,
            "node": self.node,
            "embedding": self.embedding,
            "dimension": self.dimension,
            "generation": self.generation,
            "finished": finished,
        }

    @classmethod
    def of(cls, metadata: Mapping[str, Any] | None) -> Title | None:
        """Read a collection's metadata; None where the collection is not a history's."""
        if not metadata or metadata.get("llm_tiers") != 1:
            return None
        return cls(*(metadata[part] for part in cls._fields))


class Shelf(Protocol):
    """The records of one node. Writing is for one thread at a time, reading for any."""

    @property
    def title(self) -> Title:
        """What the shelf is for."""

    @property
    def index_bytes(self) -> int:
        """Memory that can be freed by `drop_index`."""

    @property
    def tombstones(self) -> int:
        """How many removed records still burden it."""

    def count(self) -> int:
        """Return how many records there are."""

    def count_with(self, ids: AbstractSet[str]) -> int:
        """Return how many there are with `ids`, some of which may be here already."""

    def search(self, query: Vector, k: int, *, skip: AbstractSet[str]) -> tuple[list[Hit], Mapping[str, Record]]:
        """Return the records most similar to `query` that are not in `skip`.

        `k` of them, or some more for the caller to cut; the records themselves only where they came along.
        """

    def fetch(self, ids: Sequence[str]) -> dict[str, Record]:
        """Return those of `ids` that are here."""

    def ids(self) -> list[str]:
        """Return the id of every record."""

    def ages(self) -> Mapping[str, float]:
        """Return when each record was created, in seconds since 1970, by id."""

    def pages(self, *, vectors: bool) -> Iterable[Page]:
        """Return every record."""

    def put(self, rows: Sequence[Row]) -> None:
        """Add records, or replace those of the same id."""

    def revise(self, records: Sequence[Record]) -> None:
        """Rewrite what is known of records; those that are not here are left out."""

    def discard(self, ids: Sequence[str]) -> None:
        """Remove records; unknown ids are left out."""

    def evict(self, capacity: int) -> list[str]:
        """Remove the oldest records above `capacity` and return their ids."""

    def tidy(self) -> None:
        """Shed what removed records left behind, if that is worth the effort."""

    def drop_index(self) -> None:
        """Free memory that comes back with the next search."""

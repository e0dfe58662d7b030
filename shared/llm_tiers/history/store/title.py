"""The metadata of a collection and of a record in Chroma."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from llm_tiers.errors import HistoryError
from llm_tiers.history.store import facts

if TYPE_CHECKING:
    from llm_tiers.embedding.vector import Vector
    from llm_tiers.history.record import Record

__all__ = ["SCHEMA", "Page", "Row", "Title", "has_begun", "is_current"]

SCHEMA = 1
"""The version of what is stored. What a record of an older release lacks is filled in when it is read (`facts.py`), and
stored with its next change; a collection of an older version gets this one with the next record that is added to it,
and one of a newer version is refused."""

Page = tuple[str, Mapping[str, Any], "Vector | None"]
"""A record as it is kept: its id, its metadata, and its vector where that was asked for."""


class Row(NamedTuple):
    """A record ready to be written.

    Attributes:
        record: The record.
        vector: Its vector.
        exact: Whether the vector is to be read back to the last bit.
        revised: Whether the record was revised while it waited. It may have been stored before as it was, by a write
            whose answer was lost.
    """

    record: Record
    vector: Vector
    exact: bool = False
    revised: bool = False

    @property
    def metadata(self) -> dict[str, Any]:
        """What Chroma keeps beside the vector."""
        return facts.write(self.record, self.vector if self.exact else None)


class Title(NamedTuple):
    """The metadata of a collection.

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

    def metadata(self, *, finished: bool, begun: bool = True) -> dict[str, Any]:
        """The collection's metadata.

        Args:
            finished: False for a copy that is not complete.
            begun: False until its first records are written.
        """
        return {
            "llm_tiers": SCHEMA,
            "stem": self.stem,
            "namespace": self.namespace,
            "node": self.node,
            "embedding": self.embedding,
            "dimension": self.dimension,
            "generation": self.generation,
            "finished": finished,
            # Kept only where it says something, since older versions wrote none.
            **({} if begun else {"begun": False}),
        }

    @classmethod
    def of(cls, metadata: Mapping[str, Any] | None) -> Title | None:
        """Read a collection's metadata; None where the collection is not a history's.

        Raises:
            HistoryError: A newer version made it.
        """
        # A Chroma server may hold other people's collections.
        version = (metadata or {}).get("llm_tiers")
        if not metadata or not isinstance(version, int):
            return None
        if version > SCHEMA:
            raise HistoryError(
                f"the history's namespace {metadata.get('namespace')!r} was written by a newer llm-tiers (schema "
                f"{version}, this one knows {SCHEMA}): upgrade, or take another namespace or folder"
            )
        return cls(*(metadata[part] for part in cls._fields))


def is_current(metadata: Mapping[str, Any] | None) -> bool:
    """Whether a collection says that this version writes to it."""
    return (metadata or {}).get("llm_tiers") == SCHEMA


def has_begun(metadata: Mapping[str, Any] | None) -> bool:
    """Whether a collection has its first records, before which Chroma fails where it is read."""
    return bool((metadata or {}).get("begun", True))

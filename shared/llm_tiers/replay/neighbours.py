"""Neighbours that a real Chroma history finds once, for any number of replays.

They depend on the file, the embedding and the order alone, not on the policy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llm_tiers.errors import UnknownTrace
from llm_tiers.history.in_a_row import in_a_row
from llm_tiers.history.record import Neighbour, Recollection, Record
from llm_tiers.history.store.studies import Studies

if TYPE_CHECKING:
    from llm_tiers.embedding.vector import Vector
    from llm_tiers.history import History
    from llm_tiers.history.record import Change, Study

__all__ = ["Neighbourhood", "RememberedHistory", "find_neighbours"]


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """The nearest earlier questions of each question of a stream.

    Attributes:
        near: By question, the earlier ones and their similarities, nearest first.
        earlier: By question, how many came before it.
        vectors: By question, its embedding.
    """

    near: Mapping[str, Sequence[tuple[str, float]]]
    earlier: Mapping[str, int]
    vectors: Mapping[str, Vector]


def find_neighbours(history: History, questions: Sequence[str], k: int) -> Neighbourhood:
    """Look up and add the questions one after the other in an empty history, which is closed at the end.

    Args:
        history: Embeds the questions.
        questions: The stream.
        k: Number of neighbours of each.
    """
    near, earlier, vectors = {}, {}, {}
    remember = in_a_row(history)
    with closing(history):
        for position, question in enumerate(questions):
            found = history.recall(question, node="", k=k)
            near[question] = [(neighbour.record.id, neighbour.similarity) for neighbour in found.neighbours]
            earlier[question] = position
            if found.vector is not None:
                vectors[question] = found.vector
            remember(Record(question, "", float(position), {}, "", "", (), (), None, text=question))
    return Neighbourhood(near, earlier, vectors)


class RememberedHistory:
    """A history of one stream whose neighbours are already known; a record's text is its question.

    Args:
        neighbourhood: Who is near whom.
    """

    def __init__(self, neighbourhood: Neighbourhood) -> None:
        self._neighbourhood = neighbourhood
        self._records: dict[str, Record] = {}
        self._studies = Studies()

    def recall(
        self,
        text: str,
        *,
        node: str,
        k: int,
        vector: Vector | None = None,  # noqa: ARG002
        study: Study | None = None,
    ) -> Recollection:
        """Return the nearest of the earlier questions that taught something."""
        # Only questions that were answered before this one and left a record; the others are no neighbours, as in
        # Chroma.
        near = [
            Neighbour(similarity, self._records[question])
            for question, similarity in self._neighbourhood.near[text]
            if question in self._records
        ]
        learned = None if study is None else self._studies.of(node, study, self._beginning_of(study))
        known = self._neighbourhood.vectors.get(text)
        return Recollection(tuple(near[:k]), count=len(self._records), vector=known, learned=learned)

    def _beginning_of(self, study: Study) -> Callable[[], tuple[Any, Iterable[Record]]]:
        return lambda: (study.start(), self._records.values())

    def remember(self, record: Record) -> None:
        """Add a record."""
        with self._studies.learning(record, (record.node,), record.vector):
            self._records[record.text or ""] = record

    def revise(self, trace_id: str, change: Change) -> Record:  # noqa: ARG002
        """Refuse: a replay gives no feedback."""
        raise UnknownTrace(f"trace_id={trace_id!r} is unknown")

    def close(self) -> None:
        """Keep nothing."""

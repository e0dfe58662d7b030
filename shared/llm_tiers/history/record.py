"""What a history keeps of a call, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

from llm_tiers.embedding.vector import Vector
from llm_tiers.history.packed import Packed
from llm_tiers.trace import Trace

__all__ = [
    "Change",
    "CompleteStudy",
    "GradeSource",
    "History",
    "KeptStudy",
    "Neighbour",
    "Recollection",
    "Record",
    "Study",
]

GradeSource: TypeAlias = Literal["check", "feedback", "grader", "equality"]
"""Who says how right an answer is: a function that judges answers, the user, a grader, or the top tier's own answer."""


@dataclass(frozen=True, slots=True)
class Record:
    """One past call, as the history keeps it.

    Attributes:
        id: The trace id of the call.
        node: Where in the user's graph the call came from; `""` is the root, `/` separates levels.
        created: When the call ended, in seconds since 1970.
        labels: Tier name to True (valid) or False (invalid); a tier without a label is absent.
        start: Name of the tier that answered first.
        final: Name of the tier whose answer was returned.
        answered: Names of the tiers that answered, in the order of the calls.
        agreed: Names of the tiers whose answer equals the returned one, `final` among them.
        cost_usd: What the call cost, judge and witnesses included; None where a price is unknown.
        said: Tier name to a number, cheapest tier first; tiers with equal numbers gave the same answer, -1 gave none.
        tokens: Tier name to the output tokens of its answer, where the provider reported them.
        costs: Tier name to what its answer cost in US$, where that is known.
        share: How often tiers had differed on similar queries, in [0, 1], as the starter saw it; None where it did
            not look.
        confidence: The chance that was stated for the answer, in [0, 1], as in the trace; None where none was.
        audited: Whether this is a profiled call: it was drawn by lot to be answered by all tiers.
        profiled: Whether this is a profiled call on which the top tier may have been spared: all tiers below it were
            asked, and the top itself unless they agreed. So the profiled calls that it answered are no random sample;
            the audited ones are.
        grades: How right the tiers' answers are, in [0, 1], by source and tier name; empty where nothing is known.
            `"equality"` is not stored: it follows from `said`, see `best_grades`.
        verdicts: Tier name to what the policy's judging model said of its answer; a tier that no model was asked about,
            or whose answer it left undecided, is absent.
        verdict_costs: Tier name to what asking the judging model about its answer cost in US$, where that is known.
        contradicted: Tier name to whether a grader that was shown its answer and the top's in both orders
            contradicted itself; a tier that was not compared in both orders is absent.
        grading_usd: What grading cost in US$, which is no part of `cost_usd`; None where it is unknown.
        rule: Name of the rule of the menu that answered, or would have if the default had not profiled the call; None
            where the policy has no rules.
        chance: The chance, in (0, 1], with which what was done on the call was drawn: its rule, an exploration, that it
            is profiled or is not; 1 where nothing was left to chance. None in records from before this was kept.
        complete_chance: The chance, in [0, 1], with which all tiers were to answer a call like this one, given what the
            tiers said as far as it is known. The calls that all answered, each weighed by its inverse, stand for all
            calls where it is not 0. None in records from before this was kept.
        planned: On a call that was only observed, which the user's present tier served: what tiering would have begun
            with, by the name of a rule or a tier. None on all other calls.
        tiered: On an observed call on which the other tiers were asked: name of the tier whose answer tiering would
            have returned; None where it would have failed, and on other calls.
        tiered_usd: What it would have cost, in US$; None where that is not known.
        principal: What stands for whoever asked, as `hashed` makes it; None where nobody in particular did.
        trace: The trace of the call, or None. What a history gives back has none, as it would fill the memory;
            `ChromaHistory.trace` reads that of one call.
        text: The query. A history stores it only where the user asked for that.
        vector: The query's embedding, or None: the history then embeds `text`.
    """

    id: str
    node: str
    created: float
    labels: Mapping[str, bool]
    start: str
    final: str
    answered: tuple[str, ...]
    agreed: tuple[str, ...]
    cost_usd: float | None
    said: Mapping[str, int] = field(default_factory=dict)
    tokens: Mapping[str, int] = field(default_factory=dict)
    costs: Mapping[str, float] = field(default_factory=dict)
    share: float | None = None
    confidence: float | None = None
    audited: bool = False
    profiled: bool = False
    grades: Mapping[GradeSource, Mapping[str, float]] = field(default_factory=dict)
    verdicts: Mapping[str, bool] = field(default_factory=dict)
    verdict_costs: Mapping[str, float] = field(default_factory=dict)
    contradicted: Mapping[str, bool] = field(default_factory=dict)
    grading_usd: float | None = 0.0
    rule: str | None = None
    chance: float | None = None
    complete_chance: float | None = None
    planned: str | None = None
    tiered: str | None = None
    tiered_usd: float | None = None
    principal: str | None = None
    trace: Trace | None = field(default=None, repr=False, compare=False)
    text: str | None = field(default=None, repr=False)
    vector: Vector | None = field(default=None, repr=False, compare=False)

    @property
    def is_drawn(self) -> bool:
        """Whether the call was drawn by lot to compare the tiers: an audit, or profiled. Older audits are not both."""
        return self.audited or self.profiled


Change: TypeAlias = Callable[[Record], Record | Mapping[str, bool]]
"""Takes a record and returns it as it is to be, or its labels alone. Its id, node, time and text stay."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A past call that resembles the present one.

    Attributes:
        similarity: Cosine similarity of the two queries, in [-1, 1].
        record: The past call; its `vector` is None.
    """

    similarity: float
    record: Record


@dataclass(frozen=True, slots=True)
class Recollection:
    """What a history knows about a query.

    Attributes:
        neighbours: The most similar past calls of the node, most similar first.
        count: How many records the node holds.
        vector: The query's embedding; None where it could not be made.
        error: Why nothing could be recalled, or None.
        learned: What the study that was asked for made of the node's records; None where none was.
    """

    neighbours: tuple[Neighbour, ...] = ()
    count: int = 0
    vector: Vector | None = field(default=None, repr=False, compare=False)
    error: str | None = None
    learned: Any = field(default=None, repr=False)


class Study(Protocol):
    """Makes one thing out of all records of a node, such as what they say of the tiers.

    A history keeps the result for each node and each study that it is asked for: it starts with the newest stored
    records, and learns every further one as it comes, those of other processes soon after. Studies that are equal share
    one result.
    """

    def start(self) -> Any:
        """Return the result of no records. Results are never changed, only replaced."""

    def learn(self, result: Any, record: Record) -> Any:
        """Return the result with one more record."""

    def __hash__(self) -> int: ...


@runtime_checkable
class CompleteStudy(Study, Protocol):
    """A study that learns from all stored records of a node, each with its `vector`, and learns anew what changes.

    The vector that it sees is the one that the call was answered with, to the last bit, also after a restart.
    """

    def revise(self, result: Any, before: Record, after: Record) -> Any:
        """Return the result after a record that it has learned changed; both have the record's `vector`."""


@runtime_checkable
class KeptStudy(Study, Protocol):
    """A study whose result a folder keeps beside its records, so that a restart need not learn them all again."""

    def identity(self) -> str:
        """Return which study it is, in the same words in each process; other words where it learns otherwise."""

    def pack(self, result: Any) -> Packed | None:
        """Return a result as it is kept; None where this one is not."""

    def unpack(self, packed: Packed) -> Any:
        """Return the result that was packed; where something else was, one of `REFUSALS` is raised."""


class History(Protocol):
    """Where past calls are kept. Every method may be called from any thread.

    One with the attribute `knows_principals` is also told in `recall` whose call it is, where that is known:
    `principal=`, as in `Record`.
    """

    def recall(
        self, text: str, *, node: str, k: int, vector: Vector | None = None, study: Study | None = None
    ) -> Recollection:
        """Return the `k` most similar records of `node`; `vector` saves embedding `text` again."""

    def remember(self, record: Record) -> None:
        """Add a record."""

    def revise(self, trace_id: str, change: Change) -> Record:
        """Replace a record, or its labels, by `change(record)` and return it as it is now.

        Raises:
            UnknownTrace: No record has this id.
        """

    def close(self) -> None:
        """Write what is pending and release the store."""

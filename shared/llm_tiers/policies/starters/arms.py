"""What a linear bandit has learned about its arms, and the study that learns it from a node's past calls."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from llm_tiers.history.packed import Packed
from llm_tiers.policies.starters.rewards import rights_of
from llm_tiers.policies.starters.ridge import Features, Ridge

if TYPE_CHECKING:
    from llm_tiers.embedding.vector import Vector
    from llm_tiers.history.record import Record

__all__ = ["Arms", "ArmsOf", "RecordedRows", "Settings", "Table"]

_LISTED_WEIGHT = 2.0
"""The number of answers that a listed price counts for, so that one short answer does not make a tier look cheap."""

_WIDEST = 65_536
"""No embedding is longer."""


class Table(Protocol):
    """Recorded outcomes to start from, such as `llm_tiers.replay.ReplayTable`: N questions, K tiers."""

    @property
    def tiers(self) -> tuple[str, ...]:
        """K names, cheapest first."""

    @property
    def embedding(self) -> NDArray[np.float32]:
        """N x D, one vector a question."""

    @property
    def correct(self) -> NDArray[np.bool_]:
        """N x K, whether the answer is right."""

    @property
    def price_in(self) -> NDArray[np.float64]:
        """K prices in US$ per million input tokens."""

    @property
    def price_out(self) -> NDArray[np.float64]:
        """K prices in US$ per million output tokens."""

    @property
    def gen_in(self) -> NDArray[np.int64]:
        """N x K, input tokens of the answer."""

    @property
    def gen_out(self) -> NDArray[np.int64]:
        """N x K, output tokens of the answer."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of the arms' regressions.

    Attributes:
        ridge: Penalty on the weights of the embedding.
        forgetting: The factor by which an arm's earlier observations lose weight with each new one, in (0, 1].
        intercept: Whether an arm has an intercept, with a penalty of 1 whatever the ridge is.
    """

    ridge: float
    forgetting: float = 1.0
    intercept: bool = False

    def features(self, vector: Vector) -> Features:
        """Return the features of a query, as an arm's regression takes them."""
        x = np.asarray(vector, dtype=np.float64)
        # The intercept is the weight of a constant feature. With the constant sqrt(ridge) instead of 1 the weight is
        # smaller by that factor, so a penalty of `ridge` on the weight is one of 1 on the intercept.
        return np.append(x, math.sqrt(self.ridge)) if self.intercept else x


@dataclass(frozen=True, slots=True, eq=False)
class Arms:
    """What was learned about the arms up to one moment. It is never changed, only replaced, except for `places`.

    Attributes:
        settings: The settings of the regressions.
        width: Length of the embeddings; None until the first one is seen.
        ridges: By arm, its regression; an arm without observations is absent.
        costs: By arm, the sum of what its answers cost in US$, and their number.
        skipped: How many records could not be learned from, because their embedding had another width.
        places: By record id, how many observations each arm had when the record was learned. It only grows, is shared
            by all later `Arms`, and is kept only if `forgetting` is below 1.
    """

    settings: Settings
    width: int | None = None
    ridges: Mapping[str, Ridge] = field(default_factory=dict)
    costs: Mapping[str, tuple[float, int]] = field(default_factory=dict)
    skipped: int = 0
    places: dict[str, dict[str, int]] = field(default_factory=dict, repr=False)

    @property
    def count(self) -> int:
        """How many observations were learned, for all arms together."""
        return sum(ridge.count for ridge in self.ridges.values())

    def after(self, arm: str, x: Features, target: float) -> Arms:
        """Return the arms after one more observation of one arm."""
        ridge = self.ridges.get(arm) or Ridge.start(x.size, self.settings.ridge)
        return self._with(arm, ridge.after(x, target, forgetting=self.settings.forgetting))

    def expected(self, arm: str, x: Features) -> float:
        """Return the expected target of an arm; 0 for an arm without observations."""
        ridge = self.ridges.get(arm)
        return 0.0 if ridge is None else ridge.predict(x)

    def deviation(self, arm: str, x: Features) -> float:
        """Return sqrt(x^T A^-1 x), the standard deviation of an arm's expected target."""
        ridge = self.ridges.get(arm)
        spread = float(x @ x) / self.settings.ridge if ridge is None else ridge.spread(x)
        # A spread of 0 may come out slightly negative by rounding.
        return math.sqrt(max(spread, 0.0))

    def relative_costs(self, listed: Mapping[str, float]) -> dict[str, float]:
        """Return the mean cost of an answer by tier, in usual answers of the top tier.

        Args:
            listed: By tier, cheapest first, what a usual answer costs by the price list, in any unit.
        """
        # Real answers may all be longer than the list assumes. Their mean ratio to the list also scales tiers that have
        # not answered yet, which would look too cheap otherwise.
        seen = [total / number / listed[arm] for arm, (total, number) in self.costs.items() if listed.get(arm)]
        unit = sum(seen) / len(seen) if seen else 1.0
        means = {}
        for arm, cost in listed.items():
            total, number = self.costs.get(arm, (0.0, 0))
            means[arm] = (total + _LISTED_WEIGHT * unit * cost) / (number + _LISTED_WEIGHT)
        # If all tiers are free there is nothing to divide by, and costs play no part.
        dearest = means[next(reversed(means))]
        return {arm: mean / dearest if dearest else 0.0 for arm, mean in means.items()}

    def paying(self, costs: Mapping[str, float]) -> Arms:
        """Return the arms after answers with these costs, in US$ by arm."""
        paid = dict(self.costs)
        for arm, cost in costs.items():
            total, number = paid.get(arm, (0.0, 0))
            paid[arm] = (total + cost, number + 1)
        return replace(self, costs=paid)

    def amended(self, arm: str, x: Features, change: tuple[float | None, float | None], place: int | None) -> Arms:
        """Return the arms after an arm's observation on a past query changed.

        Args:
            arm: The arm.
            x: The query's features.
            change: The target before and after; None stands for no observation.
            place: How many observations the arm had before this one, from which follows how much of it is forgotten;
                None if nothing is forgotten.
        """
        before, after = change
        ridge = self.ridges.get(arm) or Ridge.start(x.size, self.settings.ridge)
        later = 0 if place is None else ridge.count - place
        # No other observation came in between, so it is learned in order, as it will be after a restart.
        if before is None and after is not None and (place is None or later == 0):
            return self.after(arm, x, after)
        if before is None and after is not None:
            amended = ridge.amended(x, after, weight=self.settings.forgetting**later)
            return self._with(arm, replace(amended, count=ridge.count + 1))
        # One less than above, because this observation is itself among those that the arm has.
        weight = self.settings.forgetting ** max(later - 1, 0)
        if before is not None and after is not None:
            return self._with(arm, ridge.revised(x, after - before, weight=weight))
        amended = ridge.amended(x, before or 0.0, weight=-weight)
        return self._with(arm, replace(amended, count=ridge.count - 1))

    def _with(self, arm: str, ridge: Ridge) -> Arms:
        return replace(self, ridges={**self.ridges, arm: ridge})


@dataclass(frozen=True, slots=True, eq=False)
class RecordedRows:
    """The rows of a table from which a bandit starts.

    Attributes:
        tiers: Names of the table's tiers, cheapest first.
        vectors: N x D, unit vectors.
        correct: N x K, how right each tier's answer is.
        costs: N x K, what it cost in US$.
        learned: A cache: by study, what it has learned from the rows.
    """

    tiers: tuple[str, ...]
    vectors: NDArray[np.float32]
    correct: NDArray[np.float64]
    costs: NDArray[np.float64]
    learned: dict[ArmsOf, Arms] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, table: Table) -> RecordedRows:
        """Return the rows of a table."""
        vectors = np.asarray(table.embedding, dtype=np.float32)
        # The bound avoids dividing by 0 for a vector of zeros, such as an empty text's.
        vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-12)
        costs = (table.gen_in * table.price_in + table.gen_out * table.price_out) / 1e6
        return cls(tuple(table.tiers), vectors, np.asarray(table.correct, dtype=np.float64), costs)

    @property
    def digest(self) -> str:
        """A text that differs where the rows do."""
        parts = (np.ascontiguousarray(part).tobytes() for part in (self.vectors, self.correct, self.costs))
        return hashlib.sha256(repr(self.tiers).encode() + b"".join(parts)).hexdigest()

    @property
    def width(self) -> int:
        """Length of the embeddings."""
        return int(self.vectors.shape[1])


@dataclass(frozen=True, slots=True)
class ArmsOf:
    """The study that learns the arms of a ladder from all of a node's records.

    It is a `CompleteStudy`: the same records in the same order give the same arms, bit for bit, so nothing else has to
    be kept for a restart. There are two exceptions. Feedback that changes what was learned, or comes after further
    calls, is added out of order, which changes the rounding. And if `forgetting` is below 1, an answer that is graded
    for the first time after further answers of its tier does not make the earlier ones one observation older, as it
    does after a restart.

    Attributes:
        names: The arms, cheapest first: the ladder's tiers.
        offsets: By arm, what is subtracted from how right an answer is before it is regressed on the query.
        settings: The settings of the regressions.
        graded_only: Whether to learn from grades only, not from verdicts and agreement.
        rows: Outcomes that were recorded before the first call, or None.
    """

    names: tuple[str, ...]
    offsets: tuple[float, ...]
    settings: Settings
    graded_only: bool = False
    rows: RecordedRows | None = None

    def start(self) -> Arms:
        """Return the arms after the recorded rows."""
        if self.rows is None:
            return Arms(self.settings)
        # Cached, because each node starts with them, and so does every call whose history cannot be read. Two threads
        # may both fill the cache, with the same result.
        if self not in self.rows.learned:
            self.rows.learned[self] = self._warmed(self.rows)
        # A dict of its own: `places` is the one part that `learn` changes in place.
        return replace(self.rows.learned[self], places={})

    def _warmed(self, rows: RecordedRows) -> Arms:
        arms = replace(Arms(self.settings), width=rows.width)
        for vector, correct, costs in zip(rows.vectors, rows.correct, rows.costs, strict=True):
            rights = dict(zip(rows.tiers, correct.tolist(), strict=True))
            arms = self.observe(arms, vector, rights, dict(zip(rows.tiers, costs.tolist(), strict=True)))
        return arms

    def learn(self, result: Arms, record: Record) -> Arms:
        """Return the arms after one more call; a call whose answers nobody judged changes the costs at most."""
        vector = record.vector
        if vector is None or not self._fits(result, vector):
            return replace(result, skipped=result.skipped + 1)
        # In place: a copy for each record would take quadratic time. Earlier `Arms` share it, and look up only ids that
        # they have learned.
        if self.settings.forgetting < 1:
            result.places[record.id] = {arm: ridge.count for arm, ridge in result.ridges.items()}
        return self.observe(result, vector, self._rights(record), self._costs(record))

    def revise(self, result: Arms, before: Record, after: Record) -> Arms:
        """Return the arms after a record changed, for example by feedback."""
        vector = after.vector
        if vector is None or not self._fits(result, vector):
            return result
        x = self.settings.features(vector)
        old, new = self._rights(before), self._rights(after)
        for name, offset in self._arms():
            was, now = old.get(name), new.get(name)
            if was != now:
                change = (None if was is None else was - offset, None if now is None else now - offset)
                result = result.amended(name, x, change, self._place(result, before.id, name))
        return result

    def observe(self, arms: Arms, vector: Vector, rights: Mapping[str, float], costs: Mapping[str, float]) -> Arms:
        """Return the arms after one more call.

        Args:
            arms: The arms before it.
            vector: The query's embedding.
            rights: By tier, how right its answer was, in [0, 1], where that is known.
            costs: By tier, what its answer cost in US$, where that is known.
        """
        x = self.settings.features(vector)
        for name, offset in self._arms():
            if name in rights:
                arms = arms.after(name, x, rights[name] - offset)
        arms = replace(arms, width=vector.size)
        return arms.paying({name: costs[name] for name in self.names if name in costs})

    def identity(self) -> str:
        """Return which study it is; the number goes up with what `learn` and `revise` do."""
        rows = "" if self.rows is None else self.rows.digest
        return f"{type(self).__name__} 1 {self.names!r} {self.offsets!r} {self.settings!r} {self.graded_only} {rows}"

    def pack(self, result: Arms) -> Packed | None:
        """Return the arms as they are kept; None where `places` belongs to them, which grows with the records."""
        if self.settings.forgetting < 1:
            return None
        facts = {
            "width": result.width,
            "skipped": result.skipped,
            "counts": {arm: ridge.count for arm, ridge in result.ridges.items()},
            "costs": {arm: [float(total), number] for arm, (total, number) in result.costs.items()},
        }
        arrays = {}
        for place, ridge in enumerate(result.ridges.values()):
            # Of the inverse only the upper triangle is valid.
            arrays[f"inverse {place}"] = ridge.inverse[np.triu_indices(ridge.weights.size)]
            arrays[f"weights {place}"] = ridge.weights
        return Packed(facts, arrays)

    def unpack(self, packed: Packed) -> Arms:
        """Return the arms that were packed; where something else was, one of `REFUSALS` is raised."""
        width = packed.maybe("width", packed.whole)
        if width is not None and width > _WIDEST:
            raise ValueError("wider than any embedding")
        size = 0 if width is None else self.settings.features(np.zeros(width, dtype=np.float32)).size
        ridges = {}
        for place, (arm, count) in enumerate(packed.table("counts").items()):
            # The array first: a width that is no one's would take all memory.
            upper = packed.array(f"inverse {place}", (size * (size + 1) // 2,))
            inverse = np.zeros((size, size), order="F")
            inverse[np.triu_indices(size)] = upper
            ridges[arm] = Ridge(inverse, packed.array(f"weights {place}", (size,)), self.settings.ridge, int(count))
        costs = {arm: (float(total), int(number)) for arm, (total, number) in packed.table("costs").items()}
        if not {*ridges, *costs} <= {*self.names}:
            raise ValueError("an arm that the ladder does not have")
        return Arms(self.settings, width, ridges, costs, packed.whole("skipped"))

    def _arms(self) -> Iterator[tuple[str, float]]:
        return zip(self.names, self.offsets, strict=True)

    def _fits(self, arms: Arms, vector: Vector) -> bool:
        return arms.width in (None, vector.size)

    def _rights(self, record: Record) -> Mapping[str, float]:
        rights = rights_of(record, self.names[-1], graded_only=self.graded_only)
        top, offset = self.names[-1], self.offsets[-1]
        if self.graded_only or top in rights or top not in record.answered:
            return rights
        # Nobody judges the top tier, so without a grade only its assumed accuracy is known. It is learned as if
        # observed: otherwise the tier's uncertainty would never shrink, and the bandit would explore it forever.
        return rights | {top: offset}

    def _costs(self, record: Record) -> Mapping[str, float]:
        return record.costs

    def _place(self, arms: Arms, trace_id: str, name: str) -> int | None:
        return None if self.settings.forgetting == 1 else arms.places.get(trace_id, {}).get(name, 0)

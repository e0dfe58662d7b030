"""What a node's past calls show: how long its tiers write, what they cost, and how they agree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import exp, log, log1p, sqrt
from typing import TYPE_CHECKING, TypeVar

from llm_tiers.agreement.votes import Hardness, Votes

if TYPE_CHECKING:
    from llm_tiers.history.record import Record

__all__ = ["Experience", "ExperienceOf", "Lengths", "differs", "was_returned"]

_Key = TypeVar("_Key")

_FEW = 5
"""Fewer past answers than these do not say how long a tier writes."""

_FARTHEST = 2.5
"""Standard deviations beyond which neither length nor disagreement say more."""

_LEAST_DEVIATION = 0.15
_STRETCH = 7.0
"""Disagreement beyond the usual share counts so many times, to weigh like a standard deviation of length."""

_PRIOR_DIFFERING, _PRIOR_WEIGHT = 0.25, 2.0
_DEARER_WITH = (0.3, 0.1, 0.2)
"""Logarithm by which a call costs more for each unit of hardness, somewhat more than on both recorded sets."""

_PRIOR_RETURNED, _RETURNED_WEIGHT = 0.7, 2.0
_PRIOR_CONFIDENCE, _CONFIDENCE_WEIGHT = 0.8, 2.0
_DRAWN = 0.6
"""How far a stated chance is drawn to the usual one: those of the model lie too far apart, on ladders of three and four
tiers alike."""

_SUREST = 0.999
"""A chance counts as no surer than this where its logarithm is taken."""

_PRIOR_SILENT, _SILENT_WEIGHT = {False: 0.02, True: 0.2}, 4.0
"""How often a tier gives no answer, where all cheaper ones gave one and where one did not."""


def _bounded(deviations: float) -> float:
    return min(max(deviations, -_FARTHEST), _FARTHEST)


def _logit(chance: float) -> float:
    bounded = min(max(chance, 1 - _SUREST), _SUREST)
    return log(bounded / (1 - bounded))


@dataclass(frozen=True, slots=True)
class Lengths:
    """Mean and spread of the logarithm of a tier's output tokens."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.3

    def after(self, tokens: int) -> Lengths:
        """Return them with one more answer."""
        length, count = log1p(tokens), self.count + 1
        # The first answer replaces the mean but keeps the assumed spread, which one value cannot show.
        if not self.count:
            return replace(self, count=1, mean=length)
        mean = self.mean + (length - self.mean) / count
        return Lengths(count, mean, self.squares + (length - self.mean) * (length - mean))

    def excess(self, tokens: int) -> float | None:
        """Return how much longer than usual an answer is, in standard deviations, or None where that is not known."""
        if self.count < _FEW:
            return None
        # Bounded below: a tier that always writes the same length would make any other length extreme.
        deviation = max(sqrt(self.squares / self.count), _LEAST_DEVIATION)
        return _bounded((log1p(tokens) - self.mean) / deviation)


@dataclass(frozen=True, slots=True)
class Experience:
    """What was learned, at one moment.

    Attributes:
        names: The ladder's tiers, cheapest first.
        votes: How the tiers' answers foretell each other.
        count: Number of calls learned from.
        differing: On how many of them the two cheapest tiers that answered differed, and on how many two answered.
        lengths: By tier, how long it writes.
        costs: By tier, the sum of what its answers cost in US$, each freed of its hardness, and their number.
        returned: By tier, on how many calls its answer was the one returned, and on how many it answered.
        silent: By tier and whether a cheaper one gave no answer, on how many calls it gave none, and on how many it was
            asked.
        confidence: Sum of the chances that were stated, each as the logarithm of its odds, and their number.
    """

    names: tuple[str, ...]
    votes: Votes
    count: int = 0
    differing: tuple[float, float] = (_PRIOR_DIFFERING * _PRIOR_WEIGHT, _PRIOR_WEIGHT)
    lengths: Mapping[str, Lengths] = field(default_factory=dict)
    costs: Mapping[str, tuple[float, int]] = field(default_factory=dict)
    returned: Mapping[str, tuple[float, int]] = field(default_factory=dict)
    silent: Mapping[tuple[str, bool], tuple[float, int]] = field(default_factory=dict)
    confidence: tuple[float, float] = (_logit(_PRIOR_CONFIDENCE) * _CONFIDENCE_WEIGHT, _CONFIDENCE_WEIGHT)

    @classmethod
    def none(cls, names: tuple[str, ...]) -> Experience:
        """Return what is assumed before anything is learned."""
        return cls(names, Votes.assumed(len(names)))

    @property
    def usual(self) -> float:
        """Share of past calls on which the two cheapest tiers that answered differed."""
        return self.differing[0] / self.differing[1]

    def share_returned(self, name: str) -> float:
        """Return the share of past calls on which a tier's answer, where it gave one, was the one returned."""
        stood, number = self.returned.get(name, (0, 0))
        return (stood + _RETURNED_WEIGHT * _PRIOR_RETURNED) / (number + _RETURNED_WEIGHT)

    def missing(self, missing: int) -> tuple[float, ...]:
        """Return by tier the chance that it gives no answer, where `missing` cheaper ones gave none."""
        some = missing > 0
        counts = (self.silent.get((name, some), (0, 0)) for name in self.names)
        return tuple((none + _SILENT_WEIGHT * _PRIOR_SILENT[some]) / (n + _SILENT_WEIGHT) for none, n in counts)

    def stated(self, chance: float) -> float:
        """Return what to state of a chance that the top tier would say the same: it is drawn to the usual one."""
        usual = self.confidence[0] / self.confidence[1]
        return 1 / (1 + exp(-(_DRAWN * usual + (1 - _DRAWN) * _logit(chance))))

    def hardness(self, share: float, tokens: Mapping[str, int], missing: int = 0) -> Hardness:
        """Return what is known of a query.

        Args:
            share: How often the tiers differed on similar queries.
            tokens: The output tokens of the tiers that answered it.
            missing: How many of them gave no answer.
        """
        excesses = [self.lengths[name].excess(tokens[name]) for name in tokens if name in self.lengths]
        # A tier whose usual length is not known yet counts as usual, so that it does not outweigh the others.
        filled = [0.0 if excess is None else excess for excess in excesses]
        more = _bounded(_STRETCH * (share - self.usual))
        return Hardness(more, sum(filled) / len(filled) if filled else 0.0, missing)

    def expected_costs(self, listed: Mapping[str, float], known: Hardness) -> tuple[float, ...]:
        """Return what each tier's answer will cost, in usual answers of the top tier.

        Args:
            listed: By tier, what a usual answer costs by the price list, in any unit; two past calls' worth.
            known: Hardness of the query.
        """
        # Listed costs are for a usual answer; real ones may all be longer. Their common factor also scales tiers that
        # have not answered yet, so that those do not look too cheap.
        seen = {name: total / number / listed[name] for name, (total, number) in self.costs.items() if number}
        unit = sum(seen.values()) / len(seen) if seen else 1.0
        means = []
        for name in self.names:
            total, number = self.costs.get(name, (0.0, 0))
            means.append((total + 2 * unit * listed[name]) / (number + 2))
        return tuple(mean / means[-1] * _dearer(known) for mean in means)

    def after(self, record: Record) -> Experience:
        """Return the experience with one more call."""
        said = [record.said.get(name) for name in self.names]
        share = record.share if record.share is not None else self.usual
        # Hardness is computed from what was known before this call, as it was when the call was answered.
        votes = self._votes_after(said, share, record)
        differed = differs(record, self.names)
        known = self.hardness(share, self._tokens(record), said.count(-1))
        return replace(
            self,
            votes=votes,
            count=self.count + 1,
            differing=self.differing if differed is None else (self.differing[0] + differed, self.differing[1] + 1),
            lengths={**self.lengths, **self._lengths_after(record)},
            costs=_counted(self.costs, self._costs_in(record, known)),
            returned=_counted(self.returned, self._returned_in(record)),
            silent=_counted(self.silent, self._silent_in(said)),
            confidence=self._confidence_after(record),
        )

    def _votes_after(self, said: list[int | None], share: float, record: Record) -> Votes:
        votes, tokens = self.votes, self._tokens(record)
        for of, given in enumerate(said):
            before = said[:of]
            # Without a cheaper tier's answer there is nothing that this one could have repeated.
            if given is None or all(answer is None for answer in before):
                continue
            written = {name: tokens[name] for name in self.names[:of] if name in tokens}
            missing = before.count(-1)
            known = self.hardness(share, written, missing)
            votes = votes.after(of, before, given, known, self.missing(missing)[of])
        return votes

    def _tokens(self, record: Record) -> dict[str, int]:
        return {name: record.tokens[name] for name in self.names if name in record.tokens}

    def _lengths_after(self, record: Record) -> dict[str, Lengths]:
        return {name: self.lengths.get(name, Lengths()).after(tokens) for name, tokens in self._tokens(record).items()}

    def _confidence_after(self, record: Record) -> tuple[float, float]:
        total, number = self.confidence
        if record.confidence is None or not 0 <= record.confidence <= 1:
            return self.confidence
        return (total + _logit(record.confidence), number + 1)

    def _costs_in(self, record: Record, known: Hardness) -> dict[str, float]:
        return {name: cost / _dearer(known) for name, cost in record.costs.items() if name in self.names}

    def _returned_in(self, record: Record) -> dict[str, bool]:
        stood = {name: was_returned(record, name) for name in self.names}
        return {name: answer for name, answer in stood.items() if answer is not None}

    def _silent_in(self, said: list[int | None]) -> dict[tuple[str, bool], bool]:
        return {
            (name, -1 in said[:position]): answer == -1
            for position, (name, answer) in enumerate(zip(self.names, said, strict=True))
            if answer is not None
        }


@dataclass(frozen=True, slots=True)
class ExperienceOf:
    """Makes the experience of a ladder's tiers out of records, for a history that keeps it up to date.

    Attributes:
        names: The ladder's tiers, cheapest first.
    """

    names: tuple[str, ...]

    def start(self) -> Experience:
        """Return what is assumed before anything is learned."""
        return Experience.none(self.names)

    def learn(self, experience: Experience, record: Record) -> Experience:
        """Return the experience with one more record."""
        return experience.after(record)


def differs(record: Record, names: tuple[str, ...]) -> bool | None:
    """Say whether the two cheapest tiers that answered a past call differed; None where not two answered.

    A missing answer differs from any, and so does one that the user called wrong.
    """
    if record.labels.get(record.final) is False:
        return True
    said = [record.said[name] for name in names if name in record.said][:2]
    return None if len(said) < 2 else said[0] != said[1] or -1 in said  # noqa: PLR2004


def was_returned(record: Record, name: str) -> bool | None:
    """Say whether a tier's answer to a past call was the one returned; None where it was not asked.

    A missing answer does not stand, nor does one that the user called wrong.
    """
    if name not in record.said:
        return None
    return record.said[name] != -1 and name in record.agreed and record.labels.get(name) is not False


def _counted(sums: Mapping[_Key, tuple[float, int]], values: Mapping[_Key, float]) -> dict[_Key, tuple[float, int]]:
    """Return sums and numbers with one more value where there is one."""
    kept = dict(sums)
    for key, value in values.items():
        total, number = sums.get(key, (0, 0))
        kept[key] = (total + value, number + 1)
    return kept


def _dearer(known: Hardness) -> float:
    return exp(sum(rate * value for rate, value in zip(_DEARER_WITH, known, strict=True)))

"""What calls show of answers: who agrees, when a dearer tier was asked, grades, and whether confidence is kept."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from llm_tiers.history.grades import SOURCES, grader_error
from llm_tiers.policies.menu.outcomes import rules_of
from llm_tiers.telling.share import Share

if TYPE_CHECKING:
    from llm_tiers.history.grades import GraderError
    from llm_tiers.history.record import GradeSource, Record
    from llm_tiers.report.ladder import SeenLadder

__all__ = ["Answers", "Bin", "Calibration", "answers_of", "calibration_of"]

_BINS = 10
_SAID: tuple[GradeSource, ...] = tuple(source for source in SOURCES if source != "equality")


@dataclass(frozen=True, slots=True)
class Answers:
    """What calls show of the tiers' answers.

    Attributes:
        calls: Number of calls.
        finals: Tier name to how many calls it answered in the end.
        profiled: Calls that were drawn by lot to be answered by the other tiers too, for learning or as audits.
        escalated: Of the other calls, those on which a tier was asked beyond the first step.
        agreed: Of the calls that two tiers or more answered, those on which another tier gave the returned answer.
        like_top: Tier name to how often its answer equals the top tier's, where both answered a call drawn by lot.
        grades: Source, and tier name, to the mean grade of its answers.
        returned: Source to the mean grade of the returned answers.
        graded: Source to how many calls it graded.
        contradictions: How often a pairwise grader contradicted itself.
    """

    calls: int
    finals: Mapping[str, int]
    profiled: int
    escalated: Share | None
    agreed: Share | None
    like_top: Mapping[str, Share]
    grades: Mapping[str, Mapping[str, Share]]
    returned: Mapping[str, Share]
    graded: Mapping[str, int]
    contradictions: GraderError


class _Mean:
    """A mean that grows."""

    __slots__ = ("count", "total")

    def __init__(self) -> None:
        self.total, self.count = 0.0, 0

    def add(self, value: float) -> None:
        self.total += value
        self.count += 1

    @property
    def share(self) -> Share | None:
        return Share.counted(self.total, self.count)


def answers_of(records: Sequence[Record], ladder: SeenLadder) -> Answers:
    """Count what some calls show.

    Args:
        records: The calls.
        ladder: Their tiers.
    """
    finals: defaultdict[str, int] = defaultdict(int)
    escalated, agreed = _Mean(), _Mean()
    like_top: defaultdict[str, _Mean] = defaultdict(_Mean)
    profiled = 0
    for record in records:
        finals[record.final] += 1
        profiled += record.is_drawn
        if not record.is_drawn:
            escalated.add(_went_on(record, ladder.names))
        if len(record.answered) > 1:
            agreed.add(len(record.agreed) > 1)
        if record.audited and ladder.top is not None:
            _compare(record, ladder.top, like_top)
    grades, returned, graded = _grades(records)
    return Answers(
        calls=len(records),
        finals=dict(finals),
        profiled=profiled,
        escalated=escalated.share,
        agreed=agreed.share,
        like_top=_shares(like_top),
        grades=grades,
        returned=returned,
        graded=graded,
        contradictions=grader_error(records),
    )


def _shares(means: Mapping[str, _Mean]) -> dict[str, Share]:
    return {name: share for name, mean in means.items() if (share := mean.share) is not None}


def _compare(record: Record, top: str, like_top: defaultdict[str, _Mean]) -> None:
    reference = record.said.get(top, -1)
    if reference < 0:
        return
    for tier, number in record.said.items():
        if tier != top:
            like_top[tier].add(number == reference)


def _went_on(record: Record, names: tuple[str, ...]) -> bool:
    """Say whether a tier was asked beyond the first step of the call's rule, or beyond the tier it started at."""
    first = _first_step(names, record.rule) if record.rule is not None else None
    if first is None:
        return record.final != record.start
    return not first.issuperset(record.answered)


@lru_cache(maxsize=1_000)
def _first_step(names: tuple[str, ...], rule: str) -> frozenset[str] | None:
    # Six tiers have some sixty rules; a longer ladder is not searched for the names of its own.
    found = (
        next((known for known in rules_of(names, judged=True) if known.name == rule), None) if len(names) > 1 else None
    )
    return None if found is None else frozenset(found.first)


def _grades(
    records: Sequence[Record],
) -> tuple[dict[str, dict[str, Share]], dict[str, Share], dict[str, int]]:
    means: dict[str, defaultdict[str, _Mean]] = {source: defaultdict(_Mean) for source in _SAID}
    returned: dict[str, _Mean] = {source: _Mean() for source in _SAID}
    graded = dict.fromkeys(_SAID, 0)
    for record in records:
        for source in _SAID:
            known = record.grades.get(source)
            if not known:
                continue
            graded[source] += 1
            for tier, grade in known.items():
                means[source][tier].add(grade)
            if record.final in known:
                returned[source].add(known[record.final])
    present = [source for source in _SAID if graded[source]]
    return (
        {source: _shares(means[source]) for source in present},
        _shares({source: returned[source] for source in present}),
        {source: graded[source] for source in present},
    )


@dataclass(frozen=True, slots=True)
class Bin:
    """The graded calls whose stated confidence is about the same.

    Attributes:
        confidence: The mean of what was stated.
        right: The mean grade of the returned answers.
    """

    confidence: float
    right: Share


@dataclass(frozen=True, slots=True)
class Calibration:
    """Whether the stated confidence is kept, on graded calls.

    Attributes:
        bins: By confidence, lowest first.
        calls: Graded calls with a confidence.
        error: How far confidence and grade are apart, averaged over the bins by calls.
    """

    bins: tuple[Bin, ...]
    calls: int
    error: float


def calibration_of(records: Sequence[Record]) -> Calibration | None:
    """Return whether the confidence is kept; None where no graded call states one."""
    stated, right = [_Mean() for _ in range(_BINS)], [_Mean() for _ in range(_BINS)]
    for record in records:
        grade = _grade_of_returned(record)
        if grade is None or record.confidence is None:
            continue
        place = min(int(record.confidence * _BINS), _BINS - 1)
        stated[place].add(record.confidence)
        right[place].add(grade)
    bins = [
        Bin(one.total / one.count, Share(two.total / two.count, two.count))
        for one, two in zip(stated, right, strict=True)
        if one.count
    ]
    calls = sum(mean.count for mean in right)
    if not calls:
        return None
    error = sum(abs(one.confidence - one.right.value) * one.right.of for one in bins) / calls
    return Calibration(tuple(bins), calls, error)


def _grade_of_returned(record: Record) -> float | None:
    # The most trusted source that graded this answer; equality with the top tier is no grade.
    return next((record.grades[s][record.final] for s in _SAID if record.final in record.grades.get(s, {})), None)

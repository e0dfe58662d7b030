"""Tables of recorded outcomes made of the calls of a history that all tiers answered, weighed by their chances."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from llm_tiers.calibration.audited import by_node, grades_of, is_complete, ladder_of, of_node, table_of
from llm_tiers.errors import ConfigError
from llm_tiers.history.grades import best_grades
from llm_tiers.replay.weighing import ESTIMATOR, weighed_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llm_tiers.history import Record
    from llm_tiers.replay import ReplayTable

__all__ = ["FEWEST_ANSWERED", "Production", "production_of"]

FEWEST_ANSWERED = 30
"""With fewer calls the standard error of an accuracy is about ten points, and says little about itself."""


@dataclass(frozen=True, slots=True)
class Production:
    """The calls of a history that policies can be replayed on.

    Attributes:
        tables: The calls that all tiers answered, by node, with their weights.
        note: What they are, how they are weighed and what counts as right, in one line.
    """

    tables: tuple[ReplayTable, ...]
    note: str


def production_of(where: str, records: Sequence[Record], *, node: str | None = None) -> Production:
    """Make tables of a history's calls that all tiers answered: audited ones, and profiled ones with the top tier.

    Each call is weighed by the inverse of the chance with which all tiers were to answer it, so together they stand for
    all calls on which that could be. Grades say what is right where enough of these calls have them, else the top
    tier's answer stands for it.

    Args:
        where: Name of the history.
        records: Its records with their vectors, oldest first.
        node: Take only the calls of this node and of those under it.

    Raises:
        ConfigError: All tiers answered too few calls; the message says how to get more.
    """
    here = of_node(records, node)
    drawn = [record for record in here if record.audited or record.profiled]
    # A call that spared the top tier lacks it in what was said.
    tiers = ladder_of([record for record in drawn if record.audited] or drawn)
    answered = [record for record in drawn if is_complete(record, tiers)]
    weighed = [record for record in answered if record.complete_chance]
    # Of older calls the chance is not known, so they cannot stand for others beside those of which it is.
    chosen = weighed or answered
    if len(chosen) < FEWEST_ANSWERED:
        raise ConfigError(_too_few(where, node, calls=len(here), answered=len(chosen)))
    graded = [record for record in chosen if grades_of(record, tiers) is not None]
    by_grades = len(graded) >= FEWEST_ANSWERED
    used = graded if by_grades else chosen
    tables = tuple(_weighed(table_of(where, group, tiers, graded=by_grades), group) for group in by_node(used))
    right = _graders(used, tiers[-1]) if by_grades else f"same as {tiers[-1]} (too few calls are graded: {len(graded)})"
    note = (
        f"{where}: {len(used)} of {len(here)} calls, those that all tiers answered; {_how(used)}; right means {right}"
    )
    return Production(tables, note)


def _weighed(table: ReplayTable, records: Sequence[Record]) -> ReplayTable:
    return replace(table, weights=_weights(records))


def _weights(records: Sequence[Record]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array([1 / (record.complete_chance or 1.0) for record in records])


def _how(records: Sequence[Record]) -> str:
    chances = [record.complete_chance for record in records if record.complete_chance]
    if not chances:
        return "their chances were not kept, so all count alike"
    worth = weighed_mean(np.zeros(len(records)), _weights(records)).worth
    return f"drawn with chances of {min(chances):.3g} to {max(chances):.3g}, worth {worth:.0f} equal ones; {ESTIMATOR}"


def _graders(records: Sequence[Record], top: str) -> str:
    counts = Counter(best_grades(record, top)[1] for record in records)
    return "graded right by " + ", ".join(f"{source} ({number})" for source, number in counts.most_common())


def _too_few(where: str, node: str | None, *, calls: int, answered: int) -> str:
    place = where if node is None else f"{where}, node {node!r},"
    return (
        f"{place} holds {answered} calls that all tiers answered, of {calls}; it takes {FEWEST_ANSWERED} to replay. "
        "The default policy profiles some calls (learning=), audit=0.02 lets all tiers answer every fiftieth, and "
        "mode='observe' asks the others off the user's path"
    )

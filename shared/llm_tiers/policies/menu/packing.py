"""A node's profile as a folder keeps it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from llm_tiers.history.grades import SOURCES
from llm_tiers.history.packed import Packed
from llm_tiers.policies.menu.profile import UNASKED, Profile, ProfiledCall

if TYPE_CHECKING:
    from llm_tiers.embedding.vector import Vector

__all__ = ["packed", "unpacked"]


def packed(profile: Profile) -> Packed | None:
    """Return a profile as it is kept; None where its vectors are not alike."""
    vectors = [call.vector for call in profile.calls if call.vector is not None]
    if len({(vector.shape, vector.dtype.str) for vector in vectors}) > 1:
        return None
    table = np.stack(vectors) if vectors else np.empty((0, 0))
    facts = {
        "calls": [_held(call) for call in profile.calls],
        "width": table.shape[1],
        "count": profile.count,
        "spent": float(profile.spent),
        "learning": float(profile.learning),
        "first_learning": float(profile.first_learning),
    }
    return Packed(facts, {"vectors": np.asarray(table, dtype=np.float32)})


def _held(call: ProfiledCall) -> list[Any]:
    judged = [call.verdicts, call.verdict_costs]
    return [call.id, call.said, call.costs, call.grades, call.source, call.partly, *judged, call.vector is not None]


def unpacked(packed: Packed, tiers: int) -> Profile:
    """Return the profile that was packed; where something else was, one of `REFUSALS` is raised.

    Args:
        packed: What `packed` returned.
        tiers: The number of tiers.
    """
    calls = packed.items("calls")
    vectors = iter(
        packed.array("vectors", (sum(call[-1] is True for call in calls), packed.whole("width")), np.float32)
    )
    return Profile(
        tuple(_call(call, tiers, next(vectors) if call[-1] is True else None) for call in calls),
        packed.whole("count"),
        packed.number("spent"),
        packed.number("learning"),
        packed.number("first_learning"),
    )


def _call(held: Any, tiers: int, vector: Vector | None) -> ProfiledCall:
    call_id, said, costs, grades, source, partly, verdicts, verdict_costs, _ = held
    sound = (
        isinstance(call_id, str)
        and len(said) == len(costs) == tiers
        and all(type(number) is int and number >= UNASKED for number in said)
        and all(type(cost) in (int, float) and 0 <= cost < np.inf for cost in costs)
        and len(grades) in (0, tiers, tiers - 1)
        and all(grade is None or (type(grade) in (int, float) and 0 <= grade <= 1) for grade in grades)
        and (source is None or source in SOURCES)
        and isinstance(partly, bool)
        and len(verdicts) == len(verdict_costs)
        and len(verdicts) in (0, tiers)
        and all(verdict is None or isinstance(verdict, bool) for verdict in verdicts)
        and all(type(cost) in (int, float) and 0 <= cost < np.inf for cost in verdict_costs)
    )
    if not sound:
        raise ValueError("a profiled call of another form")
    judged = tuple(verdicts), tuple(verdict_costs)
    return ProfiledCall(call_id, tuple(said), tuple(costs), tuple(grades), source, partly, *judged, vector)

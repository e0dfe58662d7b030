"""A node's standing as a folder keeps it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from llm_tiers.history.grades import SOURCES
from llm_tiers.history.packed import Packed
from llm_tiers.policies.guarantee.standing import Mixture

if TYPE_CHECKING:
    from llm_tiers.history.record import GradeSource
    from llm_tiers.policies.guarantee.standing import Standing

__all__ = ["packed", "unpacked"]

_WHOLE = ("seen", "profiled", "ungraded", "looked", "looked_at_call", "more", "withdrawals")
_NUMBERS = ("asking", "began", "judging")
_FLAGS = ("profiles", "judges")
_ARRAYS = ("counts", "costs", "suspects")


def packed(standing: Standing) -> Packed:
    """Return a standing as it is kept."""
    facts: dict[str, Any] = {name: getattr(standing, name) for name in (*_WHOLE, *_FLAGS, "since", "withdrawn_at")}
    facts |= {name: float(getattr(standing, name)) for name in _NUMBERS}
    facts["sources"] = dict(standing.sources)
    facts["mixture"] = [standing.mixture.one, standing.mixture.other, float(standing.mixture.share)]
    return Packed(facts, {name: getattr(standing, name) for name in _ARRAYS})


def unpacked(packed: Packed, start: Standing) -> Standing:
    """Return the standing that was packed; where something else was, one of `REFUSALS` is raised.

    Args:
        packed: What `packed` returned.
        start: The standing before the first call, which says what it is a standing of.
    """
    one, other, share = packed.items("mixture")
    rules = range(len(start.costs))
    sources = packed.table("sources")
    sound = one in rules and other in rules and isinstance(share, float) and 0 <= share <= 1
    if not sound or not sources.keys() <= {*SOURCES} or not all(type(number) is int for number in sources.values()):
        raise ValueError("a standing of another form")
    held: dict[str, Any] = {name: packed.array(name, getattr(start, name).shape) for name in _ARRAYS}
    held |= {name: packed.whole(name) for name in _WHOLE}
    held |= {name: packed.number(name) for name in _NUMBERS}
    held |= {name: packed.flag(name) for name in _FLAGS}
    return replace(
        start,
        **held,
        mixture=Mixture(one, other, share),
        sources=cast("dict[GradeSource, int]", sources),
        since=packed.maybe("since", packed.number),
        withdrawn_at=packed.maybe("withdrawn_at", packed.whole),
    )

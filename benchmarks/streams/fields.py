"""Scripted tool calls by the kinds of fields that users' tools and objects have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from streams.kinds import TIERS, Said, Stream, shared_difficulty

__all__ = ["database", "labels", "search"]

_KINDS = ("refund", "return", "question", "praise")
_REASONS = ("late parcel", "parcel came late", "delivery was delayed", "customer complains", "late arrival noted")
_TABLES = ("orders", "customers", "invoices", "parcels", "visits")
_CITIES = ("Rome", "Oslo", "Paris", "Vienna", "Porto", "Dublin", "Prague")
_WANTED = ("hotel prices", "train times", "museum hours", "weather forecast")


def _tool(name: str, **properties: dict[str, Any]) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "function", "function": {"name": name, "description": name, "parameters": parameters}}


_LABEL = _tool(
    "label",
    kind={"type": "string", "enum": list(_KINDS)},
    confidence={"type": "number"},
    reason={"type": "string"},
)
_DATABASE = _tool("query_database", query={"type": "string"})
_SEARCH = _tool("web_search", query={"type": "string"})


def labels(skills: Sequence[float], calls: int, seed: int) -> Stream:
    """A choice that is right or wrong, beside a confidence and a reason of two to four words that never coincide."""
    draw = np.random.default_rng(seed)
    sure, why = draw.uniform(0.8, 0.99, (calls, 3)), draw.integers(0, len(_REASONS), (calls, 3))

    def arguments(call: int, tier: int, off: int) -> dict[str, Any]:
        return {
            "kind": _KINDS[(call + off) % len(_KINDS)],
            "confidence": round(float(sure[call, tier]), 2),
            "reason": _REASONS[why[call, tier]],
        }

    return _stream("label, confidence, short reason", _LABEL, skills, draw, arguments, calls)


def database(skills: Sequence[float], calls: int, seed: int) -> Stream:
    """SQL, the same text where it is right and another table's or month's where it is wrong."""

    def arguments(call: int, tier: int, off: int) -> dict[str, Any]:  # noqa: ARG001 -- right tiers write the same
        table, month = _TABLES[(call + off) % len(_TABLES)], 1 + (call + off) % 12
        # Nothing runs it.
        return {"query": f"SELECT COUNT(*) FROM {table} WHERE day >= '2026-{month:02d}-01' AND country = 'DE'"}  # noqa: S608

    return _stream("SQL", _DATABASE, skills, np.random.default_rng(seed), arguments, calls)


def search(skills: Sequence[float], calls: int, seed: int) -> Stream:
    """A search in two to four words, which each tier words in its own way; a wrong one names another city."""

    def arguments(call: int, tier: int, off: int) -> dict[str, Any]:
        city, wanted = _CITIES[(call + off) % len(_CITIES)], _WANTED[call % len(_WANTED)]
        wordings = (f"{city} {wanted} 2026", f"current {wanted} {city}", f"{wanted} in {city}")
        return {"query": wordings[(call + tier) % 3]}

    return _stream("search in words", _SEARCH, skills, np.random.default_rng(seed), arguments, calls)


def _stream(
    kind: str,
    tool: dict[str, Any],
    skills: Sequence[float],
    draw: np.random.Generator,
    arguments: Callable[[int, int, int], dict[str, Any]],
    calls: int,
) -> Stream:
    """Make a stream; `arguments` takes a call, a tier, and how far off the answer is, 0 where it is right."""
    right = shared_difficulty(draw, calls, len(skills)) < np.array(skills)
    off = draw.integers(1, 4, right.shape)

    def said(call: int, tier: int) -> Said:
        return Said("", arguments(call, tier, 0 if right[call, tier] else int(off[call, tier])))

    by = "/".join(f"{skill:.2f}".lstrip("0") for skill in skills)
    return Stream(f"{kind} {by}", TIERS, right, said, (600, 60), tool=tool)

"""A record as Chroma keeps it, and as `export` shows it."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from llm_tiers.errors import HistoryError
from llm_tiers.history.record import Record
from llm_tiers.trace import Trace

if TYPE_CHECKING:
    from llm_tiers.embedding.vector import Vector

__all__ = ["Packed", "as_dict", "created_of", "pack", "printable", "read", "trace_of", "unpack", "vector_of", "write"]


_TRACE = 4_000
"""Most bytes of a trace before it is compressed: all of any but a very long one."""

Packed: TypeAlias = tuple[float, str, str | None]
"""A record as it is kept in memory: when it was made, the rest of it as JSON, and its text. It takes a sixth of the
space that the record does."""


def pack(record: Record) -> Packed:
    """Return a record, without its vector and its trace, as it is kept in memory."""
    return float(record.created), json.dumps(_facts(record)), record.text


def unpack(trace_id: str, packed: Packed) -> Record:
    """Return the record that `pack` was given."""
    created, facts, text = packed
    return read(trace_id, {"created": created, "record": facts, "text": text})


def write(record: Record, vector: Vector | None = None) -> dict[str, Any]:
    """Return the metadata of `record`: few keys, since each one is a row of its own in Chroma's table.

    Args:
        record: The record.
        vector: Its vector, where that is to be read back exactly: Chroma's own differs in the last bits.
    """
    metadata: dict[str, Any] = {"created": float(record.created), "record": json.dumps(_facts(record))}
    if record.trace is not None:
        # A key of its own, which a revision without a trace leaves as it is.
        metadata["trace"] = base64.b85encode(zlib.compress(json.dumps(record.trace.to_dict(_TRACE)).encode())).decode()
    if record.text is not None:
        # Metadata, not a document: Chroma would build a full-text index of documents, which nothing here asks for.
        metadata["text"] = record.text
    if vector is not None:
        metadata["vector"] = base64.b64encode(np.asarray(vector, dtype="<f4").tobytes()).decode()
    return metadata


def read(trace_id: str, metadata: Mapping[str, Any] | None) -> Record:
    """Return the record that `write` made `metadata` of.

    Raises:
        HistoryError: Something else wrote into the collection.
    """
    try:
        held = dict(metadata or {})
        facts = json.loads(held["record"])
        return Record(
            id=trace_id,
            node=_one(facts["node"], str),
            created=_one(held["created"], float, int),
            labels=_table(facts["labels"], bool),
            start=_one(facts["start"], str),
            final=_one(facts["final"], str),
            answered=_names(facts["answered"]),
            agreed=_names(facts["agreed"]),
            cost_usd=_one(facts["cost_usd"], *_NUMBER),
            # From here on: keys that older records may lack.
            said=_table(facts.get("said", {}), int),
            tokens=_table(facts.get("tokens", {}), *_NUMBER),
            costs=_table(facts.get("costs", {}), *_NUMBER),
            share=_one(facts.get("share"), *_NUMBER),
            confidence=_one(facts.get("confidence"), *_NUMBER),
            audited=_one(facts.get("audited", False), bool),
            profiled=_one(facts.get("profiled", False), bool),
            grades={source: _table(held, *_NUMBER) for source, held in _table(facts.get("grades", {}), dict).items()},
            verdicts=_table(facts.get("verdicts", {}), bool),
            verdict_costs=_table(facts.get("verdict_costs", {}), *_NUMBER),
            contradicted=_table(facts.get("contradicted", {}), bool),
            grading_usd=_one(facts.get("grading_usd", 0.0), *_NUMBER),
            rule=_one(facts.get("rule"), str, type(None)),
            chance=_one(facts.get("chance"), *_NUMBER),
            complete_chance=_one(facts.get("complete_chance"), *_NUMBER),
            planned=_one(facts.get("planned"), str, type(None)),
            tiered=_one(facts.get("tiered"), str, type(None)),
            tiered_usd=_one(facts.get("tiered_usd"), *_NUMBER),
            principal=_one(facts.get("principal"), str, type(None)),
            text=_one(held.get("text"), str, type(None)),
        )
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        msg = f"the history's record {trace_id!r} was not written by llm-tiers: {error!r}"
        raise HistoryError(msg) from error


_NUMBER = (float, int, type(None))


# Whoever can write into the folder can write anything: what a policy takes for a number must be one.
def _one(value: Any, *kinds: type) -> Any:
    if not isinstance(value, kinds):
        raise TypeError(f"a {type(value).__name__} where {kinds[0].__name__} is expected")
    return value


def _table(value: Any, *kinds: type) -> dict[Any, Any]:
    _one(value, dict)
    for inner in value.values():
        _one(inner, *kinds)
    return dict(value)


def _names(value: Any) -> tuple[str, ...]:
    return tuple(_one(name, str) for name in _one(value, list))


def vector_of(metadata: Mapping[str, Any] | None) -> Vector | None:
    """Return the vector that `write` was given, or None where it was given none."""
    held = (metadata or {}).get("vector")
    return None if held is None else np.frombuffer(base64.b64decode(held), dtype="<f4").astype(np.float32)


def trace_of(metadata: Mapping[str, Any] | None) -> Trace | None:
    """Return the trace that `write` was given, or None where it was given none.

    Raises:
        HistoryError: Something else wrote into the collection.
    """
    held = (metadata or {}).get("trace")
    if held is None:
        return None
    try:
        # No more than was written: a few bytes of somebody else's may stand for gigabytes.
        return Trace.model_validate_json(zlib.decompressobj().decompress(base64.b85decode(held), _TRACE))
    except (ValueError, TypeError, zlib.error) as error:
        msg = f"a trace in the history was not written by llm-tiers: {error.__class__.__name__}"
        raise HistoryError(msg) from error


def created_of(metadata: Mapping[str, Any] | None) -> float:
    """When the record ended, without reading the rest of it."""
    return float((metadata or {}).get("created", 0.0))


def as_dict(record: Record, vector: Vector | None) -> dict[str, Any]:
    """Return what `export` gives: values that `json.dumps` takes; a text or vector only where there is one."""
    data = {"id": record.id, "created": record.created} | _facts(record)
    if record.text is not None:
        data["text"] = record.text
    if vector is not None:
        data["vector"] = [float(number) for number in vector]
    return data


def _facts(record: Record) -> dict[str, Any]:
    return {
        "node": record.node,
        "labels": dict(record.labels),
        "start": record.start,
        "final": record.final,
        "answered": list(record.answered),
        "agreed": list(record.agreed),
        "cost_usd": record.cost_usd,
        "said": dict(record.said),
        "tokens": dict(record.tokens),
        "costs": dict(record.costs),
        "share": record.share,
        "confidence": record.confidence,
        "audited": record.audited,
        "profiled": record.profiled,
        "grades": {source: dict(grades) for source, grades in record.grades.items()},
        "verdicts": dict(record.verdicts),
        "verdict_costs": dict(record.verdict_costs),
        "contradicted": dict(record.contradicted),
        "grading_usd": record.grading_usd,
        "rule": record.rule,
        "chance": record.chance,
        "complete_chance": record.complete_chance,
        "planned": record.planned,
        "tiered": record.tiered,
        "tiered_usd": record.tiered_usd,
    } | ({} if record.principal is None else {"principal": record.principal})


def printable(text: str) -> str:
    """Replace lone surrogates, which a broken decoder upstream leaves behind and which Chroma cannot store."""
    return text.encode("utf-8", "replace").decode("utf-8")

"""A record as Chroma keeps it, and as `export` shows it."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from llm_tiers.errors import HistoryError
from llm_tiers.history.record import Record

if TYPE_CHECKING:
    from llm_tiers.embedding.vector import Vector

__all__ = ["as_dict", "created_of", "printable", "read", "vector_of", "write"]


def write(record: Record, vector: Vector | None = None) -> dict[str, Any]:
    """Return the metadata of `record`: few keys, since each one is a row of its own in Chroma's table.

    Args:
        record: The record.
        vector: Its vector, where that is to be read back exactly: Chroma's own differs in the last bits.
    """
    metadata: dict[str, Any] = {"created": float(record.created), "record": json.dumps(_facts(record))}
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
            node=facts["node"],
            created=held["created"],
            labels=facts["labels"],
            start=facts["start"],
            final=facts["final"],
            answered=tuple(facts["answered"]),
            agreed=tuple(facts["agreed"]),
            cost_usd=facts["cost_usd"],
            # From here on: keys that older records may lack.
            said=facts.get("said", {}),
            tokens=facts.get("tokens", {}),
            costs=facts.get("costs", {}),
            share=facts.get("share"),
            confidence=facts.get("confidence"),
            audited=facts.get("audited", False),
            profiled=facts.get("profiled", False),
            grades=facts.get("grades", {}),
            verdicts=facts.get("verdicts", {}),
            verdict_costs=facts.get("verdict_costs", {}),
            contradicted=facts.get("contradicted", {}),
            grading_usd=facts.get("grading_usd", 0.0),
            rule=facts.get("rule"),
            chance=facts.get("chance"),
            complete_chance=facts.get("complete_chance"),
            planned=facts.get("planned"),
            tiered=facts.get("tiered"),
            tiered_usd=facts.get("tiered_usd"),
            text=held.get("text"),
        )
    except (KeyError, TypeError, ValueError) as error:
        msg = f"the history's record {trace_id!r} was not written by llm-tiers: {error!r}"
        raise HistoryError(msg) from error


def vector_of(metadata: Mapping[str, Any] | None) -> Vector | None:
    """Return the vector that `write` was given, or None where it was given none."""
    held = (metadata or {}).get("vector")
    return None if held is None else np.frombuffer(base64.b64decode(held), dtype="<f4").astype(np.float32)


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
    }


def printable(text: str) -> str:
    """Replace lone surrogates, which a broken decoder upstream leaves behind and which Chroma cannot store."""
    return text.encode("utf-8", "replace").decode("utf-8")

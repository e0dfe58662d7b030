"""A history as a file of JSON lines: what it is in the first line, then a record in each. Nothing in it is run."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from llm_tiers.errors import ConfigError, HistoryError
from llm_tiers.history.grades import SOURCES
from llm_tiers.history.record import Record
from llm_tiers.history.store import facts

if TYPE_CHECKING:
    from llm_tiers.embedding.vector import Vector

__all__ = ["Header", "lines_of", "read_lines"]

_FORMAT = 1
_LONGEST_LINE = 1 << 20
"""Bytes. A record of eight tiers with a vector of 3,072 numbers takes some 20,000; a text of its own may follow."""

_LONGEST_NAME = 1_000
_MOST_TIERS = 64
_LARGEST_VECTOR = 65_536
_LARGEST_NUMBER = 1e15


@dataclass(frozen=True, slots=True)
class Header:
    """What a file's first line says of the history that it comes from.

    Attributes:
        embedding: Name of the embedding that made the vectors.
        dimension: Length of the vectors.
    """

    embedding: str
    dimension: int


def lines_of(header: Header, records: Iterable[Record], *, vectors: bool = True, texts: bool = True) -> Iterator[str]:
    """Yield the lines of a file, the header first.

    Args:
        header: What the history is.
        records: Its records; with their vectors, unless these are left out.
        vectors: Whether the vectors come along; without them the file cannot be imported.
        texts: Whether the texts do, where the history stored them.
    """
    yield (
        json.dumps({"llm_tiers_history": _FORMAT, "embedding": header.embedding, "dimension": header.dimension}) + "\n"
    )
    for record in records:
        data = facts.as_dict(record, None)
        if not texts:
            data.pop("text", None)
        if vectors and record.vector is not None:
            # As its bytes: a fifth of the length of the numbers.
            data["vector"] = base64.b64encode(np.asarray(record.vector, dtype="<f4").tobytes()).decode()
        yield json.dumps(data) + "\n"


def read_lines(
    name: str, file: BinaryIO, *, on_line: Callable[[int], object] | None = None
) -> tuple[Header, list[Record]]:
    """Read a file of JSON lines, each line checked.

    Args:
        name: What messages call the file.
        file: The file.
        on_line: Called with the number of each line once it is read.

    Raises:
        HistoryError: A line is no record; the message has its number.
    """
    header: Header | None = None
    records: list[Record] = []
    number = 0
    while line := file.readline(_LONGEST_LINE + 1):
        number += 1
        if not line.strip():
            continue
        try:
            data = _parsed(line)
            if header is None:
                header = _header(data)
            else:
                records.append(_record(data, header))
        except (ConfigError, ValueError, RecursionError) as error:
            reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)[:300]
            raise HistoryError(f"{name}, line {number}: {reason}") from error
        if on_line is not None:
            on_line(number)
    if header is None:
        raise HistoryError(f"{name} is empty; `llm-tiers history export` writes such a file")
    return header, records


def _parsed(line: bytes) -> dict[str, Any]:
    if len(line) > _LONGEST_LINE:
        raise ConfigError(f"it is longer than {_LONGEST_LINE:,} bytes, so it is no record")
    try:
        data = json.loads(line, parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise ConfigError("it is not UTF-8") from error
    except json.JSONDecodeError as error:
        raise ConfigError(f"it is no JSON ({error.msg} at column {error.colno})") from error
    if not isinstance(data, dict):
        raise ConfigError(f"it holds a {type(data).__name__}, not an object")
    return data


def _no_constant(found: str) -> float:
    raise ConfigError(f"{found} is no number that JSON knows")


def _header(data: Mapping[str, Any]) -> Header:
    version = data.get("llm_tiers_history")
    if version is None:
        raise ConfigError("the first line must say what the history is; `llm-tiers history export` writes such a file")
    if version != _FORMAT:
        raise ConfigError(f"format {version!r} is of a newer llm-tiers; upgrade")
    dimension = data.get("dimension")
    if not isinstance(dimension, int) or not 0 < dimension <= _LARGEST_VECTOR:
        raise ConfigError(f"dimension must be a whole number from 1 to {_LARGEST_VECTOR:,}")
    return Header(_name(data, "embedding"), dimension)


def _record(data: Mapping[str, Any], header: Header) -> Record:
    unknown = sorted(set(data) - _KEYS)
    if unknown:
        raise ConfigError(f"{unknown[0]!r} is no key of a record")
    identifier = _name(data, "id")
    if not identifier:
        raise ConfigError("'id' must not be empty")
    answered, agreed = (_names(data, key) for key in ("answered", "agreed"))
    grades = _object(data, "grades")
    wrong = next((source for source in grades if source not in SOURCES or source == "equality"), None)
    if wrong is not None:
        raise ConfigError(f"'grades' names the source {wrong!r}; there are check, feedback and grader")
    return Record(
        id=identifier,
        node=_name(data, "node"),
        created=_number(data, "created", required=True) or 0.0,
        labels=_flags(data, "labels"),
        start=_name(data, "start"),
        final=_name(data, "final"),
        answered=answered,
        agreed=agreed,
        cost_usd=_number(data, "cost_usd"),
        said=_wholes(data, "said"),
        tokens=_wholes(data, "tokens"),
        costs=_numbers(data, "costs"),
        share=_number(data, "share", most=1.0),
        confidence=_number(data, "confidence", most=1.0),
        audited=_flag(data, "audited"),
        profiled=_flag(data, "profiled"),
        grades={source: _numbers(grades, source, most=1.0) for source in SOURCES if source in grades},
        verdicts=_flags(data, "verdicts"),
        verdict_costs=_numbers(data, "verdict_costs"),
        contradicted=_flags(data, "contradicted"),
        grading_usd=_number(data, "grading_usd"),
        rule=_name(data, "rule") if data.get("rule") is not None else None,
        chance=_number(data, "chance", most=1.0),
        complete_chance=_number(data, "complete_chance", most=1.0),
        planned=_name(data, "planned") if data.get("planned") is not None else None,
        tiered=_name(data, "tiered") if data.get("tiered") is not None else None,
        tiered_usd=_number(data, "tiered_usd"),
        principal=_name(data, "principal") if data.get("principal") is not None else None,
        text=_text(data),
        vector=_vector(data, header),
    )


# A call's trace is not exported.
_KEYS = frozenset(field.name for field in fields(Record)) - {"trace"}


def _name(data: Mapping[str, Any], key: str) -> str:
    value = data.get(key)
    if not isinstance(value, str) or len(value) > _LONGEST_NAME:
        raise ConfigError(f"{key!r} must be a text of at most {_LONGEST_NAME:,} characters")
    return value


def _text(data: Mapping[str, Any]) -> str | None:
    value = data.get("text")
    if value is not None and not isinstance(value, str):
        raise ConfigError("'text' must be a text")
    return value


def _names(data: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = data.get(key)
    if not isinstance(value, list) or len(value) > _MOST_TIERS or not all(map(_is_name, value)):
        raise ConfigError(f"{key!r} must be a list of at most {_MOST_TIERS} tier names")
    return tuple(value)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and len(value) <= _LONGEST_NAME


def _object(data: Mapping[str, Any], key: str) -> dict[str, Any]:
    # Older records lack some of the keys.
    value = data.get(key, {})
    if not isinstance(value, dict) or len(value) > _MOST_TIERS or not all(map(_is_name, value)):
        raise ConfigError(f"{key!r} must be an object with at most {_MOST_TIERS} tier names")
    return value


def _flags(data: Mapping[str, Any], key: str) -> dict[str, bool]:
    value = _object(data, key)
    if not all(isinstance(one, bool) for one in value.values()):
        raise ConfigError(f"{key!r} must have true or false for each tier")
    return value


def _flag(data: Mapping[str, Any], key: str) -> bool:
    value = data.get(key, False)
    if not isinstance(value, bool):
        raise ConfigError(f"{key!r} must be true or false")
    return value


def _wholes(data: Mapping[str, Any], key: str) -> dict[str, int]:
    value = _object(data, key)
    if not all(type(one) is int and -1 <= one <= _LARGEST_NUMBER for one in value.values()):
        raise ConfigError(f"{key!r} must have a whole number from -1 on for each tier")
    return value


def _numbers(data: Mapping[str, Any], key: str, *, most: float = _LARGEST_NUMBER) -> dict[str, float]:
    value = _object(data, key)
    if not all(_is_number(one, most) for one in value.values()):
        raise ConfigError(f"{key!r} must have a number from 0 to {most:g} for each tier")
    return {tier: float(one) for tier, one in value.items()}


def _number(
    data: Mapping[str, Any], key: str, *, most: float = _LARGEST_NUMBER, required: bool = False
) -> float | None:
    value = data.get(key)
    if value is None and not required:
        return None
    if not _is_number(value, most):
        raise ConfigError(f"{key!r} must be a number from 0 to {most:g}{'' if required else ', or null'}")
    return float(value)  # type: ignore[arg-type]  # it was checked to be a number


def _is_number(value: object, most: float) -> bool:
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= most and math.isfinite(value)
    )


def _vector(data: Mapping[str, Any], header: Header) -> Vector:
    value = data.get("vector")
    if not isinstance(value, str):
        raise ConfigError("it has no vector; export the history with its vectors")
    # The length first, so that a wrong one is not decoded.
    if len(value) != 4 * math.ceil(4 * header.dimension / 3):
        raise ConfigError(f"its vector does not have {header.dimension} numbers, as the first line says")
    vector = np.frombuffer(base64.b64decode(value, validate=True), dtype="<f4").astype(np.float32)
    if vector.size != header.dimension or not np.isfinite(vector).all():
        raise ConfigError("its vector has a number that is not finite")
    return vector

"""Reading JSON that a model wrote: its depth and size are checked before anything is parsed."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

import numpy as np

__all__ = ["DEPTH", "VALUES", "bound_flaw", "is_shallow", "is_too_deep", "read_json"]

DEPTH = 64
"""Most levels of lists and objects; parsers and validators call themselves for each, and Python gives up at 1,000."""

VALUES = 10_000
"""Most values, names included, that are checked against a schema, which takes some microseconds each."""

_LARGEST = 2**1023
"""Numbers from here on are infinite to those who calculate with floats."""


def read_json(text: str) -> Any:
    """Return what a JSON text says.

    Raises:
        ValueError: It is no JSON, or nested too deeply.
    """
    if not is_shallow(text):
        raise json.JSONDecodeError("nested too deeply", text[:0], 0)
    return json.loads(text)


def is_shallow(text: str, depth: int = DEPTH) -> bool:
    """Say whether a text, read as JSON, is nested no deeper than `depth`; in time linear in its length."""
    if text.count("[") + text.count("{") <= depth:
        return True
    # Escaped characters inside strings are neither quotes nor backslashes.
    plain = text.encode("ascii", "replace").replace(rb"\\", b"").replace(rb"\"", b"")
    codes = np.frombuffer(plain, dtype=np.uint8)
    outside = np.cumsum(codes == ord('"')) % 2 == 0
    opened = (codes == ord("[")) | (codes == ord("{"))
    closed = (codes == ord("]")) | (codes == ord("}"))
    # In numpy, since a loop in Python over the characters of a long answer is slow.
    levels = np.cumsum((opened.astype(np.int32) - closed) * outside)
    return bool(levels.max(initial=0) <= depth)


def bound_flaw(value: object) -> str | None:
    """Say why a JSON value cannot be checked against a schema, without the value; None where it can."""
    level: list[Any] = [value]
    seen = 0
    for _ in range(DEPTH + 1):
        seen += len(level)
        if seen > VALUES:
            return "too many values"
        if not all(map(_is_finite, level)):
            return "a number out of range"
        level = [item for parent in level for item in _inside(parent)]
        if not level:
            return None
    return "nested too deeply"


def is_too_deep(value: object) -> bool:
    """Say whether a JSON value is nested deeper than `DEPTH`, however many values it holds."""
    level: list[Any] = [value]
    for _ in range(DEPTH + 1):
        level = [item for parent in level for item in _inside(parent)]
    return bool(level)


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        # Names are texts, and hold nothing.
        return value.values()
    return value if isinstance(value, list) else ()


def _is_finite(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return not isinstance(value, int) or -_LARGEST < value < _LARGEST

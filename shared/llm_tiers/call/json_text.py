"""Reading JSON that a model wrote: its depth and size are checked before anything is parsed."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

import numpy as np

__all__ = ["DEPTH", "VALUES", "bound_flaw", "is_shallow", "is_too_deep", "read_json"]

DEPTH = 64
"""The most levels of lists and objects. Parsers and validators recurse at each, and Python stops at 1,000 calls."""

VALUES = 4_000
"""The most values that are checked against a schema, which takes some microseconds each."""

_LARGEST = 2**1023
"""Whole numbers from here on are refused: as floats they would be infinite, or nearly so."""


def read_json(text: str) -> Any:
    """Parse a JSON text.

    Raises:
        ValueError: It is not JSON, or nested too deeply.
    """
    if not is_shallow(text):
        # Of the parser's own class, so that callers catch one error; without the text, which must not be quoted.
        raise json.JSONDecodeError("nested too deeply", text[:0], 0)
    return json.loads(text)


def is_shallow(text: str, depth: int = DEPTH) -> bool:
    """Say whether a text, read as JSON, is nested no deeper than `depth`. It takes linear time."""
    # Almost all texts are decided here.
    if text.count("[") + text.count("{") <= depth:
        return True
    # Without escaped backslashes and quotes, every quote that is left begins or ends a string.
    plain = text.encode("ascii", "replace").replace(rb"\\", b"").replace(rb"\"", b"")
    codes = np.frombuffer(plain, dtype=np.uint8)
    outside = np.cumsum(codes == ord('"')) % 2 == 0
    opened = (codes == ord("[")) | (codes == ord("{"))
    closed = (codes == ord("]")) | (codes == ord("}"))
    # In numpy, since a loop in Python over the characters of a long answer is slow.
    levels = np.cumsum((opened.astype(np.int32) - closed) * outside)
    return bool(levels.max(initial=0) <= depth)


def bound_flaw(value: object) -> str | None:
    """Return why a JSON value is not checked against a schema, without quoting it; None if it can be checked."""
    # Level by level instead of recursively: how deep the value is, is not known yet.
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

"""Regular expressions of a user's schema, matched with a model's text in linear time."""

from __future__ import annotations

from functools import lru_cache

from pydantic_core import SchemaError, SchemaValidator, ValidationError
from pydantic_core.core_schema import str_schema

__all__ = ["LONGEST_MATCHED", "matches"]

LONGEST_MATCHED = 10_000
"""The most characters that are matched: at worst the time is the text's length times the pattern's size."""


def matches(pattern: str, text: str) -> bool | None:
    """Say whether a pattern is found in a text; None if that cannot be determined.

    Python's own engine may take time exponential in the length of the text, so pydantic's engine is used. It has
    neither lookaround nor backreferences: a pattern with them is not checked, nor is a text longer than
    `LONGEST_MATCHED`.
    """
    found = _compiled(pattern)
    if found is None or len(text) > LONGEST_MATCHED:
        return None
    try:
        # Lone surrogates, which JSON can escape, are not valid UTF-8, and the engine reads UTF-8.
        found.validate_python(text.encode("utf-8", "replace").decode("utf-8"))
    except ValidationError:
        return False
    return True


@lru_cache(maxsize=1024)  # an agent binds the same tools for every turn
def _compiled(pattern: str) -> SchemaValidator | None:
    try:
        return SchemaValidator(str_schema(pattern=pattern, regex_engine="rust-regex"))
    except SchemaError:
        return None

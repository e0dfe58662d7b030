"""Regular expressions of a user's schema, run on a stranger's text in time linear in its length."""

from __future__ import annotations

from functools import lru_cache

from pydantic_core import SchemaError, SchemaValidator, ValidationError
from pydantic_core.core_schema import str_schema

__all__ = ["LONGEST_MATCHED", "matches"]

LONGEST_MATCHED = 10_000
"""Most characters that are matched: in the worst case the engine takes each of them to each step of the pattern."""


def matches(pattern: str, text: str) -> bool | None:
    """Say whether a pattern is found in a text; None where that cannot be told.

    Python's own engine may take a time exponential in the length of the text, so the one of pydantic is used. It has
    neither lookaround nor backreferences: a pattern with them is not checked, and neither is a text that is longer
    than `LONGEST_MATCHED`.
    """
    found = _compiled(pattern)
    if found is None or len(text) > LONGEST_MATCHED:
        return None
    try:
        # The engine reads UTF-8, which lone surrogates are not.
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

"""Checks that the command line knows by name, for keys in words: whether an answer is the key, or contains it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["CHECKS"]

_LONGEST = 100_000
"""Characters that are read of an answer."""

# A decimal number is one word, since "3.5" does not contain "5"; a date such as 12.05.2020 is three.
# A minus counts only where no word ends before it: "-5" is not 5, but "3-5" is a range.
_WORD = re.compile(r"(?:(?<!\w)-(?=\d))?(?:(?<![\d.])\d+\.\d+(?!\.?\d)|[^\W_]+)")
_THOUSANDS_COMMA = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")


def _exact(question: str, answer: str, key: Any) -> bool | None:  # noqa: ARG001 -- the signature of every check
    """Say whether the answer consists of the words of a key; case and punctuation do not count."""
    pairs = list(_normalized(answer, key))
    return any(said == one for said, one in pairs) if pairs else None


def _contains(question: str, answer: str, key: Any) -> bool | None:  # noqa: ARG001 -- the signature of every check
    """Say whether the answer contains the words of a key in a row."""
    pairs = list(_normalized(answer, key))
    # Blanks around both, so that "Paris" is not found in "Parisian".
    return any(f" {one} " in f" {said} " for said, one in pairs) if pairs else None


CHECKS: dict[str, Callable[[str, str, Any], bool | None]] = {"exact": _exact, "contains": _contains}
"""Each takes question, answer and key or keys, and returns None where there is no key."""


def _normalized(answer: str, key: Any) -> Iterator[tuple[str, str]]:
    """Yield the answer and a key in comparable form, for each key."""
    for one in key if isinstance(key, list) else [key]:
        if one is None:
            continue
        # A key such as "+" has no words: without punctuation it would equal every other answer that has none.
        normal_form = _words if _words(str(one)) else _signs
        yield normal_form(answer), normal_form(str(one))


def _words(text: str) -> str:
    # Models write U+2212 for a minus in formulas.
    plain = text[:_LONGEST].casefold().replace("\u2212", "-")
    return " ".join(_WORD.findall(_THOUSANDS_COMMA.sub("", plain)))


def _signs(text: str) -> str:
    return " ".join(text[:_LONGEST].split())

"""Checks that the command line knows by name, for keys in words: whether an answer is the key, or contains it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["CHECKS"]

_LONGEST = 100_000
"""Characters that are read of an answer."""


def _exact(question: str, answer: str, key: Any) -> bool | None:  # noqa: ARG001 -- the signature of every check
    """Say whether the answer consists of the words of a key; case and punctuation do not count."""
    keys = list(_keys(key))
    return _words(answer) in keys if keys else None


def _contains(question: str, answer: str, key: Any) -> bool | None:  # noqa: ARG001 -- the signature of every check
    """Say whether the words of a key stand in the answer, one after the other."""
    keys = list(_keys(key))
    return any(f" {one} " in f" {_words(answer)} " for one in keys) if keys else None


CHECKS: dict[str, Callable[[str, str, Any], bool | None]] = {"exact": _exact, "contains": _contains}
"""Each takes question, answer and key or keys, and returns None where there is no key."""


def _keys(key: Any) -> Iterator[str]:
    for one in key if isinstance(key, list) else [key]:
        if one is not None:
            yield _words(str(one))


def _words(text: str) -> str:
    return " ".join("".join(sign if sign.isalnum() else " " for sign in text[:_LONGEST].casefold()).split())

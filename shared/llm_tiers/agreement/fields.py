"""What the name of a field, and the look of its value, say of how two values of it are to be compared."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

__all__ = ["are_free_texts", "is_exact", "is_own_confidence", "is_search"]

_EXACT = re.compile(
    r"(?:^|_|\b)(?:id|ids|uid|uuid|code|key|token|hash|password|secret|path|file|filename|url|uri|sku|pattern|regex"
    r"|sql|query|command|cmd|script|expression|formula|email|username|currency|unit|symbol|ticker)(?:$|_|\b)",
    re.IGNORECASE,
)
_SEARCHES = frozenset({"query", "sql"})
_SEARCHES_IN_WORDS = frozenset({"query", "search_query"})
_FREE = re.compile(
    r"(?:^|_)(?:query|reason|reasons|reasoning|rationale|explanation|justification|thought|thoughts|comment|comments"
    r"|note|notes|remark|remarks|description|summary|message|body)(?:$|_)",
    re.IGNORECASE,
)
_ANSWER = re.compile(r"(?:^|_)(?:answer|response)$", re.IGNORECASE)
_CONFIDENCE = re.compile(r"(?:^|_)(?:confidence|certainty)(?:$|_)", re.IGNORECASE)
_SQL = re.compile(
    r"\A\s*(?:select\b.*\bfrom|insert\b.*\binto|update\b.*\bset|delete\b.*\bfrom|with\b.*\bas)\b",
    re.IGNORECASE | re.DOTALL,
)
_OPERATORS = re.compile(r"[=<>{}|;*$\\]|\w:\w|\b(?:AND|OR|NOT)\b")
_WORD = re.compile(r"[^\W\d_]+")
_TOKEN = re.compile(r"\w+")
_NAME_OR_NUMBER = re.compile(r"\b(?:[^\W\d_a-z]\w*|\d+)")
_LONGEST_NAME = 100
_LONGEST_LOOK = 2_000
_WITHOUT_SPACES = "\u2e80"
"""From this character on scripts have few spaces, and a word has two characters or so."""

_WORDS = 5
"""A text of so many words is no name, place, date or id."""

_WORDS_OF_FREE = 2
"""A text of so many words is no choice from a list where the field's name says that it is free."""


def is_exact(name: str) -> bool:
    """Whether a field holds a key, a path, a code or the like, which is another one with another letter."""
    return _EXACT.search(name[:_LONGEST_NAME]) is not None


def is_search(name: str) -> bool:
    """Whether a field holds what is looked for, in words or in a language of queries."""
    return name.lower() in _SEARCHES


def are_free_texts(name: str, texts: Sequence[Any]) -> bool:
    """Whether the values of a field are free text, which two models hardly ever write alike.

    They are where they have five words, or two in a field that is named for it, such as `reason`. A command or a query
    in SQL is not, nor is what a field calls the answer. A search in words is, unless each names something that the
    other does not.
    """
    name = name[:_LONGEST_NAME]
    looked = [text[:_LONGEST_LOOK] if isinstance(text, str) else "" for text in texts]
    least = _WORDS_OF_FREE if _FREE.search(name) else _WORDS
    if any(_SQL.search(text) or _number_of_words(text) < least for text in looked) or _ANSWER.search(name):
        return False
    if name.lower() in _SEARCHES_IN_WORDS:
        return not any(_OPERATORS.search(text) for text in looked) and not _name_different_things(looked)
    return not is_exact(name)


def _name_different_things(texts: Sequence[str]) -> bool:
    said = [{word.lower() for word in _TOKEN.findall(text)} for text in texts]
    named = [{word.lower() for word in _NAME_OR_NUMBER.findall(text)} for text in texts]
    return all(any(names - words for words in said) for names in named)


def _number_of_words(text: str) -> int:
    return sum(max(len(word) // 2, 1) if word[0] >= _WITHOUT_SPACES else 1 for word in _WORD.findall(text))


def is_own_confidence(name: str, value: Any) -> bool:
    """Whether a value is what a model says of its own sureness, which is no part of its answer."""
    return not isinstance(value, dict | list) and _CONFIDENCE.search(name[:_LONGEST_NAME]) is not None

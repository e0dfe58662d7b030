"""When two answers say the same."""

from __future__ import annotations

import json
import re
import string
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from llm_tiers.agreement.final_answer import final_answer
from llm_tiers.errors import ConfigError

if TYPE_CHECKING:
    from llm_tiers.call.answer import Answer

__all__ = ["Equality", "ExactEquality", "FinalAnswers"]

_DECLINES = re.compile(
    r"\W*(?:(?:abstain|none|n/?a|unknown)\W*\Z"
    r"|(?:i\s?['\u2019]?a?m|we are)\s+(?:sorry|unable|not (?:sure|able|certain))\b"
    r"|(?:i|we)\s+(?:cannot|can['\u2019]?t|do not know|don['\u2019]?t know|must decline|won['\u2019]?t)\b"
    r"|as an ai\b)",
    re.IGNORECASE,
)
_ABSTAINS = re.compile(
    r"\b(?:i|we)(?:['\u2019]ll|\s(?:will|must|shall|have\sto|choose\sto))?\sabstain\Z", re.IGNORECASE
)
_ABSTENTION = "abstain"
_DRESSING = string.whitespace + string.punctuation + "\u2019\u201d"


class Equality(Protocol):
    """Says whether two answers are the same."""

    def same(self, one: Answer, other: Answer) -> bool | None:
        """Return True or False, or None where it cannot be told without asking a model."""


class ExactEquality:
    """Two answers are the same if their values are: the very same text, tool calls or object.

    Args:
        missing_counts: Two missing answers are the same, as in LLM-AT's code; otherwise a missing answer equals
            nothing.
    """

    def __init__(self, *, missing_counts: bool = False) -> None:
        self.missing_counts = missing_counts

    def __repr__(self) -> str:
        return f"ExactEquality(missing_counts={self.missing_counts})"

    def same(self, one: Answer, other: Answer) -> bool:
        """Compare the values."""
        if one.value is None and other.value is None:
            return self.missing_counts
        return one.value == other.value


class FinalAnswers:
    """Two answers are the same if they call the same tools, are the same object, or end in the same final answer.

    Tool calls are compared by name and arguments, objects by their fields, final answers as numbers, dates, letters
    or words. Texts without a final answer are the same where they are equal but for case, blanks and punctuation;
    otherwise it cannot be told. A missing answer, a refusal and an abstention equal nothing.

    Args:
        extract: Takes a text and returns its final answer, or None where it has none; by default one that finds the
            usual ways to end a text with an answer. Whatever two texts share is compared as text.

    Raises:
        ConfigError: `extract` is no function.
    """

    def __init__(self, extract: Callable[[str], str | None] | None = None) -> None:
        if extract is not None and not callable(extract):
            raise ConfigError(f"extract must be a function from a text to its final answer, not {extract!r}")
        self.extract = extract or final_answer

    def __repr__(self) -> str:
        return f"FinalAnswers({getattr(self.extract, '__name__', type(self.extract).__name__)})"

    def same(self, one: Answer, other: Answer) -> bool | None:
        """Compare tool calls, objects, texts and final answers, in this order."""
        if one.value is None or other.value is None:
            return False
        if one.tool_calls or other.tool_calls:
            return one.tool_calls == other.tool_calls
        if _declines(one.text) or _declines(other.text):
            return False
        objects = _object(one.text), _object(other.text)
        if None not in objects:
            return bool(objects[0] == objects[1])
        return self._same_text(one.text, other.text)

    def _same_text(self, one: str, other: str) -> bool | None:
        final = self.extract(one)
        finals = final, final if one == other else self.extract(other)
        if any(said is not None and said.casefold() == _ABSTENTION for said in finals):
            return False
        if _plain(one) == _plain(other):
            return True
        return None if None in finals else finals[0] == finals[1]


def _declines(text: str) -> bool:
    return bool(_DECLINES.match(text)) or _abstains(text)


def _abstains(text: str) -> bool:
    """Say whether a text ends in an abstention: a last paragraph of that one word, or a sentence that says so."""
    before, _, last = text.rstrip(_DRESSING).rpartition("\n")
    is_paragraph = not before.rpartition("\n")[2].strip()
    return (is_paragraph and last.strip(_DRESSING).casefold() == _ABSTENTION) or bool(_ABSTAINS.search(last))


def _object(text: str) -> Any:
    """Return the JSON object or list that a text is, or None."""
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _plain(text: str) -> str:
    return re.sub(r"\W+", " ", text).strip().casefold()

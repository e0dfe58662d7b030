"""How a text that LlamaIndex or the user parses is looked at: whether it can be parsed, and to what."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from llama_index.core.output_parsers.base import StructuredOutput

from llm_tiers.arguments import kind_of
from llm_tiers.call.json_text import is_shallow
from llm_tiers.errors import ConfigError

if TYPE_CHECKING:
    from llm_tiers.call.answer import Answer

__all__ = ["Reading", "told_reading"]

Read = Callable[[str], Any]
"""Returns what a text is parsed to, or None; or raises where it cannot be parsed."""

_LONGEST = 200_000
"""Most characters of a text that is parsed: parsers that are not ours may take more than linear time."""


class Reading:
    """How a text will be parsed.

    Args:
        read: Parses a text.
        decides: Texts that are parsed to different things say different things; otherwise that is open.
    """

    def __init__(self, read: Read, *, decides: bool) -> None:
        self._read = read
        self._decides = decides

    def flaw(self, answer: Answer) -> str | None:
        """Return why an answer cannot be parsed, without quoting it; None if it can."""
        return self._parsed(answer.text)[1]

    def same(self, one: Answer, other: Answer) -> bool | None:
        """Say whether two answers are parsed to the same; None where that leaves it open."""
        (left, flaw), (right, other_flaw) = self._parsed(one.text), self._parsed(other.text)
        if flaw is not None or other_flaw is not None:
            return None
        if _equal(left, right):
            return True
        return False if self._decides else None

    def _parsed(self, text: str) -> tuple[Any, str | None]:
        if len(text) > _LONGEST or not is_shallow(text):
            return None, "cannot be parsed: too long or nested too deeply"
        try:
            value = self._read(text)
        except Exception as error:  # noqa: BLE001 -- each parser refuses in its own way, and may quote the answer
            return None, f"cannot be parsed: {type(error).__name__}"
        return value, "cannot be parsed" if value is None else None


def told_reading(parse: object) -> Reading:
    """Return the reading of a function that the user gives.

    Raises:
        ConfigError: It is no plain function.
    """
    if not callable(parse):
        raise ConfigError(f"parse must be a function of an answer's text, such as json.loads, not {kind_of(parse)}")
    if inspect.iscoroutinefunction(parse):
        raise ConfigError("parse must be a plain function, not an async one: it runs inside sync and async calls")
    return Reading(parse, decides=True)


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, StructuredOutput) and isinstance(other, StructuredOutput):
        # Their raw texts differ.
        one, other = one.parsed_output, other.parsed_output
    try:
        return bool(one == other)
    except Exception:  # noqa: BLE001 -- what a user's function returns may compare in its own way, or not at all
        return False

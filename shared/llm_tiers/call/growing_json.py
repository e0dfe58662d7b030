"""A tool call's arguments while they stream: whether parsing the text so far would take too long."""

from __future__ import annotations

import json

from llm_tiers.call.json_text import is_shallow

__all__ = ["GrowingJson"]

_STEP = 4_096
"""The fewest characters between two looks, and the longest name or run of blanks that may still be unfinished."""

_SHARE = 16
"""A long text is looked at each time it has grown by a sixteenth, so that all looks together take linear time."""

_TAIL = 512
"""The most characters that a parser may have to take off the end of a text that is complete."""

_BLANKS = " \t\r\n"
# `len`, so that numbers are not computed: Python refuses those of more than 4,300 digits.
_DECODER = json.JSONDecoder(strict=False, parse_int=len, parse_float=len)
_UNTERMINATED = "Unterminated string"


class GrowingJson:
    """A JSON text that comes in pieces.

    LangChain parses the text so far by taking characters off its end until the rest can be completed. If that point is
    far from the end, the time grows with the square of the length, in LangChain's code and with the GIL held: minutes
    for 64 kB of blanks. Such a text is called hopeless here, and must not reach a parser.
    """

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._length = 0
        self._next_look = _STEP
        self._hopeless = False

    @property
    def text(self) -> str:
        """The text so far."""
        # Joined once and kept joined: adding each piece to a text would copy the whole each time.
        self._pieces = ["".join(self._pieces)]
        return self._pieces[0]

    def add(self, piece: str) -> bool:
        """Add a piece, and say whether the text has become hopeless."""
        self._pieces.append(piece)
        self._length += len(piece)
        if not self._hopeless and self._length >= self._next_look:
            self._next_look = self._length + max(_STEP, self._length // _SHARE)
            self._hopeless = _is_hopeless(self.text, _STEP)
        return self._hopeless

    def end(self) -> bool:
        """Say whether the text is hopeless, now that it is complete."""
        self._hopeless = self._hopeless or _is_hopeless(self.text, _TAIL)
        return self._hopeless


def _is_hopeless(text: str, tail: int) -> bool:
    """Say whether more than `tail` characters have to be taken off a text before it can be completed."""
    if len(text) <= tail:
        return False
    if not is_shallow(text):
        return True
    begin = len(text) - len(text.lstrip(_BLANKS))
    try:
        end = _DECODER.raw_decode(text, begin)[1]
    except json.JSONDecodeError as error:
        if not error.msg.startswith(_UNTERMINATED):
            # Blanks at the end were read before the error was found.
            return len(text) - min(error.pos, len(text.rstrip(_BLANKS))) > tail
        # A long unfinished value can be completed by a quote. A long unfinished name cannot, since its value is
        # missing: the parser would take off the whole name.
        return len(text) - error.pos > tail and _is_name(text[: error.pos])
    return bool(text[end:].strip(_BLANKS))


def _is_name(before: str) -> bool:
    """Say whether a string that begins here is a name in an object."""
    try:
        _DECODER.raw_decode(before.lstrip(_BLANKS) + '"":')
    except json.JSONDecodeError as error:
        # With an empty name and a colon added, the error tells which it is. In a list, or as a value, the colon is
        # wrong; as a name in an object, the colon is right and the error comes behind it, where the value is missing.
        return error.pos > len(before.lstrip(_BLANKS)) + 2
    return False

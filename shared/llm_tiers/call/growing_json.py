"""A tool call's arguments while they stream: whether reading what has come so far would take too long."""

from __future__ import annotations

import json

from llm_tiers.call.json_text import is_shallow

__all__ = ["GrowingJson"]

_STEP = 4_096
"""Characters between two looks, at least; and the longest name or run of blanks that may still be going on."""

_SHARE = 16
"""A look at a long text comes when it has grown by a sixteenth, so that all looks together take linear time."""

_TAIL = 512
"""Most characters that are left to take off the end of a text that has ended."""

_BLANKS = " \t\r\n"
# Numbers are not worked out: Python refuses those of more than 4,300 digits.
_DECODER = json.JSONDecoder(strict=False, parse_int=len, parse_float=len)
_UNTERMINATED = "Unterminated string"


class GrowingJson:
    """A JSON text that comes in pieces.

    LangChain reads what has come so far by taking characters off its end until the rest can be completed. Where that is
    far from the end, the time grows with the square of the length, in LangChain's code and with the GIL held: minutes
    for 64 kB of blanks. Such a text is hopeless: nobody may be left to read it.
    """

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._length = 0
        self._next_look = _STEP
        self._hopeless = False

    @property
    def text(self) -> str:
        """All that has come."""
        self._pieces = ["".join(self._pieces)]
        return self._pieces[0]

    def add(self, piece: str) -> bool:
        """Take one more piece, and say whether the whole has become hopeless."""
        self._pieces.append(piece)
        self._length += len(piece)
        if not self._hopeless and self._length >= self._next_look:
            self._next_look = self._length + max(_STEP, self._length // _SHARE)
            self._hopeless = _is_hopeless(self.text, _STEP)
        return self._hopeless

    def end(self) -> bool:
        """Say whether the whole is hopeless, now that no piece will follow."""
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
        # A long value is a document. A name that goes on for long is completed by nobody: its value is missing.
        return len(text) - error.pos > tail and _is_name(text[: error.pos])
    return bool(text[end:].strip(_BLANKS))


def _is_name(before: str) -> bool:
    """Say whether a string that begins here is a name in an object."""
    try:
        _DECODER.raw_decode(before.lstrip(_BLANKS) + '"":')
    except json.JSONDecodeError as error:
        # In a list, or after a name, the colon is wrong; after a name of an object, its value is missing.
        return error.pos > len(before.lstrip(_BLANKS)) + 2
    return False

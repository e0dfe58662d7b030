"""The final answer in a text, such that two texts that end in the same answer read the same."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from fractions import Fraction

__all__ = ["final_answer"]

_LONGEST = 80
"""Most characters of a final answer; what is longer is an explanation."""

_ANNOUNCEMENT = re.compile(
    r"\b(?:answer|option|choice|solution)\b[\s*_()\"']{0,4}"
    r"(?:(?:is|are|was|would\s+be|should\s+be|must\s+be)\b|:)[*_\s]*:?\s*",
    re.IGNORECASE,
)
_BOLD_LINE = re.compile(r"(?:\*\*|__)(?P<answer>.+?)(?:\*\*|__)[.!]?")
_FENCE = re.compile(r"```[^\n`]*\n(?P<answer>[^\n`]+)\n```\s*\Z")
_LETTER = re.compile(r"(?:\((?P<one>[A-Za-z])\)|(?P<two>[A-Z])(?:[).:]|(?=\s\()|\Z))(?:\s.*)?", re.DOTALL)
_YES_OR_NO = re.compile(r"(?P<answer>yes|no|true|false)(?:[,.!;:].*|\s*)", re.IGNORECASE | re.DOTALL)
_NUMBER = re.compile(r"[-+\u2212]?[$€£]?\s?[\d,]*\.?\d+(?:\s?/\s?\d+)?(?:[eE][-+]?\d+)?\s?%?")
_FRACTION = re.compile(r"(?P<sign>-?)\\[dt]?frac\{(?P<over>\d+)\}\{(?P<under>\d+)\}")
_DATES = ("%Y-%m-%d", "%Y/%m/%d", "%B %d, %Y", "%b %d, %Y", "%d %B %Y", "%d %b %Y", "%B %d %Y", "%d.%m.%Y")
_WRAPPING = re.compile(r"^(?:\s|\*\*|__|[\"'`$]|\\\(|\\\[|\\,|:)+|(?:\s|\*\*|__|[\"'`$]|\\\)|\\\]|\\,)+$")


def final_answer(text: str) -> str | None:
    r"""Return the final answer in a text in a normal form, or None where the text has none.

    Looked for are, in this order: the last `\boxed{...}`; what follows the last "the answer is" or its like; a last
    line in bold; a code block of one line at the end; and a text that is nothing but an answer, or begins with yes or
    no. Numbers are normal forms of their value (`0.5`, `1/2` and `\frac{1}{2}` are one), dates of their day, letters
    of choices are capitals, words have neither case nor punctuation.
    """
    text = text.strip()
    return next(filter(None, map(_normal, _candidates(text))), None)


def _candidates(text: str) -> Iterator[str]:
    boxed = _last_boxed(text)
    if boxed is not None:
        yield boxed
    if announcements := list(_ANNOUNCEMENT.finditer(text)):
        yield _sentence(text[announcements[-1].end() :])
    last = text.rpartition("\n")[2].strip()
    if bold := _BOLD_LINE.fullmatch(last):
        yield bold["answer"]
    if fenced := _FENCE.search(text):
        yield fenced["answer"]
    if "\n" not in text and _is_bare(text):
        yield text
    if said := _YES_OR_NO.fullmatch(text):
        yield said["answer"]


def _last_boxed(text: str) -> str | None:
    start = text.rfind(r"\boxed{")
    if start < 0:
        return None
    depth, begin = 0, start + len(r"\boxed{")
    for position in range(begin, len(text)):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if depth < 0:
            return text[begin:position]
    return None


def _sentence(text: str) -> str:
    """Cut off what follows the sentence; a full stop in a number ends none."""
    return re.split(r"\n|[.;](?:\s|$)|\s+(?:because|since|as)\s", text, maxsplit=1)[0]


def _is_bare(text: str) -> bool:
    """Say whether a text is nothing but a letter, a number or a date."""
    text = _unwrapped(text)
    return bool(re.fullmatch(r"\(?[A-Za-z]\)?[.):]?", text) or _number(text) or _date(text))


def _normal(candidate: str) -> str | None:
    text = _unwrapped(candidate)
    if letter := _LETTER.fullmatch(text):
        return (letter["one"] or letter["two"]).upper()
    if not text or len(text) > _LONGEST:
        return None
    said = _YES_OR_NO.fullmatch(text)
    return _number(text) or _date(text) or (said["answer"].lower() if said else None) or _words(text)


def _unwrapped(text: str) -> str:
    """Take off what only dresses an answer: blanks, quotes, bold, dollars of formulas, the full stop."""
    before = None
    while text != before:
        before, text = text, _WRAPPING.sub("", text).rstrip(".")
    inner = re.fullmatch(r"\\text(?:bf)?\{(.*)\}", text)
    return _unwrapped(inner[1]) if inner else text


def _number(text: str) -> str | None:
    if fraction := _FRACTION.fullmatch(text):
        text = f"{fraction['sign']}{fraction['over']}/{fraction['under']}"
    if not _NUMBER.fullmatch(text):
        return None
    plain = re.sub(r"[,$€£\s]", "", text.replace("\u2212", "-"))
    percent = "%" if plain.endswith("%") else ""
    with suppress(ValueError, ZeroDivisionError):
        return f"{Fraction(plain.rstrip('%'))}{percent}"
    return None


def _date(text: str) -> str | None:
    for form in _DATES:
        with suppress(ValueError):
            return datetime.strptime(text, form).replace(tzinfo=UTC).date().isoformat()
    return None


def _words(text: str) -> str | None:
    return re.sub(r"\W+", " ", text).strip().casefold() or None

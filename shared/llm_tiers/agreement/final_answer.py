"""The final answer in a text: where the text is nothing else, or says so in a form that cannot be decoration."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from llm_tiers.agreement.dates import Day, Time, day, same_day, same_time, time_of_day
from llm_tiers.agreement.quantities import Quantity, quantity, same_quantity
from llm_tiers.agreement.texts import characters, formula, plain, set_of, unwrapped

__all__ = ["Final", "Found", "final_answer", "found_in", "same_final"]


_LONGEST = 80
"""Most characters of a final answer; what is longer is an explanation."""

_TAIL = 4_000
"""Characters at a text's end in which a final answer is looked for."""

_LANGUAGES = (
    r"antwort|r\u00e9ponse|respuesta|resposta|risposta|\u043e\u0442\u0432\u0435\u0442|"
    r"\u0432\u0456\u0434\u043f\u043e\u0432\u0456\u0434\u044c|\u03b1\u03c0\u03ac\u03bd\u03c4\u03b7\u03c3\u03b7|"
    r"\u062c\u0648\u0627\u0628|\u0627\u0644\u062c\u0648\u0627\u0628|\u0627\u0644\u0625\u062c\u0627\u0628\u0629|"
    r"\u05ea\u05e9\u05d5\u05d1\u05d4|\u0909\u0924\u094d\u0924\u0930|\u0e04\u0e33\u0e15\u0e2d\u0e1a|"
    r"\u7b54\u6848|\u7b54\u3048|\uc815\ub2f5|\ub2f5"
)
_ANNOUNCEMENT = re.compile(
    r"(?<![^\W_])(?:(?:the|my|our|your|die|la|el|le) )?(?:(?:final|correct|best|right|only) ){0,3}"
    rf"(?:answer|option|choice|solution|{_LANGUAGES})[*_]{{0,2}}"
    r"(?: (?:is|are|was|would be|should be|must be|ist|es|est)\b:?| ?:|\u662f|\u306f)(?:[*_]{1,2}(?=\s|$))?",
    re.IGNORECASE,
)
_LEADS = re.compile(
    r"(?:\b(?:so|therefore|thus|hence|consequently|then|that|conclusion|and|means)|[,:])\W{0,4}\Z", re.IGNORECASE
)
_DOUBTS = re.compile(
    r"\b(?:not|if|whether|unless|maybe|perhaps|might|may|could|claims?|claimed|says?|said|thinks?|thought|believes?"
    r"|suppose|assum\w{1,8}|wrong|incorrect|some|many|is it|never|nobody|doubt)\b|n't\b",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"\n|[;.!?][\"')*]{0,3}(?:\s|$)|[\u3002\u0964]")
_BECAUSE = re.compile(r" because |, since ")
_POINTS_ELSEWHERE = re.compile(
    r"(?:in|on|at|as|by|to|from|with|for|below|above|given|shown|found|not|that|this|these|those|it|here|there|based"
    r"|provided|listed|stated|described|explained|one|either|neither|both|also|always|still|now|very|quite|too|more|less"
    r"|really|rather|clearly|simply|the (?:following|same|one|next|first|second|third|last|latter|former)|your|my"
    r"|about|around|roughly|approximately|nearly|almost|likely|probably|possibly|perhaps|maybe)\b",
    re.IGNORECASE,
)
_SAYS_NOTHING = set_of(
    "clear simple easy obvious correct right wrong unclear unknown complicated complex difficult hard short long "
    "trivial straightforward ambiguous uncertain unique important interesting good bad fine ready complete incomplete "
    "different similar available unavailable evident plain subjective debatable controversial nuanced multifaceted"
)
_BOLD_LINE = re.compile(r"(?:\*\*|__)([^*_\n]{1,200})(?:\*\*|__)[.!]?")
_LAST_BLOCK = re.compile(r"```[\w+#.-]{0,20}[ \t]*\n([^\n`]{1,200})\n[ \t]*```\Z")
_INTRODUCES = re.compile(
    r"(?:\b(?:is|are|be|was|equals|gives|get|obtain|yields|answer|result|therefore|thus|hence"
    r"|thought|conclusion)|=)[*_ ]{0,3}:?\Z",
    re.IGNORECASE,
)
_DECORATES = re.compile(
    r"\b(?:sources?|references?|questions?|titles?|topics?|authors?|headings?|sections?|tips?|notes?|chapters?"
    r"|books?|links?|next|further|related|see)\b",
    re.IGNORECASE,
)
_LETTER = re.compile(
    r"\(([A-Za-z])\)(?: (.{1,300}))?|([A-Z])[).]?(?: ?(?<=[).] )(.{1,80}))?|([a-z])\)|([A-Z])(?: (\(.{1,80}\)))"
)
_CHOICE = re.compile(r"(?:\*\*)?\([A-Z]\) [^\n]{1,300}(?:\n|\Z)")
_CHOSEN = re.compile(r"(?:option|choice|answer) (\(?[A-Za-z]\)?[.)]?)", re.IGNORECASE)
_VERSION = re.compile(r"[vV]?(\d{1,9}(?:\.\d{1,9}){2,5})|[vV](\d{1,9}\.\d{1,9})")
_CLOSED = tuple(
    frozenset(group.split())
    for group in (
        "yes no", "true false", "monday tuesday wednesday thursday friday saturday sunday", "positive negative neutral",
        "january february march april may june july august september october november december",
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Letter:
    """The letter of a choice, and the choice's words where they are given."""

    letter: str
    words: str


@dataclass(frozen=True, slots=True)
class Version:
    """A version or an address of numbers and points."""

    numbers: tuple[int, ...]


Value: TypeAlias = Letter | Quantity | Day | Time | Version | None


@dataclass(frozen=True, slots=True)
class Final:
    """A final answer.

    Attributes:
        text: Its text without what cannot matter.
        value: What it was read as; None for words.
    """

    text: str
    value: Value


@dataclass(frozen=True, slots=True)
class Found:
    """What was found in a text.

    Attributes:
        final: The final answer.
        all: All boxed answers, where there are several.
    """

    final: Final
    all: tuple[str, ...] = ()


def final_answer(text: str) -> str | None:
    r"""Return the final answer in a text in a normal form, or None where the text has none.

    Looked for are, in this order: the last `\boxed{...}`; what follows the last "the answer is" or its like; a last
    line in bold, or a block of code of one line, that the line before introduces; and a text that is nothing but an
    answer. Numbers are normal forms of their value with their unit (`0.5`, `1/2` and `\frac{1}{2}` are one), dates of
    their day, letters of choices are capitals, words have neither case nor a full stop.
    """
    found = found_in(text)
    if found is None:
        return None
    value = found.final.value
    if isinstance(value, Letter):
        return value.letter
    if isinstance(value, Day) and len(value.readings) == 1:
        year, month, of_month = next(iter(value.readings))
        return f"{year:04}-{month:02}-{of_month:02}" if year else f"{month:02}-{of_month:02}"
    if isinstance(value, Quantity) and value.value is not None:
        separator = "" if value.unit in ("", "%") else " "
        return f"{'+' if value.signed else ''}{value.value}{separator}{value.unit}"
    return found.final.text


def found_in(text: str) -> Found | None:
    """Return the final answer in a text, or None; only the end of a long text is looked at."""
    text = text.strip()
    whole = len(text) <= _TAIL
    end = characters(text[-_TAIL:]).strip()
    # First, since nobody boxes anything but a final answer.
    boxes = _boxes(end)
    if boxes:
        final = _final(boxes[-1])
        return None if final is None else Found(final, tuple(boxes) if len(set(boxes)) > 1 else ())
    for candidate, bare in _candidates(end, whole=whole):
        final = _final(candidate)
        if final is not None and (
            # What is no number, date or letter must look like an answer; otherwise `here` and `clear` would be one.
            final.value is not None or (_is_name(candidate) if bare else _names_something(candidate))
        ):
            return Found(final)
    return None


def _boxes(text: str) -> list[str]:
    r"""Return what stands in each `\boxed{...}`; one pass over the braces."""
    opening, found, stack = r"\boxed{", [], []
    if opening not in text:
        return []
    # A regular expression cannot match nested braces in linear time.
    for brace in re.finditer(r"(\\boxed)?\{|\}", text):
        if brace[0] != "}":
            stack.append(brace.end() if brace[1] else None)
        elif stack:
            begin = stack.pop()
            if begin is not None and all(outer is None for outer in stack[-3:]):
                found.append(text[begin : brace.start()])
    return found


def _candidates(text: str, *, whole: bool) -> Iterator[tuple[str, bool]]:
    said = _announced(text, whole=whole)
    if said is not None:
        yield said, False
    lines = text.rsplit("\n", 8)
    # A bold last line may be a heading or a source; the line before it decides.
    before = next((line.strip() for line in reversed(lines[:-1]) if line.strip()), "")
    bold = _BOLD_LINE.fullmatch(lines[-1].strip())
    if bold and _INTRODUCES.search(before[-200:]) and not _DECORATES.search(before[-200:]):
        yield bold[1], False
    if block := _LAST_BLOCK.search(text[-300:]):
        start = text[: len(text) - len(block[0])].rstrip()[-200:]
        if not start or (_INTRODUCES.search(start) and not _DECORATES.search(start)):
            yield block[1], False
    if whole and "\n" not in text and len(text) <= 2 * _LONGEST:
        if chosen := _CHOSEN.fullmatch(unwrapped(text)):
            yield chosen[1], True
        yield text, True


def _announced(text: str, *, whole: bool) -> str | None:
    """Return what the last sentence of the kind "the answer is X" says, where it says nothing else."""
    last = next(reversed(list(_ANNOUNCEMENT.finditer(text))), None)
    if last is None:
        return None
    start = text[max(0, last.start() - 300) : last.start()]
    # The sentence may begin in the part that was cut off, and deny what follows.
    if not whole and last.start() < 300:  # noqa: PLR2004
        return None
    ends = [found.end() for found in _SENTENCE_END.finditer(start)]
    lead = start[ends[-1] :] if ends else start
    # Only words that lead to a conclusion may stand before it: `some say the answer is X` is no answer.
    lead = lead.lstrip("*_#>-\"' (")
    if lead.strip() and (not _LEADS.search(lead[-40:]) or _DOUBTS.search(lead)):
        return None
    rest = text[last.end() :].lstrip(" *_\t") if last[0].endswith(("*", "_")) else text[last.end() :].lstrip()
    end = _SENTENCE_END.search(rest)
    if _CHOICE.match(rest):
        return _without_open_bold(rest.partition("\n")[0])
    said = rest if end is None else rest[: end.start()]
    if "?" in (rest[len(said) : len(said) + 1]) or len(said) > 2 * _LONGEST:
        return None
    if end is not None and end[0].startswith(".") and (abbreviated := _abbreviated(rest)):
        said = abbreviated
    said = _BECAUSE.split(said, maxsplit=1)[0].strip()
    after = rest[len(said) :].strip(" .*_\n)")
    # What turns back afterwards leaves open what is meant.
    turns = re.match(r"(?:wait|no,|however|but|on second thought|or |actually)", after, re.IGNORECASE)
    return None if turns else _without_open_bold(said)


def _without_open_bold(said: str) -> str:
    """Take off the closing half of bold that began before the answer."""
    for mark in ("**", "__"):
        if said.count(mark) == 1:
            said = said.removeprefix(mark).removesuffix(mark)
    return said


def _abbreviated(rest: str) -> str | None:
    """Return the line where the full stop belongs to the answer, as in `B. Mitochondria` and `3 p.m.`."""
    line = rest.partition("\n")[0].strip()
    is_short = len(line) <= _LONGEST and re.match(r"(?:\**\(?[A-Z]\)?\. |[\d:]{1,5} [ap]\.m\.)", line)
    return line if is_short and line.count(". ") <= 1 else None


def _names_something(candidate: str) -> bool:
    """Say whether words name an answer, and do not point to one or say something of it."""
    text = unwrapped(candidate)
    words = text.lower().split()
    if not words or text.endswith(("?", ":", ",")) or _POINTS_ELSEWHERE.match(text):
        return False
    return len(words) <= 8 and not (words[0] in _SAYS_NOTHING and len(words) <= 3) and ", " not in text  # noqa: PLR2004


def _is_name(candidate: str) -> bool:
    """Say whether a text of a few words may be an answer by itself; a sentence is none."""
    text = unwrapped(candidate)
    return len(text.split()) <= 6 and not re.search(r"[=?\\]|[.!;:,] ", text)  # noqa: PLR2004


def _final(candidate: str) -> Final | None:
    text = unwrapped(candidate.strip())
    if not text or len(text) > 4 * _LONGEST:
        return None
    text = unwrapped(formula(text))
    letter = _letter(text)
    if letter is None and len(text) > _LONGEST:
        return None
    words = plain(text)
    return Final(words, letter or _value(text)) if words else None


def _value(text: str) -> Value:
    if version := _VERSION.fullmatch(text):
        return Version(tuple(int(part) for part in (version[1] or version[2]).split(".")))
    return day(text) or time_of_day(text) or quantity(text) or quantity(text.replace(" ,", ","))


def _letter(text: str) -> Letter | None:
    said = _LETTER.fullmatch(text)
    if said is None:
        return None
    letter = said[1] or said[3] or said[5] or said[6]
    words = said[2] or said[4] or said[7] or ""
    return Letter(letter.upper(), plain(words) if words else "")


def same_final(one: Found, other: Found) -> bool | None:  # noqa: PLR0911 -- one case a kind
    """Say whether two final answers are the same; None where they cannot be compared."""
    if one.all or other.all:
        return True if one.all == other.all else None
    left, right = one.final, other.final
    if isinstance(left.value, Letter) and isinstance(right.value, Letter):
        return _same_letter(left.value, right.value)
    if left.text == right.text:
        return True
    if isinstance(left.value, Quantity) and isinstance(right.value, Quantity):
        return same_quantity(left.value, right.value)
    if isinstance(left.value, Day) and isinstance(right.value, Day):
        return same_day(left.value, right.value)
    if isinstance(left.value, Time) and isinstance(right.value, Time):
        return same_time(left.value, right.value)
    if isinstance(left.value, Version) and isinstance(right.value, Version):
        if left.value == right.value:
            return True
        return False if len(left.value.numbers) == len(right.value.numbers) else None
    # Two words may mean the same unless they are choices of one closed list.
    apart = any(left.text in group and right.text in group for group in _CLOSED)
    return False if apart and left.value is None and right.value is None else None


def _same_letter(one: Letter, other: Letter) -> bool | None:
    if one.letter != other.letter:
        # The same words under two letters: the models saw the choices in another order, or one mistook the letter.
        return None if one.words and one.words == other.words else False
    return None if one.words and other.words and one.words != other.words else True

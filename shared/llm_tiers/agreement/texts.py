"""Texts up to what cannot matter: how letters are composed, kinds of blanks and quotes, bold, the last full stop."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

__all__ = ["LONGEST_TEXT", "characters", "formula", "plain", "set_of", "unwrapped"]

LONGEST_TEXT = 20_000
"""Most characters of a text that is compared up to what cannot matter; longer ones are compared as they are."""


def set_of(words: str) -> frozenset[str]:
    """Return the words of a text that lists them."""
    return frozenset(words.split())


_DASHES = dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe63", "-")
_QUOTES = {**dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u2039\u203a", "'"), "\u22c5": "\u00b7", "\u00b5": "\u03bc"}
_DOUBLE = dict.fromkeys("\u201c\u201d\u201e\u201f\u00ab\u00bb\u300c\u300d\u300e\u300f", '"')
_UNSEEN = dict.fromkeys("\u00ad\u200b\u200e\u200f\u061c\u2060\ufeff\ufe0e\ufe0f\u0640", "")
_LINES = {"\u2028": "\n", "\u2029": "\n", "\u0085": "\n", "\u2026": "..."}
_KNOWN = {**_DASHES, **_QUOTES, **_DOUBLE, **_UNSEEN, **_LINES}
_FORMS = ("<wide>", "<narrow>", "<isolated>", "<initial>", "<medial>", "<final>")

# Each expression below is linear: no part that repeats can begin with what the part before it may take.
_BLANKS = re.compile(r"[ \t\f\v]+")
_BOLD = re.compile(r"(?<![\w*])\*\*(?=[^\s*])([^*\n]{1,200})(?<!\s)\*\*(?![\w*])")
_CODE = re.compile(
    r"[{}\\`;=]|\w\(|\)\.|->|<-|<\w|&&|\|\||::|/>|\w\[|^(?: {2,}|\t)\s*(?![-*\u2022\d\s])|^\s*#\s"
    r"|\b(?:def|return|import|lambda|elif|echo|sudo|git|chmod|rm|cd)\s",
    re.MULTILINE,
)
_FENCED = re.compile(r"```([\w+#.-]{0,20})[ \t]*\n(.*)\n[ \t]*```", re.DOTALL)
_BULLET = re.compile(r"^[-*\u2022](?= \S)", re.MULTILINE)
_NUMBERED = re.compile(r"^(\d{1,3})\)(?= )", re.MULTILINE)
_SQL = re.compile(r"(?:select|insert|update|delete|with|create|alter|drop)\s", re.IGNORECASE)
_STRINGS = re.compile(r"""('[^']*+'|"[^"]*+"|`[^`]*+`)""")
_SQL_WORDS = set_of(
    "select from where and or not in is null as on join left right inner outer full cross group by order having limit "
    "offset insert into values update set delete create table distinct union all between like exists case when then "
    "else end asc desc with count sum avg min max"
)
_OPERATORS = "*/^=<>\u2264\u2265\u2260%\u00d7\u00b7\u2192\u2248|&~(){}[]\u222a\u2229\u2208\u2282!"
_BLANK_AFTER = re.compile(rf"(?<=[{re.escape(_OPERATORS)}]) (?=[\w$\u221a(\[{{])")
_BLANK_BEFORE = re.compile(rf"(?<=[\w)\]}}]) (?=[{re.escape(_OPERATORS)}])")
_SUM = re.compile(r"(?<=[\w)\]}']) ([-+]) (?=[\w([{\\])")
_SIGN = re.compile(r"(^|[=<>(\[{*/^] ?)([-+]) (?=[\w\\])")
_MATHS = {
    r"\geq": "\u2265", r"\ge": "\u2265", r"\leq": "\u2264", r"\le": "\u2264", r"\neq": "\u2260", r"\ne": "\u2260",
    r"\times": "\u00d7", r"\cdot": "\u00b7", r"\pi": "\u03c0", r"\infty": "\u221e", r"\%": "%", r"\$": "$",
    r"\,": "", r"\!": "", r"\;": " ", r"\ ": " ", r"\left": "", r"\right": "", r"\circ": "\u00b0",
}  # fmt: skip
_COMMAND = re.compile(r"\\(?:[A-Za-z]+|[%$,!; ])")
_BRACED = re.compile(r"([\^_])\{(-?\w{1,20})\}")
_NAMED = re.compile(r"\\(?:text|textbf|mathrm|mathbf|mbox)\{([^{}\\]{0,100})\}")
_RAISED = re.compile("[\u2070\u00b9\u00b2\u00b3\u2074-\u2079]+")
_ELEMENTS = set_of(
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr Nb "
    "Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Rn Ra Th U Pu"
)
_COMPOUND = re.compile("(?:[A-Z][a-z]?[0-9\u2080-\u2089]{0,4}){1,30}")
_SYMBOL = re.compile("[A-Z][a-z]?")
_SUBSCRIPTS = {0x2080 + digit: str(digit) for digit in range(10)}
_EDGES = "\"'(),.;:!?[]*"
_SHORT_IN_CAPITALS = frozenset({"YES", "NO", "NOT", "TRUE", "AND", "OR", "THE"})
_WRAPS = (("**", "**"), ("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"), ("`", "`"), ("*", "*"))


@lru_cache(maxsize=4096)  # one character each, whatever the text
def _character(char: str) -> str:
    if char in _KNOWN:
        return _KNOWN[char]
    category = unicodedata.category(char)
    if category == "Nd":
        return str(unicodedata.decimal(char))
    if category == "Zs":
        return " "
    # Ligatures and forms of Arabic letters; NFKC on all characters would make `x\u00b2` into `x2`.
    if "\ufb00" <= char <= "\ufb17" or unicodedata.decomposition(char).startswith(_FORMS):
        return unicodedata.normalize("NFKC", char)
    return char


def characters(text: str) -> str:
    """Return a text with one way to write each character: composed letters, plain digits, blanks, quotes and dashes.

    What may matter stays: raised and circled digits, accents, kinds of brackets, emoji, joiners.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if text.isascii():
        return text
    text = unicodedata.normalize("NFC", text)
    # Once more, since the replaced characters may compose with their neighbours.
    return unicodedata.normalize("NFC", "".join([char if char < "\x80" else _character(char) for char in text]))


def formula(text: str) -> str:
    r"""Return a short text with one way to write a formula: `\leq` is a sign, `x^{2}` and a raised 2 are `x^2`."""
    if "\\" in text:
        for _ in range(3):  # names may stand in names; deeper nesting is left as it is
            text = _NAMED.sub(r"\1", text)
        text = _COMMAND.sub(lambda found: _MATHS.get(found[0], found[0]), text)
    text = _BRACED.sub(r"\1\2", text)
    if not text.isascii():
        text = _RAISED.sub(lambda found: "^" + "".join(str(unicodedata.digit(char)) for char in found[0]), text)
        text = " ".join(_compound(word) for word in text.split(" "))
    return text


def _compound(word: str) -> str:
    if _COMPOUND.fullmatch(word) and all(symbol in _ELEMENTS for symbol in _SYMBOL.findall(word)):
        return word.translate(_SUBSCRIPTS)
    return word


def unwrapped(text: str) -> str:
    """Take off what only dresses a short text: blanks, quotes around words, bold, marks of code and formulas, a stop.

    The text has one way to write each character already.
    """
    for _ in range(8):  # dress over dress; more than that is left on
        before, text = text, _without_stop(text.strip())
        for opening, closing in _WRAPS:
            inner = text[len(opening) : -len(closing)]
            if text.startswith(opening) and text.endswith(closing) and _is_wrapped(inner, opening):
                text = inner.strip()
                break
        else:
            text = _unquoted(text)
        if text == before:
            break
    return text


def _is_wrapped(inner: str, opening: str) -> bool:
    if not inner.strip() or opening[0] in inner:
        return False
    return opening != "*" or inner.replace(" ", "").isalpha()


def _unquoted(text: str) -> str:
    inner = text[1:-1]
    if len(text) > 2 and text[0] == text[-1] and text[0] in "\"'" and text[0] not in inner:  # noqa: PLR2004
        return inner if any(char.isalpha() for char in inner) and not _CODE.search(inner) else text
    if text.startswith("__") and text.endswith("__") and inner[1:2].isupper() and "_" not in text[2:-2]:
        return text[2:-2]
    is_link = text.startswith("<") and text.endswith(">") and ("://" in inner or "@" in inner) and " " not in inner
    if is_link:
        return inner
    if re.match(r"#{2,6} [A-Z]", text) and "\n" not in text:
        return text.lstrip("#").strip()
    return text


def _without_stop(text: str) -> str:
    # An ellipsis says that more follows, and `n)!` is a factorial.
    if text.endswith(("..", ")!")):
        return text
    if text[-1:] in (".", "\u3002", "\u0964", "\u06d4"):
        return text[:-1].rstrip()
    return text[:-1] if text.endswith("!") and text[-3:-1].isalpha() and len(text) > 2 else text  # noqa: PLR2004


def plain(text: str) -> str:
    """Return a text without what cannot matter, such that equal results mean texts that say the same.

    Case and blanks are left as they are where a text looks like code, and case in short words, which may be symbols.
    The text has one way to write each character, and no more characters than `LONGEST_TEXT`.
    """
    text = text.strip("\n")
    if fenced := _FENCED.fullmatch(text.strip()):
        if "```" not in fenced[2]:
            text = fenced[2]
    elif "\n" not in text:
        text = unwrapped(text) if len(text) <= 200 else text.strip()  # noqa: PLR2004
    # Before code in general: case and blanks do not matter in SQL's own words.
    if _SQL.match(text.lstrip()):
        return _query(text)
    if "```" not in text and len(text) <= 200:  # noqa: PLR2004
        text = formula(text)
    if _CODE.search(text):
        return _code(text)
    lines = (_BLANKS.sub(" ", line).strip() for line in text.split("\n"))
    text = "\n".join(line for line in lines if line)
    if len(_BULLET.findall(text)) > 1:
        text = _BULLET.sub("-", text)
    text = _NUMBERED.sub(r"\1.", _BOLD.sub(r"\1", text))
    return _without_stop(_spaced(" ".join(_words(text))))


def _words(text: str) -> list[str]:
    words = text.replace("\n", " \n ").split(" ")
    folded, before = [], ""
    for place, word in enumerate(words):
        folded.append(_folded(word, before, words[place + 1] if place + 1 < len(words) else ""))
        before = word
    return " ".join(folded).replace("\n ", "\n").replace(" \n", "\n").split(" ")


def _folded(word: str, before: str, after: str) -> str:
    """Take off a word's capitals, unless they may make another word of it, a symbol or a unit."""
    core = word.strip(_EDGES)
    letters = core.replace("'", "").replace("-", "")
    lower = word.lower().replace("\u03c2", "\u03c3")
    if not letters or not all(unicodedata.category(char)[0] in "LM" for char in letters):
        return word
    if letters.islower():
        return lower
    # After a number it is a unit, whose case matters.
    if before[-1:].isdigit() and len(letters) < 5:  # noqa: PLR2004
        return word
    if len(letters) == 1:
        # A single capital is a symbol, a choice or a variable, unless it is the article.
        return lower if core == "A" and after[:1].islower() and len(after) > 1 else word
    if core in _SHORT_IN_CAPITALS or (core.isupper() and len(letters) > 3):  # noqa: PLR2004
        return lower
    titles = [part for part in core.split("-") if part]
    return lower if all(part[1:] == part[1:].lower() for part in titles) else word


def _spaced(text: str) -> str:
    """Take off blanks around operators; those between two operators or two digits may matter."""
    text = _SUM.sub(r"\1", _SIGN.sub(r"\1\2", text))
    if text and text[0] in "([{" and text[-1:] in ")]}":
        text = text.replace(", ", ",").replace("[ ]", "[]")
    return _BLANK_BEFORE.sub("", _BLANK_AFTER.sub("", text))


def _code(text: str) -> str:
    lines = [line.rstrip() for line in text.split("\n")]
    text = "\n".join(lines).strip("\n")
    if '"' in text or "'" in text or "`" in text:
        return text
    if "\n" in text:
        return "\n".join(line[: len(line) - len(line.lstrip())] + _spaced(line.lstrip()) for line in text.split("\n"))
    return _spaced(_BLANKS.sub(" ", text).strip())


def _query(text: str) -> str:
    """Return an SQL statement with its own words in small letters and single blanks, what is quoted left as it is."""
    parts = _STRINGS.split(text.strip().removesuffix(";"))
    for place in range(0, len(parts), 2):
        words = re.sub(r"\s+", " ", parts[place])
        words = re.sub(r"\w+", lambda found: w if (w := found[0].lower()) in _SQL_WORDS else found[0], words)
        parts[place] = _spaced(words)
    return "".join(parts).strip()

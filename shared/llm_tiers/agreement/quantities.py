"""Numbers, with or without a unit or a currency, and whether two of them are the same."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from fractions import Fraction

__all__ = ["Quantity", "quantity", "same_quantity"]

_MOST_DIGITS = 60
"""A number of more characters than this is not read as one."""

_LARGEST_EXPONENT = 400

_PLACES = r"\d{1,60}"
_FRACTION = re.compile(rf"({_PLACES}) ?/ ?({_PLACES})")
_MIXED = re.compile(rf"({_PLACES}) ({_PLACES})/({_PLACES})")
_LATEX = re.compile(rf"\\[dt]?frac(?:\{{({_PLACES})\}}\{{({_PLACES})\}}|(\d)(\d))")
_POWER = re.compile(
    r"(?P<number>[\d.,' _]{1,60}?)(?:[eE](?P<e>[-+]?\d{1,4})"
    r"|(?: ?[x\u00d7*\u00b7] ?10(?:\^|\*\*)[({]?(?P<ten>-?\d{1,4})[)}]?))?"
)
_GROUPED = {
    "blank": re.compile(r"[1-9]\d{0,2}(?:[ '_]\d{3})+(?:[.,]\d+)?"),
    "comma": re.compile(r"[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?"),
    "indian": re.compile(r"[1-9]\d?(?:,\d\d)+,\d{3}(?:\.\d+)?"),
    "point": re.compile(r"[1-9]\d{0,2}(?:\.\d{3})+(?:,\d+)?"),
}
_DECIMAL = re.compile(r"(?:0|[1-9]\d*)?[.,]\d+|0|[1-9]\d*")
_VERSION_LIKE = re.compile(r"[1-9]\d*\.\d0")

_SCALES = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12, "mn": 6, "bn": 9}
_MONEY_SCALES = {"K": 3, "k": 3, "M": 6, "m": 6, "B": 9, "b": 9, "T": 12}
_TO_NINETEEN = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_BY_TEN = "twenty thirty forty fifty sixty seventy eighty ninety"
_ONES, _TENS = _TO_NINETEEN.split(), _BY_TEN.split()
_VALUES = {word: value for value, word in enumerate(_ONES)} | {word: 10 * (n + 2) for n, word in enumerate(_TENS)}

_SIGNS = {
    "US$": "USD", "A$": "AUD", "CA$": "CAD", "C$": "CAD", "$": "USD", "\u20ac": "EUR", "\u00a3": "GBP",
    "\u00a5": "\u00a5", "\u20b9": "INR", "\u20a9": "KRW", "\u20bd": "RUB", "\u20ba": "TRY", "\u20aa": "ILS",
}  # fmt: skip
_LETTERS = "USD EUR GBP JPY CNY INR KRW CHF CAD AUD NZD SEK NOK DKK PLN CZK HUF RUB TRY BRL MXN ILS"
_CODES = frozenset(_LETTERS.split())
_COINS = {
    "dollar": "USD", "dollars": "USD", "euro": "EUR", "euros": "EUR", "rupee": "INR", "rupees": "INR", "won": "KRW",
    "yen": "JPY",
}  # fmt: skip
_CURRENCIES = frozenset({*_SIGNS.values(), *_CODES})
_PREFIX = re.compile(rf"(?:({'|'.join(map(re.escape, _SIGNS))})|({'|'.join(sorted(_CODES))})\b) ?")
_SUFFIX = re.compile(rf" ?(?:({'|'.join(map(re.escape, _SIGNS))})|({'|'.join(sorted(_CODES))}))")


def _units() -> dict[str, tuple[str, Fraction]]:
    """Return by name what each unit measures, and how much of it."""
    table = {
        "length": "m meter metre meters metres=1;km kilometer kilometre kilometers kilometres=1000;"
        "cm centimeter centimetre centimeters centimetres=1/100;"
        "mm millimeter millimetre millimeters millimetres=1/1000;"
        "\u03bcm micrometer micrometers=1/1000000;nm nanometer nanometers=1/1000000000;mile miles mi=1609.344;"
        "ft foot feet=0.3048;inch inches=0.0254;yard yards yd=0.9144",
        "mass": "g gram grams=1;kg kilogram kilograms=1000;mg milligram milligrams=1/1000;"
        "\u03bcg microgram micrograms=1/1000000;lb lbs=453.59237;oz ounce ounces=28.349523125",
        "time": "s sec second seconds=1;ms millisecond milliseconds=1/1000;min mins minute minutes=60;"
        "h hr hrs hour hours=3600;day days=86400;week weeks=604800",
        "volume": "l L liter litre liters litres=1;ml mL milliliter millilitre milliliters millilitres=1/1000",
        "speed": "km/h kmh kph=1;mph=1.609344",
        "ratio": "% percent=1;\u2030 permille=1/10",
        "month": "month months=1;year years=12",
        "celsius": "\u00b0C=1", "fahrenheit": "\u00b0F=1", "angle": "\u00b0 degree degrees=1",
        "frequency": "Hz=1;kHz=1000;MHz=1000000;GHz=1000000000",
        "power": "mW=1/1000;W watt watts=1;kW=1000;MW=1000000;GW=1000000000",
        "energy": "J joule joules=1;kJ=1000;Wh=3600;kWh=3600000",
    }  # fmt: skip
    found = {}
    for measured, names in table.items():
        for entry in names.split(";"):
            called, factor = entry.split("=")
            found.update(dict.fromkeys(called.split(" "), (measured, Fraction(factor))))
    return found


_UNITS = _units()
_LONG_UNITS = {
    "per cent": "%", "degrees Celsius": "\u00b0C", "degrees celsius": "\u00b0C", "degrees Fahrenheit": "\u00b0F",
    "degrees fahrenheit": "\u00b0F", "kilometers per hour": "km/h", "kilometres per hour": "km/h",
    "miles per hour": "mph", "B.C.": "BC", "A.D.": "AD", "\u00b0 C": "\u00b0C", "\u00b0 F": "\u00b0F",
}  # fmt: skip
_UNIT = re.compile(r"[^\W\d_](?:[^\W\d_]|[ /^.\u00b0%-]|\^\d){0,40}|[%\u2030\u00b0] ?[A-Z]?")


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number and what it counts.

    Attributes:
        value: The number, or None where the way it is written is read in two ways, none of them usual.
        readings: All numbers that it may stand for.
        place: The worth of the last digit that is written; 0 for a whole number and a fraction.
        unit: What it counts, empty for nothing.
        written: The digits as written.
        signed: It has a plus sign.
    """

    value: Fraction | None
    readings: frozenset[Fraction]
    place: Fraction
    unit: str
    written: str
    signed: bool


def quantity(text: str) -> Quantity | None:
    """Read a short text that is a number, with or without a unit, or return None."""
    if len(text) > 2 * _MOST_DIGITS:
        return None
    sign, rest = _sign(text)
    prefix = _PREFIX.match(rest)
    currency = "" if prefix is None else _SIGNS.get(prefix[1] or "", prefix[2] or "")
    if prefix is not None:
        inner, rest = _sign(rest[prefix.end() :])
        # `-$-5` is no amount.
        if sign and inner:
            return None
        sign = sign or inner
    number, unit = _parted(rest)
    value, unit, scale = _scaled(number, unit, money=bool(currency))
    if not currency and (suffix := _SUFFIX.fullmatch(unit)):
        unit, currency = "", _SIGNS.get(suffix[1] or "", suffix[2] or "")
    unit = unit.strip()
    unit = _LONG_UNITS.get(unit, unit)
    if not currency and unit in _COINS:
        unit, currency = "", _COINS[unit]
    # Nothing is priced in dollars and metres at once.
    if currency and unit:
        return None
    if unit and not (_UNIT.fullmatch(unit) or unit in _LONG_UNITS.values()):
        return None
    unit = currency or unit
    found = _read(value, has_unit=bool(unit))
    if found is None:
        return None
    primary, others, place = found
    factor = Fraction(10**scale * (-1 if sign == "-" else 1))
    readings = frozenset(factor * reading for reading in others)
    shown = (place or Fraction(1 if scale else 0)) * abs(factor)
    return Quantity(None if primary is None else factor * primary, readings, shown, _named(unit), value, sign == "+")


def _sign(text: str) -> tuple[str, str]:
    return (text[0], text[1:].lstrip()) if text[:1] in ("-", "+") else ("", text)


_DIGITS = re.compile(
    r"[\d.,'_ /]*\d(?:[eE][-+]?\d{1,4}(?![\w]))?(?: ?[x\u00d7*\u00b7] ?10(?:\^|\*\*)[({]?-?\d{1,4}[)}]?)?"
)


def _parted(text: str) -> tuple[str, str]:
    """Split a number from what follows it."""
    if latex := _LATEX.match(text):
        return latex[0], text[latex.end() :]
    mark = next((place for place, char in enumerate(text) if _vulgar(char) is not None), None)
    if mark is not None:
        return text[: mark + 1], text[mark + 1 :]
    if digits := _DIGITS.match(text):
        return digits[0], text[digits.end() :]
    words = text.split(" ")
    count = 0
    while count < len(words) and all(
        part.lower() in _VALUES or (count and part.lower() in ("hundred", "and")) for part in words[count].split("-")
    ):
        count += 1
    return " ".join(words[:count]), " " * bool(count) + " ".join(words[count:])


def _vulgar(char: str) -> Fraction | None:
    if char < "\x80" or not unicodedata.decomposition(char).startswith("<fraction>"):
        return None
    over, _, under = unicodedata.normalize("NFKC", char).partition("\u2044")
    return Fraction(int(over), int(under)) if under else None


def _scaled(number: str, unit: str, *, money: bool) -> tuple[str, str, int]:
    first, _, rest = unit.strip().partition(" ")
    if first.lower() in _SCALES:
        return number, f" {rest}" if rest else "", _SCALES[first.lower()]
    if money and first in _MONEY_SCALES:
        return number, rest, _MONEY_SCALES[first]
    return number, unit, 0


def _read(text: str, *, has_unit: bool) -> tuple[Fraction | None, frozenset[Fraction], Fraction] | None:
    """Return the usual reading of a number, all readings, and the worth of its last digit."""
    exact = _exact(text)
    if exact is not None:
        return exact, frozenset({exact}), Fraction(0)
    found = _POWER.fullmatch(text)
    if found is None:
        return None
    exponent = int(found["e"] or found["ten"] or 0)
    # A fraction keeps every digit, so a large exponent fills the memory.
    if abs(exponent) > _LARGEST_EXPONENT:
        return None
    decimals = _decimals(found["number"], has_unit=has_unit)
    if decimals is None:
        return None
    primary, readings, place = decimals
    factor = Fraction(10) ** exponent
    return (
        None if primary is None else factor * primary,
        frozenset(factor * reading for reading in readings),
        factor * place,
    )


def _exact(text: str) -> Fraction | None:
    """Return what a fraction or a number in words is."""
    under: str | int
    if mixed := _MIXED.fullmatch(text):
        return int(mixed[1]) + Fraction(int(mixed[2]), int(mixed[3])) if int(mixed[3]) else None
    found = _FRACTION.fullmatch(text)
    latex = _LATEX.fullmatch(text)
    if found or latex:
        over, under = found.groups() if found else tuple(filter(None, latex.groups())) if latex else ("0", "0")
        return Fraction(int(over), int(under)) if int(under) else None
    if text and (part := _vulgar(text[-1])) is not None:
        whole_part = text[:-1].strip()
        if not whole_part:
            return part
        return int(whole_part) + part if whole_part.isascii() and whole_part.isdigit() else None
    return _in_words(text)


def _in_words(text: str) -> Fraction | None:
    total, last = 0, ""
    parts = re.split(r"[ -]", text.lower())
    for part in parts:
        if part == "hundred" and 0 < total < 10:  # noqa: PLR2004
            total *= 100
        elif part in _VALUES and (not last or last in ("and", "hundred") or (last in _TENS and part in _ONES[1:10])):
            total += _VALUES[part]
        elif not (part == "and" and last == "hundred"):
            return None
        last = part
    return Fraction(total) if last != "and" else None


def _decimals(text: str, *, has_unit: bool) -> tuple[Fraction | None, frozenset[Fraction], Fraction] | None:
    points, commas = text.count("."), text.count(",")
    for kind, form in _GROUPED.items():
        if form.fullmatch(text):
            mark = {"blank": "", "comma": ".", "indian": ".", "point": ","}[kind]
            mark = mark or ("," if "," in text else ".")
            whole, _, rest = text.partition(mark) if mark in text else (text, "", "")
            digits = re.sub(r"\D", "", whole)
            value = Fraction(f"{digits}.{rest}" if rest else digits)
            place = Fraction(1, 10 ** len(rest)) if rest else Fraction(0)
            # `1,234` is a thousand and more in English, and little more than one in German.
            if kind == "comma" and commas == 1 and not points:
                return value, frozenset({value, value / 1000}), place
            # `1.234` the other way round; English is the usual reading of both.
            if kind == "point" and points == 1 and not commas:
                decimal = value / 1000
                return decimal, frozenset({decimal, value}), Fraction(1, 1000)
            return (None if kind == "point" and not commas else value), frozenset({value}), place
    if not _DECIMAL.fullmatch(text):
        return None
    rest = text.partition("," if commas else ".")[2]
    value = Fraction(text.replace(",", "."))
    place = Fraction(1, 10 ** len(rest)) if rest else Fraction(0)
    # A comma that no three digits follow is a decimal comma, or parts two numbers.
    return (None if commas and not has_unit else value), frozenset({value}), place


def _named(unit: str) -> str:
    if unit in _UNITS or unit in _CURRENCIES:
        return unit
    # Short units keep their case: `MW` and `mW` differ by nine zeros.
    if unit.lower() in _UNITS and len(unit) > 3:  # noqa: PLR2004
        return unit.lower()
    letters = unit.replace(" ", "")
    return unit.lower() if letters.isalpha() and all(len(word) > 4 for word in unit.split()) else unit  # noqa: PLR2004


def same_quantity(one: Quantity, other: Quantity) -> bool | None:
    """Say whether two quantities are the same; None where one may be the other rounded, or read in another way."""
    if one.unit == other.unit:
        return _same_number(one, other)
    if one.unit in _CURRENCIES and other.unit in _CURRENCIES:
        # The yen sign is that of the yuan too, and a bare dollar may be any country's.
        return None if "\u00a5" in (one.unit, other.unit) or {one.unit, other.unit} <= _DOLLARS else False
    measures = _UNITS.get(one.unit), _UNITS.get(other.unit)
    if measures[0] is None or measures[1] is None or measures[0][0] != measures[1][0]:
        return None
    if one.value is None or other.value is None or one.signed != other.signed:
        return None
    left, right = one.value * measures[0][1], other.value * measures[1][1]
    if left == right:
        return True
    # Within a twentieth one may be the other, converted and rounded.
    return False if abs(left - right) > max(abs(left), abs(right)) / 20 else None


_DOLLARS = frozenset({"USD", "CAD", "AUD", "NZD"})


def _same_number(one: Quantity, other: Quantity) -> bool | None:
    if one.value is not None and one.value == other.value:
        bare = not one.unit and one.written != other.written
        # `3.10` and `3.1` are one number and two versions.
        version = bare and (_VERSION_LIKE.fullmatch(one.written) or _VERSION_LIKE.fullmatch(other.written))
        unequal_length = len(one.written) != len(other.written) and "." in one.written and "." in other.written
        return None if one.signed != other.signed or (version and unequal_length) else True
    if one.value is None or other.value is None or one.readings & other.readings:
        return None
    return None if _close(one, other) else False


def _close(one: Quantity, other: Quantity) -> bool:
    """Say whether one number may be the other, rounded."""
    if one.value is None or other.value is None:
        return True
    apart = abs(one.value - other.value)
    if apart * 10**6 <= max(abs(one.value), abs(other.value)) and (one.place or other.place):
        return True
    places = [_place(one), _place(other)]
    whole = [number.value.denominator == 1 for number in (one, other) if number.value is not None]
    if whole[0] != whole[1]:
        places.append(Fraction(1))
    return apart < max(places)


def _place(number: Quantity) -> Fraction:
    """Return the worth of the last digit that counts; zeros at the end of a large number may come from rounding."""
    if number.place or number.value is None:
        return number.place
    digits = number.written.replace(",", "").replace(" ", "")
    zeros = len(digits) - len(digits.rstrip("0"))
    return Fraction(10) ** zeros if zeros > 1 and digits.isdigit() and len(digits) > 3 else Fraction(0)  # noqa: PLR2004

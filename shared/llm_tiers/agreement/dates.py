"""Dates and times of day, and whether two of them are the same."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date

__all__ = ["Day", "Time", "day", "same_day", "same_time", "time_of_day"]

_YEAR = "january february march april may june july august september october november december"
_MONTHS = _YEAR.split()
_SHORT = {month[:3]: place + 1 for place, month in enumerate(_MONTHS)} | {"sept": 9}
_NUMBER_OF = {month: place + 1 for place, month in enumerate(_MONTHS)} | _SHORT
_MONTH = "(?P<month>" + "|".join(sorted(_NUMBER_OF, key=len, reverse=True)) + r")\.?"
_WEEKDAY = r"(?:(?:mon|tues|wednes|thurs|fri|satur|sun)day,? )?"
_NTH = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_NAMED = tuple(
    re.compile(_WEEKDAY + form, re.IGNORECASE)
    for form in (rf"{_MONTH} {_NTH}(?:,? (?P<year>\d{{4}}))?", rf"{_NTH} (?:of )?{_MONTH}(?:,? (?P<year>\d{{4}}))?")
)
_ISO = re.compile(r"(?P<year>\d{4})[-/](?P<month>\d{1,2})[-/](?P<day>\d{1,2})")
_POINTS = re.compile(r"(?P<day>\d{1,2})\.(?P<month>\d{1,2})\.(?P<year>\d{4})")
_SLASHES = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})")
_TIME = re.compile(
    r"(?P<hour>\d{1,2})(?:[:.](?P<minute>\d{2})(?::(?P<second>\d{2}))?)? ?"
    r"(?P<half>[ap]\.?m\.?)?(?: (?P<zone>UTC|GMT|CET|CEST|EST|EDT|PST|PDT|BST|JST|Z))?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Day:
    """A date.

    Attributes:
        readings: The dates that it may be, as year (or None), month and day.
    """

    readings: frozenset[tuple[int | None, int, int]]


@dataclass(frozen=True, slots=True)
class Time:
    """A time of day.

    Attributes:
        seconds: Since midnight.
        sure: It is known which half of the day is meant.
        zone: The time zone as written, or empty.
    """

    seconds: int
    sure: bool
    zone: str


def day(text: str) -> Day | None:
    """Read a short text that is a date, or return None."""
    if slashes := _SLASHES.fullmatch(text):
        one, two, year = map(int, slashes.groups())
        # Day first or month first: which of the two is a matter of the country, so both are kept.
        found = frozenset(filter(None, (_checked(year, one, two), _checked(year, two, one))))
        return Day(found) if found else None
    for form in (*_NAMED, _ISO, _POINTS):
        if said := form.fullmatch(text):
            month = said["month"].lower()
            year_said = int(said["year"]) if said["year"] else None
            reading = _checked(year_said, _NUMBER_OF.get(month) or int(month), int(said["day"]))
            return Day(frozenset({reading})) if reading else None
    return None


def _checked(year: int | None, month: int, of_month: int) -> tuple[int | None, int, int] | None:
    try:
        # 2000 is a leap year, so 29 February passes where no year is given.
        date(year or 2000, month, of_month)
    except ValueError:
        return None
    return year, month, of_month


def same_day(one: Day, other: Day) -> bool | None:
    """Say whether two dates are the same; None where one may be read in two ways, or lacks the year."""
    if one.readings == other.readings:
        return True if len(one.readings) == 1 else None
    if one.readings & other.readings:
        return None
    years = {reading[0] for reading in one.readings | other.readings}
    # Without a year it may be the same day, or that of another year.
    if None in years and len(years) > 1 and {r[1:] for r in one.readings} & {r[1:] for r in other.readings}:
        return None
    return False


def time_of_day(text: str) -> Time | None:
    """Read a short text that is a time of day, or return None."""
    text = {"noon": "12 pm", "midnight": "12 am"}.get(text.lower(), text)
    said = _TIME.fullmatch(text)
    # A bare number is no time, and `3.30` is one only with am or pm.
    if said is None or not (said["minute"] or said["half"]) or (not said["half"] and "." in text):
        return None
    hour, minute, second = int(said["hour"]), int(said["minute"] or 0), int(said["second"] or 0)
    if minute > 59 or second > 59 or hour > (12 if said["half"] else 23) or (said["half"] and not hour):  # noqa: PLR2004
        return None
    if said["half"]:
        hour = hour % 12 + (12 if said["half"][0] in "pP" else 0)
    # `3:30` may mean the afternoon; from 13 on there is only one reading.
    sure = bool(said["half"]) or hour > 12  # noqa: PLR2004
    return Time(hour * 3600 + minute * 60 + second, sure, (said["zone"] or "").upper())


def same_time(one: Time, other: Time) -> bool | None:
    """Say whether two times are the same; None where one lacks the zone or the half of the day."""
    if one.zone != other.zone:
        return False if one.zone and other.zone and one.seconds == other.seconds else None
    half_day = 12 * 3600
    if one.seconds == other.seconds:
        return True if one.sure == other.sure else None
    if one.sure and other.sure:
        return False
    return None if one.seconds % half_day == other.seconds % half_day else False

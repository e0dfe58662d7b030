"""Numbers, times and a stranger's names as a reader sees them, on the page and in the terminal."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llm_tiers.telling.share import Share

__all__ = ["DASH", "MINUS", "calls", "count", "day", "days", "name", "percent", "share", "usd", "when"]

DASH = "\N{EN DASH}"
"""Stands for what is not known, and between two ends."""

MINUS = "\N{MINUS SIGN}"

_LONGEST = 80


def usd(value: float | None) -> str:
    """Return an amount such as `US$ 1,234.50` on one line; a dash where it is unknown."""
    if value is None:
        return DASH
    size = abs(value)
    digits = f"{size:,.2f}" if size >= 1 or size == 0 else f"{size:.3f}" if size >= 0.1 else f"{size:.3g}"  # noqa: PLR2004
    if "e" in digits:
        digits = f"{size:.10f}".rstrip("0") if size >= 1e-8 else "0.00"  # noqa: PLR2004
    return f"{MINUS if value < 0 else ''}US$\N{NO-BREAK SPACE}{digits}"


def percent(value: float | None, digits: int = 0) -> str:
    """Return a share such as `63%`; a dash where it is unknown."""
    if value is None:
        return DASH
    text = f"{abs(value):.{digits}%}"
    return f"{MINUS}{text}" if value < 0 and text.strip("0.%") else text


def share(value: Share | None, digits: int = 0) -> str:
    """Return a share with its interval, such as `87%` with 84 to 90% in brackets."""
    if value is None:
        return DASH
    return f"{value.value:.{digits}%} ({100 * value.low:.{digits}f}{DASH}{value.high:.{digits}%})"


def count(value: float) -> str:
    """Return a whole number such as `12,345`."""
    return f"{value:,.0f}"


def calls(value: float) -> str:
    """Return a number of calls such as `1 call` or `12,345 calls`."""
    return f"{count(value)} call" if value == 1 else f"{count(value)} calls"


def when(seconds: float) -> str:
    """Return a time such as `2026-11-28 03:40 UTC`."""
    try:
        return f"{datetime.fromtimestamp(seconds, tz=UTC):%Y-%m-%d %H:%M} UTC"
    except (OverflowError, ValueError, OSError):
        return "an unknown time"


def day(seconds: float, step: int = 86_400) -> str:
    """Return a time as precisely as steps of so many seconds need it."""
    try:
        moment = datetime.fromtimestamp(seconds, tz=UTC)
    except (OverflowError, ValueError, OSError):
        return "?"
    return f"{moment:%d %b %Y}" if step >= 86_400 else f"{moment:%d %b %H:%M}"  # noqa: PLR2004


def days(first: float, last: float) -> str:
    """Return the days from one time to another, such as `27 Nov 2026 to 28 Nov 2026`; a single day once."""
    ends = day(first), day(last)
    return ends[0] if ends[0] == ends[1] else " to ".join(ends)


def name(text: str | None, longest: int = _LONGEST) -> str:
    """Return a stranger's name on one line: without control characters, and not too long.

    Args:
        text: The name; `""` is the root node.
        longest: Most characters.
    """
    if not text:
        return "(root)"
    # Characters that turn the direction of a line around would let a name rewrite what stands beside it.
    shown = "".join(letter if letter.isprintable() else "·" for letter in text[: longest + 1])
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"

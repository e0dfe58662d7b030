"""What the sections of the page share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_tiers.report.charts import legend, tier_colour
from llm_tiers.report.figures import used
from llm_tiers.telling.markup import Child, Markup, el
from llm_tiers.telling.wording import name

if TYPE_CHECKING:
    from llm_tiers.report.figures import Report

__all__ = ["SOURCES", "colours_of", "key_of", "section", "tile"]

SOURCES: dict[str, str] = {"check": "a check of yours", "feedback": "users' feedback", "grader": "your grader"}
"""Who grades, as a reader is told."""


def section(key: str, title: str, *children: Child) -> Markup:
    """Return a section with its heading."""
    return el("section", el("h2", title, id=f"{key}-title"), *children, id=key, aria_labelledby=f"{key}-title")


def tile(title: str, value: str, beside: Child) -> Markup:
    """Return one figure in large print, for a `dl` of the class `tiles`."""
    return el("div", el("dt", title), el("dd", el("strong", value), el("span", beside)))


def colours_of(report: Report) -> dict[str, str]:
    """Return the class of each tier of the ladder that has its colour."""
    names = report.ladder.names
    return {tier: tier_colour(place, len(names)) for place, tier in enumerate(names)}


def key_of(report: Report) -> Markup:
    """Return what the tiers' colours mean."""
    colours = colours_of(report)
    shown = [(colours[tier], name(tier)) for tier in report.ladder.names]
    if any(tier not in colours for tier in used(report.answers.finals, report.ladder)):
        shown.append(("t-other", "former tiers"))
    return legend(shown)

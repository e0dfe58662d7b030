"""The page: one HTML file that needs no network and runs no script."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from llm_tiers.report.sections import (
    answers_section,
    calibration_section,
    frontier_section,
    grades_section,
    headline,
    method_section,
    nodes_section,
    observed_section,
    proofs_section,
    times_section,
)
from llm_tiers.telling.markup import Markup, el, join
from llm_tiers.telling.wording import name

if TYPE_CHECKING:
    from llm_tiers.report.figures import Report

__all__ = ["page_of"]

_ALLOWED = "default-src 'none'; style-src 'unsafe-inline'"
"""The page may load nothing and run nothing, so that a name from a history could do no harm even if it got through."""

_PLACES = (
    ("observed", "Observed"),
    ("place", "Where you stand"),
    ("time", "Over time"),
    ("nodes", "Nodes"),
    ("answers", "Agreement"),
    ("grades", "Grades"),
    ("calibration", "Confidence"),
    ("proofs", "Certificates"),
    ("method", "Method"),
)


def page_of(report: Report) -> str:
    """Return the report as an HTML page."""
    style = Markup(files("llm_tiers.report").joinpath("page.css").read_text(encoding="utf-8"))
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=_ALLOWED),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("title", f"llm-tiers report: {name(report.where)}"),
        el("style", style),
    )
    places = _PLACES if report.observed is not None else _PLACES[1:]
    links = el("nav", *(el("a", title, href=f"#{key}") for key, title in places), aria_label="Sections")
    body = el(
        "body",
        el("a", "To the figures", href="#main", class_="skip"),
        el("header", headline(report)),
        links,
        el(
            "main",
            observed_section(report.observed),
            frontier_section(report),
            times_section(report),
            nodes_section(report),
            answers_section(report),
            el("div", grades_section(report), calibration_section(report), class_="pair"),
            proofs_section(report),
            method_section(report),
            id="main",
        ),
    )
    return f"<!doctype html>\n{el('html', join([head, body]), lang='en')}\n"

"""Charts in HTML and CSS: their texts keep their size on a phone, and a table says the same to who cannot see them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

from llm_tiers.telling.markup import Child, Markup, el, join
from llm_tiers.telling.wording import name

__all__ = ["Dot", "bars", "figure", "legend", "mapped", "nice_ticks", "scatter", "stack", "table", "tier_colour"]

_COLOURS = 8


def tier_colour(place: int, of: int) -> str:
    """Return the class with a tier's colour: light for the cheapest, dark for the dearest."""
    return f"t{round(place * (_COLOURS - 1) / max(of - 1, 1))}" if of > 1 else "t4"


def figure(title: str, says: Child, chart: Markup | None, details: Markup, *, key: Markup | None = None) -> Markup:
    """Return a chart with its title, what it says, and its figures as a table that unfolds.

    Args:
        title: The heading.
        says: A sentence that says what is to be seen.
        chart: The drawing; it is hidden from screen readers, who get the sentence and the table.
        details: The table.
        key: What the colours mean.
    """
    drawn = None if chart is None else el("div", chart, class_="plot-frame", aria_hidden="true")
    folded = el("details", el("summary", "The figures as a table"), details)
    return el("figure", el("h3", title), el("figcaption", says), key, drawn, folded)


def legend(names: Sequence[tuple[str, str]]) -> Markup:
    """Return what colours mean: pairs of a class and a name."""
    return el("ul", *(el("li", el("i", class_=colour), el("bdi", label)) for colour, label in names), class_="legend")


def table(caption: str, heads: Sequence[str], rows: Sequence[Sequence[Child]], *, note: Child = None) -> Markup:
    """Return a table; the first column names the row, the others hold numbers.

    Args:
        caption: What the table is, for screen readers.
        heads: The heads of the columns.
        rows: The rows.
        note: What stands below it.
    """
    head = el("tr", *(el("th", one, scope="col") for one in heads))
    body = [
        el(
            "tr",
            el("th", row[0], scope="row"),
            *(el("td", cell, data_head=one) for one, cell in zip(heads[1:], row[1:], strict=True)),
        )
        for row in rows
    ]
    shown = el("table", el("caption", caption), el("thead", head), el("tbody", *body))
    # A region that scrolls must be reachable by keyboard.
    frame = el("div", shown, class_="scroll", tabindex="0", role="region", aria_label=caption)
    return join([frame, None if note is None else el("p", note, class_="note")])


def stack(parts: Sequence[tuple[str, str, float]], *, total: float | None = None) -> Markup:
    """Return one bar of parts side by side: each a class, a label and a value."""
    whole = total or sum(value for _, _, value in parts)
    shown = [
        el("i", class_=colour, style=f"flex-basis:{100 * value / whole:.3f}%", title=label)
        for colour, label, value in parts
        if whole and value
    ]
    said = ", ".join(label for _, label, value in parts if value)
    return join([el("div", *shown, class_="stack", aria_hidden="true"), el("span", said, class_="unseen")])


def bars(
    columns: Sequence[tuple[str, Sequence[tuple[str, str, float]], float | None]],
    *,
    most: float | None = None,
    labels: tuple[str, str] = ("", ""),
    percent: bool = False,
) -> Markup:
    """Return upright bars over time.

    Args:
        columns: A label; the parts of the bar from below, each with class, label and value; and where a line is drawn
            across it, or None.
        most: The value at the top; by default the largest.
        labels: What stands below the first and the last bar.
        percent: Whether the values are shares.
    """
    highest = most or max((max(sum(part[2] for part in parts), mark or 0.0) for _, parts, mark in columns), default=0.0)
    top = _nice(highest)
    drawn = []
    for label, parts, mark in columns:
        pieces = [
            el("i", class_=colour, style=f"height:{100 * value / top:.3f}%", title=f"{label}: {of}")
            for colour, of, value in parts
            if value
        ]
        line = None if mark is None else el("b", style=f"bottom:{100 * mark / top:.3f}%")
        drawn.append(el("div", el("span", *pieces, class_="pile"), line, class_="bar"))
    ticks = [
        el("span", f"{100 * share:g}%" if percent else _number(top * share), style=f"bottom:{100 * share:g}%")
        for share in (0, 0.5, 1)
    ]
    return el(
        "div",
        el("div", *ticks, class_="y-axis"),
        el("div", *drawn, class_="bars"),
        el("div", el("span", labels[0]), el("span", labels[1]), class_="x-ends"),
        class_="timeline",
    )


@dataclass(frozen=True, slots=True)
class Dot:
    """A point of a scatter plot.

    Attributes:
        x: Its place on the horizontal axis.
        y: Its place on the vertical axis.
        label: What its tooltip says.
        kind: Its class.
        name: What stands beside it; None for nothing.
        low: Lower end of its interval, or None.
        high: Upper end of its interval, or None.
    """

    x: float
    y: float
    label: str
    kind: str = "dot"
    name: str | None = None
    low: float | None = None
    high: float | None = None


def scatter(
    dots: Sequence[Dot],
    *,
    path: Sequence[tuple[float, float]] = (),
    path_kind: str = "path",
    x_range: tuple[float, float],
    y_range: tuple[float, float],
    x_ticks: Sequence[tuple[float, str]],
    y_ticks: Sequence[tuple[float, str]],
    x_name: str,
    y_name: str,
    square: bool = False,
) -> Markup:
    """Return a scatter plot with a path through it.

    Args:
        dots: The points.
        path: Where the path leads.
        path_kind: Its class.
        x_range: Ends of the horizontal axis.
        y_range: Ends of the vertical axis.
        x_ticks: Values on it with what stands there.
        y_ticks: Values on the vertical axis with what stands there.
        x_name: Name of the horizontal axis.
        y_name: Name of the vertical axis.
        square: Whether both axes are of one length.
    """

    def across(x: float) -> float:
        return _percent(x, x_range)

    def up(y: float) -> float:
        return _percent(y, y_range)

    points = " ".join(f"{across(x):.2f},{100 - up(y):.2f}" for x, y in path)
    line = el(
        "svg",
        el("polyline", points=points, class_=path_kind) if points else None,
        viewBox="0 0 100 100",
        preserveAspectRatio="none",
        focusable="false",
    )
    whiskers = [
        el(
            "b",
            class_="whisker",
            style=f"left:{across(dot.x):.2f}%;bottom:{up(dot.low):.2f}%;height:{up(dot.high) - up(dot.low):.2f}%",
        )
        for dot in dots
        if dot.low is not None and dot.high is not None
    ]
    shown = []
    for dot in dots:
        x, y = across(dot.x), up(dot.y)
        # A name at the right end would leave the plot, so it stands to the left there.
        beside = None if dot.name is None else el("span", dot.name, class_="left" if x > 62 else "right")  # noqa: PLR2004
        shown.append(
            el("i", beside, class_=f"{dot.kind} point", style=f"left:{x:.2f}%;bottom:{y:.2f}%", title=dot.label)
        )
    grid_y = [el("span", text, style=f"bottom:{up(y):.2f}%") for y, text in y_ticks]
    grid_x = [el("span", text, style=f"left:{across(x):.2f}%") for x, text in x_ticks]
    rules = [el("hr", style=f"bottom:{up(y):.2f}%") for y, _ in y_ticks]
    return el(
        "div",
        el("div", y_name, class_="y-name"),
        el("div", *grid_y, class_="y-axis"),
        el("div", *rules, line, *whiskers, *shown, class_="plane"),
        el("div", *grid_x, class_="x-axis"),
        el("div", x_name, class_="x-name"),
        class_="scatter square" if square else "scatter",
    )


def _percent(value: float, ends: tuple[float, float]) -> float:
    low, high = ends
    return min(max(100 * (value - low) / (high - low), 0.0), 100.0) if high > low else 50.0


def _nice(value: float) -> float:
    """Return the next round number from a value up."""
    if value <= 0:
        return 1.0
    unit = 10.0 ** floor(log10(value))
    return next(step * unit for step in (1, 2, 4, 5, 6, 8, 10) if step * unit >= value * (1 - 1e-9))


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"  # noqa: PLR2004


def nice_ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Return round numbers between two."""
    if high <= low:
        return [low]
    unit = 10.0 ** floor(log10((high - low) / most))
    step = next(step * unit for step in (1, 2, 2.5, 5, 10) if (high - low) / (step * unit) <= most)
    return [round(step * place, 12) for place in range(ceil(low / step - 1e-9), floor(high / step + 1e-9) + 1)]


def mapped(
    counts: Mapping[str, float], colours: Mapping[str, str], unit: str = "calls"
) -> list[tuple[str, str, float]]:
    """Return counts by tier as parts of a bar."""
    return [
        (colours.get(tier, "t-other"), f"{name(tier)}: {value:,.0f} {unit}", value) for tier, value in counts.items()
    ]

"""The report in a terminal: the same figures in a few lines and two tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

from llm_tiers.telling.wording import DASH, calls, count, days, name, percent, share, usd

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from llm_tiers.report.figures import Report

__all__ = ["summary_of"]

_MOST_NODES = 12


def summary_of(report: Report) -> Iterator[RenderableType]:
    """Yield what to print, in order; names from the history stand in it as plain text."""
    yield _headline(report)
    yield Text()
    yield _tiers(report)
    yield _nodes(report)
    yield from map(Text, _facts(report))


def _headline(report: Report) -> Text:
    money, top = report.money, report.top
    saved, part = money.saved(top), money.saved_share(top)
    dates = f"{calls(money.calls)}, {days(report.first, report.last)}"
    if saved is None or part is None or not money.priced:
        return Text(f"What was saved is not known: these calls have no prices. ({dates})")
    alone = money.alone[top or ""]
    guessed = f", an estimate on {percent(alone.estimated / money.priced)} of the calls" if alone.estimated else ""
    claim = f"Saved {percent(part)}" if saved >= 0 else f"Cost {percent(-part)} more than {name(top)} alone"
    rest = f": {usd(money.spent)} where {name(top)} alone would have cost {usd(alone.usd)}{guessed}. {dates}."
    text = Text(claim, style="bold green" if saved >= 0 else "bold red")
    text.append(rest, style="not bold default")
    if money.priced < money.calls:
        text.append(
            f" {count(money.calls - money.priced)} calls without a known cost are left out.", style="not bold default"
        )
    return text


def _tiers(report: Report) -> Table:
    table = _table("tier", "answered", "alone", "as the top", "right")
    for tier in report.ladder.everybody:
        alone = report.money.alone.get(tier)
        place = None if report.frontier is None else report.frontier.alone(tier)
        table.add_row(
            Text(name(tier)),
            percent(report.answers.finals.get(tier, 0) / report.answers.calls),
            DASH if alone is None else usd(alone.usd),
            share(report.answers.like_top.get(tier)),
            DASH if place is None else share(place.right),
        )
    here = None if report.frontier is None else report.frontier.here
    table.add_section()
    table.add_row(Text("llm-tiers"), "", usd(report.money.spent), "", DASH if here is None else share(here.right))
    return table


def _table(first: str, *others: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(first)
    for head in others:
        table.add_column(head, justify="right")
    return table


def _nodes(report: Report) -> Table:
    table = _table("node", "calls", "spent", "saved", "escalated", "rule now")
    for node in report.nodes[:_MOST_NODES]:
        escalated = node.answers.escalated
        table.add_row(
            Text(f"{node.nodes} more nodes" if node.name is None else name(node.name)),
            count(node.money.calls),
            usd(node.money.spent) if node.money.priced else DASH,
            percent(node.money.saved_share(node.ladder.top)),
            DASH if escalated is None else percent(escalated.value),
            Text(DASH if node.rule is None else name(node.rule)),
        )
    more = len(report.nodes) - _MOST_NODES
    if more > 0:
        table.caption = f"and {more} more rows: --out FILE.html or --json has them"
    return table


def _facts(report: Report) -> Iterator[str]:
    found = report.answers
    if report.observed is not None:
        yield from str(report.observed).splitlines()
    if found.escalated is not None:
        yield f"{share(found.escalated)} of the calls went on to a further tier after the first step."
    for source, number in found.graded.items():
        yield f"{calls(number)} graded by {source}: returned answers {share(found.returned.get(source))}."
    if report.calibration is not None:
        error = 100 * report.calibration.error
        graded = count(report.calibration.calls)
        yield f"Stated confidence and grades are {error:.1f} points apart on {graded} graded calls."
    at = report.frontier
    if at is not None and at.graded < 1:
        yield "Where answers are not graded, 'right' is an estimate from how the tiers agree."
    for node in report.nodes:
        if node.proof is not None:
            mixture = ", ".join(f"{name(rule)} on {percent(part)}" for rule, part in node.proof.rules.items())
            worse = f"worse than the top tier on at most {node.proof.delta:.1%}"
            yield f"{name(node.name)}, {worse}: {mixture or 'not proved yet'}."

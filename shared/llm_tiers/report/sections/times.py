"""What was spent and who answered, over time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_tiers.report.charts import bars, figure, legend, mapped, table
from llm_tiers.report.figures import used
from llm_tiers.report.sections.parts import colours_of, key_of, section
from llm_tiers.telling.markup import Markup, bdi, join
from llm_tiers.telling.wording import DASH, count, day, name, percent, usd

if TYPE_CHECKING:
    from llm_tiers.report.figures import Report

__all__ = ["times_section"]


def times_section(report: Report) -> Markup:
    """Return what was spent and who answered, step by step."""
    periods, colours = report.periods, colours_of(report)
    step = periods[0].seconds
    ends = (day(periods[0].begin, step), day(periods[-1].begin, step))
    top = report.top or ""
    spent = [
        (
            day(period.begin, step),
            [("spent", f"{usd(period.money.spent)} spent", period.money.spent)],
            period.money.alone[top].usd if top in period.money.alone else None,
        )
        for period in periods
    ]
    mix = [
        (
            day(period.begin, step),
            [
                (colour, text, value / sum(period.finals.values()))
                for colour, text, value in mapped(used(period.finals, report.ladder), colours)
                if value
            ],
            None,
        )
        for period in periods
    ]
    money_rows = [
        (
            day(period.begin, step),
            count(period.money.calls),
            usd(period.money.spent),
            usd(period.money.alone[top].usd) if top in period.money.alone else DASH,
            percent(period.money.saved_share(top)),
        )
        for period in periods
    ]
    tiers = [tier for tier, number in used(report.answers.finals, report.ladder).items() if number or tier in colours]
    mix_rows = [(day(period.begin, step), *(count(period.finals.get(tier, 0)) for tier in tiers)) for period in periods]
    length = _length(step)
    return section(
        "time",
        "Over time",
        figure(
            "Spent, and what the top tier alone would have cost",
            join(
                [
                    f"US$ by {length}; the mark is ",
                    bdi(name(report.top)),
                    " alone, by its usual cost where it was not asked.",
                ]
            ),
            bars(spent, labels=ends),
            table(
                f"Spent by {length}",
                (f"{length.capitalize()} from", "Calls", "Spent", f"{name(report.top)} alone", "Saved"),
                money_rows,
            ),
            key=legend([("spent", "spent"), ("mark", f"{name(report.top)} alone")]),
        ),
        figure(
            "Who answered",
            f"Share of the calls by {length} that each tier answered in the end.",
            bars(mix, most=1.0, labels=ends, percent=True),
            table(f"Calls by {length} and tier", (f"{length.capitalize()} from", *map(name, tiers)), mix_rows),
            key=key_of(report),
        ),
    )


def _length(step: int) -> str:
    named = {60: "minute", 600: "ten minutes", 3_600: "hour", 21_600: "six hours", 86_400: "day", 604_800: "week"}
    named |= {4 * 604_800: "four weeks", 52 * 604_800: "52 weeks"}
    return named.get(step, f"{step / 86_400:,.0f} days")

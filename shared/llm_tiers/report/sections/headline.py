"""The claim of the page and the few figures that carry it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_tiers.report.sections.parts import tile
from llm_tiers.telling.markup import Child, Markup, bdi, el, join
from llm_tiers.telling.wording import DASH, calls, count, days, name, percent, usd

if TYPE_CHECKING:
    from llm_tiers.report.figures import Report

__all__ = ["headline"]


def headline(report: Report) -> Markup:
    """Return the claim of the page and the few figures that carry it."""
    money, top = report.money, report.top
    tier = name(top)
    saved, of_top = money.saved(top), money.saved_share(top)
    if saved is None or of_top is None or money.priced == 0:
        claim: Child = "What was saved is not known: these calls have no prices"
        says: Child = "Give the tiers prices (Tier(model, price=...)), and further calls have their costs."
    else:
        claim = f"Saved {percent(of_top)}" if saved >= 0 else f"Cost {percent(-of_top)} more than the top tier alone"
        says = join(
            [
                f"{count(money.priced)} calls cost {usd(money.spent)}, learning and grading included. ",
                bdi(tier),
                f" alone would have cost {usd(money.alone[top or ''].usd)}",
                _guessed(report, top),
                ".",
            ]
        )
    unpriced = money.calls - money.priced
    left_out = el("p", f"{count(unpriced)} more calls have no known cost and are left out of the sums.", class_="note")
    return join(
        [
            el("p", _about(report), class_="kicker"),
            el("h1", claim),
            el("p", says, class_="lead"),
            left_out if unpriced and money.priced else None,
            _tiles(report),
        ]
    )


def _about(report: Report) -> Markup:
    where = join([el("span", bdi(name(report.where, 120)))] if report.where else [])
    return join(
        [
            "llm-tiers report ",
            where,
            f" · {days(report.first, report.last)} · {calls(report.money.calls)}",
        ]
    )


def _guessed(report: Report, tier: str | None) -> str:
    alone = report.money.alone.get(tier or "")
    if alone is None or not alone.estimated:
        return ""
    return f" (an estimate: on {percent(alone.estimated / report.money.priced)} of the calls it was not asked)"


def _tiles(report: Report) -> Markup:
    money, top, single, at = report.money, report.top, report.best_single, report.frontier
    tiles = [
        tile(
            "Spent",
            usd(money.spent) if money.priced else DASH,
            f"{usd(money.spent / money.priced)} a call" if money.priced else "",
        ),
        tile(
            "Saved against the top tier",
            usd(money.saved(top)),
            join([percent(money.saved_share(top)), " of ", bdi(name(top)), " alone"]),
        ),
    ]
    if single != top:
        tiles.append(
            tile(
                "Saved against the best single tier",
                usd(money.saved(single)),
                join([percent(money.saved_share(single)), " of ", bdi(name(single)), " alone"]),
            )
        )
    if at is not None:
        alone = at.alone(top or "")
        beside = f"{name(top)} alone: {percent(alone.right.value)}" if alone is not None else ""
        tiles.append(
            tile(
                "Right answers" if at.graded == 1 else "Right answers, estimated", percent(at.here.right.value), beside
            )
        )
    escalated = report.answers.escalated
    if escalated is not None:
        tiles.append(tile("Escalated", percent(escalated.value), "of the calls went beyond the first step"))
    return el("dl", *tiles, class_="tiles")

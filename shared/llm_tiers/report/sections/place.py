"""Where the traffic stands between cost and right answers, among the rules of the menu."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_tiers.report.charts import Dot, figure, nice_ticks, scatter, table
from llm_tiers.report.sections.parts import SOURCES, section
from llm_tiers.telling.markup import Child, Markup, bdi, el, join
from llm_tiers.telling.wording import MINUS, count, name, percent, share, usd

if TYPE_CHECKING:
    from llm_tiers.report.figures import Report
    from llm_tiers.report.frontier import Frontier

__all__ = ["frontier_section"]


def frontier_section(report: Report) -> Markup:
    """Return "you are here" among the rules of the menu."""
    found = report.frontier
    if found is None:
        return section("place", "Where you stand", el("p", _too_few(report)))
    rows = [
        (name(rule.name), usd(1000 * rule.cost), share(rule.right, 1), "yes" if rule.best else "")
        for rule in found.rules
    ]
    here = ("You are here", usd(1000 * found.here.cost), share(found.here.right, 1), "")
    shown = table(
        "Rules, what they cost and how often they are right",
        ("Rule", "US$ per 1,000 calls", "Right (90% interval)", "On the frontier"),
        [here, *rows],
        note="a+b>c: a and b answer; if they agree b's answer is returned, else c is asked. a~b: a answers, and b if a "
        "does not.",
    )
    return section(
        "place",
        "Where you stand",
        figure("Cost and right answers", _place_says(report, found), _plane(found), shown),
        el("p", _rests_on(found), class_="note"),
    )


def _too_few(report: Report) -> str:
    profiled = report.answers.profiled
    return (
        f"To place your traffic, all tiers must have answered at least ten calls of a node; {count(profiled)} calls "
        "were drawn for that so far. The default policy draws them by itself; audit=0.02 has every fiftieth call drawn "
        "under any policy."
    )


def _place_says(report: Report, found: Frontier) -> Markup:
    top = bdi(name(report.top))
    if found.ahead_low > 0:
        verdict: list[Child] = ["Your answers are right more often than those of ", top]
    elif found.ahead_high < 0:
        verdict = ["Your answers are right less often than those of ", top]
    else:
        verdict = ["No difference from ", top, " is proved"]
    low, high = 100 * found.ahead_low, 100 * found.ahead_high
    verdict.append(
        f": {_signed(100 * found.ahead)} points, with 90% confidence between {_signed(low)} and {_signed(high)}. "
        "Left is cheaper, up is right more often; the line joins the rules that nothing else beats at both."
    )
    return join(verdict)


def _signed(value: float) -> str:
    return f"{MINUS if value < -0.05 else '+' if value > 0.05 else ''}{abs(value):.1f}"  # noqa: PLR2004


def _rests_on(found: Frontier) -> str:
    graded = (
        f"At nodes with {percent(found.graded)} of these calls, right is what {SOURCES[found.source]} says"
        if found.source is not None
        else "Nobody has graded answers"
    )
    elsewhere = "" if found.graded == 1 else "; elsewhere it is an estimate from how the tiers agree"
    if found.source is None:
        elsewhere = ", so right is an estimate from how the tiers agree: grade= or feedback would make it known"
    return (
        f"Every rule is replayed on {count(found.calls)} calls that all tiers answered, of nodes with "
        f"{percent(found.share)} of all calls. {graded}{elsewhere}. Your own cost includes learning and grading; "
        "the rules' costs do not."
    )


def _plane(found: Frontier) -> Markup:
    # A rule that costs as much as the top tier with another one would push all others to the left.
    rules = [rule for rule in found.rules if rule.best or rule.single or "~" not in rule.name]
    costs = [1000 * rule.cost for rule in rules] + [1000 * found.here.cost]
    heights = [rule.right.value for rule in rules] + [found.here.right.value]
    low, high = min(heights), max(heights)
    margin = max((high - low) * 0.12, 0.01)
    y_range = (max(low - margin, 0.0), min(high + margin, 1.0))
    x_range = (0.0, max(costs) * 1.06 or 1.0)
    best = [rule for rule in rules if rule.best]
    dots = [
        Dot(
            1000 * rule.cost,
            rule.right.value,
            f"{name(rule.name)}: {usd(1000 * rule.cost)} per 1,000 calls, right {share(rule.right)}",
            "dot best" if rule.best else "dot",
            name(rule.name, 28) if rule.single else None,
        )
        for rule in rules
    ]
    here = found.here
    dots.append(
        Dot(
            1000 * here.cost,
            here.right.value,
            f"You are here: {usd(1000 * here.cost)} per 1,000 calls, right {share(here.right)}",
            "here",
            "You are here",
        )
    )
    step = nice_ticks(*x_range)
    return scatter(
        dots,
        path=[(1000 * rule.cost, rule.right.value) for rule in best],
        x_range=x_range,
        y_range=y_range,
        x_ticks=[(x, f"{x:g}") for x in step],
        y_ticks=[(y, f"{100 * y:g}%") for y in nice_ticks(*y_range, most=4)],
        x_name="US$ per 1,000 calls",
        y_name="Right answers",
    )

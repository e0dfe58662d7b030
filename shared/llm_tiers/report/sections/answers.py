"""Agreement, escalation, grades and confidence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_tiers.report.charts import Dot, figure, scatter, table
from llm_tiers.report.figures import used
from llm_tiers.report.sections.parts import SOURCES, section
from llm_tiers.telling.markup import Child, Markup, bdi, el, join
from llm_tiers.telling.wording import count, name, percent, share

if TYPE_CHECKING:
    from llm_tiers.report.figures import Report

__all__ = ["answers_section", "calibration_section", "grades_section"]

_NO_SAMPLE = (
    "Sources are never mixed. Feedback is what users chose to comment on, so it is no sample of all calls; a tier that "
    "is only asked on hard calls looks worse than it is."
)


def answers_section(report: Report) -> Markup:
    """Return how often tiers agree and calls go on to a dearer tier."""
    found = report.answers
    tiers = [tier for tier in report.ladder.names if tier in found.like_top]
    chart = el(
        "div",
        *(
            el(
                "div",
                el("span", bdi(name(tier)), class_="label"),
                el("span", el("i", style=f"width:{100 * found.like_top[tier].value:.2f}%"), class_="track"),
                el("span", percent(found.like_top[tier].value), class_="value"),
                class_="meter",
            )
            for tier in tiers
        ),
        class_="meters",
    )
    rows = [(name(tier), share(found.like_top[tier], 1), count(found.like_top[tier].of)) for tier in tiers]
    facts = [
        (
            f"{share(found.escalated)} of the calls went on to a further tier after the first step."
            if found.escalated
            else None
        ),
        (
            f"{share(found.agreed)} of the calls that two tiers or more answered returned an answer that another "
            "tier gave too."
            if found.agreed
            else None
        ),
        f"{count(found.profiled)} of {count(found.calls)} calls were drawn by lot to be answered by other tiers too.",
    ]
    says = join([el("p", fact) for fact in facts if fact is not None])
    if not tiers:
        return section("answers", "Agreement and escalation", says)
    return section(
        "answers",
        "Agreement and escalation",
        says,
        figure(
            "Same answer as the top tier",
            join(
                ["How often each tier gave the answer of ", bdi(name(report.top)), ", on calls that were drawn by lot."]
            ),
            chart,
            table("Same answer as the top tier", ("Tier", "Same answer (90% interval)", "Calls"), rows),
        ),
    )


def grades_section(report: Report) -> Markup:
    """Return what each source of grades says of each tier."""
    found = report.answers
    if not found.graded:
        says = "No answer has been graded. grade= grades the calls that all tiers answer; "
        "feedback() records what users say."
        return section("grades", "Grades", el("p", says))
    tiers = [tier for tier in used({}, report.ladder) if any(tier in means for means in found.grades.values())]
    returned = ("Returned answers", *(share(found.returned.get(source)) for source in found.grades))
    rows = [(bdi(name(tier)), *(share(means.get(tier)) for means in found.grades.values())) for tier in tiers]
    heads = ("", *(f"By {SOURCES.get(source, source)}, {count(found.graded[source])} calls" for source in found.grades))
    own = found.contradictions
    notes: list[Child] = [_NO_SAMPLE]
    if own.pairs:
        notes.append(
            f" A grader that compared in both orders contradicted itself on {percent(own.share)} of "
            f"{count(own.pairs)} pairs."
        )
    return section(
        "grades",
        "Grades by source",
        table(
            "Mean grade by tier and source, with 90% intervals",
            heads,
            [returned, *rows],
            note=join(notes),
        ),
    )


def calibration_section(report: Report) -> Markup:
    """Return whether answers are right as often as their confidence says."""
    found = report.calibration
    if found is None:
        says = "No graded call states a confidence, so whether it is kept is not known."
        return section("calibration", "Confidence", el("p", says))
    dots = [
        Dot(
            one.confidence,
            one.right.value,
            f"stated {percent(one.confidence)}, right {share(one.right)}, {count(one.right.of)} calls",
            "dot best",
            None,
            one.right.low,
            one.right.high,
        )
        for one in found.bins
    ]
    quarters = [(x / 4, f"{25 * x}%") for x in range(5)]
    chart = scatter(
        dots,
        path=[(0, 0), (1, 1)],
        path_kind="diagonal",
        x_range=(0, 1),
        y_range=(0, 1),
        x_ticks=quarters,
        y_ticks=quarters,
        x_name="Stated confidence",
        y_name="Right answers",
        square=True,
    )
    rows = [(percent(one.confidence), share(one.right), count(one.right.of)) for one in found.bins]
    says = (
        f"On {count(found.calls)} graded calls, confidence and grades are {100 * found.error:.1f} points apart on "
        "average. Points on the diagonal keep what they state; the bars are 90% intervals."
    )
    shown = table("Stated confidence and right answers", ("Confidence", "Right (90% interval)", "Calls"), rows)
    return section("calibration", "Confidence", figure("Is the confidence kept?", says, chart, shown))

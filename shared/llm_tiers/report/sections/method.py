"""How the figures are made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_tiers.report.sections.parts import section
from llm_tiers.telling.markup import Child, Markup, bdi, el, join
from llm_tiers.telling.wording import name

if TYPE_CHECKING:
    from llm_tiers.report.figures import Report

__all__ = ["method_section"]


def method_section(report: Report) -> Markup:
    """Return how the figures are made."""
    former = report.ladder.former
    items: list[Child] = [
        "Spent is what was paid for answers, witnesses, judges, learning and grading, where prices are known.",
        (
            "What a tier alone would have cost is known on calls that it answered. On the others its usual cost stands "
            "there: the mean of its answers at the node, of calls drawn by lot where there are enough. So everything "
            "that is saved is an estimate as far as the tier was not asked."
        ),
        (
            "The best single tier is the one that is right most often alone, where answers are graded; without grades "
            "it is the top tier."
        ),
        "Intervals are 90% intervals. Times are UTC.",
        (
            "A history keeps the calls that teach something, as far as its capacity goes; calls that failed or were "
            "cancelled are not in it."
        ),
    ]
    if former:
        items.append(join(["Former tiers: ", *(join([bdi(name(tier)), " "]) for tier in former[:20])]))
    return section("method", "How the figures are made", el("ul", *(el("li", item) for item in items)))

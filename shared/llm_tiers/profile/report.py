"""A profile's findings, as the command line prints them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from llm_tiers.profile.profiling import Profile

__all__ = ["lines_of", "table_of"]

_MOST_REASONS = 3
"""The most frequent reasons that are printed; providers' messages with ids in them would fill the screen."""


def table_of(found: Profile) -> Table:
    """Return a table with one row for each tier; the heading says what right means."""
    table = Table(
        title=f"{found.rows} of {found.questions} questions",
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 0, 0, 1),
        pad_edge=False,
    )
    table.add_column("tier")
    for heading in (found.right_means, "US$ / 1,000 calls", "median s"):
        table.add_column(Text(heading), justify="right")
    for tier in found.tiers:
        # As `Text`: rich would read "llama[fast]" as markup and drop what is in the brackets.
        table.add_row(Text(tier.name), f"{tier.right:.3f}", f"{tier.usd:.4g}", f"{tier.seconds:.1f}")
    return table


def lines_of(found: Profile, out: Path, kept: Path) -> Iterator[str]:
    """Yield what a user should know besides the table, one line each."""
    if found.stopped is not None:
        yield f"stopped: {found.stopped}"
    if found.unanswered:
        yield f"{found.unanswered} questions lack the answer of a tier; the same command asks for them again"
        yield from _counted(found.failures)
    if found.ungraded:
        yield (
            f"{found.ungraded} questions are not in the file, because not every answer to them could be graded; the "
            "figures are for the other questions only"
        )
    yield from _counted(found.problems)
    if found.undecided:
        yield f"{found.undecided} answers are in words that cannot be compared, and count as unlike any other"
    if found.estimated:
        yield f"{found.estimated} answers came without token counts, so their tokens and costs are estimates"
    if found.tiers and found.right_means != "right":
        yield (
            f"there are no keys and no --check: right means {found.right_means}, "
            "and so do all figures made of this file"
        )
    yield f"spent: US$ {found.spent:.4g}, all runs together"
    yield f"answers: {kept} (it holds their text; remove it when you need no further run)"
    if found.tiers:
        yield f"replay file: {out}"
    else:
        yield "no replay file: no question is complete"


def _counted(reasons: dict[str, int]) -> Iterator[str]:
    most = sorted(reasons.items(), key=lambda item: -item[1])[:_MOST_REASONS]
    for reason, count in most:
        yield f"  {count} x {reason}"

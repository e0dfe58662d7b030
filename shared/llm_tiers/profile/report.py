"""What a profile found, as the command line prints it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table

if TYPE_CHECKING:
    from llm_tiers.profile.profiling import Profile

__all__ = ["lines_of", "table_of"]

_MOST_REASONS = 3


def table_of(found: Profile) -> Table:
    """Return a row a tier; the heading says what right means."""
    table = Table(
        title=f"{found.rows} of {found.questions} questions",
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 0, 0, 1),
        pad_edge=False,
    )
    table.add_column("tier")
    for heading in (found.right_means, "US$ / 1,000 calls", "median s"):
        table.add_column(heading, justify="right")
    for tier in found.tiers:
        table.add_row(tier.name, f"{tier.right:.3f}", f"{tier.usd:.4g}", f"{tier.seconds:.1f}")
    return table


def lines_of(found: Profile, out: Path, kept: Path) -> Iterator[str]:
    """Yield what a user should know beside the table, one line each."""
    if found.stopped is not None:
        yield f"stopped: {found.stopped}"
    if found.unanswered:
        yield f"{found.unanswered} questions lack the answer of a tier; the same command asks for them again"
        yield from _counted(found.failures)
    if found.ungraded:
        yield (
            f"{found.ungraded} questions are not in the file, since it is not known of every answer whether it is right"
        )
        if found.right_means != "right":
            yield "answers could not be compared with the top tier's; give keys, or --check with a function"
    yield from _counted(found.problems)
    if found.estimated:
        yield f"{found.estimated} answers came without token counts, so their tokens and costs are estimates"
    if found.tiers and found.right_means != "right":
        yield (
            f"no keys and no --check were given: right means {found.right_means}, in all figures made of this file too"
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

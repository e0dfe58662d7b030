"""What tiering would have done on the calls that one tier served."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_tiers.report.charts import table
from llm_tiers.report.sections.parts import SOURCES, section
from llm_tiers.telling.markup import Markup, el
from llm_tiers.telling.wording import DASH, count, percent, usd

if TYPE_CHECKING:
    from llm_tiers.policies.rollout.observed import Interval, Observed

__all__ = ["observed_section"]


def observed_section(observed: Observed | None) -> Markup | None:
    """Return what tiering would have cost, and how often its answers would have been as good; None without calls."""
    if observed is None:
        return None
    rows = [
        ("1,000 calls as they are", _of_thousand(observed.served_usd)),
        ("1,000 calls tiered", _of_thousand(observed.tiered_usd)),
        ("Saved", _percent(observed.saved)),
        ("The same answer", _percent(observed.same)),
        (_as_good(observed), _percent(observed.as_good)),
    ]
    return section(
        "observed",
        "What tiering would have done",
        el(
            "p",
            f"One tier served {count(observed.calls)} calls as before. On {count(observed.asked)} of them, drawn by "
            f"lot, the other tiers were asked off the path, for {usd(observed.asking_usd)} in all.",
        ),
        table("Observed calls", ("", "Estimate (90% interval)"), rows),
        None if observed.as_good else el("p", "grade= or feedback would tell how often it is as good.", class_="note"),
    )


def _as_good(observed: Observed) -> str:
    graders = ", ".join(SOURCES.get(source, source) for source in observed.graded_by)
    return f"As good, says {graders}" if graders else "As good"


def _of_thousand(value: Interval | None) -> str:
    if value is None:
        return DASH
    return f"{usd(1000 * value.mean)} ({usd(1000 * value.low)} to {usd(1000 * value.high)})"


def _percent(value: Interval | None) -> str:
    if value is None:
        return DASH
    return f"{percent(value.mean)} ({percent(value.low)} to {percent(value.high)})"

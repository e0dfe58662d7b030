"""What tiering would have done on the calls that one tier served."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_tiers.report.sections.parts import SOURCES, section, tile
from llm_tiers.telling.markup import Markup, el
from llm_tiers.telling.wording import DASH, calls, count, percent, usd

if TYPE_CHECKING:
    from llm_tiers.policies.rollout.observed import Interval, Observed

__all__ = ["observed_section"]

_TOO_FEW = "too few calls for a range"


def observed_section(observed: Observed | None) -> Markup | None:
    """Return what tiering would have cost, and how often its answers would have been as good; None without calls."""
    if observed is None:
        return None
    return section(
        "observed",
        "What tiering would have done",
        el(
            "p",
            f"One tier served {calls(observed.calls)} as before. On {count(observed.asked)} of them, drawn by "
            f"lot, the other tiers were asked off the path, for {usd(observed.asking_usd)} in all.",
        ),
        el(
            "dl",
            _dollars("1,000 calls as they are", observed.served_usd),
            _dollars("1,000 calls tiered", observed.tiered_usd),
            _percent("Saved", observed.saved),
            _percent("The same answer", observed.same),
            _percent(_as_good(observed), observed.as_good),
            class_="tiles",
        ),
        el("p", "The ranges are 90% intervals.", class_="note"),
        None if observed.as_good else el("p", "grade= or feedback would tell how often it is as good.", class_="note"),
    )


def _as_good(observed: Observed) -> str:
    graders = ", ".join(SOURCES.get(source, source) for source in observed.graded_by)
    return f"As good, says {graders}" if graders else "As good"


def _dollars(title: str, value: Interval | None) -> Markup:
    if value is None:
        return tile(title, DASH, "")
    if not value.bounded:
        return tile(title, usd(1000 * value.mean), _TOO_FEW)
    return tile(title, usd(1000 * value.mean), f"{usd(1000 * value.low)} to {usd(1000 * value.high)}")


def _percent(title: str, value: Interval | None) -> Markup:
    if value is None:
        return tile(title, DASH, "")
    if not value.bounded:
        return tile(title, percent(value.mean), _TOO_FEW)
    return tile(title, percent(value.mean), f"{percent(value.low)} to {percent(value.high)}")

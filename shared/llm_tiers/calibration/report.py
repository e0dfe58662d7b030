"""What a calibration found, as the command line prints it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table

from llm_tiers.calibration.fixed_rules import PREFIX
from llm_tiers.calibration.points import frontier
from llm_tiers.calibration.targets import AsGoodAs

if TYPE_CHECKING:
    from llm_tiers.calibration.calibrate import Calibration
    from llm_tiers.calibration.intervals import Interval
    from llm_tiers.calibration.points import Point

__all__ = ["advice", "table_of"]

_MARK = "→"


def table_of(found: Calibration) -> Table:
    """Return the single tiers, the frontier of the rules and that of every policy; the recommended row is marked."""
    sample, marked = found.sample, found.recommended
    right = "accuracy: share of right answers" if sample.right_means == "right" else f"accuracy: {sample.right_means}"
    seconds = any(point.seconds for point in found.points)
    table = Table(
        title=f"{', '.join(sample.names)}: {len(sample)} {'audited calls' if sample.from_history else 'questions'}",
        caption=f"{right}; in brackets 90% intervals; / top: cost as a share of the top's",
        title_justify="left",
        caption_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 0, 0, 1),
        pad_edge=False,
    )
    table.add_column("  policy")
    for heading in ("knob", "accuracy", "US$ / 1,000 calls", "/ top", *(["s"] if seconds else [])):
        table.add_column(heading, justify="right")
    for single in found.singles:
        table.add_row(*_cells(single, found, seconds=seconds), style="bold" if single is marked else None)
    table.add_section()
    for rule in _frontier_of_rules(found):
        table.add_row(*_cells(rule, found, seconds=seconds), style="bold" if rule is marked else None)
    table.add_section()
    # Points that another one beats in both would hide those to choose from.
    undominated = frontier(found.points)
    rows = [point for point in found.points if point in undominated or point is marked]
    for point in sorted(rows, key=lambda point: (point.policy, point.cost.mean)):
        table.add_row(*_cells(point, found, seconds=seconds), style="bold" if point is marked else None)
    return table


def _frontier_of_rules(found: Calibration) -> list[Point]:
    """Return the rules that no cheaper rule equals in accuracy, cheapest first; the recommended one is among them."""
    kept: list[Point] = []
    for rule in sorted(found.rules, key=lambda rule: (rule.cost.mean, -rule.accuracy.mean)):
        if not kept or rule.accuracy.mean > max(one.accuracy.mean for one in kept) or rule is found.recommended:
            kept.append(rule)
    return kept


def _cells(point: Point, found: Calibration, *, seconds: bool) -> list[str]:
    top = found.singles[-1].cost.mean
    cells = [
        f"{_MARK if point is found.recommended else ' '} {_name(point)}",
        "" if point.knob is None else f"{point.knob:g}",
        _share(point.accuracy),
        _cost(point.cost),
        f"{point.cost.mean / top:.2f}" if top else "",
    ]
    return [*cells, "" if point.seconds is None else f"{point.seconds:.1f}"] if seconds else cells


def _name(point: Point) -> str:
    return point.policy.replace("single:", "always ").removeprefix(PREFIX)


def _setting(point: Point) -> str:
    if point.policy.startswith(PREFIX):
        return f"rule {_name(point)}"
    return f"{_name(point)}" if point.knob is None else f"policy {point.policy}, knob {point.knob:g}"


def _share(interval: Interval) -> str:
    mean, low, high = (f"{share:.3f}".replace("0.", ".", 1) for share in (interval.mean, interval.low, interval.high))
    return f"{mean} [{low}, {high}]"


def _cost(interval: Interval) -> str:
    mean, low, high = (_money(cost) for cost in (interval.mean, interval.low, interval.high))
    return f"{mean} [{low}, {high}]"


def _money(cost: float) -> str:
    """Three digits, two below one: enough beside an interval."""
    return f"{cost:.2g}" if cost < 1 else f"{cost:#.3g}".removesuffix(".")


def advice(found: Calibration) -> Iterator[str]:
    """Yield what to do, line by line; nothing where no target was given."""
    yield from _warnings(found)
    if found.target is None:
        return
    yield f"target: {found.target.text}"
    point = found.recommended
    if point is not None:
        yield f"recommended: {_setting(point)}: {_summary(point)}"
        if isinstance(found.target, AsGoodAs):
            # Question by question, which is more exact than two intervals side by side.
            apart = found.target.difference(point)
            yield f"right more often by {apart.mean:+.3f} [{apart.low:+.3f}, {apart.high:+.3f}]"
    elif found.nearest is not None:
        near = found.nearest
        yield f"no setting reaches it; nearest is {_setting(near)}: {_summary(near)}"
        # 2 is more than any accuracy: other targets have none.
        if near.accuracy.mean >= getattr(found.target, "accuracy", 2.0):
            yield f"its mean does, but {len(found.sample)} questions are too few to be sure"
    better = found.better_unnamed
    if better is not None:
        does = "reaches it" if point is None else "is the better buy"
        yield f"note: {_setting(better)} {does}: {_summary(better)}"
    yield from _guarantee(found)


def _warnings(found: Calibration) -> Iterator[str]:
    """Yield what the figures must not be taken for."""
    sample = found.sample
    if not sample.knows_truth:
        yield (
            f"warning: nobody graded these answers. Accuracy here is equality with {sample.tiers[-1]}: a tier that is "
            f"better than it counts as wrong wherever they differ. grade= or feedback() brings grades{sample.graded}"
        )
        return
    *below, top = found.singles
    better = max(below, key=lambda single: single.accuracy.mean, default=None)
    if better is not None and better.accuracy.mean >= top.accuracy.mean:
        yield (
            f"warning: the top tier seems no better than one below it: {sample.tiers[-1]} is right on "
            f"{_share(top.accuracy)}, {better.policy.removeprefix('single:')} on {_share(better.accuracy)}"
        )


def _guarantee(found: Calibration) -> Iterator[str]:
    """Yield how a target of accuracy could be proved on the user's own calls."""
    aimed = getattr(found.target, "accuracy", None)
    if aimed is None:
        return
    # Of grades a guarantee speaks beside the top tier; where equality stands in for them, the top is always right.
    delta = found.singles[-1].accuracy.mean - aimed
    if 0 < delta < 1:
        of = ', of="grade"' if found.sample.knows_truth else ""
        yield f"to have it proved on your own calls, and watched: policy=Guarantee({delta:.3g}{of})"


def _summary(point: Point) -> str:
    return f"accuracy {_share(point.accuracy)}, US$ {_cost(point.cost)} for 1,000 calls"

"""The tables, in Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from frontier.points import Point, Reached, interval, reached
from frontier.runs import KNOBS, PUBLISHED, USELESS
from llm_tiers.replay import load_table, replay_policy

_NEAR_TOP = 0.002
"""How far below the top tier's accuracy still counts as near it."""


class Panel:
    """All points on one table with one embedding, and those that others are compared with."""

    def __init__(self, points: Sequence[Point]) -> None:
        # Points on other ladders have costs of their own, and would stand on the wrong frontier.
        self.points = [point for point in points if not point.ladder]
        first = points[0]
        table = load_table(first.file, first.embedding)
        self.title = f"{Path(first.file).stem}, {first.embedding} ({len(table)} questions)"
        self.has_verdicts = table.has_verdicts
        self.base, self.base_answers = (self._at(name, PUBLISHED) for name in ("llm-at", "llm-at-answers"))
        self.top = self._at(f"single:{table.tiers[-1]}", None)
        self.doubt = self._at("doubt", replay_policy("doubt", table).knob)
        self.ladders = {ladder: [point for point in points if point.ladder == ladder] for ladder in ("usual", *USELESS)}

    def of(self, policy: str) -> list[Point]:
        return [point for point in self.points if point.policy == policy]

    def _at(self, policy: str, knob: float | None) -> Point:
        return next(point for point in self.of(policy) if point.knob == knob)


def panels_of(points: Sequence[Point]) -> list[Panel]:
    groups: dict[tuple[str, str], list[Point]] = {}
    for point in points:
        groups.setdefault((point.file, point.embedding), []).append(point)
    return [Panel(group) for group in groups.values()]


def report(panel: Panel) -> Iterator[str]:
    """Yield the lines on one table with one embedding."""
    yield f"### {panel.title}"
    yield ""
    if not panel.has_verdicts:
        yield "No verdicts are recorded: a judge is never sure, so LLM-AT and all judged policies end at the top."
        yield ""
    yield from _against(panel)
    yield ""
    yield from _of_doubt(panel)
    yield ""
    yield from _plain(panel)
    yield ""


def _against(panel: Panel) -> Iterator[str]:
    base, answers, top = panel.base, panel.base_answers, panel.top
    yield "| policy | cost, time / LLM-AT's at its accuracy | the same, LLM-AT always answers | cost / top's near it |"
    yield "|---|---|---|---|"
    near = f"{top.accuracy - _NEAR_TOP:.4f}, US$ {top.cost_usd:.2f}"
    yield f"| compared with | {_cell(base)} | {_cell(answers)} | {near} |"
    for policy in KNOBS:
        mine = panel.of(policy)
        at_top = reached(mine, top.accuracy - _NEAR_TOP)
        yield (
            f"| {policy} | {_ratios(reached(mine, base.accuracy), base)} "
            f"| {_ratios(reached(mine, answers.accuracy), answers)} "
            f"| {f'{at_top.cost_usd / top.cost_usd:.2f}' if at_top else '-'} |"
        )


def _of_doubt(panel: Panel) -> Iterator[str]:
    low, high = interval(panel.of("doubt"), panel.base)
    yield (
        f"- `doubt`, cost at LLM-AT's accuracy over LLM-AT's: 5 to 95% of a bootstrap over the questions are "
        f"{low:.2f} to {high:.2f}."
    )
    own = panel.doubt
    yield (
        f"- `doubt` at {own.knob}: {_cell(own)}; the cheapest tier answered on "
        f"{_number(own.cheapest_used_when_right)} of what it gets right; calibration error "
        f"{_number(own.calibration_error)}."
    )
    for ladder in USELESS:
        if panel.ladders[ladder]:
            at_base, at_own = (_ratio_of_ladders(panel, ladder, at.accuracy) for at in (panel.base, own))
            yield (
                f"- with a useless tier ({ladder}), cost at equal accuracy over the ladder without it: {at_base} at "
                f"LLM-AT's accuracy, {at_own} at that of `doubt` at {own.knob}."
            )


def _ratio_of_ladders(panel: Panel, ladder: str, accuracy: float) -> str:
    # Against the same settings and orders on the plain ladder, since the full frontier has more of both.
    usual, there = (reached(panel.ladders[name], accuracy) for name in ("usual", ladder))
    return f"{there.cost_usd / usual.cost_usd:.2f}" if there and usual else "-"


def _plain(panel: Panel) -> Iterator[str]:
    """Yield the policies without a knob, and cascade routing, as they are."""
    yield "| policy | accuracy | US$ | minutes |"
    yield "|---|---|---|---|"
    for point in panel.points:
        if point.policy not in KNOBS or point.policy == "cascade-routing":
            name = point.policy if point.knob is None else f"{point.policy} at {point.knob}"
            accuracy = f"{point.accuracy:.4f} ±{point.accuracy_se:.4f}"
            yield f"| {name} | {accuracy} | {point.cost_usd:.2f} | {point.minutes:.0f} |"


def _cell(point: Point) -> str:
    return f"{point.accuracy:.4f} ±{point.accuracy_se:.4f}, US$ {point.cost_usd:.2f}, {point.minutes:.0f} min"


def _ratios(at: Reached | None, base: Point) -> str:
    return f"{at.cost_usd / base.cost_usd:.2f}, {at.minutes / base.minutes:.2f}" if at else "-"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"

"""The figures of a report for programs: as JSON, and as CSV with one row for each period and node."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llm_tiers.policies.rollout.observed import Interval, Observed
    from llm_tiers.report.answers import Answers
    from llm_tiers.report.figures import Node, Report
    from llm_tiers.report.frontier import Frontier, Place
    from llm_tiers.report.money import Money
    from llm_tiers.telling.share import Share

__all__ = ["csv_of", "json_of"]


def json_of(report: Report) -> dict[str, Any]:
    """Return the report as data that `json.dumps` takes; amounts in US$, times in seconds since 1970."""
    return {
        "where": report.where,
        "namespace": report.namespace,
        "first": report.first,
        "last": report.last,
        "tiers": list(report.ladder.names),
        "former_tiers": list(report.ladder.former),
        "usual_cost_usd": dict(report.ladder.usual),
        "top": report.top,
        "best_single": report.best_single,
        **_money(report.money),
        **_answers(report.answers),
        "calibration": None if report.calibration is None else asdict(report.calibration),
        "frontier": None if report.frontier is None else _frontier(report.frontier),
        "periods": [
            {"begin": one.begin, "seconds": one.seconds, "finals": dict(one.finals), **_money(one.money)}
            for one in report.periods
        ],
        "nodes": [_node(node) for node in report.nodes],
        "observed": None if report.observed is None else asdict(report.observed),
    }


def _money(money: Money) -> dict[str, Any]:
    alone = {
        tier: {
            "usd": one.usd,
            "estimated_calls": one.estimated,
            "saved_usd": money.saved(tier),
            "saved_share": money.saved_share(tier),
        }
        for tier, one in money.alone.items()
    }
    return {
        "calls": money.calls,
        "priced_calls": money.priced,
        "spent_usd": money.spent,
        "grading_usd": money.grading,
        "alone": alone,
    }


def _share(share: Share | None) -> dict[str, float] | None:
    return None if share is None else {"value": share.value, "low": share.low, "high": share.high, "of": share.of}


def _answers(answers: Answers) -> dict[str, Any]:
    return {
        "finals": dict(answers.finals),
        "profiled_calls": answers.profiled,
        "escalated": _share(answers.escalated),
        "agreed": _share(answers.agreed),
        "like_top": {tier: _share(one) for tier, one in answers.like_top.items()},
        "grades": {
            source: {
                "calls": answers.graded[source],
                "returned": _share(answers.returned.get(source)),
                "tiers": {tier: _share(one) for tier, one in means.items()},
            }
            for source, means in answers.grades.items()
        },
        "grader_contradictions": asdict(answers.contradictions),
    }


def _frontier(found: Frontier) -> dict[str, Any]:
    return {
        "here": _place(found.here),
        "ahead_of_top": {"value": found.ahead, "low": found.ahead_low, "high": found.ahead_high},
        "rules": [_place(rule) for rule in found.rules],
        "calls": found.calls,
        "share_of_calls": found.share,
        "graded_share": found.graded,
        "graded_by": found.source,
    }


def _place(place: Place) -> dict[str, Any]:
    return {
        "name": place.name,
        "cost_usd_per_call": place.cost,
        "right": _share(place.right),
        "single": place.single,
        "on_frontier": place.best,
    }


def _node(node: Node) -> dict[str, Any]:
    sample = node.sample
    return {
        "node": node.name,
        "nodes": node.nodes,
        "tiers": list(node.ladder.names),
        **_money(node.money),
        **_answers(node.answers),
        "rule": node.rule,
        "right": None if sample is None else sample.served,
        "observed": None if node.observed is None else asdict(node.observed),
        "right_of_top": None if sample is None else sample.served - sample.ahead,
        "graded_by": None if sample is None else sample.source,
        "certificate": None if node.proof is None else {**asdict(node.proof), "rules": dict(node.proof.rules)},
    }


_FORMULAS = ("=", "+", "-", "@", "\t", "\r")
"""How a cell begins that a spreadsheet takes for a formula."""


_OBSERVED = ("served_usd", "tiered_usd", "saved", "same", "as_good")
"""What was observed, as estimates with their 90% intervals."""


def csv_of(report: Report) -> str:
    """Return a table with a row for all calls, for each period and for each node.

    What was only observed (`mode="observe"`) is told of all calls and of each node: the few of a period say too little.
    """
    tiers = list(dict.fromkeys((*report.ladder.everybody, *report.answers.finals)))
    heads = [
        "kind",
        "name",
        "begin",
        "calls",
        "priced_calls",
        "spent_usd",
        "alone_top_usd",
        "saved_usd",
        "estimated_calls",
        "observed_calls",
        "observed_asked",
        "observed_asking_usd",
        *(f"observed_{name}{end}" for name in _OBSERVED for end in ("", "_low", "_high")),
    ]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*heads, *(_cell(f"answered_by_{tier}") for tier in tiers)])
    top = report.top
    writer.writerow(
        _row("all", "", report.first, report.money, report.answers.finals, tiers, top, _cells(report.observed))
    )
    for one in report.periods:
        writer.writerow(_row("period", "", one.begin, one.money, one.finals, tiers, top, _NOT_TOLD))
    for node in report.nodes:
        label = f"{node.nodes} more nodes" if node.name is None else node.name
        writer.writerow(
            _row("node", label, None, node.money, node.answers.finals, tiers, node.ladder.top, _cells(node.observed))
        )
    return out.getvalue()


_NOT_TOLD: list[Any] = [""] * (3 + 3 * len(_OBSERVED))


def _row(
    kind: str,
    name: str,
    begin: float | None,
    money: Money,
    finals: Any,
    tiers: list[str],
    top: str | None,
    observed: list[Any],
) -> list[Any]:
    alone = money.alone.get(top or "")
    sums = ["", "", ""] if alone is None else [alone.usd, alone.usd - money.spent, alone.estimated]
    begun = "" if begin is None else begin
    return [
        kind,
        _cell(name),
        begun,
        money.calls,
        money.priced,
        money.spent,
        *sums,
        *observed,
        *(finals.get(one, 0) for one in tiers),
    ]


def _cells(observed: Observed | None) -> list[Any]:
    if observed is None:
        return [0, 0, 0, *_NOT_TOLD[3:]]
    found: list[Any] = [observed.calls, observed.asked, observed.asking_usd]
    for name in _OBSERVED:
        one: Interval | None = getattr(observed, name)
        found += ["", "", ""] if one is None else [one.mean, one.low, one.high]
    return found


def _cell(text: str) -> str:
    # A node's name is a stranger's, and a spreadsheet would run it.
    return f"'{text}" if text.startswith(_FORMULAS) else text

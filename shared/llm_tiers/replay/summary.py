"""The table of a replay, as the command line prints it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llm_tiers.replay.run import ReplayResult

__all__ = ["summary"]

_NAMES = {
    "llm-at": "LLM-AT, published",
    "metallm": "MetaLLM, published",
    "smart-paper:0.1": "SMART, published",
    "guarantee:0.1": "guarantee, 10%",
    "default": "llm-tiers, default",
    "oracle": "oracle",
}


def summary(results: Sequence[ReplayResult], *, top: str | None = None) -> Table:
    """Return a table of results on one file: accuracy, cost, time, and cost against the top tier and LLM-AT.

    Args:
        results: What the policies reached on one file.
        top: Name of the top tier, whose `single:` row the costs are compared with.
    """
    first = results[0]
    title = f"{Path(first.file).stem}: {first.n} recorded questions"
    # A column that would be empty takes room from the others.
    compared = any(result.policy == "llm-at" for result in results)
    caption = (
        f"{'/ top, / LLM-AT' if compared else '/ top'}: cost as a ratio to the top tier alone"
        f"{' and to LLM-AT' if compared else ''}; judged: judge calls"
    )
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, caption=caption, caption_justify="left")
    table.add_column("policy", no_wrap=True)
    for heading in ("accuracy", "US$", "minutes", "/ top", *(["/ LLM-AT"] if compared else []), "judged"):
        table.add_column(heading, justify="right", no_wrap=True)
    # With one seed its number says nothing, and would widen the table.
    seeds = {result.seed for result in results}
    for result in results:
        name = _NAMES.get(result.policy, result.policy.replace("single:", "always "))
        name = f"{name}, seed {result.seed}" if len(seeds) > 1 else name
        table.add_row(
            name,
            f"{result.accuracy:.4f}{_error(result)}",
            _dollars(result.cost_usd),
            f"{result.minutes:.1f}",
            _ratio(result, _find(results, f"single:{top}", result)),
            *([_ratio(result, _find(results, "llm-at", result))] if compared else []),
            str(result.judge_calls),
            style="bold" if result.policy == "default" else None,
        )
    return table


def _find(results: Sequence[ReplayResult], policy: str, like: ReplayResult) -> ReplayResult | None:
    """Find the policy's run of the same order; a run of the same seed first."""
    runs = [result for result in results if result.policy == policy]
    return next((run for run in runs if run.seed == like.seed), runs[0] if runs else None)


def _dollars(cost: float) -> str:
    return f"{cost:.3f}" if cost >= 1 else f"{cost:.3g}"


def _error(result: ReplayResult) -> str:
    return f" ±{result.weighed()[0].error:.4f}" if result.weights else ""


def _ratio(result: ReplayResult, against: ReplayResult | None) -> str:
    return f"{result.cost_usd / against.cost_usd:.3f}" if against and against.cost_usd else ""

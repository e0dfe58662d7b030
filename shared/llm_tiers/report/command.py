"""`llm-tiers report` and `llm-tiers explain`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llm_tiers.console import (
    STDOUT,
    HistoryArgument,
    NamespaceOption,
    NodeOption,
    bar,
    check_writable,
    errors_in_one_line,
    history_named,
    offering,
    write_text,
)
from llm_tiers.errors import ConfigError
from llm_tiers.history.asked import read_calls

if TYPE_CHECKING:
    from llm_tiers.history.record import Record
    from llm_tiers.report.figures import Report

__all__ = ["explain", "report"]

_MEASURES = ("equality", "grade", "feedback")


def report(
    history: HistoryArgument = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Write a page; it opens from disk and needs no network.")
    ] = None,
    json_path: Annotated[
        Path | None, typer.Option("--json", metavar="OUT.json", help="Write all figures; - prints them.")
    ] = None,
    csv_path: Annotated[
        Path | None,
        typer.Option("--csv", metavar="OUT.csv", help="Write a row for each period and node; - prints them."),
    ] = None,
    node: NodeOption = None,
    days: Annotated[float | None, typer.Option(metavar="N", help="Only the calls of the last N days.")] = None,
    delta: Annotated[
        float | None,
        typer.Option(metavar="D", help="Show for each node what the records prove, as Guarantee(D) would."),
    ] = None,
    of: Annotated[
        str,
        typer.Option(
            metavar="WHAT",
            autocompletion=offering(*_MEASURES),
            help="With --delta, what counts as worse: equality, grade or feedback.",
        ),
    ] = "equality",
    namespace: NamespaceOption = "default",
) -> None:
    """Show what tiering saved, whether answers are as good, and where your traffic stands.

    Without --out, --json and --csv a summary is printed.
    """
    with errors_in_one_line():
        for option, path in (("--out", out), ("--json", json_path), ("--csv", csv_path)):
            check_writable(option, path)
        _check(delta, of, days)
        where = history_named(history)
        found = _report(where, _newest(read_calls(where, namespace, node=node), days), namespace, delta, of)
        _write(found, out, json_path, csv_path)


def _check(delta: float | None, of: str, days: float | None) -> None:
    if delta is not None and not 0 < delta < 1:
        raise ConfigError(f"--delta {delta:g} must lie between 0 and 1, such as 0.05")
    if of not in _MEASURES:
        raise ConfigError(f"--of {of} must be equality, grade or feedback")
    if days is not None and not 0 < days <= 36_500:  # noqa: PLR2004 -- a century
        raise ConfigError(f"--days {days:g} must be more than 0, such as 7")


def _newest(records: list[Record], days: float | None) -> list[Record]:
    if days is None:
        return records
    # Counted from the newest call: a history may be looked at long after its traffic.
    newest = records[-1].created
    return [record for record in records if record.created >= newest - days * 86_400]


def _report(where: str, records: list[Record], namespace: str, delta: float | None, of: str) -> Report:
    from llm_tiers.report.figures import Promised, report_of

    measure = next(one for one in ("equality", "grade", "feedback") if one == of)
    promised = None if delta is None else Promised(delta, of=measure)
    with bar("counting", None) as (progress, task):
        return report_of(
            records, where=where, namespace=namespace, promised=promised, on_node=lambda _: progress.advance(task)
        )


def _write(found: Report, out: Path | None, json_path: Path | None, csv_path: Path | None) -> None:
    from rich.console import Console

    from llm_tiers.report.page import page_of
    from llm_tiers.report.tables import csv_of, json_of
    from llm_tiers.report.terminal import summary_of

    if out is not None:
        write_text("--out", out, [page_of(found)])
    if json_path is not None:
        write_text("--json", json_path, [json.dumps(json_of(found), indent=2), "\n"])
    if csv_path is not None:
        write_text("--csv", csv_path, [csv_of(found)])
    if out is not None and out != STDOUT:
        typer.echo(f"report: {out}", err=True)
    if (out, json_path, csv_path) == (None, None, None):
        console = Console()
        for part in summary_of(found):
            console.print(part)


def explain(
    trace_id: Annotated[str, typer.Argument(metavar="TRACE_ID", help="The trace id of a call.")],
    history: HistoryArgument = None,
    namespace: NamespaceOption = "default",
) -> None:
    """Say of one call who was asked and why, what it cost, why it stopped, and what the top tier would have cost."""
    from llm_tiers.history.reading import find_record
    from llm_tiers.report.explain import explained

    with errors_in_one_line():
        for sentence in explained(find_record(history_named(history), trace_id, namespace=namespace)):
            typer.echo(sentence)

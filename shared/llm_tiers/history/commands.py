"""`llm-tiers history`: looking into a history and keeping it up."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
    is_interactive,
    write_text,
)
from llm_tiers.errors import ConfigError
from llm_tiers.files.pipes import open_to_read
from llm_tiers.history.asked import read_calls
from llm_tiers.telling.wording import count, name, usd, when

if TYPE_CHECKING:
    from llm_tiers.history.record import Record

__all__ = ["app"]

app = typer.Typer(name="history", help="Look into a history of past calls and keep it up.", no_args_is_help=True)

_DryRun = Annotated[bool, typer.Option("--dry-run", help="Change nothing; say what would be done.")]
_Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]

_DAY = 86_400.0


@app.callback()
def main() -> None:
    """Look into a history of past calls and keep it up."""


@app.command()
def stats(history: HistoryArgument = None, *, as_json: _Json = False, namespace: NamespaceOption = "default") -> None:
    """Say what a history holds: nodes, calls, times, the embedding."""
    from llm_tiers.history.reading import held_in

    with errors_in_one_line():
        where = history_named(history)
        held, records = held_in(where, namespace=namespace), read_calls(where, namespace)
        drawn = sum(record.is_drawn for record in records)
        graded = sum(bool(record.grades) for record in records)
        facts: dict[str, Any] = {
            "where": where,
            "namespace": namespace,
            "embedding": held.embedding,
            "dimension": held.dimension,
            "calls": len(records),
            "drawn_by_lot": drawn,
            "graded": graded,
            "first": records[0].created,
            "last": records[-1].created,
            "nodes": dict(held.nodes),
        }
        if as_json:
            typer.echo(json.dumps(facts, indent=2))
            return
        typer.echo(
            f"{where}, namespace {namespace}: {count(len(records))} calls, {drawn} drawn by lot, {graded} graded"
        )
        typer.echo(f"from {when(records[0].created)} to {when(records[-1].created)}")
        typer.echo(f"embedding {held.embedding}, {held.dimension} dimensions")
        for node, number in held.nodes.items():
            typer.echo(f"  {name(node)}: {count(number)}")


@app.command("list")
def list_calls(
    history: HistoryArgument = None,
    *,
    most: Annotated[int, typer.Option("--last", min=1, metavar="N", help="Only the newest N calls.")] = 20,
    node: NodeOption = None,
    as_json: _Json = False,
    namespace: NamespaceOption = "default",
) -> None:
    """List the newest calls, the newest last, with their trace ids."""
    with errors_in_one_line():
        where = history_named(history)
        records = read_calls(where, namespace, node=node)[-most:]
        if as_json:
            typer.echo("\n".join(json.dumps(_facts(record)) for record in records))
            return
        for record in records:
            cost = "cost unknown" if record.cost_usd is None else usd(record.cost_usd)
            typer.echo(f"{name(record.id)}  {when(record.created)}  {name(record.node)}  {name(record.final)}  {cost}")


@app.command()
def show(
    trace_id: Annotated[str, typer.Argument(metavar="TRACE_ID", help="The trace id of a call.")],
    history: HistoryArgument = None,
    *,
    namespace: NamespaceOption = "default",
) -> None:
    """Print all that a history holds of one call, as JSON; `llm-tiers explain` says it in words."""
    from llm_tiers.history.reading import find_record

    with errors_in_one_line():
        found = find_record(history_named(history), trace_id, namespace=namespace)
        trace = {} if found.trace is None else {"trace": found.trace.to_dict(None)}
        typer.echo(json.dumps(_facts(found.record) | trace, indent=2))


@app.command()
def prune(
    history: HistoryArgument = None,
    *,
    older_than: Annotated[
        float | None, typer.Option(min=0, metavar="DAYS", help="Remove calls that are older, in days.")
    ] = None,
    keep: Annotated[int | None, typer.Option(min=0, metavar="N", help="Remove all but the newest N calls.")] = None,
    node: NodeOption = None,
    dry_run: _DryRun = False,
    yes: _Yes = False,
    namespace: NamespaceOption = "default",
) -> None:
    """Remove old calls."""
    with errors_in_one_line():
        if older_than is None and keep is None:
            raise ConfigError("prune: give --older-than DAYS or --keep N; --keep 0 removes all")
        seconds = None if older_than is None else older_than * _DAY
        _remove(history_named(history), namespace, node, dry_run=dry_run, yes=yes, older_than=seconds, keep=keep)


@app.command()
def reset(
    node: Annotated[str, typer.Argument(metavar="NODE", help="The node; what is below it goes too.")],
    history: HistoryArgument = None,
    *,
    dry_run: _DryRun = False,
    yes: _Yes = False,
    namespace: NamespaceOption = "default",
) -> None:
    """Forget all calls of a node, so that it learns anew: after its prompt or its models changed."""
    with errors_in_one_line():
        _remove(history_named(history), namespace, node, dry_run=dry_run, yes=yes, keep=0)


def _remove(where: str, namespace: str, node: str | None, *, dry_run: bool, yes: bool, **limits: Any) -> None:
    from llm_tiers.history.reading import held_in
    from llm_tiers.history.upkeep import opened

    held = held_in(where, namespace=namespace)
    if node is not None and node not in held.nodes:
        nodes = ", ".join(map(repr, list(held.nodes)[:20]))
        raise ConfigError(f"node {node!r}: {where} has no calls of it; there are {nodes}")
    with opened(where, held, namespace=namespace) as history:
        number = history.prune(node=node, dry_run=True, **limits)
        if dry_run or not number:
            typer.echo(f"{count(number)} calls would be removed from {where}" if dry_run else "nothing to remove")
            return
        _agree(f"Remove {count(number)} calls from {where}?", yes=yes)
        typer.echo(f"{count(history.prune(node=node, **limits))} calls removed from {where}")


def _agree(question: str, *, yes: bool) -> None:
    if yes:
        return
    if not is_interactive():
        raise ConfigError(f"there is no terminal to ask: {question} Give --yes, or --dry-run")
    if not typer.confirm(question, err=True):
        raise typer.Exit(1)


@app.command("export")
def export_lines(
    history: HistoryArgument = None,
    *,
    out: Annotated[Path, typer.Option(metavar="FILE.jsonl", help="Where the lines go; - prints them.")],
    node: NodeOption = None,
    vectors: Annotated[bool, typer.Option(help="With the vectors, which an import needs.")] = True,
    texts: Annotated[bool, typer.Option(help="With the texts, where the history stored them.")] = True,
    namespace: NamespaceOption = "default",
) -> None:
    """Write the calls as JSON lines: the history in the first, then one call in each."""
    from llm_tiers.history.jsonl import Header, lines_of
    from llm_tiers.history.reading import held_in

    with errors_in_one_line():
        check_writable("--out", out)
        where = history_named(history)
        held = held_in(where, namespace=namespace)
        records = read_calls(where, namespace, node=node, vectors=vectors)
        lines = lines_of(Header(held.embedding, held.dimension), records, vectors=vectors, texts=texts)
        with bar("writing", len(records)) as (progress, task):
            write_text("--out", out, _counted(lines, lambda: progress.advance(task)))
        if out != STDOUT:
            typer.echo(f"{count(len(records))} calls: {out}", err=True)


def _counted(lines: Iterator[str], advance: Callable[[], None]) -> Iterator[str]:
    for line in lines:
        yield line
        advance()


@app.command("import")
def import_lines(
    file: Annotated[Path, typer.Argument(metavar="FILE.jsonl", help="What `llm-tiers history export` wrote.")],
    history: Annotated[str, typer.Argument(metavar="HISTORY", help="The folder or the URL; made if there is none.")],
    *,
    dry_run: _DryRun = False,
    namespace: NamespaceOption = "default",
) -> None:
    """Add the calls of a file to a history. Those that it has already stay as they are.

    Every line is checked before the first is added.
    """
    from llm_tiers.history.jsonl import read_lines
    from llm_tiers.history.reading import Held
    from llm_tiers.history.upkeep import add

    with errors_in_one_line():
        try:
            with open_to_read(file) as opened, bar("checking", None) as (progress, task):
                header, records = read_lines(str(file), opened, on_line=lambda _: progress.advance(task))
        except OSError as error:
            raise ConfigError(f"FILE {file} cannot be read ({error.strerror})") from error
        held = Held(header.embedding, header.dimension, {})
        with _adding(len(records)) as advance:
            added = add(history, records, held, namespace=namespace, dry_run=dry_run, on_record=advance)
        _say_added(history, added, dry_run=dry_run)


@app.command()
def merge(
    sources: Annotated[list[str], typer.Argument(metavar="SOURCE...", help="Folders or URLs of histories.")],
    into: Annotated[str, typer.Option(metavar="HISTORY", help="The folder or the URL that gets their calls.")],
    *,
    dry_run: _DryRun = False,
    namespace: NamespaceOption = "default",
) -> None:
    """Add the calls of some histories to another one; the sources stay as they are."""
    from llm_tiers.history.reading import held_in
    from llm_tiers.history.upkeep import add

    with errors_in_one_line():
        if into in sources:
            raise ConfigError(f"--into {into} is a source too; name another history")
        found = [
            (held_in(source, namespace=namespace), read_calls(source, namespace, vectors=True)) for source in sources
        ]
        names = {held.embedding for held, _ in found}
        if len(names) > 1:
            raise ConfigError(f"SOURCE: the histories were made by different embeddings: {', '.join(sorted(names))}")
        records = [record for _, part in found for record in part]
        with _adding(len(records)) as advance:
            added = add(into, records, found[0][0], namespace=namespace, dry_run=dry_run, on_record=advance)
        _say_added(into, added, dry_run=dry_run)


@contextmanager
def _adding(total: int) -> Iterator[Callable[[], None]]:
    with bar("adding", total) as (progress, task):
        yield lambda: progress.advance(task)


def _say_added(where: str, added: tuple[int, int], *, dry_run: bool) -> None:
    new, known = added
    would = "would be " if dry_run else ""
    typer.echo(f"{count(new)} calls {would}added to {where}, {count(known)} known already")


def _facts(record: Record) -> dict[str, Any]:
    from llm_tiers.history.store import facts

    return facts.as_dict(record, None)


@app.command()
def repair(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder; no process may be using it.")],
    embedding: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="wordllama, minilm or hashed: makes vectors anew for records whose vector is gone, from their texts "
            "where those were stored.",
        ),
    ] = None,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what could be read.")] = False,
) -> None:
    """Write what can be read of a damaged history to a new folder in its place. The old one is renamed, not deleted."""
    from llm_tiers.history.repair import repair as mend

    with errors_in_one_line():
        done = mend(folder, embedding=embedding, dry_run=dry_run)
        for namespace, count in done.records.items():
            typer.echo(f"{count} records of namespace {namespace}")
        if not done.records:
            typer.echo("no record can be read")
        if done.without_vector:
            typer.echo(f"{done.without_vector} records whose vector is gone are left out")
        if done.unreadable:
            typer.echo(f"{done.unreadable} records cannot be read")
        if done.aside is None:
            typer.echo("nothing was changed (--dry-run)")
        else:
            typer.echo(f"the old folder is {done.aside}, the new one {folder}")

"""`llm-tiers history`: upkeep of a history's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from llm_tiers.cli.failures import errors_in_one_line

__all__ = ["app"]

app = typer.Typer(help="Upkeep of a history's folder.", no_args_is_help=True)


@app.callback()
def main() -> None:
    """Upkeep of a history's folder."""


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

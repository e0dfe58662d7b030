"""What the commands share: errors in one line, progress bars, writing a file whole or not at all."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from llm_tiers.errors import ConfigError, LlmTiersError
from llm_tiers.files.pipes import open_to_write

__all__ = [
    "STDOUT",
    "HistoryArgument",
    "NamespaceOption",
    "NodeOption",
    "bar",
    "check_writable",
    "errors_in_one_line",
    "history_named",
    "is_interactive",
    "offering",
    "write_bytes",
    "write_text",
]

STDOUT = Path("-")
"""As in most tools, `-` is standard output."""

_HISTORY = "LLM_TIERS_HISTORY"
_USUAL = Path("tiers")
"""The folder that the documentation uses for a history."""

HistoryArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[HISTORY]", help="The folder or the URL of a history.", show_default="LLM_TIERS_HISTORY, else ./tiers"
    ),
]
NodeOption = Annotated[
    str | None, typer.Option(metavar="NODE", help="Only the calls of this node and the nodes below.")
]
NamespaceOption = Annotated[str, typer.Option(metavar="NAME", help="Namespace of the history.")]


@contextmanager
def errors_in_one_line() -> Iterator[None]:
    """Print an error of ours in one line and exit with status 2; anything else is a bug and shows its traceback."""
    try:
        yield
    except LlmTiersError as error:
        _tell(str(error))
        raise typer.Exit(2) from None
    except OSError as error:
        # Files are opened where errors of theirs are named; what is left is standard output on a full disk.
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        _tell(f"standard output cannot be written ({error.strerror})")
        # Or Python would try again at exit, and say so.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        raise typer.Exit(1) from None


def _tell(error: str) -> None:
    typer.secho(f"error: {error}", err=True, fg=None if os.environ.get("NO_COLOR") else typer.colors.RED)


def check_writable(option: str, path: Path | None) -> None:
    """Check that a file can be written, before work that may take minutes or cost money.

    Raises:
        ConfigError: It cannot; the message names the option.
    """
    if path is None or path == STDOUT:
        return
    try:
        if not path.parent.is_dir():
            raise ConfigError(f"{option} {path}: there is no folder {path.parent}")
        writable = not path.is_dir() and os.access(path if path.exists() else path.parent, os.W_OK)
    except OSError as error:
        # Of a name that is too long, nothing can be asked.
        raise _unwritable(option, path, error) from None
    if not writable:
        raise _unwritable(option, path)


def write_text(option: str, path: Path, parts: Iterable[str]) -> None:
    """Write a text to a file, whole or not at all, or to standard output.

    Args:
        option: The option that names the file, for the message.
        path: The file.
        parts: The text, part by part.

    Raises:
        ConfigError: The file cannot be written.
    """
    if path == STDOUT:
        for part in parts:
            typer.echo(part, nl=False)
        return
    write_bytes(option, path, (part.encode(errors="replace") for part in parts))


def write_bytes(option: str, path: Path, parts: Iterable[bytes]) -> None:
    """Write a file, whole or not at all.

    Args:
        option: The option that names the file, for the message.
        path: The file; a device or a pipe is written to, and not replaced.
        parts: What it shall have, part by part.

    Raises:
        ConfigError: The file cannot be written.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        # A rename is all or nothing: what is interrupted leaves no half file.
        replaces = path.is_file() or not path.exists()
        with open_to_write(draft if replaces else path) as file:
            file.writelines(parts)
        if replaces:
            draft.replace(path)
    except OSError as error:
        raise _unwritable(option, path, error) from error
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def _unwritable(option: str, path: Path, error: OSError | None = None) -> ConfigError:
    why = "" if error is None else f" ({error.strerror})"
    return ConfigError(f"{option} {path} cannot be written{why}; name a file in a folder of yours")


def history_named(given: str | None) -> str:
    """Return the history that a command is about: the one given, that of LLM_TIERS_HISTORY, or the folder `tiers`.

    Raises:
        ConfigError: There is none of them.
    """
    found = given or os.environ.get(_HISTORY) or (str(_USUAL) if _USUAL.is_dir() else None)
    if found is None:
        raise ConfigError(
            f"HISTORY: name the folder or the URL of a history (or set {_HISTORY}); it is what "
            "the model got as history="
        )
    return found


@contextmanager
def bar(text: str, total: int | None = 0) -> Iterator[tuple[Progress, TaskID]]:
    """Show a progress bar on standard error, which is for people; standard output is for results.

    Where no terminal shows it, nothing is printed.

    Args:
        text: What is done.
        total: How many steps there are; None where that is not known yet.
    """
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    # Not rich's own answer, which is yes wherever FORCE_COLOR is set, such as in the logs of a CI.
    quiet = not sys.stderr.isatty()
    progress = Progress(*columns, console=console, disable=quiet, transient=True)
    task = progress.add_task(text, total=total)
    # Not even begun: some versions of rich print an empty line where a bar that is disabled ends.
    with nullcontext() if quiet else progress:
        yield progress, task


def offering(*names: str) -> Callable[[str], list[str]]:
    """Return what completes an option's value in a shell: the names that begin as it does.

    Only options whose values are names have one: where nothing is offered, shells complete files.
    """
    return lambda incomplete: [name for name in names if name.startswith(incomplete)]


def is_interactive() -> bool:
    """Whether somebody can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()

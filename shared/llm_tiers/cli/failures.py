"""How a command ends that cannot do what was asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from llm_tiers.errors import LlmTiersError

__all__ = ["errors_in_one_line"]


@contextmanager
def errors_in_one_line() -> Iterator[None]:
    """Print an error of ours in one line and exit with status 2; anything else is a bug and shows its traceback."""
    try:
        yield
    except LlmTiersError as error:
        typer.secho(f"error: {error}", err=True, fg=typer.colors.RED)
        raise typer.Exit(2) from None

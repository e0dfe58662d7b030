"""`llm-tiers config`: which settings are in force, and where each comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from llm_tiers.config.fields import PREFIX
from llm_tiers.config.loading import FILE, Loaded, load_config
from llm_tiers.console import check_writable, errors_in_one_line, write_text
from llm_tiers.errors import ConfigError

__all__ = ["app"]

app = typer.Typer(name="config", help="Settings from a file and the environment.", no_args_is_help=True)

_EXAMPLE = """\
# Settings of llm-tiers: TieredChatModel.from_settings() and TieredLLM.from_settings() read this file.
# A variable of the environment wins: LLM_TIERS_QUALITY=0.6. Keys stay in the providers' own variables.

# Cheapest first: names of models, or tables.
tiers = [
    "gpt-5-nano",
    "gpt-5-mini",
    { model = "gpt-5", price = [1.25, 10.0] },  # US$ per million tokens, where the public list lacks them
]

history = "./tiers"  # a folder, or the URL of a Chroma server
quality = 0.5        # what a right answer is worth, in [0, 1]; or worth_usd, in US$

# mode = "observe"   # the present tier serves, tiering is only observed
# serve = "gpt-5"
# ramp = 0.1         # the share of the conversations that are really tiered
# deadline = 120.0   # seconds for a whole call
"""

_File = Annotated[
    Path | None, typer.Argument(metavar="[FILE]", help=f"The settings; by default {FILE}, or pyproject.toml.")
]


@app.command()
def show(file: _File = None) -> None:
    """Print the settings in force, and where each comes from."""
    with errors_in_one_line():
        loaded = load_config(file)
        Console().print(_table(loaded))
        _say_unknown(loaded)
        # Only now: where a value is wrong, the table shows which one is in force.
        _check_values(loaded)


@app.command()
def check(file: _File = None) -> None:
    """Check a settings file; the exit status is 2 where something is wrong."""
    with errors_in_one_line():
        loaded = load_config(file)
        if loaded.config.tiers is None:
            raise ConfigError(f'{loaded.file or "the environment"} names no tiers: tiers = ["gpt-5-nano", "gpt-5"]')
        _check_values(loaded)
        typer.echo(f"{loaded.file or 'environment'}: {len(loaded.origins)} settings, all as they should be")
        _say_unknown(loaded)


@app.command()
def init(
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where to write it.")] = Path(FILE),
) -> None:
    """Write a settings file with an example of each kind of setting."""
    with errors_in_one_line():
        check_writable("--out", out)
        if out.exists():
            raise ConfigError(f"--out {out} exists; name another file, or remove it first")
        write_text("--out", out, [_EXAMPLE])
        typer.echo(f"{out} written; `llm-tiers config show {out}` prints what it sets")


def _table(loaded: Loaded) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for head in ("setting", "value", "from"):
        table.add_column(head)
    values = loaded.config.model_dump(exclude_unset=True)
    for name, origin in loaded.origins.items():
        table.add_row(name, Text(str(values[name])), Text(origin))
    if not loaded.origins:
        table.add_row("none", "", Text(f"no {FILE}, no [tool.llm-tiers], no {PREFIX}..."))
    return table


def _check_values(loaded: Loaded) -> None:
    """Check that a model takes the settings.

    Raises:
        ConfigError: One has a value that no model takes; the message says where it comes from.
    """
    # Slow to import, which `llm-tiers --help` should not wait for.
    from llm_tiers.integration.stated import check_stated

    try:
        check_stated(loaded.config.arguments())
    except ConfigError as error:
        # The longest, since one name may begin with another.
        name = max((name for name in loaded.origins if str(error).startswith(name)), key=len, default="")
        raise ConfigError(f"{loaded.origins.get(name, loaded.file or 'environment')}: {error}") from None


def _say_unknown(loaded: Loaded) -> None:
    for name in loaded.unknown:
        typer.echo(f"note: {name} is no setting, and has no effect", err=True)

"""Finding, reading and checking the settings."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import SettingsError

from llm_tiers.config.fields import PREFIX, Config, TierConfig
from llm_tiers.errors import ConfigError

__all__ = ["FILE", "Loaded", "load_config"]

FILE = "llm-tiers.toml"
_PROJECT, _TABLE = "pyproject.toml", "llm-tiers"
_NAMED_BY = f"{PREFIX}CONFIG"
_LARGEST = 1_000_000
"""Bytes of a file; a larger one is something else."""

_SECRET = ("key", "secret", "token", "password")


@dataclass(frozen=True)
class Loaded:
    """The settings in force.

    Attributes:
        config: They themselves.
        file: The file that was read, or None.
        origins: Name of each setting that is set to where it comes from.
        unknown: Variables of the environment that look like settings and are none.
    """

    config: Config
    file: Path | None
    origins: Mapping[str, str]
    unknown: tuple[str, ...] = ()


def load_config(path: str | os.PathLike[str] | None = None) -> Loaded:
    """Read the settings from a file and the environment, which wins.

    Args:
        path: The file, TOML. By default the one that `LLM_TIERS_CONFIG` names, else `llm-tiers.toml` in the working
            folder, else the table `[tool.llm-tiers]` of its `pyproject.toml`; else there is none.

    Raises:
        ConfigError: The file cannot be read, or a setting is wrong; the message names it and the fix.
    """
    file = _found(path)
    held = {} if file is None else _read(file)
    variables = {name: f"{PREFIX}{name.upper()}" for name in Config.model_fields}
    # As pydantic-settings reads them: whatever their case.
    given = {name.upper() for name in os.environ}
    of_environment = {name for name, variable in variables.items() if variable in given}
    _refuse_unknown(held, file)
    try:
        config = Config(**held)
    except ValidationError as error:
        raise ConfigError(_said(error, of_environment, file)) from None
    except SettingsError as error:
        raise ConfigError(f"a variable {PREFIX}... of the environment cannot be read: {error}") from None
    origins = {name: str(file) for name in held} | {name: variables[name] for name in of_environment}
    known = {*variables.values(), _NAMED_BY, f"{PREFIX}REPLAY"}
    unknown = sorted(name for name in given if name.startswith(PREFIX) and name not in known)
    return Loaded(config, file, origins, tuple(unknown))


def _found(path: str | os.PathLike[str] | None) -> Path | None:
    named = os.environ.get(_NAMED_BY) if path is None else path
    if named is not None:
        file = Path(named)
        # Not `Path.is_file`, which raises where a name is too long.
        if not os.path.isfile(file):  # noqa: PTH113
            by = "" if path is not None else f" ({_NAMED_BY} names it)"
            raise ConfigError(f"settings: there is no file {file}{by}; `llm-tiers config init` writes one")
        return file
    if Path(FILE).is_file():
        return Path(FILE)
    project = Path(_PROJECT)
    return project if project.is_file() and _TABLE in _parsed(project).get("tool", {}) else None


def _read(file: Path) -> dict[str, Any]:
    held = _parsed(file)
    if file.name == _PROJECT:
        held = held.get("tool", {}).get(_TABLE, {})
    if not isinstance(held, dict):
        raise ConfigError(f"{file}: [tool.{_TABLE}] must be a table")
    return held


def _parsed(file: Path) -> dict[str, Any]:
    try:
        if file.stat().st_size > _LARGEST:
            raise ConfigError(f"{file} is larger than {_LARGEST:,} bytes, so it is no settings file")
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{file} cannot be read as TOML: {error}") from None


def _refuse_unknown(held: Mapping[str, Any], file: Path | None) -> None:
    _check_keys(held, tuple(Config.model_fields), "setting", file)
    tiers = held.get("tiers")
    for one in tiers if isinstance(tiers, list) else []:
        if isinstance(one, dict):
            _check_keys(one, tuple(TierConfig.model_fields), "setting of a tier", file)


def _check_keys(held: Mapping[str, Any], known: Sequence[str], what: str, file: Path | None) -> None:
    key = next((key for key in held if key not in known), None)
    if key is None:
        return
    if any(word in key.lower() for word in _SECRET):
        raise ConfigError(
            f"{file}: {key!r} looks like a secret, which a settings file must not hold; the providers' own variables, "
            f"such as OPENAI_API_KEY, have it"
        )
    near = difflib.get_close_matches(key, known, 1)
    fix = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
    raise ConfigError(f"{file}: {key!r} is no {what}; {fix}")


def _said(error: ValidationError, of_environment: set[str], file: Path | None) -> str:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    name = str(first["loc"][0]) if first["loc"] else ""
    where = f"{PREFIX}{name.upper()}" if name in of_environment else f"{file}: {name}"
    # A list may hold a name or a table: the place within it says which was meant.
    return f"{where} is wrong ({'.'.join(map(str, first['loc'][1:])) or 'its value'}): {first['msg']}"

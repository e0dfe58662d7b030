"""The settings file: the policy and knob that `llm-tiers calibrate` found, as the models load them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from llm_tiers.errors import ConfigError

if TYPE_CHECKING:
    import os

__all__ = ["FORMAT", "Aim", "Measured", "Settings", "read_settings", "text_of"]

FORMAT: Literal[1] = 1
_MARK = "llm_tiers_settings"


class _Part(BaseModel):
    # A name that is misspelt in a file edited by hand is an error, and not ignored.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Measured(_Part):
    """A figure with its 90% interval."""

    mean: float
    low: float
    high: float


class Aim(_Part):
    """What was asked for.

    Attributes:
        kind: `"accuracy"` (a share of calls), `"cost"` (US$ per 1,000 calls) or `"as-good-as"` (a tier's name).
        value: How much, or as good as what.
    """

    kind: Literal["accuracy", "cost", "as-good-as"]
    value: float | str


class Settings(_Part):
    """A policy with its knob or a fixed rule, and what it was calibrated for and on.

    Attributes:
        llm_tiers_settings: Format of the file.
        policy: Name of the policy, or `rule:` and the name of a rule of the menu, such as a tier's.
        knob: Its knob, in [0, 1]: `quality` or `theta`; None for a rule, which has none.
        tiers: Names of the ladder's tiers, cheapest first.
        aim: What was asked for.
        right_means: What counted as right: `"right"` by a known truth, `"graded right by ..."`, or `"same as TIER"`.
        accuracy: Share of right answers to be expected, in [0, 1].
        usd_per_1000_calls: Cost to be expected.
        n: Number of questions.
        sources: Names of the files or histories that they came from.
        date: Day of the calibration.
        version: Version of llm-tiers that calibrated.
    """

    llm_tiers_settings: Literal[1] = FORMAT
    policy: str
    knob: Annotated[float, Field(ge=0, le=1)] | None = None
    tiers: Annotated[tuple[str, ...], Field(min_length=2)]
    aim: Aim
    right_means: str
    accuracy: Measured
    usd_per_1000_calls: Measured
    n: int
    sources: tuple[str, ...]
    date: str
    version: str


def text_of(settings: Settings) -> str:
    """Return what a settings file has in it."""
    return settings.model_dump_json(indent=2) + "\n"


def read_settings(path: str | os.PathLike[str]) -> Settings:
    """Read a settings file.

    Raises:
        ConfigError: `path` is no path, the file cannot be read, is not of this kind or damaged, or was written by a
            newer llm-tiers.
    """
    try:
        path = Path(path)
    except TypeError:
        raise ConfigError(
            f"settings must be the path of a file that `llm-tiers calibrate --out` wrote, not {type(path).__name__}"
        ) from None
    content = _content(path)
    # Before validation, which would call a newer format "damaged" instead of naming the fix.
    if content[_MARK] != FORMAT:
        raise ConfigError(
            f"settings: {path} was written by another llm-tiers (format {content[_MARK]!r}, this one reads {FORMAT}); "
            "upgrade, or calibrate anew"
        )
    try:
        return Settings.model_validate(content)
    except ValidationError as error:
        found = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise ConfigError(f"settings: {path} is damaged ({found}); calibrate anew") from None


def _content(path: Path) -> dict[str, object]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"settings: there is no file {path}; `llm-tiers calibrate SOURCE --accuracy 0.9 --out {path}` writes one"
        ) from None
    except OSError as error:
        raise ConfigError(f"settings: {path} cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict) or _MARK not in content:
        raise ConfigError(f"settings: {path} is not a file that `llm-tiers calibrate --out` wrote")
    return content

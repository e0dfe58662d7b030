"""A framework's models: as tiers, and rebuilt with other settings as if they had been constructed with them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from pydantic import BaseModel

from llm_tiers.arguments import kind_of
from llm_tiers.errors import ConfigError
from llm_tiers.ladder.taken import knows
from llm_tiers.ladder.tiers import DEFAULT_TIMEOUT, Ladder, Tier
from llm_tiers.policies.graders import Grader
from llm_tiers.policies.judges.judge import Judge

__all__ = [
    "Model",
    "arguments_of",
    "as_tiers",
    "check_grading_model",
    "check_own_models",
    "defaults_of",
    "known_settings",
    "knows",
    "rebuilt",
    "rebuilt_or_refused",
    "with_defaults",
]

Model = TypeVar("Model", bound=BaseModel)

_CLIENTS = frozenset({"client", "async_client", "root_client", "root_async_client"})
"""Fields that models fill themselves, from their other settings."""


def known_settings(model: BaseModel, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the settings that the model knows."""
    return {name: value for name, value in settings.items() if knows(model, name)}


def rebuilt(model: Model, settings: Mapping[str, Any]) -> Model:
    """Return the model with those of the settings that it knows, or itself where it knows none.

    The model's class makes it anew: only so do a client's time-out and retries change, and only so does the class apply
    its own rules, such as that a reasoning model takes no temperature.
    """
    # Not by `model_copy`: clients are made by validators, which a copy does not run.
    known = known_settings(model, settings)
    return type(model)(**_without(arguments_of(model), known, model), **known) if known else model


def arguments_of(model: BaseModel) -> dict[str, Any]:
    """Return what a model was made with, by the names that its constructor takes."""
    fields = type(model).model_fields
    return {
        fields[name].alias or name: getattr(model, name)
        # Only what was given: a default that a validator has changed must be worked out anew.
        for name in model.model_fields_set
        if name in fields and not (name in _CLIENTS and fields[name].exclude and not _is_amazons(getattr(model, name)))
    }


def _is_amazons(client: object) -> bool:
    """Say whether a client is one of Amazon's, which users make themselves where their session has other credentials.

    It cannot be told from one that the model made, and stays: the tier's own time-out bounds it as well.
    """
    return type(client).__module__.startswith("botocore")


def _without(arguments: dict[str, Any], settings: Mapping[str, Any], model: BaseModel) -> dict[str, Any]:
    """Leave out what the settings replace, under either of its names, its own and its alias."""
    fields = type(model).model_fields
    replaced = {name for key in settings for name, field in fields.items() if key in (name, field.alias)}
    names = replaced | {fields[name].alias for name in replaced}
    return {name: value for name, value in arguments.items() if name not in names}


def defaults_of(model: BaseModel, *, last: bool, timeout: float | None) -> dict[str, Any]:
    """Return the settings of a client that differ from its class's own defaults, where the user has said nothing.

    A tier that hangs is left after a time, and one below the top retries once: the next tier up is the better retry.

    Args:
        model: The model.
        last: It is the top tier.
        timeout: The tier's own time-out in seconds, or None. The client's is a little longer: the tier's says what is
            wrong, and the client's ends what nobody waits for any more.
    """
    retries = _unset(model, "max_retries")
    defaults: dict[str, Any] = {}
    if not last and (retries is None or (isinstance(retries, int) and retries > 1)):
        defaults["max_retries"] = 1
    own = _unset(model, "timeout")
    longest = DEFAULT_TIMEOUT if timeout is None else timeout + _LONGER
    if longest < math.inf and (own is None or (isinstance(own, int | float) and own > longest)):
        defaults["timeout"] = longest
    return defaults


_SET = object()

_LONGER = 1.0
"""Seconds by which a client waits longer than its tier."""


def _unset(model: BaseModel, setting: str) -> Any:
    """Return the value of a setting that its class has chosen; `_SET` where the user has, or where there is none."""
    for name, field in type(model).model_fields.items():
        if setting in (name, field.alias):
            value = getattr(model, name)
            # LlamaIndex's classes give all their fields themselves; another value than the class's own is the user's.
            return value if name not in model.model_fields_set or value == field.default else _SET
    return _SET


def with_defaults(model: Model, defaults: Mapping[str, Any]) -> Model:
    """Return a model made anew with some defaults, or itself where its class does not let that happen."""
    try:
        return rebuilt(model, defaults) if defaults else model
    except (ValueError, TypeError):
        return model


def as_tiers(
    tiers: object, model_class: type[BaseModel], plural: str, as_model: Callable[[object, str], object]
) -> tuple[Tier, ...]:
    """Make tiers of models, tiers and model names.

    Args:
        tiers: What the user gives.
        model_class: The framework's class of models.
        plural: What such models are called.
        as_model: Takes what stands for a model, and where it stands, and returns the model.

    Raises:
        ConfigError: `tiers` is not a list of two or more of these with different names.
    """
    # A model is iterable too, over its fields.
    if isinstance(tiers, str | Mapping | Tier | model_class) or not isinstance(tiers, Iterable):
        raise ConfigError(f"tiers must be a list of {plural}, cheapest first, not {type(tiers).__name__}")

    def as_tier(given: object, argument: str) -> Tier:
        if not isinstance(given, Tier):
            return Tier(as_model(given, argument))
        return replace(given, model=as_model(given.model, argument))

    # Made to be checked (two tiers at least, names that differ), and taken apart again.
    return tuple(Ladder(as_tier(tier, f"tiers[{position}]") for position, tier in enumerate(tiers)))


def rebuilt_or_refused(model: Model, settings: Mapping[str, Any], argument: str) -> Model:
    """Return a model made anew with those of the settings that it knows; see `rebuilt`.

    Raises:
        ConfigError: Its class does not take one.
    """
    try:
        return rebuilt(model, settings)
    except Exception as error:  # noqa: BLE001 -- each class refuses in its own way, and may show a key
        names = ", ".join(known_settings(model, settings))
        raise ConfigError(f"{argument} does not take {names}: {type(error).__name__}") from None


def check_own_models(judge: Judge, model_class: type[BaseModel], fix: str) -> None:
    """Check that the models of a judge's own are the framework's.

    Raises:
        ConfigError: One is not; the message names `fix`.
    """
    for tier in judge.own_tiers():
        if not isinstance(tier.model, model_class):
            raise ConfigError(f"judge: its model must be {fix}, not {kind_of(tier.model)}")


def check_grading_model(grader: Grader, model_class: type[BaseModel], fix: str) -> None:
    """Check that a grader's own model is the framework's.

    Raises:
        ConfigError: It is not; the message names `fix`.
    """
    if isinstance(grader.model, Tier) and not isinstance(grader.model.model, model_class):
        kind = kind_of(grader.model.model)
        raise ConfigError(f"grade: its model must be {fix}, not {kind}; or give a function of question and answer")

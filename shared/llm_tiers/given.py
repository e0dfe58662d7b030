"""What a user gives to a model over a ladder, checked: what is wrong is refused before any model is called."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, SecretStr, ValidationError

from llm_tiers.errors import ConfigError
from llm_tiers.rebuild import Model, known_settings, rebuilt
from llm_tiers.tiers import Ladder, Tier

if TYPE_CHECKING:
    from llm_tiers.judges import Judge

__all__ = [
    "as_tiers",
    "check_api_key",
    "check_call_settings",
    "check_known",
    "check_own_models",
    "kind_of",
    "rebuilt_or_refused",
    "without_values",
]


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


def check_call_settings(*, node: object, query_text: object, on_trace: object) -> None:
    """Check what describes the calls.

    Raises:
        ConfigError: One is of another kind.
    """
    if node is not None and not isinstance(node, str):
        raise ConfigError(f"node must be a name, such as 'research/plan', or None, not {kind_of(node)}")
    for argument, function in (("query_text", query_text), ("on_trace", on_trace)):
        if function is not None and not callable(function):
            raise ConfigError(f"{argument} must be a function of one argument, or None, not {kind_of(function)}")


def check_api_key(api_key: object) -> dict[str, object]:
    """Return the settings that a key is, none for None.

    Raises:
        ConfigError: It is of another kind.
    """
    if api_key is not None and not isinstance(api_key, str | SecretStr) and not callable(api_key):
        raise ConfigError(f"api_key must be a key, not {kind_of(api_key)}")
    return {} if api_key is None else {"api_key": api_key}


def check_known(names: Iterable[str], known: Iterable[str]) -> None:
    """Check that arguments exist.

    Raises:
        ConfigError: One does not.
    """
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise ConfigError(f"unknown argument {', '.join(unknown)}; there are {', '.join(known)}")


def kind_of(given: object) -> str:
    """Say what something is. Only its type is shown: whatever it is, it may hold a key."""
    return f"the class {given.__name__}" if isinstance(given, type) else f"a {type(given).__name__}"


def without_values(error: ValidationError) -> ConfigError:
    """Tell what pydantic found without the values that were given, which may hold keys."""
    found = (f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors(include_input=False))
    return ConfigError("; ".join(found))

"""Checks of what a user gives: a wrong argument is refused before any model is called."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Real

from pydantic import SecretStr, ValidationError

from llm_tiers.errors import ConfigError

__all__ = [
    "check_api_key",
    "check_call_settings",
    "check_known",
    "kind_of",
    "require",
    "require_number",
    "without_values",
]


def require(holds: bool, message: str) -> None:  # noqa: FBT001
    """Refuse an argument.

    Raises:
        ConfigError: It does not hold.
    """
    if not holds:
        raise ConfigError(message)


def require_number(value: object, argument: str) -> None:
    """Check that an argument is a number.

    Raises:
        ConfigError: It is none.
    """
    require(isinstance(value, Real) and not isinstance(value, bool), f"{argument}={value!r} must be a number")


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

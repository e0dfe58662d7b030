"""Checks of users' arguments: a wrong one is refused before any model is called."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Real
from typing import cast

import numpy as np
from pydantic import SecretStr, ValidationError

from llm_tiers.errors import ConfigError

__all__ = [
    "check_api_key",
    "check_call_settings",
    "check_known",
    "grade_of",
    "kind_of",
    "require",
    "require_number",
    "without_values",
]


def require(holds: bool, message: str) -> None:  # noqa: FBT001
    """Refuse an argument unless a condition holds.

    Raises:
        ConfigError: The condition does not hold.
    """
    if not holds:
        raise ConfigError(message)


def require_number(value: object, argument: str) -> None:
    """Check that an argument is a number.

    Raises:
        ConfigError: It is not a number.
    """
    # Python counts True as the number 1, but a user who writes quality=True means something else.
    require(isinstance(value, Real) and not isinstance(value, bool), f"{argument}={value!r} must be a number")


def grade_of(correct: object, argument: str) -> float:
    """Return what says how right an answer is as a number: True is 1, False is 0.

    Raises:
        ConfigError: It is neither True or False nor a number in [0, 1].
    """
    # Comparisons of numpy values return its own bool, which is no subclass of Python's.
    if isinstance(correct, bool | np.bool_):
        return float(correct)
    # Written so that NaN fails too.
    if not isinstance(correct, Real) or not 0 <= (grade := cast("float", correct)) <= 1:
        shown = f"={correct!r}" if isinstance(correct, Real) else f" is {kind_of(correct)}, but it"
        raise ConfigError(f"{argument}{shown} must be True, False or a number in [0, 1]")
    return float(grade)


def check_call_settings(*, node: object = None, query_text: object = None, on_trace: object = None) -> None:
    """Check the arguments that describe calls.

    Raises:
        ConfigError: One has the wrong type.
    """
    if node is not None and not isinstance(node, str):
        raise ConfigError(f"node must be a name, such as 'research/plan', or None, not {kind_of(node)}")
    for argument, function in (("query_text", query_text), ("on_trace", on_trace)):
        if function is not None and not callable(function):
            raise ConfigError(f"{argument} must be a function of one argument, or None, not {kind_of(function)}")


def check_api_key(api_key: object) -> dict[str, object]:
    """Return the key as call settings; empty for None.

    Raises:
        ConfigError: It has the wrong type.
    """
    # OpenAI's clients take a function that returns a key as well.
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
    """Name the type of an argument for a message. Its value is not shown, since it may hold a key."""
    return f"the class {given.__name__}" if isinstance(given, type) else f"a {type(given).__name__}"


def without_values(error: ValidationError) -> ConfigError:
    """Return what pydantic found, without the values that were given: they may hold keys."""
    # `include_input=False`, since pydantic would quote the value.
    found = (f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors(include_input=False))
    return ConfigError("; ".join(found))

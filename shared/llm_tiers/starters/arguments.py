"""Checks of what a starter is given."""

from __future__ import annotations

from numbers import Real

from llm_tiers.errors import ConfigError

__all__ = ["require", "require_number"]


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

"""The boundary to a tier: whatever its client raises becomes a `TierError`, without keys and without the answer."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, SecretStr, ValidationError

from llm_tiers.errors import TierError
from llm_tiers.usage import Usage

if TYPE_CHECKING:
    from llm_tiers.ladder.tiers import Tier

__all__ = ["tier_errors", "what_is_wrong"]

_SHORTEST_SECRET = 8
"""Fewest characters of a secret: a dummy such as "x" is none, and would be found in every word."""

_SECRET = re.compile(r"(?:\A|_)(?:key|token|secret|password)\Z", re.IGNORECASE)
"""Names of fields that hold a secret as plain text."""

_UNREADABLE = "the answer cannot be read"

_ABOUT_THE_ANSWER = (ValidationError, json.JSONDecodeError)
"""Errors that quote the answer, of which nothing may reach the user."""


@contextmanager
def tier_errors(
    tier: Tier,
    about_the_answer: tuple[type[Exception], ...] = (),
    passes: Callable[[Exception], bool] = lambda _: False,
) -> Iterator[None]:
    """Turn what a tier's client raises into a `TierError`.

    Args:
        tier: The tier.
        about_the_answer: The framework's own errors that quote the answer, besides those of pydantic and json.
        passes: Says of an error that it is no failure, such as a framework's way to interrupt a graph.

    Nothing else is raised, whatever the error holds.

    Raises:
        TierError: The client failed. It shows no key of the tier's model and nothing of an answer.
    """
    quoting = (*_ABOUT_THE_ANSWER, *about_the_answer)
    try:
        yield
    except TierError:
        raise
    except Exception as error:  # clients raise whatever they like
        if passes(error):
            raise
        safe, usage = _safe_text(tier, error, quoting), _usage_in(error)
        if safe is None:
            # Nothing to hide: the client's own error is the cause, for those who match its class.
            raise TierError(tier.name, error, usage=usage) from error
        raise TierError(tier.name, ": ".join(filter(None, (type(error).__name__, safe))), usage=usage) from None


def what_is_wrong(error: Exception) -> str:
    """Say what is wrong with an answer that cannot be read, without the answer; it never raises."""
    if isinstance(error, ValidationError):
        try:
            return ", ".join(sorted({repr(one["type"]) for one in error.errors(include_input=False)}))
        except Exception:  # noqa: BLE001 -- a validator's own error is part of what pydantic reports
            return _UNREADABLE
    return _UNREADABLE


def _safe_text(tier: Tier, error: Exception, quoting: tuple[type[Exception], ...]) -> str | None:
    """Return what may be shown of an error in its place; None where all of it may be.

    Keys are left out, and of an answer that was rejected only what is wrong with it is shown. An error that cannot be
    turned into text, or whose keys cannot be looked up, is shown by its class alone.
    """
    if isinstance(error, quoting):
        return what_is_wrong(error)
    try:
        text = shown = str(error)
        for secret in _secrets(tier.model):
            shown = shown.replace(secret, "***")
    except Exception:  # noqa: BLE001 -- what a client raises may itself raise
        return ""
    return None if shown == text else shown


def _usage_in(error: Exception) -> Usage | None:
    """Return the tokens of an answer that the client could not read, which its error carries along.

    The body of a stream that was broken off is not read: httpx raises `ResponseNotRead` where it is asked for.
    """
    try:
        usage = getattr(error, "response", None).json()["usage"]  # type: ignore[union-attr]
        tokens = usage["prompt_tokens"], usage["completion_tokens"]
    except Exception:  # noqa: BLE001 -- a client's error holds whatever it likes, and this is only its account
        return None
    # `type`, because True is an int as well.
    return Usage(*tokens) if all(type(count) is int and count >= 0 for count in tokens) else None


def _secrets(model: Any) -> Iterator[str]:
    for name in type(model).model_fields if isinstance(model, BaseModel) else ():
        value = getattr(model, name, None)
        if isinstance(value, SecretStr):
            value = value.get_secret_value()
        # Keys may be given as headers as well, such as `default_headers`.
        elif isinstance(value, Mapping) and name.endswith("headers"):
            yield from filter(_is_secret, map(str, value.values()))
            continue
        elif not _SECRET.search(name):
            continue
        if isinstance(value, str) and _is_secret(value):
            yield value


def _is_secret(text: str) -> bool:
    return len(text) >= _SHORTEST_SECRET

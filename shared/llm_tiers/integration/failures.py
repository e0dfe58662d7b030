"""The boundary to a tier: whatever its client raises becomes a `TierError`, without keys and without the answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from llm_tiers.errors import Origin, TierError
from llm_tiers.integration.faults import blame_of, chain_of, http_of, unknown_setting_in
from llm_tiers.ladder.provider import secrets_of
from llm_tiers.usage import Usage

if TYPE_CHECKING:
    from llm_tiers.ladder.tiers import Tier

__all__ = ["tier_errors", "what_is_wrong"]

_UNREADABLE = "the answer cannot be read"

_ABOUT_THE_ANSWER = (ValidationError, json.JSONDecodeError)
"""Errors that quote the answer, of which nothing may reach the user."""


@contextmanager
def tier_errors(
    tier: Tier,
    about_the_answer: tuple[type[Exception], ...] = (),
    passes: Callable[[Exception], bool] = lambda _: False,
    settings: Collection[str] = (),
) -> Iterator[None]:
    """Turn what a tier's client raises into a `TierError`.

    Args:
        tier: The tier.
        about_the_answer: The framework's own errors that quote the answer, besides those of pydantic and json.
        passes: Says of an error that it is no failure, such as a framework's way to interrupt a graph.
        settings: Names of the settings that the user gives the call.

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
        safe, usage, origin = _safe_text(tier, error, quoting), _usage_in(error), _origin_of(tier, error, quoting)
        unknown = unknown_setting_in(error)
        if unknown in settings:
            origin = replace(origin, unknown=unknown, blame="request")
        if safe is None:
            # Nothing to hide: the client's own error is the cause.
            raise TierError(tier.name, error, usage=usage, origin=origin) from error
        text = ": ".join(filter(None, (type(error).__name__, safe)))
        raise TierError(tier.name, text, usage=usage, origin=origin) from None


def _origin_of(tier: Tier, error: Exception, quoting: tuple[type[Exception], ...]) -> Origin:
    """Return what is to be known of an error besides its text, also where that may not be shown."""
    try:
        chain = tuple(chain_of(error))
        status, after = http_of(chain)
        if isinstance(error, quoting):
            # What such an error has besides its text is the answer.
            garbled = isinstance(error, json.JSONDecodeError)
            return Origin(type(error), blame="tier" if garbled else "request", status=status)
        return Origin(type(error), _shown_attributes(tier, error), blame_of(error, status), status, after)
    except Exception:  # noqa: BLE001 -- what a client raises may itself raise where it is looked at
        return Origin(type(error))


def _shown_attributes(tier: Tier, error: Exception) -> dict[str, Any]:
    attributes = dict(vars(error))
    if isinstance(error, OSError):
        attributes |= {"errno": error.errno, "strerror": error.strerror, "filename": error.filename}
    secrets = tuple(secrets_of(tier.model))
    return {name: _cleaned(value, secrets) for name, value in attributes.items()}


def _cleaned(value: Any, secrets: tuple[str, ...]) -> Any:
    """Return data without secrets in it; the client's own objects, such as its HTTP response, as they are."""
    if isinstance(value, str):
        return _without(value, secrets)
    if type(value) is dict:
        return {key: _cleaned(item, secrets) for key, item in value.items()}
    return [_cleaned(item, secrets) for item in value] if type(value) is list else value


def _without(text: str, secrets: tuple[str, ...]) -> str:
    """Return a text with stars in place of secrets."""
    for secret in secrets:
        text = text.replace(secret, "***")
    return text


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
        text = str(error)
        shown = _without(text, tuple(secrets_of(tier.model)))
    except Exception:  # noqa: BLE001 -- what a client raises may itself raise
        return ""
    return None if shown == text else shown


def _usage_in(error: Exception) -> Usage | None:
    """Return the tokens of an answer that the client could not read, which its error carries along.

    OpenAI's client carries the completion where an object was cut short, and others the HTTP response. The body of a
    stream that was broken off is not read: httpx raises `ResponseNotRead` where it is asked for.
    """
    for tokens_of in (_of_completion, _of_body):
        try:
            tokens = tokens_of(error)
        except Exception:  # noqa: BLE001, S112 -- a client's error holds whatever it likes, and this is only its account
            continue
        # `type`, because True is an int as well.
        if all(type(count) is int and count >= 0 for count in tokens):
            return Usage(*tokens)
    return None


def _of_completion(error: Any) -> tuple[Any, Any]:
    usage = error.completion.usage
    return usage.prompt_tokens, usage.completion_tokens


def _of_body(error: Any) -> tuple[Any, Any]:
    usage = error.response.json()["usage"]
    return usage["prompt_tokens"], usage["completion_tokens"]

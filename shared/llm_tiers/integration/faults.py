"""What a client's error says: its HTTP status, how long to wait, and who can mend it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

from llm_tiers.errors import Blame

__all__ = ["blame_of", "chain_of", "http_of", "retry_after_of", "status_of", "unknown_setting_in"]

_SETUP = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND})
"""Statuses that every further request to the tier would get: a wrong key, an unknown model."""

_REFUSED = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY})
_TOO_LONG = frozenset({HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.REQUEST_URI_TOO_LONG})

_OF_THE_TIER = re.compile(
    # The model: how much it reads and writes, what it knows, what it refuses to read.
    r"context|too (?:long|large|many)|max\w{0,20}[ _](?:output[ _])?tokens|token limit"
    r"|support|(?:unknown|unrecogni[sz]ed|unexpected|extra) \w{0,20}\s?(?:param|argument|field|input|key)"
    r"|unknown_parameter|not (?:allowed|available|enabled|permitted|found)|does not exist"
    r"|deprecated|\bmodel\b|content.?(?:filter|policy|management)|safety|moderation"
    # The account: providers say these with status 400 too.
    r"|credit|billing|quota|balance|api.?key|credential|location",
    re.IGNORECASE,
)
"""What a provider says of a request that another model, or another account, may serve."""

_OF_THE_REQUEST = re.compile(
    r"\binvalid schema for|invalid_function_parameters|\binvalid_type\b|missing_required_parameter", re.IGNORECASE
)
"""What a provider says of a request that has not the form which its interface asks for, whatever the model.

It is looked for first: the rest of such a text has words of the other kind, such as `In context=()` for the place in a
schema and `is not permitted`.
"""

_UNKNOWN_SETTING = re.compile(r"unexpected keyword argument '(\w+)'")
_UNSENDABLE = "not JSON serializable"

_LONGEST_CHAIN = 10
_MOST_OF_A_TEXT = 4_000
"""Characters of an error that are looked at: it may quote the whole prompt, and says what it is about before."""


def chain_of(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what led to it, nearest first."""
    for _ in range(_LONGEST_CHAIN):
        if error is None:
            return
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status that an error carries, or None."""
    response = getattr(error, "response", None)
    given = (
        *(getattr(error, name, None) for name in ("status_code", "http_status", "code")),
        *(getattr(response, name, None) for name in ("status_code", "status")),
    )
    # `type`, because True is an int as well; `code` is a text with some clients and any number with others.
    return next((status for status in given if type(status) is int and 400 <= status < 600), None)  # noqa: PLR2004


def retry_after_of(error: BaseException) -> float | None:
    """Return the seconds that the provider asks to wait, or None."""
    headers: Any = getattr(getattr(error, "response", None), "headers", None)
    given = headers.get("retry-after") if hasattr(headers, "get") else None
    if not isinstance(given, str):
        return None
    try:
        return max(0.0, float(given))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(given) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def http_of(chain: Sequence[BaseException]) -> tuple[int | None, float | None]:
    """Return the HTTP status and the seconds to wait that the nearest of an error's causes says; None if none does.

    Args:
        chain: An error and what led to it, nearest first.
    """
    status = next((status for status in map(status_of, chain) if status is not None), None)
    return status, next((seconds for seconds in map(retry_after_of, chain) if seconds is not None), None)


def unknown_setting_in(error: BaseException) -> str | None:
    """Return the setting that a client's class does not know and says so, before it asks for anything."""
    found = _UNKNOWN_SETTING.search(str(error)) if isinstance(error, TypeError) else None
    return found and found[1]


def blame_of(error: BaseException, status: int | None) -> Blame:
    """Say who can mend what a tier's client raised.

    Args:
        error: The error.
        status: Its HTTP status, or None where there was none.
    """
    if status in _SETUP:
        return "setup"
    if status in _TOO_LONG or _is_overflow(error):
        return "request"
    if status in _REFUSED:
        # What is said besides the text, such as OpenAI's code, is part of it, or of the body.
        said = f"{error} {getattr(error, 'code', '')} {getattr(error, 'body', '')}"
        said = said[:_MOST_OF_A_TEXT]
        return "request" if _OF_THE_TIER.search(said) and not _OF_THE_REQUEST.search(said) else "refused"
    if status is None and isinstance(error, TypeError):
        return "caller" if _UNSENDABLE in str(error) else "setup"
    # Python's own errors come of what was asked or answered, but for those of the network.
    own = type(error).__module__ == "builtins" and not isinstance(error, OSError)
    return "request" if status is None and own and type(error) is not Exception else "tier"


def _is_overflow(error: BaseException) -> bool:
    # By name, because LangChain need not be installed.
    return any(kind.__name__ == "ContextOverflowError" for kind in type(error).__mro__)

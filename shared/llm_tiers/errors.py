"""Every exception that llm-tiers raises on purpose.

```
LlmTiersError
├── ConfigError             a wrong argument; also a ValueError
├── TierError               one call of one tier failed
├── AllTiersFailed          no tier gave an answer; also of the class of what the top tier's client raised, and an
│                           ExceptionGroup of TierError where that class can be combined with one (OSError cannot)
├── FeedbackRefused         feedback of somebody who did not get the answer
├── ReplayFileError         a table of recorded outcomes is missing an array or is misshapen
└── HistoryError            the history cannot do what was asked
    ├── HistoryLocked       another process has the folder alone
    ├── HistoryUnreachable  the Chroma server does not answer
    ├── EmbeddingMismatch   the history was made by another embedding
    └── UnknownTrace        no record has that trace id; also a KeyError
```
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias, cast

if TYPE_CHECKING:
    from llm_tiers.trace import Trace
    from llm_tiers.usage import Usage

__all__ = [
    "AllTiersFailed",
    "ConfigError",
    "EmbeddingMismatch",
    "FeedbackRefused",
    "HistoryError",
    "HistoryLocked",
    "HistoryUnreachable",
    "LlmTiersError",
    "ReplayFileError",
    "TierError",
    "UnknownTrace",
]


class LlmTiersError(Exception):
    """The base of every exception of this package."""


class ConfigError(LlmTiersError, ValueError):
    """An argument is wrong. The message names the argument and the fix."""


class FeedbackRefused(LlmTiersError):  # noqa: N818
    """Feedback came from another principal than the one who got the answer."""


Blame: TypeAlias = Literal["tier", "setup", "request", "refused", "caller", "nobody"]
"""Who can mend a failed call.

`"tier"`: it may work again later, as after a rate limit. `"setup"`: it will not before somebody changes something,
such as a wrong key. `"request"`: another tier may serve this request, such as one that is too long. `"refused"`: the
provider takes the request for a wrong one, as another tier of the same provider would. `"caller"`: no tier takes it.
`"nobody"`: it was cancelled, or not asked.
"""


@dataclass(frozen=True, slots=True)
class Origin:
    """What a tier's client raised, without what must not be shown.

    Attributes:
        kind: Its class.
        attributes: Its attributes, such as `status_code`, `response` and `body`.
        blame: Who can mend it.
        status: The HTTP status, or None where there was none.
        retry_after: Seconds that the provider asks to wait, or None.
        unknown: The setting of the call that the client does not know, and says so before it asks; None where it was
            not that.
    """

    kind: type[BaseException] = Exception
    attributes: Mapping[str, Any] = field(default_factory=dict, repr=False)
    blame: Blame = "tier"
    status: int | None = None
    retry_after: float | None = None
    unknown: str | None = None

    def portable(self) -> Origin:
        """Return what of it can be pickled anywhere: a class that can be imported, and plain data."""
        kind = self.kind if _is_importable(self.kind) else Exception
        return replace(self, kind=kind, attributes={k: v for k, v in self.attributes.items() if _is_plain(v)})


_NO_ORIGIN = Origin()

CANCELLED = "cancelled"
"""The cause of a model call that the user ended."""


class TierError(LlmTiersError):
    """One call of one tier failed.

    Attributes:
        tier: Name of the tier.
        cause: What the tier's client raised.
        broke_off: Whether a part of the answer had reached the user already.
        usage: The tokens that the call took all the same, or None where they are not known.
        origin: The class and the attributes of what was raised, also where its text may not be shown.
    """

    def __init__(
        self,
        tier: str,
        cause: BaseException | str,
        *,
        broke_off: bool = False,
        usage: Usage | None = None,
        origin: Origin = _NO_ORIGIN,
    ) -> None:
        super().__init__(tier, cause)
        self.tier = tier
        self.cause = cause
        self.broke_off = broke_off
        self.usage = usage
        self.origin = origin

    @property
    def cut_short(self) -> bool:
        """Whether the provider was answering when the call ended, so that it bills tokens that nobody has counted."""
        return self.broke_off or self.cause == CANCELLED

    def __reduce__(self) -> tuple[Any, ...]:
        # A client's exception often cannot be pickled, and would break a pool of processes: so its text replaces it.
        made = partial(TierError, broke_off=self.broke_off, usage=self.usage, origin=self.origin.portable())
        return made, (self.tier, self.summary)

    @property
    def summary(self) -> str:
        """The cause in at most 200 characters, as the trace shows it."""
        text = self.cause if isinstance(self.cause, str) else f"{type(self.cause).__name__}: {self.cause}"
        return text if len(text) <= 200 else text[:199] + "…"  # noqa: PLR2004

    def __str__(self) -> str:
        """Name the tier and the cause."""
        return f"tier {self.tier!r} failed: {self.summary}"


class AllTiersFailed(LlmTiersError):  # noqa: N818
    """No tier gave an answer that may be returned.

    What is raised is of a subclass that is also one of the class of the error that `like` names, so that whoever
    handles the errors of the top tier's client, such as `openai.RateLimitError`, handles this one as well. It has that
    error's attributes too. It is an `ExceptionGroup`, unless that class cannot be combined with one, as `OSError`
    cannot. Of a class that has no subclasses, such as pydantic's `ValidationError`, the nearest base stands in:
    `ValueError`.

    Args:
        message: What happened.
        exceptions: One `TierError` for each failed call, in the order of the calls.
        like: The failed call whose error it stands for, or None.

    Attributes:
        message: What happened.
        exceptions: One `TierError` for each failed call, in the order of the calls.
        trace: What happened on the call, or None where it is not known yet.
    """

    message: str
    exceptions: tuple[TierError, ...]
    # Set after the exception is raised: only the engine, which catches it on the way, can make the trace.
    trace: Trace | None = None

    def __new__(cls, message: str, exceptions: Sequence[TierError], like: TierError | None = None) -> Self:  # noqa: D102
        made = _all_tiers_failed(like.origin.kind if like else Exception)
        return cast("Self", _blank(made, message, exceptions))

    def __init__(self, message: str, exceptions: Sequence[TierError], like: TierError | None = None) -> None:
        # Not the base's, which is the client's: it may want anything.
        attributes = {} if like is None else dict(like.origin.attributes)
        # A group has these two of its own.
        own = {} if isinstance(self, BaseExceptionGroup) else {"message": message, "exceptions": tuple(exceptions)}
        if isinstance(self, OSError):
            self.errno, self.strerror = attributes.pop("errno", None), attributes.pop("strerror", None)
            self.filename = attributes.pop("filename", None)
        self.__dict__.update({**attributes, **own, "_like": like})

    def __str__(self) -> str:
        """Say what happened."""
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        # By hand, because the class has been made while the program ran.
        like = self.__dict__.get("_like")
        portable = like and TierError(like.tier, like.summary, origin=like.origin.portable())
        return _restored, (self.message, list(self.exceptions), portable, self.trace)

    def derive(self, excs: Sequence[Any], /) -> AllTiersFailed:
        """Keep the type where `split` or `except*` takes a part of the group."""
        part = AllTiersFailed(self.message, excs, self.__dict__.get("_like"))
        part.trace = self.trace
        return part


def _restored(message: str, exceptions: list[TierError], like: TierError | None, trace: Trace | None) -> AllTiersFailed:
    made = AllTiersFailed(message, exceptions, like)
    made.trace = trace
    return made


def _blank(made: type[AllTiersFailed], message: str, exceptions: Sequence[TierError]) -> AllTiersFailed:
    # The constructor of the nearest built-in class: what a client's class wants to be made with is not known.
    built_in: Any = next(base for base in made.__mro__ if base.__module__ == "builtins")
    given = (message, exceptions) if issubclass(made, BaseExceptionGroup) else (message,)
    return cast("AllTiersFailed", built_in.__new__(made, *given))


_made: dict[type[BaseException], type[AllTiersFailed]] = {}
_making = threading.Lock()


def _all_tiers_failed(kind: type[BaseException]) -> type[AllTiersFailed]:
    """Return the class that is both `AllTiersFailed` and `kind`; it is made once."""
    with _making:
        if kind not in _made:
            _made[kind] = _combined(kind)
        return _made[kind]


def _combined(kind: type[BaseException]) -> type[AllTiersFailed]:
    """Make the class that is both `AllTiersFailed` and `kind`, or as much of `kind` as can be combined."""
    if issubclass(kind, AllTiersFailed):  # a tier that is a tiered model itself
        return kind
    for base in kind.__mro__:
        if base in (Exception, BaseException, object):
            break
        for group in ((ExceptionGroup,), ()):
            try:
                made = _subclass(f"AllTiersFailed[{kind.__name__}]", (AllTiersFailed, *group, base))
                _blank(made, "", [TierError("", "")])
            except TypeError:  # layouts that differ, or a class that wants none below it
                continue
            return made
    return _subclass("AllTiersFailed", (AllTiersFailed, ExceptionGroup))


def _subclass(name: str, bases: tuple[type, ...]) -> type[AllTiersFailed]:
    made: Any = type(name, bases, {"__module__": __name__, "__doc__": AllTiersFailed.__doc__})
    return cast("type[AllTiersFailed]", made)


def _is_importable(kind: type[BaseException]) -> bool:
    found: Any = sys.modules.get(kind.__module__)
    for name in kind.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is kind


def _is_plain(value: Any) -> bool:
    if isinstance(value, Mapping):
        return type(value) is dict and all(map(_is_plain, (*value.keys(), *value.values())))
    if isinstance(value, list | tuple):
        return type(value) in (list, tuple) and all(map(_is_plain, value))
    return value is None or type(value) in (str, int, float, bool)


class ReplayFileError(LlmTiersError):
    """A table of recorded outcomes cannot be replayed. The message names the array and the fix."""


class HistoryError(LlmTiersError):
    """The history cannot do what was asked."""


class HistoryLocked(HistoryError):  # noqa: N818
    """Another process has the history's folder alone, or another machine or container uses it."""


class HistoryUnreachable(HistoryError):  # noqa: N818
    """The Chroma server does not answer."""


class EmbeddingMismatch(HistoryError):  # noqa: N818
    """The history was made by another embedding than the one given."""


class UnknownTrace(HistoryError, KeyError):  # noqa: N818
    """No record has the trace id given."""

    def __str__(self) -> str:
        """Return the message itself, which a KeyError would put in quotes."""
        return str(self.args[0])

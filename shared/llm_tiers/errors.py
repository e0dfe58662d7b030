"""Every exception that llm-tiers raises on purpose.

```
LlmTiersError
├── ConfigError             a wrong argument; also a ValueError
├── TierError               one call of one tier failed
├── AllTiersFailed          no tier gave an answer; also an ExceptionGroup of TierError
├── ReplayFileError         a table of recorded outcomes is missing an array or is misshapen
└── HistoryError            the history cannot do what was asked
    ├── HistoryLocked       another process holds the folder
    ├── HistoryUnreachable  the Chroma server does not answer
    ├── EmbeddingMismatch   the history was made by another embedding
    └── UnknownTrace        no record has that trace id; also a KeyError
```
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llm_tiers.trace import Trace
    from llm_tiers.usage import Usage

__all__ = [
    "AllTiersFailed",
    "ConfigError",
    "EmbeddingMismatch",
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


class TierError(LlmTiersError):
    """One call of one tier failed.

    Attributes:
        tier: Name of the tier.
        cause: What the tier's client raised.
        broke_off: Whether a part of the answer had reached the user already.
        usage: The tokens that the call took all the same, or None where they are not known.
    """

    def __init__(
        self, tier: str, cause: BaseException | str, *, broke_off: bool = False, usage: Usage | None = None
    ) -> None:
        super().__init__(tier, cause)
        self.tier = tier
        self.cause = cause
        self.broke_off = broke_off
        self.usage = usage

    def __reduce__(self) -> tuple[Any, ...]:
        # A client's exception often cannot be pickled, and would break a pool of processes: so its text replaces it.
        return partial(TierError, broke_off=self.broke_off, usage=self.usage), (self.tier, self.summary)

    @property
    def summary(self) -> str:
        """The cause in at most 200 characters, as the trace shows it."""
        text = self.cause if isinstance(self.cause, str) else f"{type(self.cause).__name__}: {self.cause}"
        return text if len(text) <= 200 else text[:199] + "…"  # noqa: PLR2004

    def __str__(self) -> str:
        """Name the tier and the cause."""
        return f"tier {self.tier!r} failed: {self.summary}"


class AllTiersFailed(LlmTiersError, ExceptionGroup[TierError]):  # noqa: N818
    """No tier gave an answer that may be returned.

    Attributes:
        exceptions: One `TierError` for each failed call, in the order of the calls.
        trace: What happened on the call, or None where it is not known yet.
    """

    # Set after the exception is raised: only the engine, which catches it on the way, can make the trace.
    trace: Trace | None = None

    def __new__(cls, message: str, exceptions: Sequence[TierError]) -> Self:  # noqa: D102
        return super().__new__(cls, message, exceptions)

    def derive(self, excs: Sequence[Any], /) -> AllTiersFailed:  # type: ignore[override]  # a part holds TierErrors too
        """Keep the type where `split` or `except*` takes a part of the group."""
        part = AllTiersFailed(self.message, excs)
        part.trace = self.trace
        return part


class ReplayFileError(LlmTiersError):
    """A table of recorded outcomes cannot be replayed. The message names the array and the fix."""


class HistoryError(LlmTiersError):
    """The history cannot do what was asked."""


class HistoryLocked(HistoryError):  # noqa: N818
    """Another process holds the history's folder."""


class HistoryUnreachable(HistoryError):  # noqa: N818
    """The Chroma server does not answer."""


class EmbeddingMismatch(HistoryError):  # noqa: N818
    """The history was made by another embedding than the one given."""


class UnknownTrace(HistoryError, KeyError):  # noqa: N818
    """No record has the trace id given."""

    def __str__(self) -> str:
        """Return the message itself, which a KeyError would put in quotes."""
        return str(self.args[0])

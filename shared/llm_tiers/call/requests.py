"""The requests of a call's flow and their replies: the messages between `cascade` and `drive`.

Recall   -> Recollection                     look up similar past calls
Generate -> (Answer | TierError, ...)        call one or several models side by side
Handoff  -> Answer | TierError               call one model whose answer is final: it may stream live
Consult  -> Consulted                        call a user's function, after the call has ended
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from llm_tiers.call.answer import Answer
from llm_tiers.errors import TierError
from llm_tiers.history.record import Recollection, Study
from llm_tiers.ladder.tiers import Tier
from llm_tiers.trace import Role

__all__ = [
    "Consult",
    "Consulted",
    "Flow",
    "Generate",
    "Generating",
    "Handoff",
    "ModelCall",
    "Prompt",
    "Recall",
    "Recalling",
    "Reply",
    "Request",
    "Response",
]


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt of our own, such as a judge's question."""

    system: str
    user: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ModelCall:
    """One call of one model.

    Attributes:
        tier: The model to call.
        role: What the call is for.
        prompt: What to send; None sends the user's own messages, tools and settings.
        postscript: Text added to the user's own messages, or None.
        subject: For a judge, the name of the tier whose answer is judged.
        effort: Reasoning effort to ask of the model, or None for the model's own.
    """

    tier: Tier
    role: Role = "generate"
    prompt: Prompt | None = None
    postscript: str | None = None
    subject: str | None = None
    effort: str | None = None


@dataclass(frozen=True, slots=True)
class Recall:
    """Look up the `k` calls of `node` that are most similar to `text`, and the result of `study` over all its calls."""

    text: str = field(repr=False)
    node: str
    k: int
    study: Study | None = None


@dataclass(frozen=True, slots=True)
class Generate:
    """Call models side by side; the reply has one entry for each call, in the same order."""

    calls: tuple[ModelCall, ...]


@dataclass(frozen=True, slots=True)
class Handoff:
    """Call the model whose answer goes to the user unjudged, so that it may stream live."""

    call: ModelCall


@dataclass(frozen=True, slots=True)
class Consult:
    """Call a user's function, which may be async, and wait for it no longer than `seconds`."""

    function: Callable[[], Any]
    seconds: float


@dataclass(frozen=True, slots=True)
class Consulted:
    """What a user's function returned, or how it failed, in the form `"kind: details"`."""

    value: Any = None
    error: str | None = None


# A failed call is a reply too, not an exception in the flow: the flow decides what a failure means, and of several
# calls side by side one may fail.
Reply: TypeAlias = Answer | TierError
Request: TypeAlias = Recall | Generate | Handoff | Consult
Response: TypeAlias = Recollection | tuple[Reply, ...] | Reply | Consulted

Flow: TypeAlias = Generator[Request, Response, Answer]
"""The flow of one call. It returns the accepted answer."""


def recall(request: Recall) -> Recalling:
    """Ask for a recollection."""
    # The type of a generator cannot tie a reply to its request, so each of these four functions checks its own.
    response = yield request
    if not isinstance(response, Recollection):
        raise TypeError(f"Recall was answered with {type(response).__name__}")
    return response


def generate(request: Generate) -> Generating:
    """Ask for model calls."""
    response = yield request
    if not isinstance(response, tuple):
        raise TypeError(f"Generate was answered with {type(response).__name__}")
    return response


def hand_off(request: Handoff) -> Generator[Request, Response, Reply]:
    """Ask for an unjudged model call."""
    response = yield request
    if not isinstance(response, Answer | TierError):
        raise TypeError(f"Handoff was answered with {type(response).__name__}")
    return response


def consult(request: Consult) -> Generator[Request, Response, Consulted]:
    """Ask for a call of a user's function."""
    response = yield request
    if not isinstance(response, Consulted):
        raise TypeError(f"Consult was answered with {type(response).__name__}")
    return response


Recalling: TypeAlias = Generator[Request, Response, Recollection]
Generating: TypeAlias = Generator[Request, Response, tuple[Reply, ...]]

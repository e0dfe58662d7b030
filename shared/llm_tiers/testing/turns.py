"""What the loopback server does with a request: an answer, or a fault."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

__all__ = ["BrokenJson", "Cut", "Hang", "HttpError", "LoopbackRequest", "Reply", "Script", "ToolCall", "Turn"]

Message: TypeAlias = dict[str, Any]
"""A message as the client sent it, with `role` and `content`."""


@dataclass(frozen=True, slots=True)
class LoopbackRequest:
    """A request as it reached the server.

    Attributes:
        model: The model asked for.
        messages: The messages.
        settings: Everything else in the body, such as `temperature`, `stop` or `tools`.
        completion: The request came to `/completions`: its prompt stands for a user message.
    """

    model: str
    messages: list[Message]
    settings: dict[str, Any]
    completion: bool = False

    @property
    def text(self) -> str:
        """The texts of all messages, one a line."""
        return "\n".join(map(_text, self.messages))

    @property
    def ask(self) -> str:
        """The text of the last user message, or `""`."""
        # After tool calls the last message is a tool's.
        users = [message for message in self.messages if message.get("role") == "user"]
        return _text(users[-1]) if users else ""

    @property
    def judges(self) -> bool:
        """Whether it is a judge's question, of `PromptJudge` or `Agreement`, which wants yes or no."""
        return bool(self.messages) and _text(self.messages[0]).startswith(
            ("You check answers.", "You compare answers.")
        )


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call in a reply.

    Attributes:
        name: Name of the tool.
        arguments: The arguments; a text is sent as it is, and so may be malformed JSON.
    """

    name: str
    arguments: Mapping[str, Any] | str = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer with the usage that the server reports.

    Attributes:
        text: The answer; it is streamed word by word.
        calls: The tools that it calls.
        input_tokens: Input tokens; by default the words of the messages.
        output_tokens: Output tokens; by default the words of the answer.
        cached_tokens: How many of the input tokens came from the provider's cache.
        reasoning_tokens: How many of the output tokens were reasoning.
        refusal: What the model says instead of an answer, or None.
        finish_reason: Why the answer ends, such as `"length"` or `"content_filter"`; by default `"stop"`, or
            `"tool_calls"` where tools are called.
    """

    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    refusal: str | None = None
    finish_reason: str | None = None


@dataclass(frozen=True, slots=True)
class HttpError:
    """A reply with an error status, such as 429 or 500.

    Attributes:
        status: The HTTP status.
        message: What the error body says; by default the status in words.
        retry_after: Seconds that the header Retry-After asks for, or None for no such header.
        code: OpenAI's code of the error, such as `"context_length_exceeded"`.
        after: What is streamed, with status 200, before the error comes as an event of the stream; None for an error
            at once. A request that does not stream gets the error at once.
    """

    status: int
    message: str = ""
    retry_after: float | None = None
    code: str | None = None
    after: str | None = None


@dataclass(frozen=True, slots=True)
class Cut:
    """The connection is cut.

    Attributes:
        after: What is streamed before the cut; a request that does not stream gets nothing.
    """

    after: str = ""


@dataclass(frozen=True, slots=True)
class BrokenJson:
    """Status 200, and a body that is no JSON."""


@dataclass(frozen=True, slots=True)
class Hang:
    """Send nothing more until `release` is called or the server closes; then answer `then`.

    Attributes:
        then: The answer after the release.
        after: What is streamed before; a request that does not stream gets nothing.
        reached: Set when a request has come.
    """

    then: str = ""
    after: str = ""
    reached: threading.Event = field(default_factory=threading.Event, init=False, repr=False, compare=False)
    _released: threading.Event = field(default_factory=threading.Event, init=False, repr=False, compare=False)

    def release(self) -> None:
        """Let every request that hangs here, now or later, have its answer."""
        self._released.set()

    def wait(self) -> None:
        """Record that a request has come, and wait for the release."""
        self.reached.set()
        self._released.wait()


Turn: TypeAlias = str | Reply | HttpError | Cut | BrokenJson | Hang
"""What the server does with one request."""

Script: TypeAlias = Turn | Callable[[LoopbackRequest], Turn]
"""What one model answers: the same each time, or a function of the request."""


def _text(message: Message) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return " ".join(part["text"] for part in content if part.get("type") == "text")

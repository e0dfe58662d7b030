"""A chat-completions server on 127.0.0.1 whose answers are scripted by model.

It speaks enough of OpenAI's protocol for real clients, so that a test runs the code that production runs:

```python
with LoopbackServer({"small": "Lyon", "large": "Paris"}) as server:
    model = ChatOpenAI(model="small", base_url=server.base_url, api_key="unused", max_retries=0)
```
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self, TypeAlias

__all__ = ["Hang", "HttpError", "LoopbackRequest", "LoopbackServer", "Reply", "Script"]

Message: TypeAlias = dict[str, Any]
"""A message as the client sent it, with `role` and `content`."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer with the usage that the server reports.

    Attributes:
        text: The answer.
        input_tokens: Input tokens; by default the words of the messages.
        output_tokens: Output tokens; by default the words of the answer.
        cached_tokens: How many of the input tokens came from the provider's cache.
        reasoning_tokens: How many of the output tokens were reasoning.
        refusal: What the model says instead of an answer, or None.
    """

    text: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    refusal: str | None = None


@dataclass(frozen=True, slots=True)
class HttpError:
    """A reply with an error status, such as 429 or 500.

    Attributes:
        status: The HTTP status.
        message: What the error body says; by default the status in words.
    """

    status: int
    message: str = ""


@dataclass(frozen=True, slots=True)
class Hang:
    """No reply until `release` is called or the server closes; then the answer of `then`.

    Attributes:
        then: The answer after the release.
        reached: Set when a request has come.
    """

    then: str = ""
    reached: threading.Event = field(default_factory=threading.Event, init=False, repr=False, compare=False)
    _released: threading.Event = field(default_factory=threading.Event, init=False, repr=False, compare=False)

    def release(self) -> None:
        """Let every request that hangs here, now or later, have its answer."""
        self._released.set()

    def wait(self) -> None:
        """Note that a request has come, and wait for the release."""
        self.reached.set()
        self._released.wait()


Turn: TypeAlias = str | Reply | HttpError | Hang
"""What the server does with one request."""

Script: TypeAlias = Turn | Callable[[list[Message]], Turn]
"""What one model answers: the same each time, or a function of the request's messages."""


@dataclass(frozen=True, slots=True)
class LoopbackRequest:
    """A request as it reached the server.

    Attributes:
        model: The model asked for.
        messages: The messages.
        settings: Everything else in the body, such as `temperature`, `stop` or `tools`.
    """

    model: str
    messages: list[Message]
    settings: dict[str, Any]

    @property
    def text(self) -> str:
        """The texts of all messages, one a line."""
        return "\n".join(_text(message) for message in self.messages)


class LoopbackServer:
    """An OpenAI-compatible chat-completions server for tests, on a free port of 127.0.0.1.

    Use it as a context manager, or call `start` and `close`.

    Args:
        scripts: What each model answers. The mapping is copied into the attribute `scripts`, which may be changed
            while the server runs. A model without a script is answered with status 404.
    """

    def __init__(self, scripts: Mapping[str, Script]) -> None:
        self.scripts: dict[str, Script] = dict(scripts)
        self._requests: list[LoopbackRequest] = []
        self._hanging: list[Hang] = []
        self._lock = threading.Lock()
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def start(self) -> None:
        """Listen on a free port."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_for(self))
        self._thread = threading.Thread(target=server.serve_forever, args=(0.01,), name="loopback", daemon=True)
        self._server = server
        self._thread.start()

    def close(self) -> None:
        """Release what hangs and stop listening."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()
            self._server = self._thread = None
        with self._lock:
            hanging = tuple(self._hanging)
        for hang in hanging:
            hang.release()

    @property
    def base_url(self) -> str:
        """The address to give to a client.

        Raises:
            RuntimeError: The server is not running.
        """
        if self._server is None:
            raise RuntimeError("the server is not running: use it as a context manager, or call start()")
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    @property
    def requests(self) -> tuple[LoopbackRequest, ...]:
        """Every request so far, in the order of arrival."""
        with self._lock:
            return tuple(self._requests)

    def requests_to(self, model: str) -> tuple[LoopbackRequest, ...]:
        """Return the requests to one model."""
        return tuple(request for request in self.requests if request.model == model)

    def forget(self) -> None:
        """Empty the log of requests."""
        with self._lock:
            self._requests.clear()

    def answer(self, body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        """Log the request with this body and return the status and the body of the reply, without any network."""
        settings = {key: value for key, value in body.items() if key not in ("model", "messages")}
        request = LoopbackRequest(body["model"], body["messages"], settings)
        with self._lock:
            self._requests.append(request)
        turn = self._turn(request)
        if isinstance(turn, Hang):
            with self._lock:
                self._hanging.append(turn)
            turn.wait()
            turn = turn.then
        if isinstance(turn, HttpError):
            return turn.status, _error(turn)
        return HTTPStatus.OK, _completion(request, Reply(turn) if isinstance(turn, str) else turn)

    def _turn(self, request: LoopbackRequest) -> Turn:
        script = self.scripts.get(request.model)
        if script is None:
            return HttpError(HTTPStatus.NOT_FOUND, f"The model {request.model!r} does not exist.")
        return script(request.messages) if callable(script) else script


def _handler_for(server: LoopbackServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """One request a connection: clients that live longer than an event loop must not keep one open."""

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path.endswith("/chat/completions"):
                self._send(*server.answer(body))
            else:
                self._send(HTTPStatus.NOT_FOUND, _error(HttpError(404, f"There is no {self.path}.")))

        def _send(self, status: int, body: dict[str, Any]) -> None:
            data = json.dumps(body).encode()
            try:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
            except ConnectionError:
                self.log_message("the client has gone")

        def log_message(self, *_: Any) -> None:
            """Say nothing: the log of requests tells more."""

    return Handler


def _completion(request: LoopbackRequest, reply: Reply) -> dict[str, Any]:
    message = {"role": "assistant", "content": None if reply.refusal else reply.text, "refusal": reply.refusal}
    return {
        "id": "chatcmpl-loopback",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": request.model,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
        "usage": _usage(request, reply),
    }


def _usage(request: LoopbackRequest, reply: Reply) -> dict[str, Any]:
    prompt = len(request.text.split()) if reply.input_tokens is None else reply.input_tokens
    completion = len(reply.text.split()) if reply.output_tokens is None else reply.output_tokens
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": reply.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": reply.reasoning_tokens},
    }


def _error(error: HttpError) -> dict[str, Any]:
    message = error.message or HTTPStatus(error.status).phrase
    return {"error": {"message": message, "type": "loopback", "param": None, "code": None}}


def _text(message: Message) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return " ".join(part["text"] for part in content if part.get("type") == "text")

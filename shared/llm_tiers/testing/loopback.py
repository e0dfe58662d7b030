"""A server of chat completions and completions on 127.0.0.1 whose answers are scripted by model.

It speaks enough of OpenAI's protocol for real clients, so that a test runs the code that production runs:

```python
with LoopbackServer({"small": "Lyon", "large": "Paris"}) as server:
    model = ChatOpenAI(model="small", base_url=server.base_url, api_key="unused", max_retries=0)
```
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self, cast

from llm_tiers.testing import wire
from llm_tiers.testing.turns import BrokenJson, Cut, Hang, HttpError, LoopbackRequest, Reply, Script, Turn

__all__ = ["LoopbackServer"]


class LoopbackServer:
    """An OpenAI-compatible server for tests, on a free port of 127.0.0.1: chat completions, and the older completions.

    It streams where the client asks for it, takes tools, JSON schemas and images as they come, and reports usage.
    Use it as a context manager, or call `start` and `close`.

    Args:
        scripts: What each model answers: a text, a `Reply` with tool calls or usage, a fault (`HttpError`, `Cut`,
            `BrokenJson`, `Hang`), or a function of the `LoopbackRequest` that returns one of these. The mapping is
            copied into the attribute `scripts`, which may be changed while the server runs. A model without a script
            is answered with status 404.
    """

    def __init__(self, scripts: Mapping[str, Script]) -> None:
        # A copy, so that a test that changes the scripts does not change those of the next test.
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
        server = _HttpServer(self)
        # Looking for a shutdown every 10 ms instead of every 500 keeps tests that start many servers fast.
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

    def turn(self, request: LoopbackRequest) -> Turn:
        """Log a request and return its model's scripted turn, without any network."""
        with self._lock:
            self._requests.append(request)
        script = self.scripts.get(request.model)
        if script is None:
            return HttpError(HTTPStatus.NOT_FOUND, f"The model {request.model!r} does not exist.")
        turn = _played(script, request)
        if isinstance(turn, Hang):
            with self._lock:
                self._hanging.append(turn)
        return turn


class _HttpServer(ThreadingHTTPServer):
    # With the usual five, a dozen clients at once wait a second for their connection.
    request_queue_size = 128

    def __init__(self, loopback: LoopbackServer) -> None:
        self.loopback = loopback
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    """One request a connection: clients that live longer than an event loop must not keep one open."""

    # 1.0 has no chunked streams, and without them a stream that is cut looks like one that has ended.
    protocol_version = "HTTP/1.1"

    @property
    def _loopback(self) -> LoopbackServer:
        return cast("_HttpServer", self.server).loopback

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            self._answer(_parsed(data))
        except ConnectionError:
            self.log_message("the client has gone")

    def _answer(self, body: dict[str, Any] | None) -> None:
        if not self.path.endswith("/completions"):
            return self._fail(HttpError(404, f"There is no {self.path}."))
        request = _request(body or {}, completion=not self.path.endswith("/chat/completions"))
        if request is None:
            return self._fail(HttpError(400, "The body must be a JSON object with `model` and `messages` or `prompt`."))
        turn = self._loopback.turn(request)
        if isinstance(turn, HttpError) and (turn.after is None or not request.settings.get("stream")):
            return self._fail(turn)
        return self._stream(request, turn) if request.settings.get("stream") else self._send_whole(request, turn)

    def _send_whole(self, request: LoopbackRequest, turn: Turn) -> None:
        if isinstance(turn, Cut):
            return self._cut()
        if isinstance(turn, BrokenJson):
            return self._send(b'{"choices": [{"message"')
        if isinstance(turn, Hang):
            turn.wait()
        return self._send(json.dumps(wire.completion(request, _reply(turn))).encode())

    def _stream(self, request: LoopbackRequest, turn: Turn) -> None:
        self._begin(HTTPStatus.OK, {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"})
        if isinstance(turn, BrokenJson):
            self._event('{"choices": [{"delta"')
            return self._end()
        if isinstance(turn, Cut | Hang | HttpError) and turn.after:
            # All but the last two events: the one that finishes, and the usage.
            for event in wire.events(request, Reply(turn.after)):
                if event["choices"] and event["choices"][0]["finish_reason"] is None:
                    self._event(json.dumps(event))
        if isinstance(turn, Cut):
            return self._cut()
        if isinstance(turn, HttpError):
            self._event(json.dumps(wire.error(turn)))
            return self._end()
        if isinstance(turn, Hang):
            turn.wait()
        for event in wire.events(request, _reply(turn)):
            self._event(json.dumps(event))
        self._event("[DONE]")
        return self._end()

    def _begin(self, status: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Connection": "close"}.items():
            self.send_header(name, value)
        self.end_headers()

    def _event(self, data: str) -> None:
        event = f"data: {data}\n\n".encode()
        self.wfile.write(b"%x\r\n%b\r\n" % (len(event), event))

    def _end(self) -> None:
        self.wfile.write(b"0\r\n\r\n")

    def _send(self, data: bytes, status: int = HTTPStatus.OK, headers: Mapping[str, str] | None = None) -> None:
        own = {"Content-Type": "application/json", "Content-Length": str(len(data))}
        self._begin(status, own | dict(headers or {}))
        self.wfile.write(data)

    def _fail(self, fault: HttpError) -> None:
        headers = {} if fault.retry_after is None else {"Retry-After": f"{fault.retry_after:g}"}
        self._send(json.dumps(wire.error(fault)).encode(), fault.status, headers)

    def _cut(self) -> None:
        self.close_connection = True
        # At once, so that the client sees a reset and not an end.
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: Any) -> None:
        """Print nothing: `LoopbackServer.requests` is the log."""


def _parsed(data: bytes) -> dict[str, Any] | None:
    try:
        body = json.loads(data)
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _request(body: Mapping[str, Any], *, completion: bool) -> LoopbackRequest | None:
    asked = "prompt" if completion else "messages"
    if not {"model", asked} <= body.keys():
        return None
    messages = [{"role": "user", "content": body["prompt"]}] if completion else body["messages"]
    settings = {key: value for key, value in body.items() if key not in ("model", asked)}
    return LoopbackRequest(body["model"], messages, settings, completion)


def _played(script: Script, request: LoopbackRequest) -> Turn:
    """Return a script's turn for a request. If the script raises, the client gets the error, where a test sees it."""
    try:
        turn = script(request) if callable(script) else script
    except Exception as error:  # noqa: BLE001 -- a thread of the server's would swallow it
        return HttpError(500, f"the script of {request.model!r} raised {type(error).__name__}: {error}")
    if isinstance(turn, str | Reply | HttpError | Cut | BrokenJson | Hang):
        return turn
    return HttpError(
        500,
        f"the script of {request.model!r} returned {type(turn).__name__}; it must return a text, a Reply or a fault",
    )


def _reply(turn: Turn) -> Reply:
    if isinstance(turn, Hang):
        return Reply(turn.then)
    return turn if isinstance(turn, Reply) else Reply(str(turn))

"""OpenAI's protocol as the loopback server writes it: bodies, and the events of a stream."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from llm_tiers.testing.turns import HttpError, LoopbackRequest, Reply, ToolCall

__all__ = ["completion", "error", "events"]


def completion(request: LoopbackRequest, reply: Reply) -> dict[str, Any]:
    """Return the body of an answer."""
    if request.completion:
        body = _envelope(request, "text_completion")
        return body | {
            "choices": [_text_choice(reply.text, reply.finish_reason or "stop")],
            "usage": _usage(request, reply),
        }
    message: dict[str, Any] = {"role": "assistant", "content": reply.text or None, "refusal": reply.refusal}
    # OpenAI sends null beside tool calls and refusals, and an empty text where the model says nothing.
    if reply.text == "" and not reply.calls and reply.refusal is None:
        message["content"] = ""
    if reply.calls:
        message["tool_calls"] = [_tool_call(call, position) for position, call in enumerate(reply.calls)]
    choice = {"index": 0, "message": message, "finish_reason": _finish(reply), "logprobs": None}
    return _envelope(request, "chat.completion") | {"choices": [choice], "usage": _usage(request, reply)}


def events(request: LoopbackRequest, reply: Reply) -> Iterator[dict[str, Any]]:
    """Yield the events of a streamed answer, word by word; usage comes last, if the client asks for it."""
    envelope = _envelope(request, "text_completion" if request.completion else "chat.completion.chunk")
    wants_usage = (request.settings.get("stream_options") or {}).get("include_usage", False)

    def event(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        if request.completion:
            return envelope | {"choices": [_text_choice(delta.get("content", ""), finish)]}
        return envelope | {"choices": [{"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}]}

    # OpenAI's first event says who speaks, and nothing else.
    yield event({"role": "assistant", "content": ""})
    for word in re.findall(r"\S+\s*|\s+", reply.text):
        yield event({"content": word})
    if reply.refusal is not None:
        yield event({"refusal": reply.refusal})
    for position, call in enumerate(reply.calls):
        yield from (event({"tool_calls": [part]}) for part in _parts(call, position))
    yield event({}, _finish(reply))
    if wants_usage:
        # In an event without choices, on which careless clients fail.
        yield envelope | {"choices": [], "usage": _usage(request, reply)}


def error(fault: HttpError) -> dict[str, Any]:
    """Return the body of an error."""
    known = fault.status in {status.value for status in HTTPStatus}
    message = fault.message or (HTTPStatus(fault.status).phrase if known else f"status {fault.status}")
    return {"error": {"message": message, "type": "loopback", "param": None, "code": fault.code}}


def _envelope(request: LoopbackRequest, kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-loopback", "object": kind, "created": int(time.time()), "model": request.model}


def _text_choice(text: str, finish: str | None) -> dict[str, Any]:
    return {"index": 0, "text": text, "finish_reason": finish, "logprobs": None}


def _finish(reply: Reply) -> str:
    return reply.finish_reason or ("tool_calls" if reply.calls else "stop")


def _tool_call(call: ToolCall, position: int) -> dict[str, Any]:
    return {
        "id": f"call_{position}",
        "type": "function",
        "function": {"name": call.name, "arguments": _arguments(call.arguments)},
    }


def _parts(call: ToolCall, position: int) -> Iterator[dict[str, Any]]:
    """Yield a tool call in pieces, its arguments in two."""
    arguments = _arguments(call.arguments)
    # In two, as providers do: a client that reads only whole arguments fails here and not in production.
    half = len(arguments) // 2
    full_call = _tool_call(call, position)
    yield {"index": position, **full_call, "function": full_call["function"] | {"arguments": arguments[:half]}}
    yield {"index": position, "function": {"arguments": arguments[half:]}}


def _arguments(arguments: Mapping[str, Any] | str) -> str:
    return arguments if isinstance(arguments, str) else json.dumps(arguments)


def _usage(request: LoopbackRequest, reply: Reply) -> dict[str, Any]:
    prompt = len(request.text.split()) if reply.input_tokens is None else reply.input_tokens
    said = " ".join([reply.text, *(f"{call.name} {_arguments(call.arguments)}" for call in reply.calls)])
    written = len(said.split()) if reply.output_tokens is None else reply.output_tokens
    return {
        "prompt_tokens": prompt,
        "completion_tokens": written,
        "total_tokens": prompt + written,
        "prompt_tokens_details": {"cached_tokens": reply.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": reply.reasoning_tokens},
    }

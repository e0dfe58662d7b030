"""Tokens and costs of a call, wherever a provider's class leaves them."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llama_index.llms.openai import OpenAIResponses
from openai.types.responses import Response

from llamaindex_tiers.usage import usage_of
from llm_tiers import Tier, Usage
from llm_tiers.ladder.prices import PriceBook

ASK = "What is the capital of France?"
USAGE = {
    "input_tokens": 1_000,
    "input_tokens_details": {"cached_tokens": 400, "cache_write_tokens": 0},
    "output_tokens": 300,
    "output_tokens_details": {"reasoning_tokens": 250},
    "total_tokens": 1_300,
}
READ = Usage(1_000, 300, cached_tokens=400, reasoning_tokens=250)


def response(model, text):
    part = {"type": "output_text", "text": text, "annotations": []}
    message = {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": [part]}
    rest = {"parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "status": "completed", "usage": USAGE}
    return {"id": "r", "object": "response", "created_at": 1, "model": model, "output": [message], **rest}


def events(whole, text):
    place = {"item_id": "m", "output_index": 0, "content_index": 0}
    for at, letter in enumerate(text):
        yield {"type": "response.output_text.delta", "delta": letter, "sequence_number": at, "logprobs": [], **place}
    yield {"type": "response.completed", "sequence_number": len(text), "response": whole}


class Served(BaseHTTPRequestHandler):
    """OpenAI's Responses API, as far as a text needs it."""

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        whole = response(asked["model"], "Paris")
        stream = asked.get("stream")
        if stream:
            body = "".join(f"event: {one['type']}\ndata: {json.dumps(one)}\n\n" for one in events(whole, "Paris"))
        else:
            body = json.dumps(whole)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream" if stream else "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def address():
    with ThreadingHTTPServer(("127.0.0.1", 0), Served) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()


@pytest.mark.parametrize("method", ["chat", "complete"])
def test_the_responses_api(address, key, tiered, take, asked, trace_of, method):
    tiers = [OpenAIResponses(model=name, api_base=address, api_key=key) for name in ("gpt-4.1-nano", "gpt-4.1")]
    llm = tiered(tiers=tiers, judge=lambda question, answer: True, prices=None)

    last = take(llm, method, ASK if method == "complete" else asked)[-1]

    (attempt,) = trace_of(last)["attempts"]
    assert (attempt["input_tokens"], attempt["output_tokens"]) == (1_000, 300)
    # 600 tokens at 0.1, 400 from the cache at 0.025 and 300 at 0.4 US$ per million.
    assert attempt["cost_usd"] == pytest.approx(0.00019)
    assert last.additional_kwargs["total_tokens"] == 1_300
    assert "usage" not in last.additional_kwargs


def gemini(given, written, **others):
    return said({"usage_metadata": {"prompt_token_count": given, "candidates_token_count": written, **others}})


def said(raw=None, **kwargs):
    return ChatResponse(message=ChatMessage(content="Paris"), raw=raw, additional_kwargs=kwargs)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (said(Response.model_validate(response("gpt-4.1", "Paris"))), READ),
        (said({"response": {"usage": USAGE}}), READ),
        (said(usage=USAGE), READ),
        (gemini(9, 2, thoughts_token_count=40), Usage(9, 42, reasoning_tokens=40)),
        (gemini(9, None, thoughts_token_count=4), Usage(9, 4, reasoning_tokens=4)),
        (gemini(9, 2, cached_content_token_count=5), Usage(9, 2, cached_tokens=5)),
        (gemini(9, None), None),
        (said(prompt_tokens=9, completion_tokens=2), Usage(9, 2)),
        (said(usage=None), None),
    ],
)
def test_where_usage_stands(answer, expected):
    assert usage_of(answer) == expected


@pytest.mark.parametrize(
    ("name", "million"),
    [
        ("openai/gpt-4.1-nano", 0.1),
        ("openrouter/openai/gpt-4.1-nano", 0.1),
        ("models/gemini-2.5-flash", 0.3),
        ("gpt-4.1-nano", 0.1),
        ("nobody/nothing", None),
        ("openai/", None),
    ],
)
def test_a_name_with_a_provider_before_it_has_a_price(like, name, million):
    cost = PriceBook().cost(Tier(like(name)), Usage(1_000_000, 0))
    assert cost == (None if million is None else pytest.approx(million))

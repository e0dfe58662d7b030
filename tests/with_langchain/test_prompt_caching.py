"""Anthropic's prompt caching, which a middleware asks for by the model's class: it reaches Anthropic's tiers only."""

import json
import threading
import warnings
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from langchain.agents import create_agent
from langchain_anthropic import ChatAnthropic
from langchain_anthropic.middleware import AnthropicPromptCachingMiddleware
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

from langchain_tiers import TieredChatModel
from llm_tiers import AllTiersFailed, FixedStarter

MARK = "cache_control"
ASK = {"messages": [("human", "What is the capital of France?")]}


@pytest.fixture
def anthropic():
    """A server of Anthropic's format; what it was asked is in `requests`."""
    requests = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            requests.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            said = {"type": "message", "role": "assistant", "id": "msg_1", "model": "claude", "stop_sequence": None}
            said |= {"content": [{"type": "text", "text": "Paris"}], "stop_reason": "end_turn"}
            body = json.dumps({**said, "usage": {"input_tokens": 9, "output_tokens": 1}}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    server.requests = requests
    server.base_url = f"http://127.0.0.1:{server.server_port}"
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def claude(anthropic, key):
    return ChatAnthropic(model="claude-test", base_url=anthropic.base_url, api_key=key, max_retries=0)


@pytest.fixture
def mixed(tiered, chat, claude):
    """The small tier is wrong, and Anthropic's right."""
    return lambda **settings: tiered(
        tiers=[chat("small"), claude],
        judge=lambda question, answer: answer == "Paris",
        prices={"small": (1, 2), "claude-test": (3, 4)},
        **settings,
    )


@tool
def look_up(city: str) -> str:
    """Look up a city."""
    return city


def agent(model, middleware, **settings):
    return create_agent(model, [look_up], system_prompt="Answer in a word.", middleware=[middleware], **settings)


@pytest.mark.parametrize("behaviour", ["warn", "raise", "ignore"])
def test_the_marks_reach_anthropics_tier_and_no_other(mixed, claude, server, anthropic, take, behaviour):
    middleware = AnthropicPromptCachingMiddleware(unsupported_model_behavior=behaviour)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        take(agent(mixed(), middleware), ASK)
        take(agent(claude, middleware), ASK)

    theirs, alone = anthropic.requests
    assert theirs == alone
    assert theirs[MARK] == {"type": "ephemeral", "ttl": "5m"}
    assert theirs["system"][-1][MARK] == theirs["tools"][-1][MARK] == theirs[MARK]
    (request,) = [request for request in server.requests_to("small") if not request.judges]
    assert MARK not in json.dumps([request.messages, request.settings])
    assert request.messages[0] == {"role": "system", "content": "Answer in a word."}


def test_nothing_is_said_of_it_in_the_trace_or_the_log(mixed, caplog):
    message = agent(mixed(), AnthropicPromptCachingMiddleware()).invoke(ASK)["messages"][-1]

    trace = message.response_metadata["tiers"]
    assert [attempt["tier"] for attempt in trace["attempts"]] == ["small", "claude-test"]
    assert (trace["warnings"], caplog.text) == ([], "")


def test_as_deepagents_adds_it(mixed, anthropic):
    """It asks for the model's class, and hands over to the middleware where it is Anthropic's."""

    class Lazy(AnthropicPromptCachingMiddleware):
        def wrap_model_call(self, request, handler):
            if not isinstance(request.model, ChatAnthropic):
                return handler(request)
            return super().wrap_model_call(request, handler)

    made = agent(mixed(), Lazy(unsupported_model_behavior="ignore"))
    made.with_config(metadata={"ls_integration": "deepagents"}).invoke(ASK)

    assert MARK in anthropic.requests[0]


def test_marks_of_the_users_own_reach_anthropics_tier_and_no_other(mixed, server, anthropic):
    marked = {"type": "text", "text": "Answer in a word.", MARK: {"type": "ephemeral"}}
    plain = {"type": "text", "text": "Or in two."}
    mixed().invoke([SystemMessage([marked, plain]), HumanMessage("What is the capital of France?")])

    assert anthropic.requests[0]["system"] == [marked, plain]
    asked = server.requests_to("small")[0].messages[0]["content"]
    assert asked == [{"type": "text", "text": "Answer in a word."}, plain]


def test_a_ladder_without_anthropic_is_no_model_of_theirs(tiered, server):
    model = tiered(starter=FixedStarter("large"))

    assert not isinstance(model, ChatAnthropic)
    with pytest.warns(UserWarning, match="only supports Anthropic models"):
        agent(model, AnthropicPromptCachingMiddleware()).invoke(ASK)
    # The user's own mistake, as with any chat model.
    with pytest.raises(TypeError, match=MARK):
        model.invoke("What?", cache_control={"type": "ephemeral"})
    with pytest.raises(AllTiersFailed):
        model.invoke("What?", cache_control={"type": "ephemeral"})


def test_a_ladder_with_anthropic_is_a_tiered_model_all_the_same(mixed, tiered):
    model = mixed()

    assert isinstance(model, ChatAnthropic)
    assert isinstance(model, TieredChatModel)
    assert not isinstance(model, ChatOpenAI)
    assert type(model) is TieredChatModel
    assert model.__class__.__name__ == "TieredChatModel"
    assert "default_request_timeout" not in type(model).model_fields
    assert model.__class__.model_fields == TieredChatModel.model_fields
    assert isinstance(model.model_copy(update={"node": "x"}), ChatAnthropic)
    assert model == model  # noqa: PLR0124 -- pydantic compares classes too

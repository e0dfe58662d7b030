"""Prompt caching, which a middleware asks for by the model's class: it reaches the tiers of that class only."""

import json
import threading
import warnings
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware
from langchain_anthropic import ChatAnthropic
from langchain_anthropic.middleware import AnthropicPromptCachingMiddleware
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import Field

from langchain_tiers import TieredChatModel
from llm_tiers import AllTiersFailed, FixedStarter, Tier

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


class ChatBedrockConverse(FakeListChatModel):
    """What Bedrock's middleware asks for; it keeps the settings of its calls."""

    model_id: str = "eu.anthropic.claude-test"
    asked: list = Field(default_factory=list)

    @property
    def _llm_type(self):
        return "amazon_bedrock_converse_chat"

    def bind_tools(self, tools, **settings):
        return self.bind(**settings)

    def _generate(self, messages, stop=None, run_manager=None, **settings):
        self.asked.append((messages, settings))
        return super()._generate(messages, stop, run_manager)

    async def _agenerate(self, messages, stop=None, run_manager=None, **settings):
        return self._generate(messages, stop, run_manager, **settings)

    def _stream(self, messages, stop=None, run_manager=None, **settings):
        self.asked.append((messages, settings))
        yield from super()._stream(messages, stop, run_manager)

    async def _astream(self, messages, stop=None, run_manager=None, **settings):
        for chunk in self._stream(messages, stop, run_manager, **settings):
            yield chunk


class ChatFireworks(FakeListChatModel):
    """What Fireworks' middleware asks for."""


class BedrocksMiddleware(AgentMiddleware):
    """Asks as Bedrock's does: for the class, then for the id of the model."""

    def wrap_model_call(self, request, handler):
        return handler(self._marked(request))

    async def awrap_model_call(self, request, handler):
        return await handler(self._marked(request))

    def _marked(self, request):
        assert isinstance(request.model, ChatBedrockConverse)
        known = getattr(request.model, "base_model_id", None) or getattr(request.model, "model_id", "")
        assert "anthropic" in known
        return request.override(model_settings={MARK: {"type": "ephemeral", "ttl": "5m"}})


def test_bedrocks_setting_reaches_the_tiers_that_it_caches_and_no_other(tiered, chat, server, take):
    cached = ChatBedrockConverse(responses=["Paris"])
    other = ChatBedrockConverse(responses=["Nice"], model_id="meta.llama-test")
    tiers = [chat("small"), Tier(other, name="other"), Tier(cached, name="cached")]
    model = tiered(tiers=tiers, starter=FixedStarter("small"), judge=lambda question, answer: answer == "Paris")

    take(agent(model, BedrocksMiddleware()), ASK)

    assert cached.asked[0][1][MARK] == {"type": "ephemeral", "ttl": "5m"}
    assert MARK not in other.asked[0][1]
    assert MARK not in json.dumps([request.settings for request in server.requests_to("small")])


def test_marks_of_the_users_own_reach_bedrocks_tier_as_ever(tiered, chat):
    cached = ChatBedrockConverse(responses=["Paris"])
    model = tiered(tiers=[chat("small"), Tier(cached, name="cached")], starter=FixedStarter("cached"))
    marked = HumanMessage([{"type": "text", "text": "What?", MARK: {"type": "ephemeral"}}])

    model.invoke([marked])

    assert cached.asked[0][0][0].content == marked.content


def test_a_ladder_is_an_instance_of_each_class_that_a_middleware_asks_for(tiered, chat, claude):
    fast, cached = ChatFireworks(responses=["Paris"]), ChatBedrockConverse(responses=["Paris"])
    model = tiered(tiers=[chat("small"), Tier(fast, name="fast"), Tier(cached, name="cached"), claude])

    assert isinstance(model, ChatFireworks)
    assert isinstance(model, ChatBedrockConverse)
    assert isinstance(model, ChatAnthropic)
    assert isinstance(model, TieredChatModel)
    assert not isinstance(tiered(), ChatFireworks)
    assert not hasattr(tiered(), "model_id")

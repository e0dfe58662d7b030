"""The server that tests talk to."""

import gzip
import json
import threading
from typing import Literal

import httpx
import openai
import pytest
from openai import APIConnectionError, APIStatusError, OpenAI
from pydantic import BaseModel

from langchain_tiers import TieredChatModel
from llm_tiers.testing import (
    BrokenJson,
    Cut,
    Hang,
    HttpError,
    LoopbackRequest,
    LoopbackServer,
    Recording,
    Reply,
    ToolCall,
    obliging,
)


@pytest.fixture
def ask():
    def ask(server, model="small", content="one two three", **settings):
        with OpenAI(base_url=server.base_url, api_key="unused", max_retries=0) as client:
            messages = [{"role": "user", "content": content}]
            return client.chat.completions.create(model=model, messages=messages, **settings)

    return ask


def test_a_script_is_a_text_a_reply_or_a_function(ask):
    with LoopbackServer({"small": "fixed", "large": lambda request: request.ask[::-1]}) as server:
        assert ask(server).choices[0].message.content == "fixed"
        assert ask(server, "large", "abc").choices[0].message.content == "cba"
        server.scripts["small"] = Reply("changed", input_tokens=7, output_tokens=9, cached_tokens=2, reasoning_tokens=8)
        reply = ask(server)

    assert reply.choices[0].message.content == "changed"
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.usage.total_tokens) == (7, 9, 16)
    assert reply.usage.prompt_tokens_details.cached_tokens == 2
    assert reply.usage.completion_tokens_details.reasoning_tokens == 8


def test_usage_counts_words_and_the_log_keeps_what_came(ask):
    with LoopbackServer({"small": "two words"}) as server:
        reply = ask(server, content=[{"type": "text", "text": "a b c d"}], temperature=0.5)
        (request,) = server.requests_to("small")
        server.forget()

        assert server.requests == ()
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (4, 2)
    assert (request.model, request.text, request.settings) == ("small", "a b c d", {"temperature": 0.5})


@pytest.mark.parametrize(("model", "status"), [("small", 429), ("nobody", 404)])
def test_errors_have_a_status_and_a_body(ask, model, status):
    with LoopbackServer({"small": HttpError(429)}) as server:
        with pytest.raises(APIStatusError, match=r"Too Many Requests|does not exist") as failure:
            ask(server, model)
        assert failure.value.status_code == status


@pytest.mark.parametrize("freed_by", ["release", "close"])
def test_what_hangs_is_freed(ask, freed_by):
    hang, answers = Hang("at last"), []
    server = LoopbackServer({"small": hang})
    server.start()
    client = threading.Thread(target=lambda: answers.append(ask(server).choices[0].message.content))
    client.start()
    assert hang.reached.wait(10)
    assert answers == []

    hang.release() if freed_by == "release" else server.close()
    client.join(10)
    server.close()

    assert answers == ["at last"]


def test_a_server_that_does_not_run_has_no_address():
    with pytest.raises(RuntimeError, match="not running"):
        LoopbackServer({}).base_url  # noqa: B018


def sse(server, **body):
    """Send a request that streams; return the deltas' texts, the finish reason and the usage."""
    client = OpenAI(base_url=server.base_url, api_key="unused", max_retries=0)
    body = {"model": "small", "messages": [{"role": "user", "content": "Say something."}], **body}
    texts, finish, usage, calls = [], None, None, []
    for chunk in client.chat.completions.create(stream=True, **body):
        usage = chunk.usage or usage
        for choice in chunk.choices:
            texts += [choice.delta.content] if choice.delta.content else []
            calls += choice.delta.tool_calls or []
            finish = choice.finish_reason or finish
    return texts, finish, usage, calls


def test_a_stream_comes_word_by_word_with_usage_on_request():
    with LoopbackServer({"small": Reply("one two  three", input_tokens=7, output_tokens=9)}) as server:
        texts, finish, usage, _ = sse(server)
        assert (texts, finish, usage) == (["one ", "two  ", "three"], "stop", None)

        _, _, usage, _ = sse(server, stream_options={"include_usage": True})
    assert (usage.prompt_tokens, usage.completion_tokens) == (7, 9)


def test_tool_calls_whole_and_streamed(ask):
    reply = Reply("Let me see.", calls=(ToolCall("add", {"a": 1}), ToolCall("broken", '{"a"')))
    with LoopbackServer({"small": reply}) as server:
        whole = ask(server).choices[0]
        _, finish, _, parts = sse(server)

    assert finish == whole.finish_reason == "tool_calls"
    assert [call.function.arguments for call in whole.message.tool_calls] == ['{"a": 1}', '{"a"']
    streamed = ["".join(part.function.arguments for part in parts if part.index == index) for index in (0, 1)]
    assert streamed == ['{"a": 1}', '{"a"']


def test_a_rate_limit_says_when_to_come_back(ask):
    limit = HttpError(429, retry_after=2.5, code="rate_limit_exceeded")
    with LoopbackServer({"small": limit}) as server, pytest.raises(APIStatusError) as failure:
        ask(server)
    assert failure.value.response.headers["Retry-After"] == "2.5"
    assert failure.value.code == "rate_limit_exceeded"


def test_a_cut_connection_is_an_error_and_no_end(ask):
    with LoopbackServer({"small": Cut(after="one two")}) as server:
        with pytest.raises(APIConnectionError):
            ask(server)
        # OpenAI's client of version 2, which LlamaIndex needs, lets httpx's error through here.
        with pytest.raises((APIConnectionError, httpx.TransportError)):
            sse(server)


def test_a_body_that_is_no_json(ask):
    with LoopbackServer({"small": BrokenJson()}) as server:
        with pytest.raises(json.JSONDecodeError):
            ask(server)
        with pytest.raises(json.JSONDecodeError):
            sse(server)


def test_a_stream_may_hang_halfway():
    hang = Hang("the rest", after="one two ")
    with LoopbackServer({"small": hang}) as server:
        client = OpenAI(base_url=server.base_url, api_key="unused", max_retries=0)
        stream = client.chat.completions.create(
            model="small", messages=[{"role": "user", "content": "Go."}], stream=True
        )
        early = [next(stream).choices[0].delta.content for _ in range(3)]
        assert hang.reached.wait(10)
        hang.release()
        late = [chunk.choices[0].delta.content for chunk in stream]

    assert early == ["", "one ", "two "]
    assert "".join(filter(None, late)) == "the rest"


def test_images_are_taken_as_they_come(ask):
    parts = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": "data:image/png;,"}}]
    with LoopbackServer({"small": lambda request: f"It is a picture. You asked: {request.ask}"}) as server:
        reply = ask(server, content=parts)
        (request,) = server.requests

    assert reply.choices[0].message.content == "It is a picture. You asked: What is this?"
    assert request.messages[0]["content"] == parts


def test_a_script_that_fails_is_told(ask):
    with LoopbackServer({"small": lambda request: 3, "large": lambda request: request.nothing}) as server:
        with pytest.raises(APIStatusError, match="the script of 'small' returned int"):
            ask(server)
        with pytest.raises(APIStatusError, match="the script of 'large' raised AttributeError"):
            ask(server, "large")


class TestObliging:
    def request(self, content, **settings):
        return LoopbackRequest("small", [{"role": "user", "content": content}], settings)

    def tool(self, name, parameters):
        return {"type": "function", "function": {"name": name, "parameters": parameters}}

    def test_it_repeats_the_ask(self):
        assert obliging(self.request("Hello")) == Reply("You said: Hello")

    def test_it_calls_the_first_tool_or_the_one_asked_for(self):
        tools = [
            self.tool("first", {}),
            self.tool("second", {"type": "object", "properties": {"n": {"type": "integer"}}}),
        ]
        chosen = {"type": "function", "function": {"name": "second"}}

        assert obliging(self.request("Add 17.", tools=tools)).calls == (ToolCall("first", {}),)
        assert obliging(self.request("Add 17.", tools=tools, tool_choice=chosen)).calls == (
            ToolCall("second", {"n": 17}),
        )
        assert obliging(self.request("Add 17.", tools=tools, tool_choice="none")).calls == ()

    def test_it_fills_what_a_schema_asks_for(self):
        class Leaf(BaseModel):
            kind: Literal["a", "b"]
            on: bool

        class Tree(BaseModel):
            name: str
            size: int | None
            leaves: list[Leaf]

        shape = {"type": "json_schema", "json_schema": {"schema": Tree.model_json_schema()}}

        filled = obliging(self.request("A tree of 3 leaves", response_format=shape))

        assert Tree.model_validate_json(filled.text) == Tree(
            name="A tree of 3 leaves", size=3, leaves=[Leaf(kind="a", on=True)]
        )

    def test_as_a_judge_it_says_yes(self):
        judging = LoopbackRequest("small", [{"role": "system", "content": "You check answers. ..."}], {})
        assert obliging(judging) == Reply("yes")


class TestRecording:
    LINES = (
        {
            "set": "math",
            "question": "What is 2 + 2?",
            "responses": {
                "small": {"text": " 5\n", "verdict": "no", "gen_in": 10, "gen_out": 2, "judge_in": 30, "judge_out": 1},
                "large": {"text": "4", "verdict": None, "gen_in": 11, "gen_out": 3, "judge_in": None, "judge_out": 0},
            },
        },
        {
            "set": "mcqa",
            "question": "Which is a bird?",
            "choices": ["cat", "crow"],
            "responses": {
                "small": {"text": "(B)", "verdict": "yes", "gen_in": 20, "gen_out": 4, "judge_in": 40, "judge_out": 5},
                "large": {"text": "(B)", "verdict": None, "gen_in": 21, "gen_out": 5, "judge_in": 0, "judge_out": 0},
            },
        },
    )

    @pytest.fixture(params=["answers.jsonl", "answers.jsonl.gz"])
    def recording(self, request, tmp_path):
        data = "\n".join(map(json.dumps, self.LINES)).encode()
        path = tmp_path / request.param
        path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
        return Recording.load(path)

    def test_questions_and_models(self, recording):
        assert [question.set for question in recording.questions] == ["math", "mcqa"]
        assert recording.questions[1].prompt == "Which is a bird?\n(A) cat\n(B) crow"
        assert recording.models == ("small", "large")

    def test_answers_and_verdicts_through_a_tiered_model(self, recording, chat, server):
        server.scripts = recording.scripts()
        prices = dict.fromkeys(("small", "large"), (1, 1))
        with TieredChatModel([chat("small"), chat("large")], prices=prices, policy="estimate") as model:
            first, second = (model.invoke(question.prompt) for question in recording.questions)

        assert (first.content, second.content) == ("4", "(B)")
        assert (first.usage_metadata["input_tokens"], first.usage_metadata["output_tokens"]) == (51, 6)
        assert second.usage_metadata["input_tokens"] == 60

    def test_what_was_not_recorded_is_not_found(self, recording, chat, server):
        server.scripts = recording.scripts()
        with pytest.raises(openai.NotFoundError, match="no recorded answer"):
            chat("small").invoke("What is the meaning of it?")


def test_a_status_without_a_name_and_a_body_that_is_none(ask):
    with LoopbackServer({"small": HttpError(529)}) as server:
        with pytest.raises(APIStatusError, match="status 529"):
            ask(server)
        for body in (b"no JSON", b"[]", b"{}"):
            assert httpx.post(f"{server.base_url}/chat/completions", content=body).status_code == 400


class Branch(BaseModel):
    name: str
    branches: list["Branch"] = []


def test_obliging_fills_a_schema_that_contains_itself():
    shape = {"type": "json_schema", "json_schema": {"schema": Branch.model_json_schema()}}
    filled = obliging(LoopbackRequest("small", [{"role": "user", "content": "A tree"}], {"response_format": shape}))

    assert Branch.model_validate_json(filled.text).branches[0].name == "A tree"

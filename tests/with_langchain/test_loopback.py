"""The server that tests talk to."""

import threading

import pytest
from openai import APIStatusError, OpenAI

from llm_tiers.testing import Hang, HttpError, LoopbackServer, Reply


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

"""Whoever handles the errors of the LLM that a ladder replaces handles those of the ladder."""

import pickle
import traceback

import openai
import pytest
from llama_index.core.base.llms.types import CompletionResponse, LLMMetadata
from llama_index.core.llms import CustomLLM

from llm_tiers import AllTiersFailed
from llm_tiers.testing import HttpError

ASK = "What is the capital of France?"
NAMES = ("small", "medium", "large")

KINDS = {
    "rate limit": (HttpError(429, "Rate limit reached"), openai.RateLimitError),
    "server error": (HttpError(500), openai.InternalServerError),
    "wrong key": (HttpError(401, "Incorrect API key"), openai.AuthenticationError),
    "no such model": (HttpError(404), openai.NotFoundError),
    "context length": (
        HttpError(400, "This model's maximum context length is 8192", code="context_length_exceeded"),
        openai.BadRequestError,
    ),
}


@pytest.fixture
def all_fail(server):
    def fail(fault):
        server.scripts |= dict.fromkeys(NAMES, fault)

    return fail


@pytest.mark.parametrize("method", ["complete", "chat", "chat_with_tools"])
@pytest.mark.parametrize(("fault", "kind"), KINDS.values(), ids=KINDS)
def test_it_is_raised_as_the_class_that_the_top_tier_raises(
    all_fail, tiered, take, asked, look_up, fault, kind, method
):
    all_fail(fault)
    given = {"complete": (ASK,), "chat": (asked,), "chat_with_tools": ([look_up], ASK)}[method]

    with pytest.raises(kind) as failure:
        take(tiered(), method, *given)

    assert isinstance(failure.value, AllTiersFailed)
    assert [error.tier for error in failure.value.exceptions] == list(NAMES)
    assert failure.value.trace.final is None
    assert (failure.value.status_code, failure.value.code) == (fault.status, fault.code)
    assert failure.value.response.status_code == fault.status


def test_an_object_is_refused_in_the_same_way(all_fail, tiered, take, city, prompt):
    all_fail(HttpError(429))
    with pytest.raises(openai.RateLimitError) as failure:
        take(tiered(), "structured_predict", city, prompt, country="France")
    assert isinstance(failure.value, AllTiersFailed)


def test_the_traceback_is_a_screenful(all_fail, tiered, take):
    all_fail(HttpError(500))
    with pytest.raises(AllTiersFailed) as failure:
        take(tiered(), "complete", ASK)
    lines = "".join(traceback.format_exception(failure.value)).splitlines()
    assert len(lines) <= 50
    assert all(any(f"tier {name!r} failed: " in line for line in lines) for name in NAMES)


def test_it_is_pickled_with_its_class(all_fail, tiered, take):
    all_fail(HttpError(429))
    with pytest.raises(AllTiersFailed) as failure:
        take(tiered(), "complete", ASK)
    copy = pickle.loads(pickle.dumps(failure.value))  # noqa: S301 -- our own bytes
    assert isinstance(copy, openai.RateLimitError)
    assert (copy.status_code, copy.trace, len(copy.exceptions)) == (429, failure.value.trace, 3)


class TestTheCallersOwnMistake:
    @pytest.mark.parametrize("method", ["complete", "chat", "chat_with_tools"])
    def test_a_setting_that_no_tier_knows_is_refused_before_a_request(
        self, server, tiered, take, asked, look_up, method
    ):
        given = {"complete": (ASK,), "chat": (asked,), "chat_with_tools": ([look_up], ASK)}[method]
        llm = tiered()
        for _ in range(2):
            with pytest.raises(TypeError, match="unexpected keyword argument 'typo'") as failure:
                take(llm, method, *given, typo=1)
            assert isinstance(failure.value, AllTiersFailed)
            assert [error.tier for error in failure.value.exceptions] == ["small"]
        assert server.requests == ()

    def test_a_request_that_the_provider_refuses_is_sent_once(self, all_fail, server, tiered, take):
        all_fail(HttpError(400, "Invalid value for 'messages[0].name'", code="invalid_value"))
        with pytest.raises(openai.BadRequestError):
            take(tiered(), "complete", ASK)
        assert [request.model for request in server.requests] == ["small"]

    def test_a_schema_that_the_provider_refuses_is_sent_once(self, all_fail, server, tiered, take):
        all_fail(HttpError(400, "Invalid schema for function 'f': In context=(), 'default' is not permitted."))
        with pytest.raises(openai.BadRequestError):
            take(tiered(), "complete", ASK)
        assert [request.model for request in server.requests] == ["small"]

    def test_also_where_all_tiers_are_to_answer(self, all_fail, server, tiered, take):
        all_fail(HttpError(400, "Invalid value for 'messages[0].name'", code="invalid_value"))
        llm = tiered(policy="menu", learning=1.0)
        for sent in (1, 2):
            with pytest.raises(openai.BadRequestError):
                take(llm, "complete", ASK)
            assert len(server.requests) == sent

    @pytest.mark.parametrize("method", ["complete", "chat", "chat_with_tools"])
    @pytest.mark.parametrize(("status", "asked_of"), [(400, ["small"]), (401, list(NAMES))])
    def test_neither_is_asked_a_second_time(
        self, all_fail, server, like, tiered, take, asked, look_up, method, status, asked_of
    ):
        """With the classes' own number of retries; a wrong key is the tier's, and another may have its own."""
        all_fail(HttpError(status, "Invalid value"))
        given = {"complete": (ASK,), "chat": (asked,), "chat_with_tools": ([look_up], ASK)}[method]
        llm = tiered(tiers=[like(name, max_retries=3) for name in NAMES])
        with pytest.raises(openai.APIStatusError):
            take(llm, method, *given)
        assert [request.model for request in server.requests] == asked_of

    @pytest.mark.parametrize("message", ["Unknown parameter: 'logprobs'.", "This model does not support image inputs"])
    def test_a_request_that_another_tier_may_serve_goes_on(self, server, tiered, take, trace_of, message):
        server.scripts["small"] = HttpError(400, message)
        assert trace_of(take(tiered(), "complete", ASK)[-1])["final"] == "medium"


class Plain(CustomLLM):
    """An LLM that takes no settings."""

    model: str = "plain"

    @property
    def metadata(self):
        return LLMMetadata(model_name=self.model)

    def complete(self, prompt, formatted=False):
        return CompletionResponse(text="Rome")

    async def acomplete(self, prompt, formatted=False):
        return CompletionResponse(text="Rome")

    def stream_complete(self, prompt, formatted=False):
        yield CompletionResponse(text="Rome", delta="Rome")

    async def astream_complete(self, prompt, formatted=False):
        async def chunks():
            yield CompletionResponse(text="Rome", delta="Rome")

        return chunks()


@pytest.mark.parametrize("setting", ["seed", "logprobs", "user"])
def test_a_setting_that_a_tier_does_not_know_is_left_out_for_it(server, like, tiered, take, trace_of, setting):
    llm = tiered(tiers=[Plain(), like("medium"), like("large")], judge=lambda question, answer: True)
    for _ in range(2):
        trace = trace_of(take(llm, "complete", ASK, **{setting: 1})[-1])
        assert trace["final"] == "plain"
        assert trace["warnings"] == [f"setting left out: plain does not know {setting}"]
    assert [attempt["error"] for attempt in trace["attempts"]] == [None]
    assert server.requests == ()

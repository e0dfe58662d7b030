"""Whoever handles the errors of the model that a ladder replaces handles those of the ladder."""

import pickle
import traceback
from functools import reduce
from operator import add

import openai
import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ModelRetryMiddleware
from langchain_core.exceptions import ContextOverflowError
from langchain_core.language_models import FakeListChatModel
from langchain_openai import ChatOpenAI

from llm_tiers import AllTiersFailed, Tier
from llm_tiers.testing import HttpError, LoopbackServer

ASK = "What is the capital of France?"
NAMES = ("small", "medium", "large")
TOO_LONG = HttpError(400, "This model's maximum context length is 8192", code="context_length_exceeded")

KINDS = {
    "rate limit": (HttpError(429, "Rate limit reached"), openai.RateLimitError),
    "server error": (HttpError(500), openai.InternalServerError),
    "wrong key": (HttpError(401, "Incorrect API key"), openai.AuthenticationError),
    "forbidden": (HttpError(403), openai.PermissionDeniedError),
    "no such model": (HttpError(404), openai.NotFoundError),
    "context length": (TOO_LONG, ContextOverflowError),
}


@pytest.fixture
def all_fail(server):
    def fail(fault):
        server.scripts |= dict.fromkeys(NAMES, fault)

    return fail


@pytest.mark.parametrize(("fault", "kind"), KINDS.values(), ids=KINDS)
def test_it_is_raised_as_the_class_that_the_top_tier_raises(all_fail, chat, tiered, take, fault, kind):
    all_fail(fault)
    with pytest.raises(kind) as plain:
        chat("large").invoke(ASK)

    with pytest.raises(kind) as failure:
        take(tiered(), ASK)

    assert isinstance(failure.value, type(plain.value))
    assert isinstance(failure.value, AllTiersFailed)
    assert [error.tier for error in failure.value.exceptions] == list(NAMES)
    assert failure.value.trace.final is None
    assert failure.value.status_code == plain.value.status_code == fault.status
    assert failure.value.body == plain.value.body
    assert failure.value.response.status_code == fault.status
    assert failure.value.code == fault.code


def test_the_class_is_the_top_tiers_and_not_another_ones(server, tiered, take):
    server.scripts |= {"small": HttpError(401), "medium": HttpError(500), "large": HttpError(429)}
    with pytest.raises(openai.RateLimitError) as failure:
        take(tiered(), ASK)
    causes = [type(error.cause) for error in failure.value.exceptions]
    kinds = (openai.AuthenticationError, openai.InternalServerError, openai.RateLimitError)
    assert all(issubclass(cause, kind) for cause, kind in zip(causes, kinds, strict=True))


def test_retries_that_name_a_class_are_made(all_fail, server, tiered, take):
    all_fail(HttpError(429))
    model = tiered().with_retry(
        retry_if_exception_type=(openai.RateLimitError,), wait_exponential_jitter=False, stop_after_attempt=2
    )
    with pytest.raises(openai.RateLimitError):
        take(model, ASK)
    streams = take.way in ("stream", "astream")  # LangChain retries no stream
    assert len(server.requests) == (3 if streams else 6)


def test_fallbacks_that_name_a_class_are_taken(all_fail, tiered, take):
    all_fail(HttpError(429))
    spare = FakeListChatModel(responses=["spare"])
    model = tiered().with_fallbacks([spare], exceptions_to_handle=(openai.RateLimitError,))
    assert "".join(piece.content for piece in take(model, ASK)) == "spare"


def test_fallbacks_that_name_another_class_are_not_taken(all_fail, tiered, take):
    all_fail(HttpError(500))
    model = tiered().with_fallbacks(
        [FakeListChatModel(responses=["spare"])], exceptions_to_handle=(openai.RateLimitError,)
    )
    with pytest.raises(openai.InternalServerError):
        take(model, ASK)


def requests_of_an_agent(model, server, **retries):
    agent = create_agent(model, [], middleware=[ModelRetryMiddleware(**retries, initial_delay=0, on_failure="error")])
    server.forget()
    with pytest.raises(openai.APIStatusError):
        agent.invoke({"messages": [("user", ASK)]})
    return len(server.requests)


def test_a_wrong_key_is_not_retried_by_an_agent(all_fail, chat, server, tiered):
    all_fail(HttpError(401, "Incorrect API key"))
    # LangChain's first versions retry whatever is raised.
    plain = requests_of_an_agent(chat("large"), server, max_retries=2)
    # One for each tier below the top besides: another one might have another key.
    assert requests_of_an_agent(tiered(), server, max_retries=2) == plain + 2


def test_an_agent_retries_the_class_that_it_is_told(all_fail, chat, server, tiered):
    all_fail(HttpError(429))
    told = {"max_retries": 2, "retry_on": (openai.RateLimitError,)}
    assert requests_of_an_agent(chat("large"), server, **told) == 3
    assert requests_of_an_agent(tiered(), server, **told) == 9


def test_a_key_that_is_hidden_leaves_the_class_and_no_key(all_fail, tiered, take, key):
    all_fail(HttpError(401, f"Incorrect API key provided: {key}."))
    with pytest.raises(openai.AuthenticationError) as failure:
        take(tiered(), ASK)
    error = failure.value
    assert error.status_code == 401
    assert "Incorrect API key provided: ***." in error.body["message"]
    shown = [
        repr(error),
        str(error),
        repr(error.exceptions),
        str(error.body),
        "".join(traceback.format_exception(error)),
    ]
    assert not [text for text in shown if key in text]


def test_the_traceback_is_a_screenful(all_fail, tiered, take):
    all_fail(HttpError(500))
    with pytest.raises(AllTiersFailed) as failure:
        take(tiered(), ASK)
    lines = "".join(traceback.format_exception(failure.value)).splitlines()
    assert len(lines) <= 50
    assert all(any(f"tier {name!r} failed: " in line for line in lines) for name in NAMES)


def test_it_is_pickled_with_its_class(all_fail, tiered, take):
    all_fail(HttpError(429))
    with pytest.raises(AllTiersFailed) as failure:
        take(tiered(), ASK)
    copy = pickle.loads(pickle.dumps(failure.value))  # noqa: S301 -- our own bytes
    assert isinstance(copy, openai.RateLimitError)
    assert isinstance(copy, AllTiersFailed)
    assert (copy.status_code, copy.trace, len(copy.exceptions)) == (429, failure.value.trace, 3)


WRONG_SCHEMA = "Invalid schema for function 'f': In context=('properties', 'x'), 'default' is not permitted."


class TestTheCallersOwnMistake:
    def test_a_setting_that_no_tier_knows_is_refused_before_a_request(self, chat, server, tiered, take):
        with pytest.raises(TypeError, match="typo"):
            chat("large").invoke(ASK, typo=1)

        model = tiered()
        for _ in range(2):
            with pytest.raises(TypeError, match="unexpected keyword argument 'typo'") as failure:
                take(model.bind(typo=1), ASK)
            assert [error.tier for error in failure.value.exceptions] == ["small"]
        assert server.requests == ()

    @pytest.mark.parametrize("status", [400, 422])
    def test_a_request_that_the_provider_refuses_is_sent_once(self, all_fail, server, tiered, take, status):
        all_fail(HttpError(status, "Invalid value for 'messages[0].name'", code="invalid_value"))
        with pytest.raises(openai.APIStatusError) as failure:
            take(tiered(), ASK)
        assert failure.value.status_code == status
        assert [request.model for request in server.requests] == ["small"]

    def test_a_schema_that_the_provider_refuses_is_sent_once(self, all_fail, server, tiered, take):
        """OpenAI's text names the place in the schema by the word that stands for length elsewhere."""
        all_fail(HttpError(400, WRONG_SCHEMA, code="invalid_function_parameters"))
        with pytest.raises(openai.BadRequestError):
            take(tiered(), ASK)
        assert [request.model for request in server.requests] == ["small"]

    @pytest.mark.parametrize("policy", ["menu", "linucb", "agree", "estimate"])
    def test_also_where_all_tiers_are_to_answer(self, all_fail, server, tiered, take, policy):
        """A profiled call asks the tiers side by side, but not with what nobody has answered yet."""
        model = tiered(policy=policy, **{"learning": 1.0} if policy == "menu" else {"audit": 1.0})
        for sent in (1, 2):
            all_fail(HttpError(400, "Invalid value for 'messages[0].name'", code="invalid_value"))
            with pytest.raises(openai.BadRequestError):
                take(model, ASK)
            assert len(server.requests) == sent

        server.scripts |= dict.fromkeys(NAMES, "Paris")
        take(model, ASK)
        server.forget()
        all_fail(HttpError(400, "Invalid value for 'top_p'", code="invalid_value"))
        for _ in range(2):
            with pytest.raises(openai.BadRequestError):
                take(model.bind(top_p=2), ASK)
        assert len(server.requests) == 2

    def test_on_a_ladder_of_two_providers_each_is_asked_once(self, all_fail, server, chat, key, tiered, take):
        all_fail(HttpError(400, "Invalid value for 'messages[0].name'", code="invalid_value"))
        with LoopbackServer(server.scripts) as other:
            theirs = [ChatOpenAI(model=name, base_url=other.base_url, api_key=key, max_retries=0) for name in NAMES[1:]]
            for policy in ("estimate", "menu"):
                server.forget()
                other.forget()
                model = tiered(tiers=[chat("small"), *theirs], policy=policy)
                with pytest.raises(openai.BadRequestError):
                    take(model, ASK)
                assert (len(server.requests), len(other.requests)) == (1, 1)
            with pytest.raises(TypeError, match="typo"):
                take(model.bind(typo=1), ASK)
            assert len((*server.requests, *other.requests)) == 2

    @pytest.mark.parametrize(
        "fault",
        [
            TOO_LONG,
            HttpError(400, "Unknown parameter: 'logprobs'.", code="unknown_parameter"),
            HttpError(400, "Unsupported value: 'temperature'", code="unsupported_value"),
            HttpError(400, "This model does not support image inputs"),
            HttpError(400, "Your credit balance is too low to access the API"),
            HttpError(400, "The response was filtered", code="content_filter"),
            HttpError(413, "Request too large"),
        ],
        ids=lambda fault: fault.message,
    )
    def test_a_request_that_another_tier_may_serve_goes_on(self, server, tiered, take, fault):
        server.scripts["small"] = fault
        (answer,) = [reduce(add, take(tiered(), ASK))]
        assert answer.response_metadata["tiers"]["final"] == "medium"

    def test_a_tier_of_another_provider_may_take_what_one_refuses(self, server, chat, tiered, take):
        server.scripts["small"] = HttpError(400, "Bad request")
        other = FakeListChatModel(responses=["Paris"])
        answer = reduce(add, take(tiered(tiers=[chat("small"), Tier(other, name="other")]), ASK))
        assert answer.content == "Paris"


class Plain(FakeListChatModel):
    """A client that takes no settings but these."""

    def _call(self, messages, stop=None, run_manager=None):
        return super()._call(messages, stop, run_manager)

    def _generate(self, messages, stop=None, run_manager=None):
        return super()._generate(messages, stop, run_manager)

    async def _agenerate(self, messages, stop=None, run_manager=None):
        return self._generate(messages, stop)

    def _stream(self, messages, stop=None, run_manager=None):
        yield from super()._stream(messages, stop, run_manager)

    async def _astream(self, messages, stop=None, run_manager=None):
        async for chunk in super()._astream(messages, stop, run_manager):
            yield chunk

    def bind_tools(self, tools):
        return self


class TestSettingsThatATierDoesNotKnow:
    @pytest.fixture
    def mixed(self, chat, tiered):
        return tiered(
            tiers=[Tier(Plain(responses=["Rome"]), name="plain"), chat("medium"), chat("large")],
            judge=lambda q, a: True,
        )

    @pytest.mark.parametrize(
        "setting", [{"seed": 1}, {"logprobs": True}, {"user": "me"}, {"parallel_tool_calls": False}], ids=str
    )
    def test_they_are_left_out_for_it_and_the_trace_says_so(self, server, mixed, take, setting):
        (name,) = setting
        for _ in range(2):
            answer = reduce(add, take(mixed.bind(**setting), ASK))
            trace = answer.response_metadata["tiers"]
            assert (answer.content, trace["final"]) == ("Rome", "plain")
            assert trace["warnings"] == [f"setting left out: plain does not know {name}"]
        # The second time nobody tries.
        assert [attempt["error"] for attempt in trace["attempts"]] == [None]
        assert server.requests == ()

    def test_the_tiers_that_know_them_are_given_them(self, server, mixed, take):
        mixed = mixed.model_copy(update={"judge": lambda question, answer: answer != "Rome"})
        take(mixed.bind(seed=7), ASK)
        assert server.requests[-1].settings["seed"] == 7

    def test_an_option_of_tools_is_one_of_them(self, mixed, take):
        tool = {"name": "look_up", "description": "Look up.", "parameters": {"type": "object", "properties": {}}}
        answer = reduce(add, take(mixed.bind_tools([tool], parallel_tool_calls=False), ASK))
        warnings = answer.response_metadata["tiers"]["warnings"]
        assert "setting left out: plain does not know parallel_tool_calls" in warnings

    def test_a_standard_one_is_named_too(self, mixed, take):
        answer = reduce(add, take(mixed.bind(temperature=0.5), ASK))
        assert answer.response_metadata["tiers"]["warnings"] == ["setting left out: plain does not know temperature"]

"""Whoever handles the errors of the LLM that a ladder replaces handles those of the ladder."""

import pickle
import traceback

import openai
import pytest

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

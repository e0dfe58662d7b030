"""A tier that fails is not asked for a while, by any LLM of the process."""

import openai
import pytest

from llm_tiers import Breaker
from llm_tiers.testing import HttpError

ASK = "What is the capital of France?"


def asked(server, name):
    return len([request for request in server.requests_to(name) if not request.judges])


def test_a_tier_that_fails_three_times_is_asked_no_more(server, tiered, take, trace_of, caplog):
    server.scripts["small"] = HttpError(500)
    llm = tiered()
    traces = [trace_of(take(llm, "complete", ASK)[-1]) for _ in range(8)]
    assert {trace["final"] for trace in traces} == {"medium"}
    assert asked(server, "small") == 3
    assert all(trace["warnings"][0].startswith("breaker: small skipped") for trace in traces[3:])
    assert len([record for record in caplog.records if "tier small fails" in record.getMessage()]) == 1
    assert llm.stats()["tiers"]["small"]["state"] == "open"


@pytest.mark.parametrize("status", [401, 403, 404])
def test_what_no_request_would_change_is_asked_once(server, tiered, take, status):
    server.scripts["small"] = HttpError(status)
    llm = tiered()
    for _ in range(5):
        take(llm, "complete", ASK)
    assert asked(server, "small") == 1


def test_a_tier_that_says_when_to_come_back_is_left_alone_so_long(server, tiered, take):
    server.scripts["small"] = HttpError(429, retry_after=30)
    now = [1_000.0]
    llm = tiered(breaker=Breaker(clock=lambda: now[0]))
    take(llm, "complete", ASK)
    now[0] += 29.9
    take(llm, "complete", ASK)
    assert asked(server, "small") == 1
    now[0] += 0.2
    take(llm, "complete", ASK)
    assert asked(server, "small") == 2


def test_without_breakers_each_call_asks(server, tiered, take):
    server.scripts["small"] = HttpError(401)
    llm = tiered(breaker=None)
    for _ in range(4):
        take(llm, "complete", ASK)
    assert asked(server, "small") == 4


def test_where_all_are_open_the_top_is_asked(server, tiered, take):
    server.scripts |= dict.fromkeys(("small", "medium", "large"), HttpError(401))
    llm = tiered()
    for _ in range(3):
        with pytest.raises(openai.AuthenticationError):
            take(llm, "complete", ASK)
    assert [asked(server, name) for name in ("small", "medium", "large")] == [1, 1, 3]

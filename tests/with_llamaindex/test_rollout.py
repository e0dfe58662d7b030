"""The present tier serves as before and tiering is observed, over LlamaIndex's clients."""

import openai
import pytest
from llama_index.core.base.llms.types import ChatMessage

from llm_tiers import AllTiersFailed, ConfigError
from llm_tiers.testing import HttpError, Reply, ToolCall, obliging

PRICES = {"small": (0.1, 0.2), "medium": (0.2, 0.4), "large": (1.0, 2.0)}
TEXTS = {"small": "The answer is 3.", "medium": "The answer is 4.", "large": "So the answer is 4."}


@pytest.fixture(autouse=True)
def scripts(server):
    server.scripts = dict(TEXTS)


@pytest.fixture
def observing(tiered):
    def observing(**settings):
        # The two below the top cost less than it, so a share of 1 pays for asking them on every call.
        defaults = {"policy": "default", "mode": "observe", "observe_share": 1.0, "prices": PRICES}
        return tiered(**defaults | settings)

    return observing


def records_of(llm):
    assert llm.flush_grades()
    return [facts for facts in llm._engine.history.export() if facts["planned"] is not None]


def test_the_top_answers_in_every_way_and_the_others_are_asked_after_it(server, observing, take, asked, trace_of):
    llm = observing()
    items = take(llm, "chat", asked)
    assert trace_of(items[-1])["reason"] == "observed: large serves"
    assert items[-1].message.content == TEXTS["large"]
    assert server.requests[0].model == "large"
    (record,) = records_of(llm)
    assert sorted(request.model for request in server.requests) == ["large", "medium", "small"]
    assert record["said"]["medium"] == record["said"]["large"] != record["said"]["small"]
    assert (record["final"], record["tiered"] is not None) == ("large", True)


def test_completions_and_objects_come_as_before(server, observing, take, city, prompt):
    server.scripts = {"small": "no object", "medium": obliging, "large": obliging}
    llm = observing()
    assert take(llm, "structured_predict", city, prompt, country="France")[-1].people == 3
    assert records_of(llm)[0]["final"] == "large"


def test_tools_are_called_as_before(server, observing, take, look_up):
    server.scripts = dict.fromkeys(TEXTS, Reply(calls=(ToolCall("look_up", {"city": "Paris"}),)))
    llm = observing()
    items = take(llm, "chat_with_tools", [look_up], "Look up Paris.")
    (call,) = llm.get_tool_calls_from_response(items[-1])
    assert call.tool_kwargs == {"city": "Paris"}
    assert records_of(llm)[0]["final"] == "large"


def test_a_tier_that_fails_off_the_path_is_not_seen(server, observing, take, asked, trace_of):
    server.scripts["small"] = HttpError(500)
    llm = observing()
    trace = trace_of(take(llm, "chat", asked)[-1])
    assert (trace["final"], trace["warnings"]) == ("large", [])
    assert "small" not in records_of(llm)[0]["answered"]


def test_the_served_tiers_error_is_the_clients_own(server, observing, take, asked):
    server.scripts["large"] = HttpError(429)
    with pytest.raises(openai.RateLimitError) as raised:
        take(observing(), "chat", asked)
    assert not isinstance(raised.value, AllTiersFailed)
    assert {request.model for request in server.requests} == {"large"}


def test_what_begins_alike_is_tiered_or_served_as_a_whole(observing, trace_of):
    llm = observing(ramp=0.5, policy="estimate")
    seen = {}
    for number in range(12):
        begin = [
            ChatMessage(role="system", content=f"at {number}"),
            ChatMessage(content=f"{number % 6}: what is 2 + 2?"),
        ]
        for more in ([], [ChatMessage(role="assistant", content="4"), ChatMessage(content="And 3 + 3?")]):
            reason = trace_of(llm.chat([*begin, *more]))["reason"]
            seen.setdefault(number % 6, set()).add(reason.startswith("observed"))
    assert all(len(kinds) == 1 for kinds in seen.values())
    assert len(set(map(frozenset, seen.values()))) == 2


def test_prompts_may_be_as_long_as_the_served_tier_takes(like, observing):
    tiers = [
        like(name, context_window=window) for name, window in (("small", 1_000), ("medium", 2_000), ("large", 9_000))
    ]
    assert observing(tiers=tiers).metadata.context_window == 9_000
    assert observing(tiers=tiers, ramp=0.1).metadata.context_window == 1_000


def test_a_wrong_argument_is_named_before_any_model_is_called(server, tiered):
    with pytest.raises(ConfigError, match="serve='gpt-5' must name the tier"):
        tiered(mode="observe", serve="gpt-5")
    assert not server.requests

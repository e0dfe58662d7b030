"""Switching tiers on: the present tier serves as before, tiering is observed, then takes over by conversation."""

import asyncio
import subprocess
import sys
import threading
from functools import partial
from subprocess import PIPE
from textwrap import dedent

import openai
import pytest
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from pydantic import BaseModel

from llm_tiers import AllTiersFailed, ConfigError
from llm_tiers.history.reading import read_records
from llm_tiers.testing import Hang, HttpError, Reply, ToolCall, obliging

ASK = "What is the capital of France?"
PRICES = {"small": (0.1, 0.2), "medium": (0.2, 0.4), "large": (1.0, 2.0)}
TEXTS = {"small": "The answer is 3.", "medium": "The answer is 4.", "large": "So the answer is 4."}


class City(BaseModel):
    """A city."""

    name: str
    people: int


@tool
def look_up(city: str) -> str:
    """Look up a city."""
    return city


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


def records_of(model):
    assert model.flush_grades()
    return [facts for facts in model._engine.history.export() if facts["planned"] is not None]


def text_of(items):
    return "".join(item.text for item in items)


class TestServing:
    def test_the_top_answers_in_every_way_and_the_others_are_asked_after_it(self, server, observing, take):
        model = observing()
        items = take(model, ASK)
        assert text_of(items) == TEXTS["large"]
        assert items[-1].response_metadata["tiers"]["reason"] == "observed: large serves"
        assert server.requests[0].model == "large"
        (record,) = records_of(model)
        assert sorted(request.model for request in server.requests) == ["large", "medium", "small"]
        assert (record["final"], sorted(record["answered"])) == ("large", ["large", "medium", "small"])
        assert record["said"]["medium"] == record["said"]["large"] != record["said"]["small"]

    def test_a_cheaper_tier_may_serve(self, observing, take):
        model = observing(serve="small")
        assert text_of(take(model, ASK)) == TEXTS["small"]
        assert records_of(model)[0]["final"] == "small"

    def test_it_streams_live(self, server, observing):
        server.scripts["large"] = hang = Hang("is", after="Paris it ")
        chunks = observing().stream(ASK)
        assert [next(chunks).text for _ in range(3)] == ["", "Paris ", "it "]
        assert hang.reached.wait(10)
        hang.release()
        assert text_of(chunks).strip() == "is"

    async def test_it_streams_live_in_asyncio(self, server, observing):
        server.scripts["large"] = hang = Hang("is", after="Paris it ")
        chunks = observing().astream(ASK)
        assert [(await anext(chunks)).text for _ in range(3)] == ["", "Paris ", "it "]
        hang.release()
        assert text_of([chunk async for chunk in chunks]).strip() == "is"

    def test_nobody_waits_for_a_tier_off_the_path(self, server, observing, take):
        server.scripts["small"] = hang = Hang("Lyon")
        model = observing()
        assert text_of(take(model, ASK)) == TEXTS["large"]
        hang.release()
        assert len(records_of(model)) == 1

    def test_tools_are_called_as_before(self, server, observing, take):
        server.scripts = dict.fromkeys(TEXTS, Reply(calls=(ToolCall("look_up", {"city": "Paris"}),)))
        server.scripts["small"] = Reply(calls=(ToolCall("look_up", {"town": "Paris"}),))
        model = observing()
        items = take(model.bind_tools([look_up]), ASK)
        whole = items[0]
        for item in items[1:]:
            whole += item
        assert whole.tool_calls[0]["args"] == {"city": "Paris"}
        assert records_of(model)[0]["said"] == {"small": -1, "medium": 0, "large": 0}

    def test_objects_come_as_before(self, server, observing, take):
        server.scripts = {"small": "no object", "medium": obliging, "large": obliging}
        model = observing()
        items = take(model.with_structured_output(City, method="function_calling"), ASK)
        assert isinstance(items[-1], City)
        assert records_of(model)[0]["said"] == {"small": -1, "medium": 0, "large": 0}

    def test_token_counters_count_what_was_served(self, observing, server):
        model = observing()
        counter = UsageMetadataCallbackHandler()
        model.invoke(ASK, {"callbacks": [counter]})
        assert model.flush_grades()
        assert len(server.requests) == 3
        assert list(counter.usage_metadata) == ["large"]


class TestFailures:
    def test_a_tier_that_fails_off_the_path_is_not_seen(self, server, observing, take):
        server.scripts["small"] = HttpError(500)
        model = observing()
        items = take(model, ASK)
        assert text_of(items) == TEXTS["large"]
        assert items[-1].response_metadata["tiers"]["warnings"] == []
        (record,) = records_of(model)
        assert "small" not in record["answered"]

    def test_the_served_tiers_error_is_the_clients_own(self, server, observing, chat, take):
        server.scripts["large"] = HttpError(429)
        with pytest.raises(openai.RateLimitError) as plain:
            take(chat("large"), ASK)
        with pytest.raises(openai.RateLimitError) as raised:
            take(observing(), ASK)
        assert not isinstance(raised.value, AllTiersFailed)
        assert type(raised.value) is type(plain.value)
        assert str(raised.value) == str(plain.value)
        assert {request.model for request in server.requests} == {"large"}


class TestTheRamp:
    @pytest.fixture
    def graph(self, observing):
        def make(**settings):
            model = observing(**settings)
            graph = StateGraph(MessagesState).add_node(
                "answer", lambda state: {"messages": [model.invoke(state["messages"])]}
            )
            compiled = graph.add_edge(START, "answer").add_edge("answer", END).compile(checkpointer=InMemorySaver())
            compiled.model = model
            return compiled

        return make

    def test_a_thread_is_tiered_as_a_whole(self, graph):
        app = graph(ramp=0.5, policy="estimate")
        seen = {}
        for turn in range(3):
            for thread in (1, 2, 10, 11, 13, 15):
                config = {"configurable": {"thread_id": str(thread)}}
                state = app.invoke({"messages": [("user", f"{turn}: {ASK}")]}, config)
                reason = state["messages"][-1].response_metadata["tiers"]["reason"]
                seen.setdefault(thread, set()).add(reason.startswith("observed"))
        assert {kind for (kind,) in seen.values()} == {True, False}

    def test_without_a_thread_the_beginning_of_a_conversation_decides(self, observing):
        model = observing(ramp=0.5, policy="estimate")
        seen = {}
        for number in range(12):
            begin = [("system", f"It is {number} o'clock"), ("user", f"{number % 6}: {ASK}")]
            for more in ([], [("ai", "Paris"), ("user", "And of Spain?")]):
                reason = model.invoke([*begin, *more]).response_metadata["tiers"]["reason"]
                seen.setdefault(number % 6, set()).add(reason.startswith("observed"))
        assert all(len(kinds) == 1 for kinds in seen.values())
        assert len(set(map(frozenset, seen.values()))) == 2

    def test_one_history_carries_over_from_observing_to_tiering(self, tiered, tmp_path):
        shared = {"history": str(tmp_path), "policy": "default", "prices": PRICES}
        with tiered(mode="observe", observe_share=1.0, **shared) as model:
            for number in range(15):
                model.invoke(f"{number}: {ASK}")
            assert model.flush_grades()
            observed = model.observed()
        assert (observed.calls, observed.asked) == (15, 15)
        assert observed.tiered_usd.mean < observed.served_usd.mean
        with tiered(**shared) as model:
            trace = model.invoke(ASK).response_metadata["tiers"]
            assert "15 profiled calls" in trace["reason"] or "more without the top tier" in trace["reason"]
            assert model.observed() == observed


class TestObserved:
    def test_it_says_what_tiering_would_have_cost_and_how_often_it_is_as_good(self, observing):
        model = observing(grade=lambda question, answer: "4" in answer)
        for number in range(12):
            model.invoke(f"{number}: {ASK}")
        assert model.flush_grades()
        found = model.observed()
        assert (found.calls, found.asked) == (12, 12)
        assert 0 <= found.as_good.low <= found.as_good.mean <= found.as_good.high <= 1
        assert dict(found.graded_by) == {"grader": 12}
        assert found.asking_usd > 0

    def test_nothing_is_asked_where_the_budget_is_nothing(self, server, observing):
        model = observing(observe_usd=0)
        model.invoke(ASK)
        assert records_of(model)[0]["complete_chance"] == 0
        assert [request.model for request in server.requests] == ["large"]

    def test_closing_waits_for_what_is_asked(self, server, observing, tmp_path):
        server.scripts["small"] = hang = Hang("Lyon")
        model = observing(history=str(tmp_path))
        model.invoke(ASK)
        closing = threading.Thread(target=model.close)
        closing.start()
        hang.release()
        closing.join(30)
        assert read_records(str(tmp_path))[0].tiered is not None

    def test_closing_gives_up_what_takes_longer(self, server, observing, tmp_path, caplog):
        server.scripts["small"] = hang = Hang("Lyon")
        model = observing(history=str(tmp_path))
        model.invoke(ASK)
        assert hang.reached.wait(30)
        model.close(timeout=0)
        assert "observing: given up for 1 calls (1 under way), after 0 s" in caplog.text
        hang.release()

    @pytest.mark.parametrize("timeout", [-1, float("nan"), "soon", None])
    def test_a_timeout_that_is_none_is_refused(self, observing, timeout):
        with pytest.raises(ConfigError, match="timeout"):
            observing().close(timeout=timeout)

    @pytest.mark.parametrize("ending", ["", "model.close(timeout=0.1)"])
    def test_a_program_ends_where_tiers_that_are_asked_side_by_side_hang(self, server, ending):
        # The first request of a kind goes to one tier after the other.
        hanging = [Hang(), Hang()]
        for name, hang in zip(("small", "medium"), hanging, strict=True):
            server.scripts[name] = partial(lambda turns, _: next(turns), iter(["The answer is 4.", hang]))
        program = f"""
            from langchain_openai import ChatOpenAI
            from langchain_tiers import TieredChatModel
            from llm_tiers.flow import background

            background.SECONDS_AT_END = 0.1
            tiers = [
                ChatOpenAI(model=name, base_url={server.base_url!r}, api_key="unused", max_retries=0)
                for name in ("small", "medium", "large")
            ]
            model = TieredChatModel(tiers=tiers, mode="observe", observe_share=1.0, prices={PRICES!r})
            model.invoke({ASK!r})
            assert model.flush_grades(60)
            model.invoke({ASK!r})
            input()
            {ending}
        """
        command = [sys.executable, "-c", dedent(program)]
        with subprocess.Popen(command, stdin=PIPE, stdout=PIPE, stderr=PIPE, text=True) as running:
            # Without both, the program would end before it asks them.
            reached = [hang.reached.wait(60) for hang in hanging]
            _, told = running.communicate("\n", timeout=120)
        assert reached == [True, True], told
        assert running.returncode == 0, told
        assert "observing: given up for 1 calls (1 under way)" in told
        assert sorted(request.model for request in server.requests) == sorted(["large", "medium", "small"] * 2)

    def test_feedback_may_come_at_once(self, observing):
        model = observing()
        answer = model.invoke(ASK)
        model.feedback(answer.response_metadata["tiers"]["trace_id"], correct=True)
        assert records_of(model)[0]["grades"]["feedback"] == {"large": 1.0}


class TestArguments:
    @pytest.mark.parametrize(
        ("given", "says"),
        [
            ({"mode": "watch"}, "mode='watch' is unknown"),
            ({"mode": "observe", "serve": "gpt-5"}, "serve='gpt-5' must name .* 'small', 'medium', 'large'"),
            ({"mode": "observe", "ramp": 2}, "ramp=2 must lie in"),
            ({"serve": "large"}, "serve='large' needs mode='observe'"),
            ({"ramp": 0.1}, "ramp=0.1 needs mode='observe'"),
            ({"mode": "observe", "observe_usd": 1, "prices": None}, "observe_usd=1 .* no price of 'small'"),
        ],
    )
    def test_a_wrong_one_is_named_before_any_model_is_called(self, server, tiered, given, says):
        with pytest.raises(ConfigError, match=says):
            tiered(**given)
        assert not server.requests

    def test_a_served_tier_below_the_top_retries_as_before(self, server, key, tiered):
        tiers = [ChatOpenAI(model=name, base_url=server.base_url, api_key=key) for name in ("small", "medium", "large")]
        ladder = tiered(tiers=tiers, mode="observe", serve="medium")._engine.ladder
        assert [tier.model.max_retries for tier in ladder] == [1, tiers[1].max_retries, tiers[2].max_retries]

    def test_a_cache_keeps_the_answers_of_both_modes_apart(self, tiered):
        keys = [
            tiered(**given)._get_llm_string() for given in ({}, {"mode": "observe"}, {"mode": "observe", "ramp": 0.5})
        ]
        assert len(set(keys)) == 3

    def test_the_profile_is_that_of_the_served_tier_until_others_answer(self, chat, observing):
        tiers = [chat(name, profile={"max_input_tokens": most}) for name, most in (("small", 100), ("large", 900))]
        assert observing(tiers=tiers).profile == {"max_input_tokens": 900}
        assert observing(tiers=tiers, ramp=0.1).profile == {"max_input_tokens": 100}

    def test_a_copy_keeps_the_mode(self, observing):
        model = observing(serve="medium").model_copy(update={"ramp": 0.25})
        assert (model._engine.rollout.serve, model._engine.rollout.ramp) == ("medium", 0.25)


def test_in_asyncio_many_calls_at_once(server, observing):
    model = observing()

    async def ask():
        return await asyncio.gather(*(model.ainvoke(f"{number}: {ASK}") for number in range(8)))

    answers = asyncio.run(ask())
    assert {answer.text for answer in answers} == {TEXTS["large"]}
    assert len(records_of(model)) == 8


async def _asked(model, way, question, config):
    match way:
        case "invoke":
            return model.invoke(question, config)
        case "ainvoke":
            return await model.ainvoke(question, config)
        case "stream":
            return list(model.stream(question, config))[-1]
        case _:
            return [chunk async for chunk in model.astream(question, config)][-1]


@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream"])
def test_a_thread_in_the_config_of_a_call_is_tiered_as_a_whole(observing, way):
    model = observing(ramp=0.5)
    served = {}
    for number in range(40):
        config = {"configurable": {"thread_id": f"thread {number % 8}"}}
        message = asyncio.run(_asked(model, way, f"question {number}", config))
        reason = message.response_metadata["tiers"]["reason"]
        served.setdefault(number % 8, set()).add(reason.startswith("observed"))
    # Each question begins differently, so it is the thread that decides.
    assert all(len(kinds) == 1 for kinds in served.values())
    assert set.union(*served.values()) == {True, False}

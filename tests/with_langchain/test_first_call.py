"""What a user's first calls do, over HTTP."""

import asyncio
import json

import pytest
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate

from langchain_tiers import TieredChatModel
from llm_tiers import (
    AccuracyEstimator,
    AllTiersFailed,
    ChromaHistory,
    ConfigError,
    FixedStarter,
    HistoryError,
    PromptJudge,
    Tier,
    UnknownTrace,
)
from llm_tiers.testing import Hang, HttpError, Reply

ASK = "What is the capital of France?"


def trace_of(answer):
    return answer.response_metadata["tiers"]


def steps(answer):
    return [(attempt["tier"], attempt["role"], attempt["verdict"]) for attempt in trace_of(answer)["attempts"]]


@pytest.fixture(params=["invoke", "ainvoke"])
def ask(request):
    """Ask a model, once in sync code and once in asyncio."""

    def ask(tiered_model, messages, **settings):
        if request.param == "invoke":
            return tiered_model.invoke(messages, **settings)
        return asyncio.run(tiered_model.ainvoke(messages, **settings))

    return ask


def test_the_cheapest_answer_that_stands_is_returned(server, tiered, ask):
    answer = ask(tiered(), ASK)

    assert answer.content == "Lyon"
    assert steps(answer) == [("small", "generate", "valid"), ("medium", "judge", None)]
    assert [request.model for request in server.requests] == ["small", "medium"]
    assert trace_of(answer)["final"] == trace_of(answer)["start"] == "small"


def test_an_answer_that_does_not_stand_goes_one_tier_up(server, tiered, ask, judged):
    server.scripts["medium"] = judged("Paris", verdict="no")
    server.scripts["large"] = judged("Paris")

    answer = ask(tiered(), ASK)

    assert answer.content == "Paris"
    assert steps(answer) == [
        ("small", "generate", "invalid"),
        ("medium", "judge", None),
        ("medium", "generate", "invalid"),
        ("medium", "judge", None),
        ("large", "generate", None),
    ]


def test_the_judge_reads_data_between_markers_and_no_setting_of_the_user(server, tiered, ask):
    messages = [SystemMessage("Be brief."), HumanMessage(ASK)]
    tool = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object", "properties": {}}}}

    ask(tiered(), messages, stop=["END"], temperature=0.5, tools=[tool])

    asked, judging = server.requests
    assert asked.settings["stop"] == ["END"]
    assert asked.settings["temperature"] == 0.5
    assert asked.settings["tools"] == [tool]
    assert not {"stop", "temperature", "tools"} & judging.settings.keys()
    _, prompt = judging.messages
    marker = prompt["content"].partition(" ")[0]
    assert marker.startswith("<<")
    assert f"{marker} question>>\n{ASK}\n{marker} end>>" in prompt["content"]
    assert f"{marker} answer>>\nLyon\n{marker} end>>" in prompt["content"]
    assert "system: Be brief." in prompt["content"]


def test_the_judge_may_have_a_model_and_an_effort_of_its_own(server, chat, tiered):
    server.scripts["referee"] = "yes"

    answer = tiered(judge=PromptJudge(model=chat("referee"), effort="minimal")).invoke(ASK)

    assert steps(answer) == [("small", "generate", "valid"), ("referee", "judge", None)]
    assert server.requests[-1].settings["reasoning_effort"] == "minimal"


def test_a_tier_may_be_a_name(server, tiers, tiered, ask, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-environment")
    monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)

    answer = ask(tiered(tiers=["openai:small", Tier("openai:medium", name="middle"), tiers[-1]]), ASK)

    assert steps(answer) == [("small", "generate", "valid"), ("middle", "judge", None)]


def test_a_function_judges(tiered, ask):
    answer = ask(tiered(judge=lambda question, answer: "Paris" in answer), ASK)

    assert answer.content == "Paris"
    assert trace_of(answer)["final"] == "medium"


@pytest.mark.parametrize("status", [429, 500])
def test_a_tier_that_fails_goes_one_tier_up(server, tiered, ask, status):
    server.scripts["small"] = HttpError(status, "overloaded today")

    answer = ask(tiered(), ASK)

    assert answer.content == "Paris"
    assert "overloaded today" in trace_of(answer)["attempts"][0]["error"]


def test_a_refusal_and_an_empty_answer_go_one_tier_up_unjudged(server, tiered, ask):
    server.scripts |= {"small": Reply(refusal="I would rather not."), "medium": ""}

    answer = ask(tiered(), ASK)

    assert answer.content == "Paris"
    assert [attempt["by"] for attempt in trace_of(answer)["attempts"]] == ["missing", "missing", None]


def test_when_every_tier_fails_the_error_holds_them_all(server, tiered, ask):
    for name in ("small", "medium", "large"):
        server.scripts[name] = HttpError(500, f"{name} is down")
    traces = []

    with pytest.raises(AllTiersFailed) as failure:
        ask(tiered(on_trace=traces.append), ASK)

    assert [error.tier for error in failure.value.exceptions] == ["small", "medium", "large"]
    assert all(f"{error.tier} is down" in str(error) for error in failure.value.exceptions)
    assert traces == [failure.value.trace]
    assert failure.value.trace.final is None


def test_the_trace_counts_tokens_and_money(server, tiered, ask, judged):
    server.scripts["small"] = Reply("Lyon", input_tokens=1_000, output_tokens=100, cached_tokens=400)
    server.scripts["medium"] = judged("Paris", verdict=Reply("yes", input_tokens=50, output_tokens=7))

    answer = ask(tiered(prices={"small": (1, 2), "medium": (10, 20), "large": (100, 200)}), ASK)

    assert trace_of(answer)["cost_usd"] == pytest.approx((1_000 + 2 * 100 + 10 * 50 + 20 * 7) / 1e6)
    assert answer.usage_metadata == {
        "input_tokens": 1_050,
        "output_tokens": 107,
        "total_tokens": 1_157,
        "input_token_details": {"cache_read": 400, "cache_creation": 0},
        "output_token_details": {"reasoning": 0},
    }


def test_a_pinned_tier_answers_alone(server, tiered, ask):
    answer = ask(tiered(), ASK, model="medium")

    assert answer.content == "Paris"
    assert steps(answer) == [("medium", "generate", None)]
    assert [request.model for request in server.requests] == ["medium"]


def test_a_pin_that_is_no_tier_names_the_tiers(server, tiered, ask):
    with pytest.raises(ConfigError, match=r"model='huge'.*'small', 'medium', 'large'"):
        ask(tiered(), ASK, model="huge")
    assert server.requests == ()


def test_an_empty_list_of_messages_is_refused(server, tiered, ask):
    with pytest.raises(ConfigError, match="input"):
        ask(tiered(), [])
    assert server.requests == ()


def test_a_history_in_a_folder_is_learned_from_and_found_again(tiered, ask, learner, tmp_path):
    def judge(_, answer):
        return answer == "Paris"

    with tiered(history=tmp_path / "tiers", starter=learner, judge=judge) as model:
        cold = [ask(model, f"What is the capital of France, question {number}?") for number in range(3)]
        warm = ask(model, "What is the capital of France, once more?")
    with tiered(history=tmp_path / "tiers", starter=learner, judge=judge) as model:
        reopened = ask(model, "What is the capital of France, after all?")

    assert [trace_of(answer)["start"] for answer in cold] == ["small"] * 3
    assert trace_of(warm)["start"] == trace_of(reopened)["start"] == "medium"
    assert trace_of(warm)["neighbours"] == 3
    assert trace_of(warm)["estimates"]["small"] < 0.65 < trace_of(warm)["estimates"]["medium"]


def test_feedback_changes_the_next_estimate(tiered, ask, learner):
    model = tiered(starter=learner)
    answers = [ask(model, ASK) for _ in range(4)]
    before = trace_of(answers[-1])["estimates"]["small"]

    for answer in answers:
        model.feedback(trace_of(answer)["trace_id"], correct=False)

    after = trace_of(ask(model, ASK))
    assert after["estimates"]["small"] < before
    assert after["start"] != "small"


def test_a_bandit_goes_where_feedback_says_and_stays_there_after_a_restart(tiered, ask, tmp_path):
    settings = {"history": tmp_path / "tiers", "policy": "metallm"}
    with tiered(**settings) as model:
        for _ in range(6):
            trace = trace_of(ask(model, ASK))
            model.feedback(trace["trace_id"], correct=trace["final"] == "medium")
        starts = [trace_of(ask(model, ASK))["start"] for _ in range(2)]
    with tiered(**settings) as model:
        again = trace_of(ask(model, ASK))

    assert starts == ["medium", "medium"]
    assert again["start"] == "medium"
    assert again["reason"].endswith("; 6 observations")
    assert [attempt["role"] for attempt in again["attempts"]] == ["generate"]


def test_feedback_on_an_unknown_call_is_an_error(tiered):
    with pytest.raises(UnknownTrace, match="nowhere"):
        tiered().feedback("nowhere", correct=True)


class BrokenHistory:
    """A history whose store has gone."""

    def recall(self, text, *, node, k, vector=None):
        raise HistoryError("the disk is gone")

    def remember(self, record):
        raise HistoryError("the disk is full")

    def revise(self, trace_id, change):
        raise HistoryError("the disk is gone")

    def close(self):
        pass


def test_a_history_that_fails_costs_no_answer(tiered, ask, learner):
    answer = ask(tiered(history=BrokenHistory(), starter=learner), ASK)

    assert answer.content == "Paris"
    warnings = " ".join(trace_of(answer)["warnings"])
    assert "the disk is gone" in warnings
    assert "the disk is full" in warnings


def test_a_closed_history_costs_no_answer(tiered, ask, learner, tmp_path):
    model = tiered(history=tmp_path, starter=learner)
    model.close()

    answer = ask(model, ASK)

    assert answer.content == "Paris"
    assert "history" in " ".join(trace_of(answer)["warnings"])


def test_in_a_chain_and_in_a_batch(tiered):
    prompt = ChatPromptTemplate.from_messages([("system", "Be brief."), ("human", "Capital of {country}?")])
    chain = prompt | tiered() | StrOutputParser()

    assert chain.invoke({"country": "France"}) == "Lyon"
    assert chain.batch([{"country": "France"}, {"country": "Italy"}]) == ["Lyon", "Lyon"]
    assert "".join(chain.stream({"country": "France"})) == "Lyon"


async def test_many_calls_at_once_do_not_mix(server, tiered):
    server.scripts["small"] = lambda request: request.ask.upper()
    model = tiered(starter=AccuracyEstimator(k=100))

    answers = await asyncio.gather(*(model.ainvoke(f"question {number}") for number in range(12)))

    assert [answer.content for answer in answers] == [f"QUESTION {number}" for number in range(12)]
    assert len({trace_of(answer)["trace_id"] for answer in answers}) == 12
    assert all(len(trace_of(answer)["attempts"]) == 2 for answer in answers)


@pytest.mark.parametrize("hangs", ["small", "medium"])
async def test_a_cancelled_call_leaves_its_trace_and_no_task(server, tiered, hangs):
    server.scripts[hangs] = hang = Hang()
    traces = []
    before = asyncio.all_tasks()
    async with tiered(on_trace=traces.append) as model:
        call = asyncio.create_task(model.ainvoke(ASK))
        assert await asyncio.to_thread(hang.reached.wait, 10)

        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    assert asyncio.all_tasks() == before
    (trace,) = traces
    assert trace.final is None
    assert (trace.attempts[-1].tier, trace.attempts[-1].error) == (hangs, "cancelled")


def test_the_invitation_to_abstain_is_added_to_the_ask(server, tiered, ask):
    server.scripts["small"] = "Abstain"

    answer = ask(tiered(judge=PromptJudge(offer_abstention=True)), ASK)

    first, second = server.requests[:2]
    assert answer.content == "Paris"
    assert "Abstain" in first.text
    assert "Abstain" not in second.text
    assert trace_of(answer)["attempts"][0]["by"] == "abstained"


def test_the_query_may_be_the_users_choice(tiered, ask):
    seen = []

    def embedding(text):
        seen.append(text)
        return [1.0, 0.0]

    ask(tiered(embedding=embedding, query_text=lambda messages: f"{len(messages)} messages"), ASK)

    assert seen == ["1 messages"]


def test_a_tier_that_cannot_serve_the_call_is_skipped(chat, tiered, ask):
    small = Tier(chat("small"), context_window=5)

    answer = ask(tiered(tiers=[small, chat("medium"), chat("large")], starter=FixedStarter()), ASK)

    assert answer.content == "Paris"
    assert "tier small skipped" in trace_of(answer)["warnings"][0]


def test_many_failures_at_length_cost_neither_the_answer_nor_its_usage(chat, server, ask):
    """The trace is cut to 2 kB here."""
    names = [f"model-{number}" for number in range(7)]
    server.scripts = dict.fromkeys(names[:-1], HttpError(429, "Rate limit reached for your organization. " * 8))
    server.scripts[names[-1]] = Reply("Paris", input_tokens=20, output_tokens=5, cached_tokens=8, reasoning_tokens=3)
    with TieredChatModel([chat(name) for name in names], prices=dict.fromkeys(names, (1, 2))) as model:
        answer = ask(model, ASK)
    assert answer.content == "Paris"
    assert answer.usage_metadata == {
        "input_tokens": 20,
        "output_tokens": 5,
        "total_tokens": 25,
        "input_token_details": {"cache_read": 8, "cache_creation": 0},
        "output_token_details": {"reasoning": 3},
    }
    assert len(json.dumps(trace_of(answer)).encode()) <= 2_000


def test_feedback_in_asyncio(tiered):
    model = tiered(starter=FixedStarter("medium"))

    async def tell():
        answer = await model.ainvoke(ASK)
        await model.afeedback(trace_of(answer)["trace_id"], correct=False)
        with pytest.raises(UnknownTrace):
            await model.afeedback("nobody's", correct=True)

    asyncio.run(tell())


def test_a_history_that_was_given_stays_open_for_others(tiers):
    with ChromaHistory() as history:
        TieredChatModel(tiers, history=history, starter=FixedStarter("medium")).close()
        with TieredChatModel(tiers, history=history, starter=FixedStarter("medium")) as model:
            trace = trace_of(model.invoke(ASK))
        assert trace["warnings"] == []
        assert history.recall(ASK, node="", k=1).count == 1

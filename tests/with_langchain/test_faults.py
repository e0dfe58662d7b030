"""A tier that fails goes one tier up, teaches nothing about itself, and costs nothing but time."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from functools import reduce
from operator import add
from textwrap import dedent

import pytest
from langchain_openai import ChatOpenAI
from processes import stop

from langchain_tiers import TieredChatModel
from llm_tiers import AllTiersFailed, ConfigError, FixedStarter, PromptJudge, Tier
from llm_tiers.history.reading import read_records
from llm_tiers.testing import BrokenJson, Cut, Hang, HttpError, Reply

ASK = "What is the capital of France?"
NAMES = ("small", "medium", "large")

FAULTS = {
    "rate limit": HttpError(429, "Rate limit reached", retry_after=1),
    "server error": HttpError(500),
    "overloaded": HttpError(503),
    "wrong key": HttpError(401, "Incorrect API key"),
    "context length": HttpError(400, "This model's maximum context length is 8192", code="context_length_exceeded"),
    "error in the stream": HttpError(529, "Overloaded", code="overloaded_error", after="Mar"),
    "cut connection": Cut(),
    "broken JSON": BrokenJson(),
}


def trace_of(answer):
    return answer.response_metadata["tiers"]


@pytest.fixture
def ask(take):
    """Ask in each of the four ways; return the message."""
    return lambda model: reduce(add, take(model, ASK))


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_fault_goes_one_tier_up_and_leaves_no_label(server, tiered, ask, fault):
    server.scripts["small"] = fault
    model = tiered()

    answer = ask(model)

    assert answer.content == "Paris"
    first = trace_of(answer)["attempts"][0]
    assert (first["tier"], first["verdict"], first["cost_usd"]) == ("small", None, None)
    assert first["error"]
    assert trace_of(answer)["cost_usd"] > 0
    (record,) = model._engine.history.export()
    assert record["labels"] == {"medium": True, "large": True}


# A stream that breaks off has shown the user half an answer; see test_a_live_stream_that_stops_halfway_fails.
WHOLE_FAULTS = {name: fault for name, fault in FAULTS.items() if name != "error in the stream"}


@pytest.mark.parametrize("start", ["medium", "large"])
@pytest.mark.parametrize("fault", WHOLE_FAULTS.values(), ids=WHOLE_FAULTS)
def test_where_the_start_and_all_above_fail_a_tier_below_answers(server, tiered, ask, fault, start):
    server.scripts |= {"small": "Paris", "medium": HttpError(500), "large": fault}

    answer = ask(tiered(starter=FixedStarter(start), judge=lambda question, answer: True))

    assert answer.content == "Paris"
    assert (trace_of(answer)["final"], trace_of(answer)["degraded"]) == ("small", True)
    assert trace_of(answer)["warnings"] == [f"degraded: no tier from {start} up gave an answer, so small answered"]
    assert {attempt["tier"] for attempt in trace_of(answer)["attempts"] if attempt["error"]} == {"medium", "large"}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_where_the_user_wants_no_such_answer_the_call_fails_with_every_cause(server, tiered, ask, fault):
    server.scripts |= {"medium": HttpError(500), "large": fault}

    with pytest.raises(AllTiersFailed) as failure:
        ask(tiered(starter=FixedStarter("medium"), on_exhausted="raise"))

    assert [error.tier for error in failure.value.exceptions] == ["medium", "large"]
    assert "small" not in {request.model for request in server.requests}


@pytest.mark.parametrize("fault", WHOLE_FAULTS.values(), ids=WHOLE_FAULTS)
def test_where_the_tiers_below_fail_too_every_cause_is_raised(server, tiered, ask, fault):
    server.scripts |= {"small": HttpError(503), "medium": HttpError(500), "large": fault}
    with pytest.raises(AllTiersFailed) as failure:
        ask(tiered(starter=FixedStarter("medium")))
    assert [error.tier for error in failure.value.exceptions] == ["medium", "large", "small"]


def test_an_answer_that_the_judge_rejects_is_not_returned_from_below_either(server, tiered, ask):
    server.scripts |= {"medium": HttpError(500), "large": HttpError(500)}
    with pytest.raises(AllTiersFailed, match="rejected by the judge: small"):
        ask(tiered(starter=FixedStarter("medium"), judge=lambda question, answer: False))


POLICIES = ["estimate", "llm-at", "agree", "doubt", "linucb", "metallm", "linucb-rules", "menu"]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("up", ["small", "medium"])
def test_under_every_policy_the_one_tier_that_works_answers(server, tiered, ask, judged, policy, up):
    server.scripts |= dict.fromkeys(("small", "medium", "large"), HttpError(500)) | {up: judged("Paris")}
    answer = ask(tiered(policy=policy))
    assert (answer.content, trace_of(answer)["final"]) == ("Paris", up)


def test_another_word_for_what_is_to_be_done_is_refused(tiered):
    with pytest.raises(ConfigError, match="on_exhausted='perhaps' must be 'answer'"):
        tiered(on_exhausted="perhaps")


def test_a_fault_of_the_judge_goes_one_tier_up(server, tiered, ask, judged):
    server.scripts["medium"] = judged("Paris", verdict=lambda request: HttpError(429))

    answer = ask(tiered())

    assert trace_of(answer)["attempts"][0]["verdict"] == "uncertain"
    assert "judge" in trace_of(answer)["warnings"][0]


@pytest.mark.parametrize("given", ["to the tier", "to the model"])
def test_a_tier_that_takes_too_long_goes_one_tier_up(chat, server, tiered, ask, given):
    server.scripts["small"] = hang = Hang()
    small = Tier(chat("small"), timeout=0.2 if given == "to the tier" else None)
    settings = {} if given == "to the tier" else {"timeout": 1}

    answer = ask(tiered(tiers=[small, chat("medium"), chat("large")], **settings))

    assert hang.reached.is_set()
    assert answer.content == "Paris"
    assert trace_of(answer)["attempts"][0]["tier"] == "small"
    assert trace_of(answer)["attempts"][0]["error"]
    hang.release()


def test_a_slow_embedding_costs_a_call_a_bounded_time(tiered, ask):
    released = threading.Event()

    def embed(text):
        released.wait()
        return [1.0, 0.0]

    model = tiered(embedding=embed, history_timeout=0.05)
    answer = ask(model)
    assert answer.content
    assert "history: no answer within history_timeout=0.05 s" in trace_of(answer)["warnings"]
    released.set()


def test_a_program_that_ends_without_closing_keeps_what_a_slow_history_takes_late(server, tmp_path):
    program = f"""
        import time

        from langchain_openai import ChatOpenAI
        from langchain_tiers import TieredChatModel

        def embed(text):
            time.sleep(0.5)
            return [1.0, 0.0]

        tiers = [ChatOpenAI(model=name, base_url={server.base_url!r}, api_key="none") for name in {NAMES!r}]
        model = TieredChatModel(tiers=tiers, history={str(tmp_path)!r}, embedding=embed, history_timeout=0.05)
        print(*model.invoke({ASK!r}).response_metadata["tiers"]["warnings"])
    """
    ran = subprocess.run(
        [sys.executable, "-c", dedent(program)], capture_output=True, text=True, timeout=120, check=False
    )
    assert "history: too slow" in ran.stdout, ran.stderr
    assert len(read_records(str(tmp_path))) == 1


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="needs SIGSTOP")
def test_a_folders_server_that_hangs_costs_a_call_a_bounded_time(tiered, ask, tmp_path):
    model = tiered(history=tmp_path, history_timeout=0.05)
    ask(model)
    model.history.flush()
    server = json.loads((tmp_path / "llm-tiers.server.json").read_text())["server"]
    stop(server)
    answer = ask(model)
    assert answer.content
    assert "history: no answer within history_timeout=0.05 s" in trace_of(answer)["warnings"]
    os.kill(server, signal.SIGCONT)


def test_how_long_a_history_may_take_by_default(chat, tiers):
    with TieredChatModel(tiers=tiers) as model:
        assert model._engine._limits.history_timeout == 0.25
    with TieredChatModel(tiers=tiers, history_timeout=None) as model, model.model_copy(update={"node": "x"}) as copy:
        assert copy._engine._limits.history_timeout is None


def test_the_trace_says_how_long_was_waited(chat, server, tiered, ask):
    server.scripts["small"] = hang = Hang()

    answer = ask(tiered(tiers=[Tier(chat("small"), timeout=0.2), chat("large")]))

    assert trace_of(answer)["attempts"][0]["error"] == "no answer within 0.2 s"
    hang.release()


def test_a_live_stream_that_stops_halfway_fails(chat, server, tiered):
    server.scripts["large"] = hang = Hang(after="Paris it ")
    model = tiered(tiers=[chat("small"), Tier(chat("large"), timeout=0.3)], starter=FixedStarter("large"))

    with pytest.raises(AllTiersFailed, match=r"no answer within 0\.3 s"):
        list(model.stream(ASK))
    hang.release()


def test_a_late_tier_keeps_no_task_in_asyncio(chat, server, tiered):
    server.scripts["small"] = hang = Hang()

    async def ask():
        before = asyncio.all_tasks()
        await tiered(tiers=[Tier(chat("small"), timeout=0.2), chat("large")]).ainvoke(ASK)
        return asyncio.all_tasks() - before

    assert asyncio.run(ask()) == set()
    hang.release()


def test_a_late_tier_keeps_no_process_alive(chat, server, tiered):
    server.scripts["small"] = hang = Hang()

    tiered(tiers=[Tier(chat("small"), timeout=0.2), chat("large")]).invoke(ASK)

    late = [thread for thread in threading.enumerate() if thread.name == "llm-tiers-deadline"]
    assert late
    assert all(thread.daemon for thread in late)
    hang.release()


def test_a_judge_of_its_own_may_have_a_time_out(chat, server, tiered, ask):
    server.scripts["referee"] = hang = Hang("yes")

    answer = ask(tiered(judge=PromptJudge(model=Tier(chat("referee"), timeout=0.2))))

    assert trace_of(answer)["final"] == "large"
    hang.release()


@pytest.mark.parametrize("wrong", [0, -1, "fast"])
def test_a_time_out_that_is_none_is_refused(chat, wrong):
    with pytest.raises(ConfigError, match=r"Tier 'small': timeout=.* must be more than 0 seconds"):
        Tier(chat("small"), timeout=wrong)


def test_an_earlier_answer_stands_in_for_a_top_that_fails_only_if_nobody_rejected_it(server, tiered, ask):
    server.scripts |= {"small": Reply("Lyon"), "medium": Reply("Marseille"), "large": HttpError(500)}

    answer = ask(tiered(judge=lambda question, answer: None if answer == "Lyon" else False))
    assert answer.content == "Lyon"

    with pytest.raises(AllTiersFailed, match="rejected by the judge: small, medium"):
        ask(tiered(judge=lambda question, answer: False))


async def test_a_cancelled_call_stops_the_request(server, tiered):
    server.scripts["small"] = hang = Hang()
    call = asyncio.create_task(tiered().ainvoke(ASK))
    assert await asyncio.to_thread(hang.reached.wait, 10)

    call.cancel()

    with pytest.raises(asyncio.CancelledError):
        await call
    assert [request.model for request in server.requests] == ["small"]


class TestDeadline:
    def test_it_bounds_the_whole_call(self, server, chat, tiered, ask):
        hangs = {name: Hang() for name in ("small", "medium", "large")}
        server.scripts |= hangs
        with pytest.raises(AllTiersFailed, match=r"no answer before deadline=1 s") as failure:
            ask(tiered(deadline=1))
        assert [attempt.tier for attempt in failure.value.trace.attempts] == ["small"]
        assert failure.value.trace.seconds < 5
        assert "deadline: medium was not asked, deadline=1 s is over" in failure.value.trace.warnings
        for hang in hangs.values():
            hang.release()

    def test_an_earlier_answer_is_better_than_none(self, server, tiered, ask):
        server.scripts |= {"small": Reply("Lyon"), "medium": (hang := Hang())}
        answer = ask(tiered(deadline=1, judge=lambda question, answer: None))
        assert (answer.content, trace_of(answer)["degraded"]) == ("Lyon", True)
        hang.release()

    def test_one_that_is_not_reached_changes_nothing(self, tiered, ask):
        assert trace_of(ask(tiered(deadline=60)))["warnings"] == []

    @pytest.mark.parametrize("wrong", [0, -1, "fast"])
    def test_one_that_is_none_is_refused(self, tiered, wrong):
        with pytest.raises(ConfigError, match="deadline"):
            tiered(deadline=wrong)


def test_late_threads_are_bounded_and_the_trace_says_so(chat, server, tiered):
    server.scripts["small"] = hang = Hang()
    tiers = [Tier(chat("small"), timeout=0.01), chat("large")]
    model = tiered(tiers=tiers, breaker=None, starter=FixedStarter("small"))
    before = set(threading.enumerate())

    answers = [model.invoke(ASK) for _ in range(30)]

    new = set(threading.enumerate()) - before
    assert len([thread for thread in new if thread.name == "llm-tiers-deadline"]) <= 16
    # Each request that hangs keeps one of the server's as well.
    assert len(new) <= 2 * 16 + 4
    assert {answer.content for answer in answers} == {"Paris"}
    assert trace_of(answers[-1])["warnings"] == ["late: small was not asked, 16 earlier calls have not ended"]
    hang.release()


def test_what_a_tier_gets_by_default(server, key, tiered):
    plain = {"base_url": server.base_url, "api_key": key}
    own = ChatOpenAI(model="medium", max_retries=5, timeout=7, **plain)
    timed = Tier(ChatOpenAI(model="timed", **plain), timeout=3)
    tiers = [timed, ChatOpenAI(model="small", **plain), own, ChatOpenAI(model="large", **plain)]
    timed, small, medium, large = (tier.model for tier in tiered(tiers=tiers)._engine.ladder)
    # A little longer than the tier's, whose message says more.
    assert (timed.max_retries, timed.request_timeout) == (1, 4)
    assert (small.max_retries, small.request_timeout) == (1, 300)
    assert (medium.max_retries, medium.request_timeout) == (5, 7)
    assert (large.max_retries, large.request_timeout) == (None, 300)


def test_below_the_top_a_client_retries_once(server, key, tiered, ask):
    server.scripts["small"] = HttpError(500)
    plain = {"base_url": server.base_url, "api_key": key}
    ask(tiered(tiers=[ChatOpenAI(model="small", **plain), ChatOpenAI(model="large", **plain)]))
    assert len(server.requests_to("small")) == 2

"""A tier that fails goes one tier up, teaches nothing about itself, and costs nothing but time."""

import asyncio
import threading

import pytest

from llm_tiers import AllTiersFailed, ChromaHistory, FixedStarter, Tier
from llm_tiers.testing import BrokenJson, Cut, Hang, HttpError, LoopbackServer

ASK = "What is the capital of France?"

FAULTS = {
    "rate limit": HttpError(429, "Rate limit reached", retry_after=1),
    "server error": HttpError(500),
    "wrong key": HttpError(401, "Incorrect API key"),
    "context length": HttpError(400, "This model's maximum context length is 8192", code="context_length_exceeded"),
    "error in the stream": HttpError(529, "Overloaded", code="overloaded_error", after="Mar"),
    "cut connection": Cut(),
    "broken JSON": BrokenJson(),
}


@pytest.mark.parametrize("method", ["complete", "chat", "chat_with_tools"])
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_fault_goes_one_tier_up_and_leaves_no_label(server, tiered, take, asked, look_up, trace_of, fault, method):
    server.scripts["small"] = fault
    given = {"complete": (ASK,), "chat": (asked,), "chat_with_tools": ([look_up], ASK)}[method]
    llm = tiered()

    trace = trace_of(take(llm, method, *given)[-1])

    assert trace["final"] == "medium"
    first = trace["attempts"][0]
    assert (first["tier"], first["verdict"], first["cost_usd"]) == ("small", None, None)
    assert first["error"]
    (record,) = llm._engine.history.export()
    assert record["labels"] == {"medium": True, "large": True}


@pytest.mark.parametrize("start", ["medium", "large"])
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_where_the_start_and_all_above_fail_a_tier_below_answers(server, tiered, take, trace_of, fault, start):
    server.scripts |= {"small": "Paris", "medium": HttpError(500), "large": fault}
    llm = tiered(starter=FixedStarter(start), judge=lambda question, answer: True)
    if "stream" in take.way and getattr(fault, "after", None):
        # Half an answer has been shown: nothing else may follow it.
        with pytest.raises(AllTiersFailed):
            take(llm, "complete", ASK)
        return

    trace = trace_of(take(llm, "complete", ASK)[-1])

    assert (trace["final"], trace["degraded"]) == ("small", True)
    assert trace["warnings"] == [f"degraded: no tier from {start} up gave an answer, so small answered"]


def test_where_the_user_wants_no_such_answer_the_call_fails(server, tiered, take):
    server.scripts |= {"medium": HttpError(500), "large": HttpError(500)}
    with pytest.raises(AllTiersFailed):
        take(tiered(starter=FixedStarter("medium"), on_exhausted="raise"), "complete", ASK)
    assert "small" not in {request.model for request in server.requests}


async def test_a_call_that_is_cancelled_leaves_its_trace_and_no_task(drops, server, tiered):
    server.scripts["large"] = hang = Hang("Paris")
    traces = []
    before = asyncio.all_tasks()
    llm = tiered(starter=FixedStarter("large"), on_trace=traces.append)

    asking = asyncio.create_task(llm.acomplete(ASK))
    await asyncio.to_thread(hang.reached.wait, 10)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    hang.release()

    assert asyncio.all_tasks() == before
    assert [(trace.final, trace.attempts[-1].error) for trace in traces] == [(None, "cancelled")]


def test_a_late_tier_keeps_no_task_in_asyncio(drops, like, server, tiered, trace_of):
    server.scripts["small"] = hang = Hang()

    async def ask():
        before = asyncio.all_tasks()
        response = await tiered(tiers=[Tier(like("small"), timeout=0.2), like("large")]).acomplete(ASK)
        return trace_of(response)["attempts"][0]["error"], asyncio.all_tasks() - before

    assert asyncio.run(ask()) == ("no answer within 0.2 s", set())
    hang.release()


def test_a_history_that_fails_costs_no_answer(tiered, take, trace_of, monkeypatch):
    with ChromaHistory() as history:

        def fail(*args, **kwargs):
            raise OSError("disk full")

        monkeypatch.setattr(history, "remember", fail)
        items = take(tiered(history=history), "complete", ASK)

    assert trace_of(items[-1])["warnings"] == ["history: OSError: disk full"]


def test_a_slow_embedding_costs_a_call_a_bounded_time(tiered, take, trace_of):
    released = threading.Event()

    def embed(text):
        released.wait()
        return [1.0, 0.0]

    items = take(tiered(embedding=embed, history_timeout=0.05), "complete", ASK)
    assert "history: no answer within history_timeout=0.05 s" in trace_of(items[-1])["warnings"]
    released.set()


def test_a_server_that_is_gone(like, tiered, trace_of):
    with LoopbackServer({}) as gone:
        address = gone.base_url
    llm = tiered(tiers=[like("small", api_base=address), like("large")])

    assert trace_of(llm.complete(ASK))["attempts"][0]["error"].startswith("APIConnectionError")


def test_a_deadline_bounds_the_whole_call(drops, server, tiered, take):
    server.scripts |= (hangs := {name: Hang() for name in ("small", "medium", "large")})
    with pytest.raises(AllTiersFailed, match=r"no answer before deadline=1 s") as failure:
        take(tiered(deadline=1), "complete", ASK)
    assert [attempt.tier for attempt in failure.value.trace.attempts] == ["small"]
    assert "deadline: medium was not asked, deadline=1 s is over" in failure.value.trace.warnings
    for hang in hangs.values():
        hang.release()


def test_late_threads_are_bounded_and_the_trace_says_so(drops, like, server, tiered, trace_of):
    server.scripts["small"] = hang = Hang()
    tiers = [Tier(like("small"), timeout=0.01), like("large")]
    llm = tiered(tiers=tiers, breaker=None, starter=FixedStarter("small"))
    before = set(threading.enumerate())
    traces = [trace_of(llm.complete(ASK)) for _ in range(20)]
    late = [thread for thread in set(threading.enumerate()) - before if thread.name == "llm-tiers-deadline"]
    assert len(late) <= 16
    assert traces[-1]["warnings"] == ["late: small was not asked, 16 earlier calls have not ended"]
    hang.release()


def test_how_long_a_client_waits_by_default(like, tiered):
    tiers = [Tier(like("timed"), timeout=3), like("small", timeout=7), like("medium"), like("large")]
    ladder = tiered(tiers=tiers)._engine.ladder
    # A little longer than the tier's, whose message says more; and no longer than the class's own.
    assert [tier.model.timeout for tier in ladder] == [4, 7, 60, 60]

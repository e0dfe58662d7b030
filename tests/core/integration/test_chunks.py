"""Which chunks reach the user, and when; and how long a tier is waited for."""

import asyncio
import dataclasses
import threading

import pytest

from llm_tiers import AllTiersFailed, FunctionJudge, Tier
from llm_tiers.flow.deadline import within


@pytest.fixture(params=["stream", "astream"])
def live(request):
    return request.param


@pytest.fixture
def chunky(scripted):
    """A performer that keeps the chunks of what it answers, as an integration does for a user who streams."""

    class Chunky(scripted.ScriptedPerformer):
        def _reply(self, call):
            return dataclasses.replace(super()._reply(call), chunks=tuple(self._chunks(call)))

    return Chunky


@pytest.fixture
def bench(scripted):
    def bench(judge=lambda question, answer: True, start="small", tiers=None):
        return scripted.Bench(scripted.Planned(start), FunctionJudge(judge), tiers)

    return bench


def test_an_accepted_answer_is_replayed_in_its_chunks(bench, chunky, live):
    chunks, outcome = bench().ask_live(chunky({"small": "a b c"}), way=live)

    assert chunks == ["a", "b", "c"]
    assert not outcome.answer.live


def test_a_rejected_answer_is_not(bench, chunky, live):
    performer = chunky({"small": "a b", "medium": "c d", "large": "x"})
    chunks, _ = bench(lambda question, answer: answer == "c d").ask_live(performer, way=live)

    assert chunks == ["c", "d"]


def test_a_live_answer_is_shown_once(bench, chunky, live):
    chunks, outcome = bench(start="large").ask_live(chunky({"large": "a b"}), way=live)

    assert chunks == ["a", "b"]
    assert outcome.answer.live


def test_an_earlier_answer_is_replayed_where_the_top_is_silent(bench, chunky, live):
    performer = chunky({"small": "a b", "medium": None, "large": None})
    chunks, outcome = bench(lambda question, answer: None).ask_live(performer, way=live)

    assert (chunks, outcome.answer.tier) == (["a", "b"], "small")


class Waiting:
    """A performer whose tiers answer only when they are released."""

    def __init__(self, scripted):
        self.released = threading.Event()
        self.inner = scripted.ScriptedPerformer({"small": "a", "medium": "b", "large": "c"})
        self.stopped = []

    def generate(self, call):
        if call.tier.name == "small":
            assert self.released.wait(30)
        return self.inner.generate(call)

    async def agenerate(self, call):
        if call.tier.name == "small":
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                self.stopped.append(call.tier.name)
                raise
        return await self.inner.agenerate(call)

    def stream(self, call):
        yield "half"
        assert self.released.wait(30)
        return self.inner.generate(call)

    async def astream(self, call):
        yield "half"
        await asyncio.sleep(30)
        yield await self.inner.agenerate(call)


@pytest.fixture
def waiting(scripted):
    performer = Waiting(scripted)
    yield performer
    performer.released.set()


@pytest.fixture
def hasty(scripted):
    """A ladder whose small and large tiers are waited for no longer than a moment."""
    return scripted.ladder(small={"timeout": 0.05}, large={"timeout": 0.05})


@pytest.mark.parametrize("way", ["run", "arun"])
def test_a_late_tier_is_a_failed_one(bench, hasty, waiting, way):
    outcome = bench(tiers=hasty).ask(waiting, way=way)

    assert outcome.answer.tier == "medium"
    assert outcome.trace.attempts[0].error == "no answer within 0.05 s"
    assert outcome.trace.cost_usd == outcome.trace.attempts[1].cost_usd
    assert waiting.stopped == (["small"] if way == "arun" else [])


def test_a_live_stream_that_stops_is_broken_off(bench, hasty, waiting, live):
    chunks = []
    with pytest.raises(AllTiersFailed, match="no answer within") as failure:
        bench(start="large", tiers=hasty).ask_live(waiting, way=live, chunks=chunks)

    assert chunks == ["half"]
    assert failure.value.exceptions[0].broke_off


def test_work_in_time_returns_its_result_and_raises_its_error():
    assert within(None, lambda: 1) == within(30, lambda: 1) == 1
    for seconds in (None, 30):
        with pytest.raises(ZeroDivisionError):
            within(seconds, lambda: 1 / 0)


def test_a_time_out_is_a_number_above_zero(scripted):
    assert Tier(scripted.model("small"), timeout=3).timeout == 3

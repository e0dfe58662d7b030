"""The drivers: how what the flow asks for is done, in threads and in asyncio, whole and cut short."""

import asyncio
import contextvars
import inspect
import threading
import types

import pytest

from llm_tiers import AllTiersFailed, PromptJudge, Usage
from llm_tiers.call.requests import Recall, recall
from llm_tiers.flow.cascade import cascade
from llm_tiers.flow.drive import adrive, adrive_live, drive, drive_live
from llm_tiers.policies.policy import Policy
from llm_tiers.policies.starters import AccuracyEstimator, Plan

PATIENCE = 10


@pytest.fixture
def start(scripted):
    """Make a flow and its ledger; the history is an argument of the drivers."""

    def start(starter="small", witnesses=(), tiers=None, **facts):
        starter = scripted.Planned(starter, witnesses) if isinstance(starter, str) else starter
        policy = Policy("tested", starter, PromptJudge())
        ledger = scripted.ledger_of(policy, tiers, **facts)
        return cascade(policy, ledger), ledger

    return start


def is_closed(flow):
    return inspect.getgeneratorstate(flow) == inspect.GEN_CLOSED


def errors(ledger):
    return [(attempt.role, attempt.tier, attempt.error) for attempt in ledger.attempts if attempt.error]


async def only_this_task():
    """Let callbacks run that are due, then say whether any other task is left."""
    return asyncio.all_tasks() == {asyncio.current_task()}


class TestWhole:
    answers = types.MappingProxyType({"small": "one two", "medium": "three four", "large": "five six"})

    def test_sync(self, scripted, start):
        flow, ledger = start()
        performer = scripted.ScriptedPerformer(self.answers, {"small": "no", "medium": "no"})
        assert drive(flow, performer, None, ledger).text == "five six"
        assert performer.roles == [
            ("generate", "small"),
            ("judge", "medium"),
            ("generate", "medium"),
            ("judge", "medium"),
            ("generate", "large"),
        ]
        assert [(attempt.role, attempt.tier) for attempt in ledger.attempts] == performer.roles
        assert is_closed(flow)

    async def test_async(self, scripted, start):
        flow, ledger = start()
        performer = scripted.ScriptedPerformer(self.answers, {"small": "no", "medium": "no"})
        assert (await adrive(flow, performer, None, ledger)).text == "five six"
        assert [(attempt.role, attempt.tier) for attempt in ledger.attempts] == performer.roles
        assert len(performer.roles) == 5
        assert is_closed(flow)

    def test_sync_failure(self, scripted, start):
        flow, ledger = start("large", pin="large")
        with pytest.raises(AllTiersFailed):
            drive(flow, scripted.ScriptedPerformer({"large": scripted.Down()}), None, ledger)
        assert errors(ledger) == [("generate", "large", "Down: overloaded")]
        assert is_closed(flow)

    async def test_async_failure(self, scripted, start):
        flow, ledger = start("large", pin="large")
        with pytest.raises(AllTiersFailed):
            await adrive(flow, scripted.ScriptedPerformer({"large": scripted.Down()}), None, ledger)
        assert errors(ledger) == [("generate", "large", "Down: overloaded")]
        assert is_closed(flow)

    def test_a_bug_of_the_performer_is_raised_as_it_is(self, scripted, start):
        flow, ledger = start()
        with pytest.raises(ZeroDivisionError):
            drive(flow, scripted.ScriptedPerformer({"small": ZeroDivisionError()}), None, ledger)
        assert is_closed(flow)
        assert [attempt.tier for attempt in ledger.attempts] == ["small"]

    async def test_a_bug_of_the_async_performer_is_raised_as_it_is(self, scripted, start):
        flow, ledger = start()
        with pytest.raises(ZeroDivisionError):
            await adrive(flow, scripted.ScriptedPerformer({"small": ZeroDivisionError()}), None, ledger)
        assert is_closed(flow)
        assert [attempt.tier for attempt in ledger.attempts] == ["small"]

    def test_a_seconds_count_of_the_answer_wins_over_the_clock(self, scripted, start):
        flow, ledger = start("large")
        drive(flow, scripted.ScriptedPerformer({"large": "4"}, seconds=12.5), None, ledger)
        assert [attempt.seconds for attempt in ledger.attempts] == [12.5]


class TestRecall:
    def test_without_a_history_the_call_is_answered(self, scripted, start):
        flow, ledger = start(AccuracyEstimator())
        assert drive(flow, scripted.ScriptedPerformer(dict.fromkeys(scripted.NAMES, "4")), None, ledger).text == "4"

    def test_the_embedding_made_for_the_node_serves_its_parents(self, scripted, start):
        history = scripted.ListHistory({"what?": (3, 4)})
        flow, ledger = start(AccuracyEstimator(k=4), node="a/b")
        drive(flow, scripted.ScriptedPerformer({"small": "4"}), history, ledger)
        (_, first, k, none), (_, second, _, vector) = history.recalled
        assert (first, second, k, none) == ("a/b", "a", 4, None)
        assert vector.tolist() == pytest.approx([0.6, 0.8])
        assert ledger.vector is not None

    async def test_the_event_loop_runs_on_while_the_history_is_asked(self, scripted, start):
        """The recall waits, in its thread, for what only the running loop can give."""
        loop_runs_on = threading.Event()
        history = scripted.ListHistory(
            during=lambda _: loop_runs_on.wait(PATIENCE) or pytest.fail("the loop stood still")
        )
        asyncio.get_running_loop().call_soon(loop_runs_on.set)
        flow, ledger = start(AccuracyEstimator())
        answer = await adrive(flow, scripted.ScriptedPerformer({"small": "4"}), history, ledger)
        assert answer.text == "4"
        assert ledger.trace().warnings == ()


class TestSideBySide:
    def test_threads_run_at_once(self, scripted, start):
        barrier = threading.Barrier(3, timeout=PATIENCE)

        def meet(call):
            if call.role != "judge":
                barrier.wait()

        flow, ledger = start("large", ("small", "medium"))
        performer = scripted.ScriptedPerformer(dict.fromkeys(scripted.NAMES, "4"), during=meet)
        assert drive(flow, performer, None, ledger).tier == "large"
        assert sorted(performer.roles) == [("generate", "large"), ("witness", "medium"), ("witness", "small")]
        assert len(ledger.attempts) == 3

    async def test_tasks_run_at_once(self, scripted, start):
        barrier = asyncio.Barrier(3)

        async def meet(call):
            if call.role != "judge":
                await barrier.wait()

        flow, ledger = start("large", ("small", "medium"))
        performer = scripted.ScriptedPerformer(dict.fromkeys(scripted.NAMES, "4"), aduring=meet)
        async with asyncio.timeout(PATIENCE):
            assert (await adrive(flow, performer, None, ledger)).tier == "large"
        assert len(ledger.attempts) == 3
        assert await only_this_task()

    def test_the_started_tier_runs_in_the_callers_thread(self, scripted, start):
        threads = {}
        flow, ledger = start("medium", ("small",))

        def note(call):
            threads[call.role] = threading.current_thread()

        drive(flow, scripted.ScriptedPerformer({"small": "4", "medium": "4"}, during=note), None, ledger)
        assert threads["generate"] is threading.current_thread()
        assert threads["judge"] is threading.current_thread()
        assert threads["witness"] is not threading.current_thread()

    def test_threads_see_the_callers_context_and_keep_theirs_apart(self, scripted, start):
        user = contextvars.ContextVar("user", default="nobody")
        seen = {}

        def note(call):
            seen[call.tier.name] = user.get()
            user.set(f"set by {call.tier.name}")

        flow, ledger = start("large", ("small", "medium"))
        reset = user.set("ada")
        performer = scripted.ScriptedPerformer(dict.fromkeys(scripted.NAMES, "4"), during=note)
        drive(flow, performer, None, ledger)
        assert seen == {"small": "ada", "medium": "ada", "large": "ada"}
        assert user.get() == "set by large"
        user.reset(reset)

    @pytest.mark.parametrize("witness", ["late", "early"])
    def test_a_witness_that_fails_never_fails_the_call(self, scripted, start, witness):
        done = {"small": threading.Event(), "medium": threading.Event()}
        first = "small" if witness == "early" else "medium"

        def in_order(call):
            if call.role != "judge" and call.tier.name != first:
                done[first].wait(PATIENCE)
            elif call.role != "judge":
                done[first].set()

        flow, ledger = start("medium", ("small",))
        performer = scripted.ScriptedPerformer({"small": scripted.Down(), "medium": "4"}, during=in_order)
        assert drive(flow, performer, None, ledger).text == "4"
        assert errors(ledger) == [("witness", "small", "Down: overloaded")]

    async def test_an_async_witness_that_fails_never_fails_the_call(self, scripted, start):
        flow, ledger = start("medium", ("small",))
        performer = scripted.ScriptedPerformer({"small": scripted.Down(), "medium": "4"})
        assert (await adrive(flow, performer, None, ledger)).text == "4"
        assert errors(ledger) == [("witness", "small", "Down: overloaded")]

    async def test_where_one_task_hits_a_bug_the_others_are_stopped(self, scripted, start):
        stopped = asyncio.Event()

        async def hold(call):
            if call.role == "generate":
                try:
                    await asyncio.Event().wait()
                finally:
                    stopped.set()

        flow, ledger = start("medium", ("small",))
        performer = scripted.ScriptedPerformer({"small": ZeroDivisionError(), "medium": "4"}, aduring=hold)
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(ZeroDivisionError):
                await adrive(flow, performer, None, ledger)
        assert stopped.is_set()
        assert await only_this_task()
        assert is_closed(flow)


class TestLive:
    def test_chunks_come_as_they_are_made(self, scripted, start):
        flow, ledger = start("large")
        made = []

        class Performer(scripted.ScriptedPerformer):
            def stream(self, call):
                for chunk in ("one", "two"):
                    made.append(chunk)
                    yield chunk
                return self._reply(call)

        live = drive_live(flow, Performer({"large": "one two"}), None, ledger)
        assert next(live) == "one"
        assert made == ["one"]
        assert next(live) == "two"
        with pytest.raises(StopIteration) as stop:
            next(live)
        assert stop.value.value.text == "one two"

    async def test_async_chunks_come_as_they_are_made(self, scripted, start):
        flow, ledger = start("large")
        made = []

        class Performer(scripted.ScriptedPerformer):
            async def astream(self, call):
                for chunk in ("one", "two"):
                    made.append(chunk)
                    yield chunk
                yield self._reply(call)

        live = adrive_live(flow, Performer({"large": "one two"}), None, ledger)
        assert await anext(live) == "one"
        assert made == ["one"]
        assert await anext(live) == "two"
        assert (await anext(live)).text == "one two"
        with pytest.raises(StopAsyncIteration):
            await anext(live)

    def test_what_is_judged_is_not_streamed(self, scripted, start):
        flow, ledger = start()
        chunks = []
        performer = scripted.ScriptedPerformer({"small": "one two", "medium": "three four"}, {"small": "no"})
        answer = scripted.drain(drive_live(flow, performer, None, ledger), chunks)
        assert (chunks, answer.text) == ([], "three four")

    def test_a_pinned_tier_streams(self, scripted, start):
        flow, ledger = start(pin="small")
        chunks = []
        scripted.drain(drive_live(flow, scripted.ScriptedPerformer({"small": "one two"}), None, ledger), chunks)
        assert chunks == ["one", "two"]

    @pytest.mark.parametrize("chunks", [(), ("one",)])
    def test_a_stream_that_fails_ends_the_call_with_every_error(self, scripted, start, chunks):
        flow, ledger = start(pin="large")
        got = []
        performer = scripted.ScriptedPerformer({"large": scripted.Down(chunks=chunks)})
        with pytest.raises(AllTiersFailed) as caught:
            scripted.drain(drive_live(flow, performer, None, ledger), got)
        assert tuple(got) == chunks
        assert [error.tier for error in caught.value.exceptions] == ["large"]
        assert errors(ledger) == [("generate", "large", "Down: overloaded")]
        assert is_closed(flow)

    @pytest.mark.parametrize("chunks", [(), ("one",)])
    async def test_an_async_stream_that_fails_ends_the_call_with_every_error(self, scripted, start, chunks):
        flow, ledger = start(pin="large")
        got = []
        performer = scripted.ScriptedPerformer({"large": scripted.Down(chunks=chunks)})
        with pytest.raises(AllTiersFailed) as caught:
            await scripted.acollect(adrive_live(flow, performer, None, ledger), got)
        assert tuple(got) == chunks
        assert [error.tier for error in caught.value.exceptions] == ["large"]
        assert errors(ledger) == [("generate", "large", "Down: overloaded")]
        assert is_closed(flow)

    def test_a_stream_closed_half_way_closes_all_behind_it(self, scripted, start):
        flow, ledger = start("large")
        performer = scripted.ScriptedPerformer({"large": "one two three"})
        live = drive_live(flow, performer, None, ledger)
        assert next(live) == "one"
        assert performer.ended == []
        live.close()
        assert performer.ended == performer.calls
        assert is_closed(flow)
        assert errors(ledger) == [("generate", "large", "cancelled")]

    async def test_an_async_stream_closed_half_way_closes_all_behind_it(self, scripted, start):
        flow, ledger = start("large")
        performer = scripted.ScriptedPerformer({"large": "one two three"})
        live = adrive_live(flow, performer, None, ledger)
        assert await anext(live) == "one"
        assert performer.ended == []
        await live.aclose()
        assert performer.ended == performer.calls
        assert is_closed(flow)
        assert errors(ledger) == [("generate", "large", "cancelled")]
        assert await only_this_task()

    def test_where_nobody_listens_the_top_tier_is_called_like_any_other(self, scripted, start):
        class Silent(scripted.ScriptedPerformer):
            stream = astream = None

        flow, ledger = start("large")
        assert drive(flow, Silent({"large": "4"}), None, ledger).text == "4"

    async def test_where_nobody_listens_in_asyncio_either(self, scripted, start):
        class Silent(scripted.ScriptedPerformer):
            stream = astream = None

        flow, ledger = start("large")
        assert (await adrive(flow, Silent({"large": "4"}), None, ledger)).text == "4"


class TestCancelled:
    """A task that is cancelled wherever it waits leaves nothing running, and what it spent is known."""

    async def cancel(self, scripted, start, role, *, live=False, **settings):
        entered = asyncio.Event()

        async def hold(call):
            if call.role == role:
                entered.set()
                await asyncio.Event().wait()

        flow, ledger = start(**settings)
        performer = scripted.ScriptedPerformer(dict.fromkeys(scripted.NAMES, "4"), aduring=hold)
        if live:
            run = scripted.acollect(adrive_live(flow, performer, None, ledger), [])
        else:
            run = adrive(flow, performer, None, ledger)
        task = asyncio.create_task(run)
        async with asyncio.timeout(PATIENCE):
            await entered.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert await only_this_task()
        assert sorted(map(id, performer.ended)) == sorted(map(id, performer.calls))
        assert is_closed(flow)
        return ledger

    async def test_while_a_tier_answers(self, scripted, start):
        ledger = await self.cancel(scripted, start, "generate")
        assert errors(ledger) == [("generate", "small", "cancelled")]
        assert 0 < ledger.attempts[0].seconds < PATIENCE

    async def test_while_the_judge_reads(self, scripted, start):
        ledger = await self.cancel(scripted, start, "judge")
        assert [(attempt.role, attempt.error) for attempt in ledger.attempts] == [
            ("generate", None),
            ("judge", "cancelled"),
        ]
        # The provider may bill the judge, and nobody knows how much.
        assert (ledger.cost_usd, ledger.attempts[0].cost_usd > 0) == (None, True)

    async def test_while_tiers_answer_side_by_side(self, scripted, start):
        ledger = await self.cancel(scripted, start, "generate", starter="large", witnesses=("small", "medium"))
        assert [(attempt.role, attempt.error) for attempt in ledger.attempts if attempt.error] == [
            ("generate", "cancelled")
        ]

    async def test_while_a_witness_is_waited_for(self, scripted, start):
        ledger = await self.cancel(scripted, start, "witness", starter="medium", witnesses=("small",))
        assert errors(ledger) == [("witness", "small", "cancelled")]

    async def test_while_the_top_tier_streams(self, scripted, start):
        ledger = await self.cancel(scripted, start, "generate", live=True, starter="large")
        assert errors(ledger) == [("generate", "large", "cancelled")]

    async def test_while_the_history_is_asked(self, scripted, start):
        loop = asyncio.get_running_loop()
        entered, release = asyncio.Event(), threading.Event()

        def hold(step):
            loop.call_soon_threadsafe(entered.set)
            release.wait(PATIENCE)

        flow, ledger = start(AccuracyEstimator())
        performer = scripted.ScriptedPerformer({})
        task = asyncio.create_task(adrive(flow, performer, scripted.ListHistory(during=hold), ledger))
        try:
            async with asyncio.timeout(PATIENCE):
                await entered.wait()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
        finally:
            release.set()
        assert await only_this_task()
        assert is_closed(flow)
        assert (performer.calls, ledger.attempts) == ([], ())

    @pytest.mark.parametrize("live", [False, True])
    @pytest.mark.parametrize(("start_at", "role"), [("small", "generate"), ("small", "judge"), ("large", "generate")])
    def test_an_interrupt_in_sync_code(self, scripted, start, live, start_at, role):
        def interrupt(call):
            if call.role == role:
                raise KeyboardInterrupt

        flow, ledger = start(start_at)
        performer = scripted.ScriptedPerformer(dict.fromkeys(scripted.NAMES, "4"), during=interrupt)
        whole = drive if not live else lambda *arguments: scripted.drain(drive_live(*arguments), [])
        with pytest.raises(KeyboardInterrupt):
            whole(flow, performer, None, ledger)
        assert is_closed(flow)
        assert performer.ended == performer.calls
        (cancelled,) = [attempt for attempt in ledger.attempts if attempt.error]
        assert (cancelled.role, cancelled.error) == (role, "cancelled")

    def test_an_interrupt_does_not_wait_for_the_witness_in_its_thread(self, scripted, start):
        began, release, ended = threading.Event(), threading.Event(), threading.Event()

        def during(call):
            if call.role == "witness":
                began.set()
                release.wait(PATIENCE)
                ended.set()
            else:
                began.wait(PATIENCE)
                raise KeyboardInterrupt

        flow, ledger = start("medium", ("small",))
        performer = scripted.ScriptedPerformer(dict.fromkeys(scripted.NAMES, "4"), during=during)
        try:
            with pytest.raises(KeyboardInterrupt):
                drive(flow, performer, None, ledger)
            assert not ended.is_set()
            assert is_closed(flow)
            assert errors(ledger) == [("generate", "medium", "cancelled")]
        finally:
            release.set()
        assert ended.wait(PATIENCE)


def test_a_recollection_with_an_error_reaches_the_flow(scripted, start):
    """A starter of one's own sees why the history is silent."""
    told = []

    class Curious:
        def plan(self, call, ladder):
            told.append((yield from recall(Recall("what?", "", 1))).error)
            return Plan("large", "curious")

    for history in (None, scripted.ListHistory(fails_at={"recall"})):
        flow, ledger = start(Curious())
        drive(flow, scripted.ScriptedPerformer({"large": "4"}, usage=Usage(1, 1)), history, ledger)
    assert told == [None, "OSError: disk on fire"]

"""A slow history costs a call a bounded time, however often it is asked."""

import os
import threading
from concurrent.futures import Future

import numpy as np
import pytest

from llm_tiers import AccuracyEstimator, ChromaHistory, ConfigError, PromptJudge
from llm_tiers.errors import UnknownTrace
from llm_tiers.flow.deadline import Busy, Late
from llm_tiers.flow.limits import Limits
from llm_tiers.flow.patience import HistoryTime, HistoryTooSlow

ANSWERS = {"small": "4", "medium": "4", "large": "4"}
SLOW = "history: no answer within history_timeout=0.05 s"


class SlowHistory:
    """A history that answers when it is told to."""

    def __init__(self, inner):
        self.inner = inner
        self.released = threading.Event()
        self.recalled = []
        self.remembered = threading.Event()

    def recall(self, text, **facts):
        self.recalled.append(facts["node"])
        self.released.wait()
        return self.inner.recall(text, **facts)

    def remember(self, record):
        self.released.wait()
        self.inner.remember(record)
        self.remembered.set()

    def close(self):
        self.held_at_close = [record.id for record in self.inner.records]
        self.released.set()


@pytest.fixture
def history(scripted):
    history = SlowHistory(scripted.ListHistory())
    yield history
    history.close()


@pytest.fixture
def bench(scripted, history):
    def bench(**limits):
        made = scripted.Bench(AccuracyEstimator(), PromptJudge(), history=history)
        made.engine._limits = Limits(**{"history_timeout": 0.05} | limits)
        return made

    return bench


def test_the_call_goes_on_without_it_and_says_so(scripted, bench, history, way):
    bench = bench()
    outcome = bench.ask(scripted.ScriptedPerformer(ANSWERS), node="a/b/c", way=way)

    assert outcome.answer.text == "4"
    assert outcome.trace.warnings == (SLOW, "history: too slow; the record of the call is kept later")
    # Asked once: for the node's parents no time was left.
    assert history.recalled == ["a/b/c"]
    history.close()
    assert history.remembered.wait(10)
    assert [record.id for record in history.inner.records] == ["call-1"]


def test_closing_waits_for_what_is_kept_later(scripted, bench, history):
    bench = bench()
    bench.ask(scripted.ScriptedPerformer(ANSWERS))
    threading.Timer(0.1, history.released.set).start()
    bench.engine.close()
    assert history.held_at_close == ["call-1"]


def test_closing_does_not_wait_for_a_history_that_never_answers(scripted, bench, history, caplog):
    bench = bench()
    bench.ask(scripted.ScriptedPerformer(ANSWERS))
    bench.engine.close(seconds=0.1)
    assert history.held_at_close == []
    assert "2 look-ups and records that were to be kept later are given up" in caplog.text


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_forked_child_does_not_wait_for_its_parents_threads():
    late, work = Late(1), Future()
    late.add(work)
    with pytest.raises(Busy):
        late.check()
    child = os.fork()
    if not child:
        late.check()
        os._exit(0 if late.finish(0) and not len(late) else 1)
    assert os.waitpid(child, 0)[1] == 0
    work.set_result(None)
    assert late.finish(0)


class RevisableHistory(SlowHistory):
    def revise(self, trace_id, change):
        # The first look comes too early; what follows it has been kept meanwhile.
        kept = any(record.id == trace_id for record in self.inner.records)
        self.released.set()
        if not kept:
            raise UnknownTrace(trace_id)
        return self.inner.revise(trace_id, change)


def test_feedback_that_comes_before_the_record_is_kept_waits_for_it(scripted):
    history = RevisableHistory(scripted.ListHistory())
    bench = scripted.Bench(AccuracyEstimator(), PromptJudge(), history=history)
    bench.engine._limits = Limits(history_timeout=0.05)
    bench.ask(scripted.ScriptedPerformer(ANSWERS))
    assert bench.engine.feedback("call-1", correct=True).grades["feedback"]
    with pytest.raises(UnknownTrace):
        bench.engine.feedback("no call", correct=True)


def test_all_requests_of_a_call_share_the_time():
    now = [0.0]
    left = HistoryTime(1.0, clock=lambda: now[0])

    def takes(seconds):
        now[0] += seconds
        return seconds

    assert left.within(None, lambda: takes(0.4)) == 0.4
    assert left.within(None, lambda: takes(0.7)) == 0.7
    with pytest.raises(HistoryTooSlow, match=r"no answer within history_timeout=1 s"):
        left.within(None, lambda: takes(0.1))
    assert now == [pytest.approx(1.1)]


def test_one_that_is_quick_needs_no_thread(scripted, tmp_path):
    here = threading.current_thread()
    with ChromaHistory() as local, ChromaHistory(embedding=lambda text: [1.0]) as own:
        assert HistoryTime(1.0).within(local, threading.current_thread) is here
        assert HistoryTime(1.0).within(own, threading.current_thread) is not here
    with ChromaHistory(tmp_path, durability="sync") as synced:
        assert HistoryTime(1.0).within(synced, threading.current_thread) is not here


def test_a_history_in_time_is_used(scripted, way):
    bench = scripted.Bench(AccuracyEstimator(), PromptJudge(), history=scripted.ListHistory())
    bench.engine._limits = Limits(history_timeout=60.0)
    assert bench.ask(scripted.ScriptedPerformer(ANSWERS), way=way).trace.warnings == ()
    assert len(bench.history.records) == 1


def test_what_the_history_raises_is_named_as_before(scripted):
    class Late(scripted.ListHistory):
        def recall(self, text, **facts):
            raise TimeoutError("its own")

    bench = scripted.Bench(AccuracyEstimator(), PromptJudge(), history=Late())
    bench.engine._limits = Limits(history_timeout=60.0)
    assert bench.ask(scripted.ScriptedPerformer(ANSWERS)).trace.warnings == ("history: TimeoutError: its own",)


def test_what_nobody_waits_for_is_bounded(scripted, bench, history):
    bench = bench(history_timeout=0.01)
    before = threading.active_count()
    traces = [bench.ask(scripted.ScriptedPerformer(ANSWERS)).trace for _ in range(10)]
    assert threading.active_count() - before <= 8
    assert "history: 8 earlier calls have not ended" in traces[-1].warnings
    assert "history: the record of the call is not kept: 8 earlier calls have not ended" in traces[-1].warnings


def test_a_slow_embedding_is_bounded_and_what_is_loaded_once_is_not(scripted):
    released = threading.Event()

    def embed(text):
        released.wait()
        return np.ones(2)

    with ChromaHistory(embedding=embed) as history:
        bench = scripted.Bench(AccuracyEstimator(), PromptJudge(), history=history)
        bench.engine._limits = Limits(history_timeout=0.05)
        assert SLOW in bench.ask(scripted.ScriptedPerformer(ANSWERS)).trace.warnings
        released.set()
    with ChromaHistory() as history:
        bench = scripted.Bench(AccuracyEstimator(), PromptJudge(), history=history)
        bench.engine._limits = Limits(history_timeout=5.0)
        assert bench.ask(scripted.ScriptedPerformer(ANSWERS)).trace.warnings == ()


@pytest.mark.parametrize("wrong", [0, -1, "fast", True])
def test_a_time_out_that_is_none_is_refused(wrong):
    with pytest.raises(ConfigError, match="history_timeout"):
        Limits(history_timeout=wrong)

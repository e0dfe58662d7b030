"""Work after a call: bounded, waited for, given up."""

from __future__ import annotations

import threading

import pytest

from llm_tiers.flow.background import Background, Work

SECONDS = 30.0


@pytest.fixture
def gate():
    """Opens at the end of the test, so that no thread waits on."""
    gate = threading.Event()
    yield gate
    gate.set()


def test_more_work_than_may_wait_is_refused(gate):
    background, done = Background(threads=1, capacity=2), []
    started = threading.Event()

    def first():
        started.set()
        gate.wait(SECONDS)

    assert background.submit(Work(first, first))
    assert started.wait(SECONDS)
    taken = [background.submit(Work(lambda n=n: done.append(n), lambda: None)) for n in range(3)]
    assert taken == [True, True, False]
    gate.set()
    assert background.wait(SECONDS)
    assert done == [0, 1]


def test_no_more_threads_run_than_allowed(gate):
    background = Background(threads=3)
    running, most, lock = [0], [0], threading.Lock()
    all_in = threading.Semaphore(0)

    def work():
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        all_in.release()
        gate.wait(SECONDS)
        with lock:
            running[0] -= 1

    for _ in range(9):
        background.submit(Work(work, work))
    for _ in range(3):
        assert all_in.acquire(timeout=SECONDS)
    gate.set()
    assert background.wait(SECONDS)
    assert most[0] == 3


def test_what_waits_can_be_given_up(gate):
    background, dropped = Background(threads=1), []
    for n in range(3):
        background.submit(Work(lambda: gate.wait(SECONDS), lambda n=n: dropped.append(n)))
    assert not background.wait(0.01)
    background.drop()
    gate.set()
    assert background.wait(SECONDS)
    assert dropped in ([1, 2], [0, 1, 2])


def test_work_that_fails_is_logged_and_the_next_is_done(caplog):
    background, done = Background(threads=1), []
    background.submit(Work(lambda: 1 / 0, lambda: None))
    background.submit(Work(lambda: done.append(True), lambda: None))
    assert background.wait(SECONDS)
    assert done == [True]
    assert "work after a call failed" in caplog.text


def test_nothing_to_do_is_done_at_once():
    assert Background().wait(0)

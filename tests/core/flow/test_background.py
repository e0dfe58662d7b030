"""Work after a call: bounded, waited for, given up."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
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


def ended(program):
    """Run a program to its end, which comes long before what hangs in it would end."""
    begin = """
        import threading
        from llm_tiers.flow import background
        from llm_tiers.flow.background import Background, Work

        observing, begun = Background("observing", threads=1), threading.Event()

        def hang():
            begun.set()
            threading.Event().wait()

        for _ in range(3):
            observing.submit(Work(hang, lambda: print("dropped", flush=True)))
        assert begun.wait(30)
    """
    source = textwrap.dedent(begin) + textwrap.dedent(program)
    return subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=120, check=False)


def test_a_program_that_ends_gives_up_what_hangs_and_says_so():
    ran = ended("background.SECONDS_AT_END = 0.1")
    assert (ran.returncode, ran.stdout) == (0, "dropped\ndropped\n"), ran.stderr
    assert "observing: given up for 3 calls (1 under way), after 0.1 s; flush_grades() before" in ran.stderr


def test_what_was_given_up_once_is_not_waited_for_at_the_end():
    ran = ended("background.SECONDS_AT_END = 1e6; observing.finish(0.1)")
    assert (ran.returncode, ran.stdout) == (0, "dropped\ndropped\n"), ran.stderr
    assert ran.stderr.count("given up") == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_leaves_the_parents_work_alone_and_does_its_own():
    program = """
        import os, threading, warnings
        from llm_tiers.flow.background import Background, Work

        warnings.simplefilter("ignore")  # of forking with threads, which is what this is about
        gate, background = threading.Event(), Background(threads=1)
        for _ in range(2):
            background.submit(Work(lambda: gate.wait(30), lambda: print("given up", flush=True)))
        child = os.fork()
        if child == 0:
            background.drop()
            assert background.wait(0)
            background.submit(Work(lambda: print("child", flush=True), lambda: None))
            os._exit(0 if background.wait(30) else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        gate.set()
        assert background.wait(30)
    """
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=120, check=False
    )
    assert (ran.returncode, ran.stdout) == (0, "child\n"), ran.stderr

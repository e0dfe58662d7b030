"""What a history does across processes: the lock, exits, kills, forks, and a Chroma server."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
from processes import EMBEDDING, forks, ids, record, run, start, stop

from llm_tiers.embedding import Embedding
from llm_tiers.errors import EmbeddingMismatch, HistoryLocked, HistoryUnreachable, UnknownTrace
from llm_tiers.history import ChromaHistory

HOLD = """
    history = ChromaHistory(where, embedding=EMBEDDING, embedded=True)
    say("open")
    sys.stdin.readline()
"""


def test_a_second_process_is_refused_and_told_of_the_server(tmp_path):
    with start(HOLD, tmp_path, stdin=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(HistoryLocked, match=f"chroma run --path {tmp_path} --host .* --port "):
            ChromaHistory(tmp_path, embedding=EMBEDDING, embedded=True)
        holder.communicate("go\n", timeout=60)
    ChromaHistory(tmp_path, embedding=EMBEDDING, embedded=True).close()


def test_the_lock_of_a_killed_process_is_free(tmp_path):
    with start(HOLD, tmp_path, stdin=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == "open\n"
        holder.kill()
        holder.wait(60)
    ChromaHistory(tmp_path, embedding=EMBEDDING, embedded=True).close()


def test_what_waits_is_written_at_exit(tmp_path):
    run(
        """
        history = ChromaHistory(where, embedding=EMBEDDING)
        for number in range(200):
            history.remember(record(number))
        """,
        tmp_path,
    )
    assert len(ids(tmp_path)) == 200


@pytest.mark.parametrize("embedded", [False, True])
@pytest.mark.parametrize("durability", ["sync", "background"])
def test_what_was_acknowledged_survives_a_kill(tmp_path, durability, embedded):
    script = f"""
        history = ChromaHistory(where, embedding=EMBEDDING, durability={durability!r}, embedded={embedded})
        for number in range(100_000):
            history.remember(record(number))
            if {durability == "sync"} or number % 40 == 39:
                history.flush()
                say(number)
    """
    with start(script, tmp_path) as process:
        last = [int(process.stdout.readline()) for _ in range(12)][-1]
        process.send_signal(signal.SIGKILL)
        acknowledged = int((process.stdout.read().split() or [last])[-1])
        process.wait(60)
    kept = ids(tmp_path)
    assert {f"t{number}" for number in range(acknowledged + 1)} <= kept
    with ChromaHistory(tmp_path, embedding=EMBEDDING) as history:
        found = history.recall("question 3", node="n", k=1)
        assert (found.neighbours[0].record.id, found.count) == ("t3", len(kept))


def test_a_node_has_the_same_place_in_every_process(tmp_path):
    run(
        """
        with ChromaHistory(where, embedding=EMBEDDING) as history:
            history.remember(record(1, "a/b"))
        """,
        tmp_path,
    )
    with ChromaHistory(tmp_path, embedding=EMBEDDING) as history:
        history.remember(record(2, "a/b"))
        history.flush()
        assert history.stats().nodes == {"a": 2, "a/b": 2}


FORK = """
    warnings.simplefilter("ignore")  # newer Pythons warn of a fork beside threads
    def in_child(work):
        child = os.fork()
        if child == 0:
            work()
            sys.exit(0)  # through the exit handlers
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                say("exit", status)
                return
            time.sleep(0.02)
        os.kill(child, 9)
        say("hung")
"""


@forks
def test_a_history_in_memory_that_was_not_used_yet_works_in_a_child(tmp_path):
    lines = run(
        FORK
        + """
    history = ChromaHistory(embedding=EMBEDDING)

    def work():
        say(history.recall("question 1", node="n", k=1).count)
        for number in range(100):
            history.remember(record(number))
        history.flush()
        say(history.recall("question 1", node="n", k=1).neighbours[0].record.id, history.stats().records)
        history.close()

    in_child(work)
    say(history.recall("question 1", node="n", k=1).count)
    """,
        tmp_path,
    )
    assert lines == ["0", "t1 100", "exit 0", "0"]


@forks
def test_a_history_in_memory_refuses_in_a_child_rather_than_hang(tmp_path):
    lines = run(
        FORK
        + """
    history = ChromaHistory(embedding=EMBEDDING)
    for number in range(100):
        history.remember(record(number))
    history.flush()

    def work():
        for use in (lambda: history.recall("question 1", node="n", k=1), lambda: history.remember(record(1))):
            try:
                use()
            except HistoryError as error:
                say("spawn" in str(error))
        history.close()

    in_child(work)
    say(history.recall("question 1", node="n", k=1).count)
    """,
        tmp_path,
    )
    assert lines == ["True", "True", "exit 0", "100"]


@forks
def test_a_folder_opened_before_a_fork_refuses_in_the_child_and_stays_whole(tmp_path):
    lines = run(
        FORK
        + """
    history = ChromaHistory(where, embedding=EMBEDDING, embedded=True)
    for number in range(50):
        history.remember(record(number))
    history.flush()
    history.remember(record(50))

    def work():
        for use in (lambda: history.recall("x", node="n", k=1), lambda: history.remember(record(99)), history.flush):
            try:
                use()
            except HistoryError as error:
                say("before a fork" in str(error))
        try:
            ChromaHistory(where + "-other", embedding=EMBEDDING, embedded=True)
        except HistoryError as error:
            say("spawn" in str(error))
        history.close()

    in_child(work)
    os.system(sys.executable + " -c 'pass'")  # and an exec in between
    history.remember(record(51))
    """,
        tmp_path,
    )
    assert lines == ["True"] * 4 + ["exit 0"]
    assert len(ids(tmp_path)) == 52


@forks
def test_a_child_does_not_unlock_the_folder(tmp_path):
    script = (
        FORK
        + """
    history = ChromaHistory(where, embedding=EMBEDDING, embedded=True)
    history.remember(record(1))
    history.flush()

    def work():
        global history
        history.close()
        del history

    in_child(work)
    say("open")
    sys.stdin.readline()
    """
    )
    with start(script, tmp_path, stdin=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == "exit 0\n"
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(HistoryLocked):
            ChromaHistory(tmp_path, embedding=EMBEDDING, embedded=True)
        holder.communicate("go\n", timeout=60)


@forks
def test_a_folder_may_be_opened_in_the_child_alone(tmp_path):
    lines = run(
        FORK
        + """
    ChromaHistory(where, embedding=EMBEDDING, embedded=True).close()

    def work():
        history = ChromaHistory(where, embedding=EMBEDDING, embedded=True)
        for number in range(100):
            history.remember(record(number))

    in_child(work)
    """,
        tmp_path,
    )
    assert lines == ["exit 0"]
    assert len(ids(tmp_path)) == 100


# A server


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def serving(folder):
    """Run a Chroma server on the loopback address; yield its address and its process once it answers."""
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    command = [Path(sys.executable).with_name("chroma"), "run", "--host", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen(
        [*command, "--path", folder], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder
    ) as process:
        try:
            deadline = time.monotonic() + 60
            while not _answers(url):
                assert process.poll() is None
                assert time.monotonic() < deadline
                threading.Event().wait(0.05)
            yield url, process
        finally:
            process.kill()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A Chroma server that the tests share."""
    with serving(tmp_path_factory.mktemp("served")) as (url, _):
        yield url


def _answers(url):
    try:
        with urllib.request.urlopen(f"{url}/api/v2/heartbeat", timeout=1):  # noqa: S310 - loopback
            return True
    except OSError:
        return False


@pytest.fixture
def namespace(request):
    """A namespace that no other test uses."""
    return "".join(letter if letter.isalnum() else "-" for letter in request.node.name)[:64].strip("-")


def test_a_server_keeps_a_history(server, namespace):
    with ChromaHistory(server, embedding=EMBEDDING, namespace=namespace) as history:
        for number in range(100):
            history.remember(record(number, "a/b"))
        for written in (False, True):
            found = history.recall("question 7", node="a", k=3)
            assert (found.neighbours[0].record.id, found.neighbours[0].similarity) == ("t7", 1)
            assert (len(found.neighbours), found.error) == (3, None)
            assert found.count == 100 or (not written and found.count > 100)
            history.flush()
        assert history.revise("t7", lambda held: {"small": False}).labels == {"small": False}
    with ChromaHistory(server + "/", embedding=EMBEDDING, namespace=namespace) as history:
        assert history.recall("question 7", node="a", k=1).neighbours[0].record.labels == {"small": False}
        assert history.stats().nodes == {"a": 100, "a/b": 100}
        assert history.prune(keep=10) == 90
        assert history.stats().records == 10
        with pytest.raises(UnknownTrace):
            history.revise("t7", lambda held: {})


def test_a_server_respects_the_capacity(server, namespace):
    with ChromaHistory(server, embedding=EMBEDDING, namespace=namespace, capacity=20) as history:
        for number in range(90):
            history.remember(record(number))
            if number % 30 == 29:
                history.flush()
        assert {shown["id"] for shown in history.export()} == {f"t{number}" for number in range(70, 90)}


def test_processes_share_a_server(server, namespace):
    writing = f"""
        with ChromaHistory(where, embedding=EMBEDDING, namespace={namespace!r}) as history:
            first = int(sys.stdin.readline())
            for number in range(first, first + 50):
                history.remember(record(number, "a/b"))
                history.recall("question 1", node="a", k=3)
    """
    history = ChromaHistory(server, embedding=EMBEDDING, namespace=namespace)
    assert history.recall("question 7", node="a", k=1).count == 0
    processes = [start(writing, server, stdin=subprocess.PIPE) for _ in range(2)]
    for number, process in enumerate(processes):
        process.stdin.write(f"{number * 50}\n")
        process.stdin.flush()
    for process in processes:
        with process:
            process.communicate(timeout=60)
        assert process.returncode == 0
    # What others wrote is seen, and their labels are fresh.
    assert history.recall("question 7", node="a", k=1).count == 100
    run(
        f"""
        with ChromaHistory(where, embedding=EMBEDDING, namespace={namespace!r}) as history:
            history.revise("t7", lambda held: {{"large": True}})
        """,
        server,
    )
    assert history.recall("question 7", node="a/b", k=1).neighbours[0].record.labels == {"large": True}
    history.close()


def test_a_server_refuses_another_embedding(server, namespace):
    with ChromaHistory(server, embedding=EMBEDDING, namespace=namespace) as history:
        history.remember(record(1))
    with pytest.raises(EmbeddingMismatch, match=r"'by-crc'.*'another'"):
        ChromaHistory(server, embedding=Embedding(lambda text: [1.0], name="another"), namespace=namespace)
    ChromaHistory(server, embedding=EMBEDDING, namespace=namespace).close()


def test_headers_reach_the_server_and_are_not_shown(server, namespace):
    with ChromaHistory(
        server, embedding=EMBEDDING, namespace=namespace, headers={"Authorization": "Bearer hunter2"}
    ) as history:
        history.remember(record(1))
        history.flush()
        assert "hunter2" not in repr(history) + repr(history.stats())


def test_a_server_that_goes_away_does_not_stop_the_call(tmp_path, caplog):
    with serving(tmp_path) as (url, _):
        history = ChromaHistory(url, embedding=EMBEDDING)
        history.remember(record(1))
        history.flush()
    found = history.recall("question 1", node="n", k=1)
    assert "does not answer" in found.error
    history.remember(record(2))
    with pytest.raises(HistoryUnreachable, match="does not answer"):
        history.flush()
    with pytest.raises(HistoryUnreachable):
        history.close()
    assert "does not answer" in caplog.text


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="needs SIGSTOP")
def test_a_server_that_hangs_is_not_waited_for_twice(tmp_path):
    with serving(tmp_path) as (url, process), ChromaHistory(url, embedding=EMBEDDING) as history:
        history.remember(record(1))
        history.flush()
        stop(process.pid)
        first, second = (history.recall("question 1", node="n", k=1) for _ in range(2))
        process.send_signal(signal.SIGCONT)
    assert "does not answer" in first.error
    assert "asked again soon" in second.error


@forks
def test_a_child_connects_to_the_server_anew(server, namespace):
    lines = run(
        FORK
        + f"""
    history = ChromaHistory(where, embedding=EMBEDDING, namespace={namespace!r})
    for number in range(40):
        history.remember(record(number))
    history.flush()
    history.remember(record(40))

    def work():
        say(history.recall("question 7", node="n", k=1).neighbours[0].record.id)
        for number in range(100, 140):
            history.remember(record(number))

    in_child(work)
    """,
        server,
    )
    assert lines == ["t7", "exit 0"]
    with ChromaHistory(server, embedding=EMBEDDING, namespace=namespace) as history:
        assert history.stats().records == 81

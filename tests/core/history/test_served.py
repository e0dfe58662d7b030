"""Several processes use one folder: each learns, nothing acknowledged is lost, and no server is left behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading

import pytest
from processes import EMBEDDING, eventually, forks, ids, record, run, runs, server_of, serves, start, stop
from test_kept_studies import Listing

from llm_tiers.errors import ConfigError, HistoryError, HistoryLocked, HistoryUnreachable
from llm_tiers.history import ChromaHistory
from llm_tiers.history.store.folders import Served
from llm_tiers.history.store.shelf import Shelf

pytestmark = serves

LEARN = """
    history = ChromaHistory(where, embedding=EMBEDDING)
    first = int(sys.stdin.readline())
    for number in range(first, first + 10_000):
        history.remember(record(number))
        if number % 20 == 19:
            history.flush()
            say(number)
        if history.recall(f"question {number}", node="n", k=1).count < 1:
            say("nothing")
"""


def _learners(folder, count):
    found = [start(LEARN, folder, stdin=subprocess.PIPE) for _ in range(count)]
    for number, process in enumerate(found):
        process.stdin.write(f"{number * 10_000}\n")
        process.stdin.flush()
    return found


def _acknowledged(process, lines):
    """Read so many acknowledgements; return the number of the last record that is acknowledged."""
    said = [process.stdout.readline() for _ in range(lines)]
    assert "nothing\n" not in said
    return int(said[-1])


def _kill(process):
    """Kill it and return the last number that it acknowledged, or None."""
    process.kill()
    rest = process.stdout.read().split()
    process.wait(60)
    process.stdout.close()
    process.stdin.close()
    return int(rest[-1]) if rest else None


def _expected(lasts):
    return {f"t{n}" for number, last in enumerate(lasts) for n in range(number * 10_000, last + 1)}


def test_processes_share_a_folder_and_killing_any_of_them_loses_nothing(tmp_path):
    processes = _learners(tmp_path, 3)
    lasts = [_acknowledged(process, 2) for process in processes]
    server = server_of(tmp_path)
    lasts[0] = _kill(processes[0]) or lasts[0]
    # The server, then its keeper: the others go on with a new one each time.
    os.kill(server["server"], signal.SIGKILL)
    other = server_of(tmp_path, after=server)
    lasts[1:] = [_acknowledged(process, 3) for process in processes[1:]]
    os.kill(other["keeper"], signal.SIGKILL)
    last_server = server_of(tmp_path, after=other)
    lasts[1:] = [_acknowledged(process, 3) for process in processes[1:]]
    lasts[1:] = [_kill(process) or last for process, last in zip(processes[1:], lasts[1:], strict=True)]
    # Nobody is left, and nobody said goodbye.
    assert eventually(lambda: not runs(last_server["server"]) and not runs(last_server["keeper"]))
    assert not runs(server["server"])
    assert not runs(other["server"])
    assert _expected(lasts) <= ids(tmp_path)


def test_the_last_to_leave_ends_the_server(tmp_path):
    with ChromaHistory(tmp_path, embedding=EMBEDDING) as history:
        history.remember(record(1))
        history.flush()
        server = server_of(tmp_path)
        lines = run(
            """
            with ChromaHistory(where, embedding=EMBEDDING) as history:
                say(history.recall("question 1", node="n", k=1).neighbours[0].record.id)
                history.remember(record(2))
            """,
            tmp_path,
        )
        assert lines == ["t1"]
        assert server_of(tmp_path) == server
        assert history.recall("question 2", node="n", k=1).neighbours[0].record.id == "t2"
    assert not runs(server["server"])
    assert not (tmp_path / "llm-tiers.server.json").exists()


def test_a_server_is_started_only_where_something_is_to_be_kept(tmp_path):
    with ChromaHistory(tmp_path, embedding=EMBEDDING) as history:
        assert history.recall("question 1", node="n", k=1).count == 0
        assert not (tmp_path / "llm-tiers.server.json").exists()


def test_a_node_whose_first_write_did_not_come_to_an_end_is_new_to_all(tmp_path, monkeypatch):
    """Chroma says that a collection has vectors before they can be asked for, so nobody is shown an unfinished one."""

    def killed(*_, **__):
        raise HistoryError("killed")

    with ChromaHistory(tmp_path, embedding=EMBEDDING) as history:
        history.remember(record(1, "done"))
        history.flush()
        monkeypatch.setattr(Shelf, "_link", killed)
        history.remember(record(2))
        with pytest.raises(HistoryError, match="killed"):
            history.flush()
        script = """
            with ChromaHistory(where, embedding=EMBEDDING) as history:
                for number in (3, 4):
                    found = history.recall("question 2", node="n", k=1)
                    say(found.error, found.count, len(history.stats().nodes))
                    history.remember(record(number))
                    history.flush()
        """
        assert run(script, tmp_path) == ["None 0 1", "None 2 2"]
        monkeypatch.undo()
    assert ids(tmp_path) == {"t1", "t2", "t3", "t4"}


def test_what_another_process_learned_of_a_new_node_can_be_revised_counted_and_exported(tmp_path):
    """As where a user's feedback goes to another worker than the call did."""
    with ChromaHistory(tmp_path, embedding=EMBEDDING) as history:
        history.remember(record(1, "a"))
        history.flush()
        run(
            """
            with ChromaHistory(where, embedding=EMBEDDING) as history:
                history.remember(record(2, "a/b"))
                history.remember(record(3, "c"))
            """,
            tmp_path,
        )
        assert history.revise("t3", lambda held: {"small": False}).labels == {"small": False}
        history.revise("t2", lambda held: {"small": False})
        history.flush()
        found = history.recall("question 2", node="a/b", k=1).neighbours[0]
        assert (found.record.id, found.record.labels) == ("t2", {"small": False})
        assert history.stats().nodes == {"a": 2, "a/b": 1, "c": 1}
        assert history.stats().records == 3
        assert {shown["id"] for shown in history.export()} == {"t1", "t2", "t3"}
        assert history.prune(keep=0, dry_run=True) == 3


def test_processes_that_start_at_once_start_one_server(tmp_path):
    script = """
        history = ChromaHistory(where, embedding=EMBEDDING)
        number = int(sys.stdin.readline())
        history.remember(record(number))
        history.flush()
        say(json.load(open(where + "/llm-tiers.server.json"))["server"])
        sys.stdin.readline()
    """
    processes = [start(script, tmp_path, stdin=subprocess.PIPE) for _ in range(3)]
    for number, process in enumerate(processes):
        process.stdin.write(f"{number}\n")
        process.stdin.flush()
    assert len({process.stdout.readline() for process in processes}) == 1
    for process in processes:
        with process:
            process.communicate("go\n", timeout=60)
    assert ids(tmp_path) == {"t0", "t1", "t2"}


@forks
def test_children_of_a_process_that_opened_the_folder_learn(tmp_path):
    """As under a server that loads the program before it forks its workers."""
    lines = run(
        """
        warnings.simplefilter("ignore")  # newer Pythons warn of a fork beside threads
        history = ChromaHistory(where, embedding=EMBEDDING)
        for number in range(50):
            history.remember(record(number))
        history.flush()
        history.remember(record(50))
        children = []
        for child in range(3):
            pid = os.fork()
            if pid == 0:
                for number in range(100 * child + 100, 100 * child + 150):
                    history.remember(record(number))
                found = history.recall("question 7", node="n", k=1).neighbours[0].record.id
                # At once: `print` writes the end of the line by itself, and the children write at the same time.
                os.write(1, f"{found}\\n".encode())
                history.close()
                os._exit(0)
            children.append(pid)
        say(*(os.waitpid(child, 0)[1] for child in children))
        """,
        tmp_path,
    )
    assert sorted(lines) == ["0 0 0", "t7", "t7", "t7"]
    assert len(ids(tmp_path)) == 201


@forks
def test_a_child_that_does_not_use_the_history_does_not_keep_the_server(tmp_path):
    script = """
        warnings.simplefilter("ignore")
        history = ChromaHistory(where, embedding=EMBEDDING)
        history.remember(record(1))
        history.flush()
        if os.fork() == 0:
            say("child")
            sys.stdin.readline()
            os._exit(0)
        signal.pause()
    """
    with start(script, tmp_path, stdin=subprocess.PIPE) as process:
        assert process.stdout.readline() == "child\n"
        server = server_of(tmp_path)
        process.kill()
        assert eventually(lambda: not runs(server["server"]))
        process.communicate("go\n", timeout=60)


def test_an_embedded_engine_is_for_one_process_and_says_how_to_share(tmp_path):
    hold = """
        history = ChromaHistory(where, embedding=EMBEDDING, embedded=True)
        say("open")
        sys.stdin.readline()
    """
    with start(hold, tmp_path, stdin=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == "open\n"
        for embedded in (False, True):
            with pytest.raises(HistoryLocked, match=f"chroma run --path {tmp_path} --host .* --port "):
                ChromaHistory(tmp_path, embedding=EMBEDDING, embedded=embedded)
        holder.communicate("go\n", timeout=60)
    ChromaHistory(tmp_path, embedding=EMBEDDING, embedded=True).close()


def test_a_served_folder_refuses_an_embedded_engine(tmp_path):
    with ChromaHistory(tmp_path, embedding=EMBEDDING) as history:
        history.remember(record(1))
        history.flush()
        with pytest.raises(ConfigError, match="embedded"):
            ChromaHistory(tmp_path, embedding=EMBEDDING, embedded=True)
        run(
            """
            try:
                ChromaHistory(where, embedding=EMBEDDING, embedded=True)
            except HistoryLocked:
                sys.exit()
            sys.exit(1)
            """,
            tmp_path,
        )


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="needs SIGSTOP")
def test_a_server_that_hangs_is_replaced_and_nothing_is_lost(tmp_path, monkeypatch):
    from llm_tiers.history.store import client

    monkeypatch.setattr(client, "_SECONDS_TO_WRITE", 3.0)
    with ChromaHistory(tmp_path, embedding=EMBEDDING) as history:
        history.remember(record(1))
        history.flush()
        server = server_of(tmp_path)
        stop(server["server"])
        history.remember(record(2))
        history.flush()
        assert server_of(tmp_path)["server"] != server["server"]
        assert not runs(server["server"])
    assert ids(tmp_path) == {"t1", "t2"}


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="needs SIGSTOP")
def test_a_server_that_hangs_does_not_hold_up_the_first_call_of_another_process(tmp_path):
    script = """
        from llm_tiers.history import chroma

        chroma._SECONDS_TO_OPEN = 0.2
        history = ChromaHistory(where, embedding=EMBEDDING)
        began = time.monotonic()
        for _ in range(3):
            history.prepare()
        say(time.monotonic() - began < 8)
        os._exit(0)
    """
    with ChromaHistory(tmp_path, embedding=EMBEDDING) as history:
        history.remember(record(1))
        history.flush()
        stop(server_of(tmp_path)["server"])
        assert run(script, tmp_path) == ["True"]
        os.kill(server_of(tmp_path)["server"], signal.SIGCONT)


def test_threads_that_write_while_the_server_is_killed_lose_nothing(tmp_path):
    with ChromaHistory(tmp_path, embedding=EMBEDDING) as history:
        history.remember(record(0))
        history.flush()
        threads = [
            threading.Thread(target=lambda first=first: [history.remember(record(first + n)) for n in range(100)])
            for first in (1000, 2000, 3000)
        ]
        for thread in threads:
            thread.start()
        os.kill(server_of(tmp_path)["server"], signal.SIGKILL)
        for thread in threads:
            thread.join()
        history.flush()
    assert len(ids(tmp_path)) == 301


def test_a_server_that_does_not_start_is_tried_once_a_while(tmp_path, monkeypatch):
    with ChromaHistory(tmp_path, embedding=EMBEDDING) as history:
        history.remember(record(1))
    tries = []

    def fails(self):
        tries.append(self)
        raise HistoryUnreachable("it does not start")

    monkeypatch.setattr(Served, "_open", fails)
    with ChromaHistory(tmp_path, embedding=EMBEDDING) as history:
        for _ in range(5):
            history.prepare()
        assert len(tries) == 1


def test_a_thread_that_comes_late_neither_takes_the_folder_again_nor_makes_it(tmp_path):
    folder = tmp_path / "tiers"
    with ChromaHistory(folder, embedding=EMBEDDING) as history:
        place = history._place
        history.remember(record(1))
    shutil.rmtree(folder)
    place.before_writing()
    with pytest.raises(HistoryError, match="was closed"):
        place.client()
    assert not folder.exists()


def test_a_revision_whose_vector_cannot_be_read_changes_nothing_and_may_be_made_again(tmp_path, monkeypatch):
    with ChromaHistory(tmp_path, embedding=EMBEDDING) as history:
        history.remember(record(1))
        history.flush()
        assert history.recall("question 1", node="n", k=0, study=Listing()).learned == (("t1", True),)
        with monkeypatch.context() as patch:
            patch.setattr(Shelf, "vector", lambda *_: (_ for _ in ()).throw(HistoryError("lost")))
            with pytest.raises(HistoryError, match="lost"):
                history.revise("t1", lambda held: {"small": False})
        history.revise("t1", lambda held: {"small": False})
        assert history.recall("question 1", node="n", k=0, study=Listing()).learned == (("t1", False),)

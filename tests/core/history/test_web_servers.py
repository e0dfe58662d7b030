"""Real web servers with several workers on one folder: each learns, and a clean exit loses nothing."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import urllib.request
from contextlib import suppress

import pytest
from processes import PREAMBLE, eventually, ids, runs, server_of, serves, start

pytestmark = serves

# Each request keeps a record; the answer has the worker's number, and how many records it finds.
WSGI = """
    history = ChromaHistory(os.environ["TIERS"], embedding=EMBEDDING)

    def app(environ, start_response):
        number = int(environ["PATH_INFO"].strip("/"))
        history.remember(record(number))
        found = history.recall(f"question {number}", node="n", k=1)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [f"{os.getpid()} {found.count}".encode()]
"""

HOOKS = """
    def worker_exit(server, worker):
        # The hook of docs/reliability.md; it runs in the worker, after its last request.
        import app
        app.history.close()
"""

ASGI = """
    history = None

    async def app(scope, receive, send):
        global history
        if scope["type"] == "lifespan":
            while True:
                event = (await receive())["type"]
                if event == "lifespan.startup":
                    history = ChromaHistory(os.environ["TIERS"], embedding=EMBEDDING)
                else:
                    history.close()
                await send({"type": event + ".complete"})
                if event == "lifespan.shutdown":
                    return
        number = int(scope["path"].strip("/"))
        history.remember(record(number))
        found = history.recall(f"question {number}", node="n", k=1)
        body = f"{os.getpid()} {found.count}".encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})
"""


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class _Site:
    """A web server in a folder of its own, with the history beside it."""

    def __init__(self, tmp_path, source, *command, hooks=""):
        self.port = _free_port()
        self.tiers = tmp_path / "tiers"
        (tmp_path / "app.py").write_text(
            PREAMBLE.replace("where = sys.argv[1]", "").replace("import json", "import json, asyncio")
            + textwrap.dedent(source)
        )
        (tmp_path / "hooks.py").write_text(textwrap.dedent(hooks))
        paths = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
        self._process = subprocess.Popen(
            [sys.executable, "-m", *(part.format(port=self.port) for part in command)],
            cwd=tmp_path,
            env={**os.environ, "TIERS": str(self.tiers), "PYTHONPATH": paths},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def __enter__(self):
        assert eventually(lambda: self.ask(0) is not None, 90)
        return self

    def __exit__(self, *_):
        # Its workers too, which a killed parent would leave behind.
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(30)

    def ask(self, number):
        """Return the worker that answered; None where none did."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{number}", timeout=20) as answer:
                return int(answer.read().split()[0])
        except OSError:
            return None

    def stop(self):
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(60)


def _all_learned(site, count, workers):
    """Ask until each worker answered, and at least so often; return the ids of the records that must be there."""
    seen, number = set(), 0
    while (number < count or len(seen) < workers) and number < 2_000:
        number += 1
        seen.add(site.ask(number))
    assert None not in seen
    assert len(seen) >= workers
    return {f"t{n}" for n in range(number + 1)}


GUNICORN = ("gunicorn", "app:app", "--workers", "4", "--bind", "127.0.0.1:{port}", "--config", "hooks.py")


@pytest.mark.parametrize("preload", [[], ["--preload"]], ids=["each worker by itself", "loaded before the fork"])
def test_workers_of_gunicorn_share_a_folder(tmp_path, preload):
    pytest.importorskip("gunicorn")
    with _Site(tmp_path, WSGI, *GUNICORN, *preload, hooks=HOOKS) as site:
        expected = _all_learned(site, 60, workers=4)
        server = server_of(site.tiers)
        site.stop()
    assert eventually(lambda: not runs(server["server"]))
    assert expected <= ids(site.tiers)


def test_a_killed_worker_of_gunicorn_loses_nothing_of_the_others(tmp_path):
    pytest.importorskip("gunicorn")
    with _Site(tmp_path, WSGI, *GUNICORN, hooks=HOOKS) as site:
        before = _all_learned(site, 20, workers=4)
        # Written by the background thread within half a second.
        assert eventually(lambda: before <= ids(site.tiers))
        os.kill(site.ask(0), signal.SIGKILL)
        os.kill(server_of(site.tiers)["server"], signal.SIGKILL)
        after = {f"t{number}" for number in range(5_000, 5_030) if site.ask(number) is not None}
        assert len(after) >= 29
        site.stop()
    assert before | after <= ids(site.tiers)


def test_workers_of_uvicorn_share_a_folder_and_the_lifespan_keeps_the_last_records(tmp_path):
    with _Site(tmp_path, ASGI, "uvicorn", "app:app", "--workers", "2", "--port", "{port}") as site:
        expected = _all_learned(site, 40, workers=2)
        server = server_of(site.tiers)
        site.stop()
    assert eventually(lambda: not runs(server["server"]))
    assert expected <= ids(site.tiers)


@pytest.mark.parametrize("clean", [False, True])
def test_sigterm_loses_only_what_was_not_closed(tmp_path, clean):
    """As in Kubernetes: SIGTERM ends Python without its exit handlers, unless the program catches it."""
    handler = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))" if clean else ""
    script = f"""
        {handler}
        history = ChromaHistory(where, embedding=EMBEDDING)
        history.remember(record(1))
        history.flush()
        history.remember(record(2))
        say("kept")
        signal.pause()
    """
    with start(script, tmp_path / "tiers") as process:
        assert process.stdout.readline() == "kept\n"
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    kept = ids(tmp_path / "tiers")
    assert "t1" in kept
    assert not clean or "t2" in kept

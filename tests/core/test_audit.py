"""`make audit` is a part of CI's run: without a network it says so, soon, and fails nothing."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "audit.py"


@pytest.fixture
def port():
    """A port that takes connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def audit(port, seconds):
    reached_by = f"http://127.0.0.1:{port}"
    proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "PIP_PROXY"), reached_by)
    # No index of this machine's settings either: nothing may be installed here.
    pip = {"PIP_INDEX_URL": f"{reached_by}/simple", "PIP_CONFIG_FILE": os.devnull}
    command = [sys.executable, str(SCRIPT), "--seconds", str(seconds)]
    kept = {name: value for name, value in os.environ.items() if not name.lower().startswith(("pip_", "no_proxy"))}
    return subprocess.run(
        command, env=kept | proxies | pip, capture_output=True, text=True, check=False, timeout=seconds + 60
    )


def test_without_a_network_it_says_so_and_passes():
    done = audit(9, seconds=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("audit: not done, ")


def test_a_network_that_does_not_answer_is_not_waited_for(port):
    done = audit(port, seconds=3)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "audit: not done, the advisory service does not answer within 3 s\n"

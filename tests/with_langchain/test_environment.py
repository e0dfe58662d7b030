"""In a process of its own: it connects to the tiers and its history alone, also under `python -O` and `LC_ALL=C`."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import json, socket, sys

reached = []
for name in ("connect", "connect_ex"):
    def recorded(self, address, _real=getattr(socket.socket, name)):
        reached.append(address if isinstance(address, str) else list(address[:2]))
        return _real(self, address)
    setattr(socket.socket, name, recorded)
looked_up, real = [], socket.getaddrinfo
def lookup(host, *rest, **settings):
    looked_up.append(host)
    return real(host, *rest, **settings)
socket.getaddrinfo = lookup

from langchain_openai import ChatOpenAI
from langchain_tiers import TieredChatModel
from llm_tiers import FeedbackRefused
from llm_tiers.testing import LoopbackServer

with LoopbackServer(dict.fromkeys(("small", "medium", "large"), "Caf\\u00e9 \\U0001f9e0")) as server:
    tiers = [ChatOpenAI(model=name, base_url=server.base_url, api_key="none", max_retries=0) for name in server.scripts]
    with TieredChatModel(tiers=tiers, history=sys.argv[1], prices=dict.fromkeys(server.scripts, (1, 2))) as model:
        for number in range(5):
            asked = f"Wie hei\\u00dft du, {number}? \\U0001f9e0"
            answer = model.invoke(asked, node="caf\\u00e9", principal="J\\u00f6rg")
        trace_id = answer.response_metadata["tiers"]["trace_id"]
        model.feedback(trace_id, correct=True, principal="J\\u00f6rg")
        try:
            model.feedback(trace_id, correct=True, principal="ada")
        except FeedbackRefused:
            refused = True
        try:
            model.invoke("What?", model="no tier")
        except ValueError as error:
            wrong = type(error).__name__
        model.history.flush()
        with open(sys.argv[1] + "/llm-tiers.server.json") as said:
            kept_by = json.load(said)["url"]
        kept = len(list(model.history.export()))
    own = [["127.0.0.1", int(url.split(":")[2].split("/")[0])] for url in (server.base_url, kept_by)]
print(json.dumps({"answer": answer.text, "kept": kept, "refused": refused, "wrong": wrong, "optimised": not __debug__,
                  "elsewhere": [one for one in reached if one not in own],
                  "looked_up": sorted({host for host in looked_up if host not in ("127.0.0.1", "localhost")})}))
"""

EXPECTED = {"answer": "Caf\u00e9 \U0001f9e0", "kept": 5, "refused": True, "wrong": "ConfigError"}


@pytest.mark.parametrize(
    ("options", "environment"),
    [((), {}), (("-O",), {}), (("-OO",), {}), ((), {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"})],
    ids=["plain", "-O", "-OO", "LC_ALL=C"],
)
def test_a_program_runs_and_talks_to_its_tiers_and_its_history_only(tmp_path, options, environment):
    command = [sys.executable, *options, "-c", SCRIPT, str(tmp_path / "tiers")]
    # No word of ours switches telemetry off: that is not for the user to do.
    plain = {name: value for name, value in os.environ.items() if "TELEMETRY" not in name and "TRACING" not in name}
    done = subprocess.run(command, env=plain | environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    found = json.loads(line)
    assert found.pop("optimised") is bool(options)
    assert found.pop("elsewhere") == []
    assert found.pop("looked_up") == []
    assert found == EXPECTED


@pytest.mark.parametrize("package", ["shared/llm_tiers", "langchain_tiers", "llamaindex_tiers"])
def test_no_code_rests_on_assertions_or_pickles(package):
    files = sorted((Path(__file__).parents[2] / package).rglob("*.py"))
    assert files
    nodes = [(path, node) for path in files for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
    # `python -O` leaves assertions out.
    assert [(path.name, node.lineno) for path, node in nodes if isinstance(node, ast.Assert)] == []
    imported = [
        (path.name, alias.name)
        for path, node in nodes
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
        if (alias.name if isinstance(node, ast.Import) else node.module) in ("pickle", "marshal", "shelve", "dill")
    ]
    # The models' own pickling looks at what can be pickled, and reads none.
    assert {name for name, _ in imported} <= {"pickling.py"}

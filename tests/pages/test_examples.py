"""What holds for each of the examples: its length, its docstring, its line in the docs, `--live`; the notebook.

What each shows is tested beside the framework that it is for.
"""

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from llm_tiers.testing import LoopbackServer, obliging

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "examples").glob("*.py"))
HELPERS = ("offline.py", "index_embedding.py")
EXAMPLES = [path for path in FILES if path.name not in HELPERS]
MODELS = ("gpt-5-nano", "gpt-5-mini", "gpt-5")


@pytest.fixture
def run(monkeypatch, tmp_path, capfd):
    """Run an example as a program in an empty folder; return its exit status, and what it prints to both streams."""
    monkeypatch.syspath_prepend(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    for variable in [name for name in os.environ if name.startswith("OPENAI_")]:
        monkeypatch.delenv(variable)

    def status(example, *arguments):
        monkeypatch.setattr(sys, "argv", [example.name, *arguments])
        try:
            runpy.run_path(str(example), run_name="__main__")
        except SystemExit as end:
            if isinstance(end.code, str):  # what Python prints of a message, and the status that it ends with
                sys.stderr.write(f"{end.code}\n")
            return 1 if isinstance(end.code, str) else end.code
        return 0

    return lambda *asked: (status(*asked), *capfd.readouterr())


@pytest.fixture
def elsewhere(monkeypatch):
    """A server on this machine as the address of OpenAI's, and a key for it."""
    with LoopbackServer(dict.fromkeys(MODELS, obliging)) as server:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-of-nobody")
        for variable in ("OPENAI_BASE_URL", "OPENAI_API_BASE"):
            monkeypatch.setenv(variable, server.base_url)
        yield server


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_example_is_short(path):
    assert path.read_text().count("\n") < 60


def test_there_are_at_least_ten_examples():
    assert len(EXAMPLES) >= 10


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_begins_with_what_one_sees_and_how_to_run_it(example):
    about = example.read_text().split('"""')[1]
    assert f"python examples/{example.name} " in about
    assert f"python examples/{example.name} --live " in about
    assert "pip install -e '.[" in about


def test_the_page_of_the_examples_has_each_of_them():
    page = (ROOT / "docs" / "examples.md").read_text()
    names = [path.name for path in (*EXAMPLES, ROOT / "examples" / "tour.ipynb")]
    assert [name for name in names if f"`{name}`" not in page] == []


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_live_asks_the_address_of_the_environment(example, run, elsewhere, tmp_path):
    # The clients are the real ones with a key; only the address is not OpenAI's.
    if "langchain_tiers" in example.read_text():
        status, _, errors = run(example, "--live")
    else:
        # In a process of its own: the memories of LlamaIndex's agents outlive their event loop.
        command = [sys.executable, example, "--live"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
        status, errors = done.returncode, done.stderr
    assert status == 0, errors
    assert elsewhere.requests
    assert {request.model for request in elsewhere.requests} <= set(MODELS)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_live_without_a_key_is_an_error_of_one_line(example, run):
    said = "--live asks OpenAI's models: set OPENAI_API_KEY, or leave --live out\n"
    assert run(example, "--live") == (1, "", said)


def test_a_misspelled_option_is_an_error(run):
    status, _, errors = run(ROOT / "examples" / "first_call.py", "--lvie")
    assert status == 2
    assert "unrecognized arguments: --lvie" in errors


def test_help_says_what_one_sees(run):
    status, out, _ = run(ROOT / "examples" / "first_call.py", "--help")
    assert status == 0
    assert "one model over three tiers" in out


@pytest.fixture
def tour():
    return nbformat.read(ROOT / "examples" / "tour.ipynb", as_version=4)


def test_the_notebook_has_no_outputs_and_is_small(tour):
    nbformat.validate(tour)
    code = [cell for cell in tour.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
    assert sum(cell.source.count("\n") + 1 for cell in code) < 60


def test_the_notebook_runs_offline_and_shows_answer_trace_and_report(tour, tmp_path, monkeypatch):
    # What Jupyter writes for itself goes to an empty folder.
    for variable in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "TMPDIR"):
        monkeypatch.setenv(variable, str(tmp_path))
    client = NotebookClient(tour, timeout=300, resources={"metadata": {"path": str(ROOT / "examples")}})
    client.execute()
    shown = {cell.id: cell.outputs for cell in tour.cells if cell.cell_type == "code"}
    told = [one["text"] for outputs in shown.values() for one in outputs if one.get("name") == "stderr"]
    assert all(text.startswith("report: ") for text in told)
    answer, first, later, report, page = (outputs for outputs in shown.values() if outputs)
    assert answer[0]["data"]["text/plain"] == "'The answer is 42.'"
    for trace in (first, later):
        assert trace[0]["data"]["text/html"].startswith("<div ")
    printed = "".join(one.get("text", "") for one in report)
    assert re.search(r"61 calls, -?\d+% saved against gpt-5 alone", printed)
    assert "'gpt-5-mini': " in report[-1]["data"]["text/plain"]
    assert page[0]["data"]["text/html"].startswith("<iframe ")

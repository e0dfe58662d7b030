"""How the commands end: on input that is wrong, on what cannot be written, on a closed pipe, on Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from threading import Thread

import pytest
from past_calls import EMBEDDING, record
from typer.testing import CliRunner

from llm_tiers.cli import app
from llm_tiers.history import ChromaHistory
from llm_tiers.replay import BUNDLED

MATH = str(BUNDLED[0])
COMMAND = [sys.executable, "-c", "from llm_tiers.cli import app; app(prog_name='llm-tiers')"]
LONG = "x" * 300
READERS = (
    ("report",),
    ("explain", "t1"),
    ("history", "stats"),
    ("history", "list"),
    ("history", "show", "t1"),
    ("history", "prune", "--keep", "1", "--yes"),
    ("history", "reset", "chat", "--yes"),
    ("history", "export", "--out", "-"),
    ("history", "merge", "--into", "new"),
    ("replay",),
    ("calibrate",),
)
OTHERS = (
    ("history", "import", "new"),
    ("warm-start", "new"),
    ("config", "show"),
    ("config", "check"),
    ("profile", "--ladder", "nowhere.py:x", "--out", "o.npz", "--yes"),
)


@pytest.fixture
def outside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LLM_TIERS_HISTORY", raising=False)
    return tmp_path


@pytest.fixture
def history(outside):
    with ChromaHistory(outside / "tiers", embedding=EMBEDDING) as opened:
        for number in range(10):
            opened.remember(record(number, "chat"))
    return outside / "tiers"


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def assert_told(done):
    assert done.exit_code == 2, done.output
    assert isinstance(done.exception, SystemExit)
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr


def with_source(command, source):
    """Put the file or history where the command takes it: the first argument of those that name a second."""
    *words, last = command
    return [*words, source, last] if last == "new" and "--into" not in words else [*command, source]


@pytest.mark.parametrize("source", ["nowhere", "empty", "note.txt", LONG])
@pytest.mark.parametrize("command", [*READERS, *OTHERS], ids=" ".join)
def test_what_is_no_history_and_no_file_is_told_in_a_line_and_leaves_nothing(outside, command, source):
    (outside / "empty").mkdir()
    (outside / "note.txt").write_text("not what is wanted {")
    assert_told(run(*with_source(command, source)))
    assert sorted(path.name for path in outside.iterdir()) == ["empty", "note.txt"]


@pytest.mark.parametrize("command", READERS[:-2], ids=" ".join)
def test_what_is_no_history_comes_with_a_hint(outside, command):
    assert "name the folder or the URL that a model got as history=" in run(*with_source(command, "nowhere")).stderr


@pytest.mark.parametrize("where", ["nowhere/out", ".", "/proc/out", LONG])
@pytest.mark.parametrize(
    "command",
    [
        ("report", "tiers", "--out"),
        ("report", "tiers", "--json"),
        ("report", "tiers", "--csv"),
        ("history", "export", "tiers", "--out"),
        ("config", "init", "--out"),
        ("replay", MATH, "--policy", "single:o1", "--json"),
        ("replay", MATH, "--policy", "single:o1", "--plot"),
        ("calibrate", MATH, "--policy", "default", "--json"),
        ("calibrate", MATH, "--policy", "default", "--accuracy", "0.1", "--out"),
    ],
    ids=lambda command: " ".join((command[0], *command[2:])),
)
def test_what_cannot_be_written_is_told_in_a_line(history, command, where):
    done = run(*command, where)
    assert done.exit_code == 2, done.output
    assert isinstance(done.exception, SystemExit)
    assert f"{command[-1]} {where}" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "command",
    [
        ("replay", MATH, "--policy", "single:o1", "--json"),
        ("calibrate", MATH, "--policy", "default", "--accuracy", "0.1", "--out"),
    ],
    ids=lambda command: command[0],
)
def test_what_is_no_file_is_written_to_and_not_replaced(outside, command):
    pipe = outside / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = Thread(target=lambda: read.append(pipe.read_text()), daemon=True)
    reader.start()
    done = run(*command, pipe)
    assert done.exit_code == 0, done.output
    assert pipe.is_fifo()
    reader.join(30)
    assert json.loads(read[0])


def test_a_replay_prints_nothing_but_its_json_where_that_is_asked_for(outside):
    (result,) = json.loads(run("replay", MATH, "--policy", "single:o1", "--json", "-").stdout)
    assert result["policy"] == "single:o1"
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize(
    "command", [("history", "list", "tiers"), ("history", "export", "tiers", "--out", "-"), ("--help",)], ids=" ".join
)
def test_a_reader_that_goes_away_ends_a_command_quietly(history, command):
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([*COMMAND, *command], stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


def test_ctrl_c_ends_a_command_without_a_traceback_and_leaves_nothing(outside):
    pipe = outside / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen([*COMMAND, "history", "import", "pipe", "new"], stderr=subprocess.PIPE, text=True) as process:
        # Opening waits for the command to read, so that it is interrupted while it works.
        with pipe.open("w"):
            process.send_signal(signal.SIGINT)
            _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in told
    assert not Path("new").exists()


@pytest.mark.parametrize(("no_color", "colored"), [(None, True), ("1", False)])
def test_errors_are_red_unless_no_color_is_set(outside, monkeypatch, no_color, colored):
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_color:
        monkeypatch.setenv("NO_COLOR", no_color)
    done = CliRunner().invoke(app, ["report", "nowhere"], color=True)
    assert ("\x1b[31m" in done.stderr) is colored


def test_help_states_the_exit_statuses():
    told = " ".join(run("--help").stdout.split())
    assert "Exit status: 0 where all is done; 1 where" in told
    assert "130 after Ctrl-C" in told


@pytest.mark.parametrize(("typed", "offered"), [("llm-tiers hist", "history"), ("llm-tiers history ex", "export")])
def test_the_shell_completes_commands(outside, typed, offered):
    words = {"COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split()) - 1), "_LLM_TIERS_COMPLETE": "complete_bash"}
    done = subprocess.run(COMMAND, env=os.environ | words, capture_output=True, text=True, check=False)
    assert done.stdout.split() == [offered]


def test_completion_is_installed_for_the_users_shell(outside):
    # In a process whose home is an empty folder.
    done = subprocess.run(
        [*COMMAND, "--install-completion", "bash"],
        env=os.environ | {"HOME": str(outside)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    script = outside / ".bash_completions" / "llm-tiers.sh"
    assert "_LLM_TIERS_COMPLETE=complete_bash" in script.read_text()
    assert str(script) in (outside / ".bashrc").read_text()

"""How the commands end: on input that is wrong, on what cannot be written, on a closed pipe, on Ctrl-C."""

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from past_calls import EMBEDDING, record
from typer.testing import CliRunner

from llm_tiers.cli import app
from llm_tiers.files import pipes
from llm_tiers.history import ChromaHistory
from llm_tiers.replay import BUNDLED

COMMAND = [sys.executable, "-c", "from llm_tiers.cli import app; app(prog_name='llm-tiers')"]
LONG = "x" * 300
LADDER = """
from langchain_core.language_models import FakeListChatModel
from llm_tiers import Tier
tiers = [Tier(FakeListChatModel(responses=["1"]), name=name, price=(1, 1)) for name in ("small", "large")]
"""

OF_HISTORIES = (
    "report SOURCE",
    "explain t1 SOURCE",
    "history stats SOURCE",
    "history list SOURCE",
    "history show t1 SOURCE",
    "history prune SOURCE --keep 1 --yes",
    "history reset chat SOURCE --yes",
    "history export SOURCE --out -",
    "history merge SOURCE --into new",
)
OF_FILES = (
    "replay SOURCE",
    "calibrate SOURCE",
    "history import SOURCE new",
    "warm-start SOURCE new",
    "profile SOURCE --ladder ladder.py:tiers --out o.npz --yes",
)
OF_SETTINGS = ("config show SOURCE", "config check SOURCE", "profile questions.jsonl --ladder SOURCE:x --out o.npz")
COMMANDS = (*OF_HISTORIES, *OF_FILES, *OF_SETTINGS)


@pytest.fixture
def outside(tmp_path, monkeypatch):
    """A working folder with a ladder and a question, and no settings but its own."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("LLM_TIERS_")]:
        monkeypatch.delenv(name)
    Path("ladder.py").write_text(LADDER)
    Path("questions.jsonl").write_text('{"question": "What is 1?"}\n')
    return tmp_path


@pytest.fixture
def history(outside):
    with ChromaHistory(outside / "tiers", embedding=EMBEDDING) as opened:
        for number in range(10):
            opened.remember(record(number, "chat"))


@pytest.fixture
def table(outside):
    """Ten recorded questions, so that a replay takes no time."""
    with np.load(BUNDLED[0]) as file:
        questions = len(file["correct"])
        few = {name: array[:10] if len(array) == questions else array for name, array in file.items() if array.ndim}
    np.savez("few.npz", **few)


def run(command, **replaced):
    return CliRunner().invoke(app, [replaced.get(word, word) for word in command.split()])


def assert_told_in_a_line(done):
    assert done.exit_code == 2, done.output
    # Anything but an exit would be printed with its traceback.
    assert isinstance(done.exception, SystemExit)
    told = [line for line in done.stderr.splitlines() if not line.startswith("2 calls, about US$")]
    assert len(told) == 1
    assert told[0].startswith("error: ")


def source(kind, outside):
    """Make what a user may name by mistake."""
    if kind == "folder":
        (outside / "folder").mkdir()
    if kind == "text":
        (outside / "text").write_text("not what is wanted {")
    if kind == "pipe":
        os.mkfifo(outside / "pipe")
    return {"long": LONG, "device": "/dev/zero"}.get(kind, kind)


@pytest.mark.parametrize("kind", ["nowhere", "folder", "text", "long", "pipe", "device"])
@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_no_history_and_no_file_is_named_and_nothing_is_made(outside, monkeypatch, command, kind):
    monkeypatch.setattr(pipes, "_PATIENCE", 0.05)
    given = source(kind, outside)
    before = {path for path in outside.rglob("*") if "__pycache__" not in path.parts}
    done = CliRunner().invoke(app, [word.replace("SOURCE", given) for word in command.split()])
    assert_told_in_a_line(done)
    assert given in done.stderr
    assert done.stdout == ""
    assert {path for path in outside.rglob("*") if "__pycache__" not in path.parts} == before


@pytest.mark.parametrize("command", OF_HISTORIES)
def test_who_names_no_history_is_told_which_name_is_meant(outside, command):
    assert "name the folder or the URL that a model got as history=" in run(command, SOURCE="nowhere").stderr


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("explain nobody tiers", "no record of the trace id 'nobody'; `llm-tiers history list` shows the ids"),
        ("history show nobody tiers", "no record of the trace id 'nobody'; `llm-tiers history list` shows the ids"),
        ("history reset nobody tiers --yes", "node 'nobody': tiers has no calls of it; there are 'chat'"),
        ("history prune tiers", "give --older-than DAYS or --keep N"),
        ("history prune tiers --keep 1", "there is no terminal to ask"),
        ("history export tiers --node nobody --out -", "--node 'nobody': tiers has no calls of this node"),
        ("history stats tiers --namespace other", "no history in the namespace 'other'; name the one"),
        ("history merge tiers --into tiers", "--into tiers is a source too; name another history"),
        ("report tiers --node nobody", "--node 'nobody': tiers has no calls of this node; there are 'chat'"),
        ("report tiers --delta 2", "--delta 2 must lie between 0 and 1, such as 0.05"),
        ("report tiers --of taste", "--of taste must be equality, grade or feedback"),
        ("report tiers --days 0", "--days 0 must be more than 0"),
        ("replay few.npz --policy best", "'best'"),
        ("replay few.npz --feedback 2", "--feedback 2 must lie in [0, 1]"),
        ("replay few.npz --knob 2", "must lie in [0, 1]"),
        ("replay few.npz --node chat", "--node chat: only histories have nodes"),
        ("replay few.npz --embedding other", "the array 'other' is missing"),
        ("calibrate few.npz --accuracy 2", "--accuracy"),
        ("calibrate few.npz --cost cheap", "--cost"),
        ("calibrate few.npz --as-good-as nobody", "--as-good-as"),
        ("calibrate few.npz --policy best", "best"),
        ("calibrate few.npz --out tiers.json", "--out needs a target"),
        ("calibrate few.npz tiers", "files and histories cannot be calibrated on together"),
        ("warm-start few.npz new --embedding other", "no embedding is called 'other'"),
        ("profile questions.jsonl --ladder ladder.py:tiers --out o.npz", "give --yes, or --max-cost"),
        ("profile questions.jsonl --ladder ladder.py:tiers --out o.txt", "--out o.txt must end in .npz"),
        ("profile questions.jsonl --ladder ladder.py:other --out o.npz", "other"),
        ("profile questions.jsonl --ladder ladder.py:tiers --check taste --out o.npz", "--check taste must be exact"),
        ("config check", "names no tiers"),
        ("config show nowhere.toml", "`llm-tiers config init` writes one"),
    ],
)
def test_a_wrong_value_is_named_in_a_line_with_what_is_right(history, table, command, said):
    done = run(command)
    assert_told_in_a_line(done)
    assert said in done.stderr


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("explain", "Missing argument 'TRACE_ID'"),
        ("history show", "Missing argument 'TRACE_ID'"),
        ("history reset", "Missing argument 'NODE'"),
        ("history export", "Missing option '--out'"),
        ("history import", "Missing argument 'FILE.jsonl'"),
        ("history merge", "Missing argument 'SOURCE...'"),
        ("warm-start", "Missing argument 'FILE.npz'"),
        ("replay", "Missing argument 'SOURCE...'"),
        ("calibrate", "Missing argument 'SOURCE...'"),
        ("profile", "Missing argument 'DATA.jsonl'"),
        ("report --taste", "No such option: --taste"),
        ("replay x --seed -1", "'--seed'"),
        ("replay x --order best", "'--order'"),
        ("history prune --keep many", "'--keep'"),
        ("history forget", "No such command 'forget'"),
        ("repot", "No such command 'repot'"),
    ],
)
def test_a_wrong_command_line_is_named_with_its_help(outside, command, said):
    done = run(command)
    assert (done.exit_code, done.stdout) == (2, "")
    told = " ".join(done.stderr.replace("│", " ").split())
    assert said in told
    assert "--help" in told


@pytest.mark.parametrize("where", ["nowhere/out", ".", "/proc/out", "LONG", "pipe"])
@pytest.mark.parametrize(
    "command",
    [
        "report tiers --out",
        "report tiers --json",
        "report tiers --csv",
        "history export tiers --out",
        "config init --out",
        "replay few.npz --policy single:o1 --json",
        "replay few.npz --policy single:o1 --plot",
        "calibrate few.npz --policy default --json",
        "calibrate few.npz --policy default --accuracy 0.1 --out",
    ],
)
def test_what_cannot_be_written_is_named(history, table, monkeypatch, command, where):
    monkeypatch.setattr(pipes, "_PATIENCE", 0.05)
    os.mkfifo("pipe")
    path = where.replace("LONG", LONG)
    done = run(f"{command} {path}")
    assert done.exit_code == 2, done.output
    assert isinstance(done.exception, SystemExit)
    assert f"{command.split()[-1]} {path}" in done.stderr


@pytest.mark.parametrize(
    "command",
    [
        "report tiers --json pipe",
        "replay few.npz --policy single:o1 --json pipe",
        "calibrate few.npz --policy default --accuracy 0.1 --out pipe",
    ],
)
def test_a_pipe_gets_what_a_file_would_and_stays_a_pipe(history, table, command):
    os.mkfifo("pipe")
    read = []
    reader = Thread(target=lambda: read.append(Path("pipe").read_text()), daemon=True)
    reader.start()
    done = run(command)
    assert done.exit_code == 0, done.output
    reader.join(30)
    assert json.loads(read[0])
    assert Path("pipe").is_fifo()


def test_a_history_comes_in_by_a_pipe_as_by_a_file(history):
    exported = run("history export tiers --out -").stdout
    os.mkfifo("pipe")
    writer = Thread(target=lambda: Path("pipe").write_text(exported), daemon=True)
    writer.start()
    assert "10 calls added to new" in run("history import pipe new").output
    writer.join(30)


def test_what_is_interrupted_leaves_the_old_file_as_it_was(history, monkeypatch):
    Path("out.jsonl").write_text("old")

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("llm_tiers.history.jsonl.json.dumps", interrupted)
    assert run("history export tiers --out out.jsonl").exit_code == 130
    assert Path("out.jsonl").read_text() == "old"
    assert [path.name for path in Path().iterdir() if "out" in path.name] == ["out.jsonl"]


def test_a_replay_prints_nothing_but_its_json_where_that_is_asked_for(table):
    (result,) = json.loads(run("replay few.npz --policy single:o1 --json -").stdout)
    assert result["policy"] == "single:o1"


@pytest.mark.parametrize(
    "command",
    [
        "--help",
        "report tiers",
        "report tiers --json -",
        "report tiers --out -",
        "explain t1 tiers",
        "history stats tiers",
        "history list tiers",
        "history show t1 tiers",
        "history export tiers --out -",
        "config show",
        "replay few.npz --policy single:o1",
        "calibrate few.npz --policy default --json -",
    ],
)
def test_a_reader_that_goes_away_ends_a_command_quietly(history, table, command):
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [*COMMAND, *command.split()], stdout=writing, stderr=subprocess.PIPE, text=True, check=False, timeout=120
    )
    os.close(writing)
    assert done.returncode == 1
    # A note may come before the results.
    assert [line for line in done.stderr.splitlines() if not line.startswith("note: ")] == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_full_disk_under_standard_output_is_named(history):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*COMMAND, "history", "list", "tiers"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    assert done.stderr == "error: standard output cannot be written (No space left on device)\n"


@pytest.mark.parametrize("command", OF_FILES)
def test_ctrl_c_ends_a_command_without_a_traceback_and_leaves_nothing(outside, command):
    os.mkfifo("pipe")
    before = {path for path in outside.rglob("*") if "__pycache__" not in path.parts}
    words = command.replace("SOURCE", "pipe").split()
    with ExitStack() as stack:
        process = stack.enter_context(subprocess.Popen([*COMMAND, *words], stderr=subprocess.PIPE, text=True))
        # Opening waits for the command to read, so that it is interrupted while it works.
        stack.enter_context(Path("pipe").open("w"))
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in told
    assert {path for path in outside.rglob("*") if "__pycache__" not in path.parts} == before


@pytest.mark.parametrize(("no_color", "colored"), [(None, True), ("1", False)])
@pytest.mark.parametrize("command", ["report nowhere", "explain", "--help"])
def test_no_color_is_heeded(outside, no_color, colored, command):
    colors = {"FORCE_COLOR": "1", "TERM": "xterm-256color", **({"NO_COLOR": no_color} if no_color else {})}
    done = CliRunner().invoke(app, command.split(), color=True, env={"NO_COLOR": None, **colors})
    assert (re.search(r"\x1b\[(\d+;)*3\dm", done.output) is not None) is colored


@pytest.mark.parametrize("command", ["report tiers --json -", "replay few.npz --policy single:o1 --json -"])
def test_no_progress_is_drawn_where_no_terminal_shows_it(history, table, command):
    # Where colors are forced, as in the logs of a CI, rich would take any file for a terminal.
    done = CliRunner().invoke(app, command.split(), env={"FORCE_COLOR": "1", "TERM": "xterm-256color"})
    assert done.exit_code == 0, done.output
    assert not any(drawn in done.stderr for drawn in ("reading", "counting", "replaying", "\x1b[?25l"))


def test_help_states_the_exit_statuses():
    told = " ".join(run("--help").stdout.split())
    assert "Exit status: 0 where all is done; 1 where" in told
    assert "130 after Ctrl-C" in told

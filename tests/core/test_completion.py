"""What a shell completes: commands, options, names; and files where no name is meant."""

import os
import select
import subprocess
import sys
import time
from shutil import which

import pytest
from typer.testing import CliRunner

from llm_tiers.cli import app
from llm_tiers.replay import BUNDLED

COMMAND = [sys.executable, "-c", "from llm_tiers.cli import app; app(prog_name='llm-tiers')"]


def offered(typed):
    """What is offered for the last word, which may be empty, by the protocol of bash."""
    words = {"COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split(" ")) - 1), "_LLM_TIERS_COMPLETE": "complete_bash"}
    done = CliRunner().invoke(app, [], env=words, prog_name="llm-tiers")
    assert done.exit_code == 0, done.output
    return done.stdout.split()


@pytest.mark.parametrize(
    ("typed", "names"),
    [
        ("llm-tiers re", ["report", "replay"]),
        ("llm-tiers history ex", ["export"]),
        ("llm-tiers history ", ["stats", "list", "show", "prune", "reset", "export", "import", "merge", "repair"]),
        ("llm-tiers config ", ["show", "check", "init"]),
        ("llm-tiers replay x --pol", ["--policy"]),
        ("llm-tiers history prune --k", ["--keep"]),
        ("llm-tiers replay x --order ", ["file", "shuffle"]),
        ("llm-tiers replay x --policy lin", ["linucb", "linucb-rules"]),
        ("llm-tiers replay x --policy default --policy guar", ["guarantee:", "guarantee-grade:", "guarantee-judged:"]),
        ("llm-tiers calibrate x --policy ", ["default", "menu", "doubt", "agree", "estimate"]),
        ("llm-tiers report --of g", ["grade"]),
        ("llm-tiers warm-start a b --embedding w", ["wordllama"]),
        ("llm-tiers profile x --check ", ["exact", "contains"]),
    ],
)
def test_commands_options_and_names_are_offered(typed, names):
    assert offered(typed) == names


@pytest.mark.parametrize(
    "typed",
    [
        "llm-tiers replay ",
        "llm-tiers calibrate a",
        "llm-tiers report ",
        "llm-tiers report --out ",
        "llm-tiers warm-start a",
        "llm-tiers history import ",
        "llm-tiers config check ",
        "llm-tiers profile ",
        "llm-tiers profile x --ladder ",
    ],
)
def test_where_a_file_is_meant_nothing_is_offered_so_that_the_shell_offers_files(typed):
    assert offered(typed) == []


@pytest.mark.parametrize("command", ["replay", "calibrate"])
def test_every_policy_that_is_known_is_offered(command):
    told = CliRunner().invoke(app, [command, str(BUNDLED[0]), "--policy", "nobody"]).stderr
    known = told.strip().split("; take ")[1].removeprefix("one of ").split(", ")
    names = [name.replace("TIER", "").replace("DELTA", "") for name in known]
    assert sorted(offered(f"llm-tiers {command} x --policy ")) == sorted(names)


@pytest.mark.skipif(which("bash") is None, reason="no bash here")
@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("llm-tiers hist", "llm-tiers history "),
        ("llm-tiers replay x --policy metal", "llm-tiers replay x --policy metallm "),
        ("llm-tiers replay recorded-q", "llm-tiers replay recorded-questions.npz "),
        ("llm-tiers report --out pag", "llm-tiers report --out page.html "),
    ],
)
def test_bash_completes_with_the_script_that_is_installed(tmp_path, typed, completed):
    (tmp_path / "recorded-questions.npz").touch()
    (tmp_path / "page.html").touch()
    program = tmp_path / "bin" / "llm-tiers"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\nfrom llm_tiers.cli import app\napp(prog_name='llm-tiers')\n")
    program.chmod(0o755)
    ours = os.environ | {"HOME": str(tmp_path), "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}"}
    installed = subprocess.run(
        [*COMMAND, "--install-completion", "bash"], env=ours, capture_output=True, text=True, check=False
    )
    assert installed.returncode == 0, installed.stderr
    assert str(tmp_path / ".bash_completions" / "llm-tiers.sh") in (tmp_path / ".bashrc").read_text()
    assert completed in typed_into_bash(f"{typed}\t", completed, ours | {"TERM": "dumb"}, tmp_path)


def typed_into_bash(keys, awaited, environment, folder):
    """Type into a terminal of bash, which completes in a terminal only, and return what that shows."""
    import pty  # there is none on Windows

    ours, its = pty.openpty()
    with subprocess.Popen(
        ["bash", "-i"], stdin=its, stdout=its, stderr=its, env=environment, cwd=folder, start_new_session=True
    ) as bash:
        os.close(its)
        os.write(ours, keys.encode())
        shown, until = "", time.monotonic() + 60
        while awaited not in shown and time.monotonic() < until and select.select([ours], [], [], 60)[0]:
            shown += os.read(ours, 4096).decode()
        bash.kill()
    os.close(ours)
    return shown

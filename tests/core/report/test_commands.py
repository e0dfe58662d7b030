"""`llm-tiers report` and `llm-tiers explain` as users run them."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from seen_calls import call, checked, traffic
from typer.testing import CliRunner

from llm_tiers.cli import app
from llm_tiers.embedding import Embedding
from llm_tiers.history import ChromaHistory
from llm_tiers.history.reading import Found
from llm_tiers.report.explain import explained
from llm_tiers.trace import Attempt, Trace


@pytest.fixture
def run():
    runner = CliRunner()
    return lambda *arguments, **other: runner.invoke(app, [str(argument) for argument in arguments], **other)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    found = tmp_path_factory.mktemp("history") / "tiers"
    draw = np.random.default_rng(0)
    with ChromaHistory(found, embedding=Embedding(lambda _: np.ones(8), name="test")) as history:
        for record in traffic(120):
            history.remember(replace(record, vector=draw.normal(size=8)))
    return found


def test_one_command_makes_the_page(run, folder, tmp_path):
    out = tmp_path / "report.html"
    done = run("report", folder, "--out", out)
    assert done.exit_code == 0, done.output
    assert done.stdout == ""
    text = out.read_text()
    assert text.startswith("<!doctype html>")
    assert "120 calls" in text
    assert list(tmp_path.iterdir()) == [out]


def test_without_out_a_summary_is_printed_without_colours_where_there_is_no_terminal(run, folder):
    done = run("report", folder, env={"COLUMNS": "120"})
    assert done.exit_code == 0, done.output
    assert re.search(r"Saved \d+%", done.stdout)
    assert "research/plan" in done.stdout
    assert "\x1b" not in done.stdout
    assert done.stderr == ""


def test_json_and_csv_go_to_a_file_or_to_standard_output(run, folder, tmp_path):
    data = json.loads(run("report", folder, "--json", "-").stdout)
    assert data["calls"] == 120
    out = tmp_path / "report.csv"
    assert run("report", folder, "--csv", out).exit_code == 0
    assert out.read_text().startswith("kind,name,begin,calls")


def test_a_node_and_the_last_days_can_be_chosen(run, folder):
    data = json.loads(run("report", folder, "--node", "research", "--json", "-").stdout)
    assert [node["node"] for node in data["nodes"]] == ["research/plan"]
    data = json.loads(run("report", folder, "--days", 7, "--json", "-").stdout)
    assert 50 < data["calls"] < 70


def test_delta_shows_what_is_proved(run, folder):
    data = json.loads(run("report", folder, "--delta", 0.2, "--json", "-").stdout)
    assert {node["certificate"]["delta"] for node in data["nodes"]} == {0.2}


def test_the_history_may_be_named_by_the_environment_or_be_the_usual_folder(run, folder, tmp_path, monkeypatch):
    monkeypatch.setenv("LLM_TIERS_HISTORY", str(folder))
    assert run("report", "--json", "-").exit_code == 0
    monkeypatch.delenv("LLM_TIERS_HISTORY")
    monkeypatch.chdir(folder.parent)
    assert run("report", "--json", "-").exit_code == 0
    monkeypatch.chdir(tmp_path)
    done = run("report")
    assert done.exit_code == 2
    assert "HISTORY: name the folder or the URL" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "fix"),
    [
        (("nowhere",), "nowhere holds no history"),
        (("FOLDER", "--namespace", "other"), "no history in the namespace 'other'"),
        (("FOLDER", "--node", "nix"), "there are 'chat', 'research/plan'"),
        (("FOLDER", "--days", "0"), "--days 0 must be more than 0"),
        (("FOLDER", "--delta", "1.5"), "--delta 1.5 must lie between 0 and 1"),
        (("FOLDER", "--delta", "0.1", "--of", "nix"), "--of nix must be equality, grade or feedback"),
        (
            ("FOLDER", "--out", "no/such/folder/x.html"),
            "--out no/such/folder/x.html: there is no folder no/such/folder",
        ),
        (("FOLDER", "--json", "."), "--json . cannot be written"),
        (("http://127.0.0.1:9",), "no Chroma server answers at http://127.0.0.1:9"),
    ],
)
def test_bad_input_is_an_error_with_the_fix_and_no_traceback(run, folder, tmp_path, monkeypatch, arguments, fix):
    monkeypatch.chdir(tmp_path)
    done = run("report", *(str(folder) if one == "FOLDER" else one for one in arguments))
    assert done.exit_code == 2
    assert fix in done.stderr
    assert "Traceback" not in done.output
    # Nothing was made where there is no history.
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database_is_no_history(run, tmp_path):
    (tmp_path / "chroma.sqlite3").write_bytes(b"not a database, " * 100)
    done = run("report", tmp_path)
    assert done.exit_code == 2
    assert "Traceback" not in done.output


def test_explain_says_who_was_asked_and_what_the_top_would_have_cost(run, folder):
    done = run("explain", "t1", folder)
    assert done.exit_code == 0, done.output
    said = done.stdout.replace("\N{NO-BREAK SPACE}", " ")
    assert "medium answered this call of node research/plan" in said
    assert "by the rule small+medium>large" in said
    assert "medium's answer is the one that small gave too" in said
    assert "All together the call cost US$ 0.110" in said
    assert "large, alone would have cost US$ 1.00, by what its answers usually cost at this node" in said
    assert "A history keeps no reasons" in said


def test_explain_says_what_the_trace_says_and_who_has_graded_since(run, tmp_path):
    attempt = Attempt(tier="small", role="generate", verdict="valid", by="prompt", input_tokens=12, output_tokens=3)
    trace = Trace(trace_id="t1", policy="estimate", start="small", reason="by 7 past calls", attempts=(attempt,),
                  final="small", warnings=("breaker: large skipped",))  # fmt: skip
    graded = replace(call(1, "small"), trace=trace, grades={"feedback": {"small": 0.0}})
    with ChromaHistory(tmp_path, embedding=Embedding(lambda _: np.ones(8), name="test")) as history:
        history.remember(replace(graded, vector=np.ones(8)))

    said = run("explain", graded.id, tmp_path).stdout.splitlines()

    assert said[1] == "It began with small: by 7 past calls."
    assert "Warning: breaker: large skipped." in said
    assert said[-1] == "Graded by feedback: small 0."
    shown = json.loads(run("history", "show", graded.id, tmp_path).stdout)
    assert shown["trace"]["reason"] == "by 7 past calls"
    assert shown["final"] == "small"


def test_explain_names_the_fix_for_an_id_that_is_not_there(run, folder):
    done = run("explain", "nix", folder)
    assert done.exit_code == 2
    assert "no record of the trace id 'nix'" in done.stderr
    assert "llm-tiers history list" in done.stderr


def words(record, *near):
    return " ".join(explained(Found(record, None, near))).replace("\N{NO-BREAK SPACE}", " ")


def test_a_profiled_call_is_not_said_to_have_stopped():
    said = words(checked(1, (0, 1, 1), grading_usd=0.5))
    assert "drawn by lot to be answered by further tiers" in said
    assert "stopped" not in said
    assert "grading it cost US$ 0.500" in said
    assert "US$ 0.610 more spent" in said
    assert "Graded by check: small 0, medium 1, large 1" in said


def test_what_a_record_does_not_say_is_said_to_be_unknown():
    said = words(call(1, "small", costs={}, cost_usd=None))
    assert "What it cost is not known" in said
    assert "Nobody has graded the answers" in said
    verdict = words(call(1, "small", verdicts={"small": True}), *(checked(n, (1, 1, 1)) for n in range(2, 9)))
    assert "a judging model found it valid" in verdict
    assert "because the answer of small was found valid" in verdict

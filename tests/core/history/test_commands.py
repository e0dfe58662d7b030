"""`llm-tiers history` as users run it, and the file that it exports."""

import json
from dataclasses import replace

import numpy as np
import pytest
from past_calls import EMBEDDING, record
from typer.testing import CliRunner

from llm_tiers.cli import app
from llm_tiers.errors import HistoryError
from llm_tiers.history import ChromaHistory
from llm_tiers.history.reading import read_records
from llm_tiers.history.store import library


@pytest.fixture
def run():
    runner = CliRunner()
    return lambda *arguments: runner.invoke(app, ["history", *map(str, arguments)])


@pytest.fixture
def folder(tmp_path):
    found = tmp_path / "tiers"
    with ChromaHistory(found, embedding=EMBEDDING, store_text=True) as history:
        for number in range(10):
            history.remember(record(number, "plan/step" if number % 2 else "chat"))
    return found


@pytest.fixture
def exported(run, folder, tmp_path):
    out = tmp_path / "calls.jsonl"
    assert run("export", folder, "--out", out).exit_code == 0
    return out


def ids(where):
    return [one.id for one in read_records(str(where), vectors=False)]


def test_stats_say_what_it_holds(run, folder):
    data = json.loads(run("stats", folder, "--json").stdout)
    assert data["calls"] == 10
    assert data["embedding"] == "by-crc"
    assert data["nodes"] == {"chat": 5, "plan": 5, "plan/step": 5}
    assert "10 calls, 10 drawn by lot, 10 graded" in run("stats", folder).stdout


def test_list_has_the_newest_last_and_show_has_all_of_one(run, folder):
    lines = run("list", folder, "--last", 2).stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["t8", "t9"]
    assert len(run("list", folder, "--node", "plan").stdout.splitlines()) == 5
    assert json.loads(run("show", "t3", folder).stdout)["text"] == "question 3"


def test_a_dry_run_changes_nothing(run, folder):
    for arguments in (("prune", folder, "--keep", 3), ("reset", "chat", folder)):
        done = run(*arguments, "--dry-run")
        assert done.exit_code == 0
        assert "would be removed" in done.stdout
    assert len(ids(folder)) == 10


def test_prune_and_reset_remove_what_the_dry_run_said(run, folder):
    assert "5 calls removed" in run("reset", "plan", folder, "--yes").stdout
    assert ids(folder) == ["t0", "t2", "t4", "t6", "t8"]
    assert "2 calls removed" in run("prune", folder, "--keep", 3, "--yes").stdout
    assert ids(folder) == ["t4", "t6", "t8"]


def test_nothing_is_removed_where_nobody_can_be_asked(run, folder):
    done = run("prune", folder, "--keep", 0)
    assert done.exit_code == 2
    assert "Give --yes, or --dry-run" in done.stderr
    assert len(ids(folder)) == 10


def test_what_is_exported_is_imported(run, folder, exported, tmp_path):
    other = tmp_path / "other"
    assert "10 calls would be added" in run("import", exported, other, "--dry-run").stdout
    assert not other.exists()
    assert "10 calls added" in run("import", exported, other).stdout
    before, after = read_records(str(folder)), read_records(str(other))
    assert [replace(one, vector=None) for one in before] == [replace(one, vector=None) for one in after]
    # Chroma scales each vector to unit length when it stores it, which may change the last bit.
    for one, two in zip(before, after, strict=True):
        np.testing.assert_allclose(one.vector, two.vector, rtol=0, atol=1e-6)
    # The embedding is the same, so that a model finds its past calls.
    with ChromaHistory(other, embedding=EMBEDDING) as history:
        assert history.recall("question 3", node="plan", k=1).neighbours[0].record.id == "t3"


def test_calls_that_are_known_stay_as_they_are(run, folder, exported):
    with ChromaHistory(folder, embedding=EMBEDDING) as history:
        history.revise("t1", lambda one: {"small": False})
    assert "0 calls added to" in run("import", exported, folder).stdout
    assert read_records(str(folder))[1].labels == {"small": False}


def test_texts_and_vectors_can_be_left_out(run, folder):
    lines = run("export", folder, "--out", "-", "--no-texts", "--no-vectors").stdout.splitlines()
    assert len(lines) == 11
    assert not any({"text", "vector"} & json.loads(line).keys() for line in lines)


def test_merge_adds_the_calls_of_several(run, folder, tmp_path):
    other, both = tmp_path / "other", tmp_path / "both"
    with ChromaHistory(other, embedding=EMBEDDING) as history:
        history.remember(record(5, "chat"))
        history.remember(record(77, "chat"))
    assert "11 calls added" in run("merge", folder, other, "--into", both).stdout
    assert len(ids(both)) == 11
    assert len(ids(folder)) == 10


def test_histories_of_different_embeddings_are_not_merged(run, folder, tmp_path):
    from llm_tiers.embedding import Embedding

    other = tmp_path / "other"
    with ChromaHistory(other, embedding=Embedding(lambda _: [1.0, 0.0], name="two")) as history:
        history.remember(record(1, "chat"))
    done = run("merge", folder, "--into", other)
    assert done.exit_code == 2
    assert "cannot be compared" in done.stderr


HEADER = {"llm_tiers_history": 1, "embedding": "by-crc", "dimension": 16}


def changed(line, **values):
    return json.dumps(json.loads(line) | values)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda lines: [], "is empty"),
        (lambda lines: lines[1:], "line 1: the first line must say what the history is"),
        (lambda lines: [changed(lines[0], llm_tiers_history=9), *lines[1:]], "line 1: format 9"),
        (lambda lines: [*lines[:3], "{", *lines[3:]], "line 4: it is no JSON"),
        (lambda lines: [*lines[:3], "[1]"], "line 4: it holds a list"),
        (lambda lines: [*lines[:3], "[" * 200_000], "line 4: it is nested too deeply"),
        (lambda lines: [*lines[:3], "9" * 2_000_000], "line 4: it is longer than"),
        (lambda lines: [*lines[:2], changed(lines[2], cost_usd=-1)], "line 3: 'cost_usd' must be a number from 0"),
        (lambda lines: [*lines[:2], lines[2].replace("0.25", "NaN")], "line 3: NaN is no number"),
        (lambda lines: [*lines[:2], lines[2].replace("0.25", "1e999")], "line 3: 'cost_usd' must be"),
        (lambda lines: [*lines[:2], changed(lines[2], created="now")], "line 3: 'created' must be"),
        (lambda lines: [*lines[:2], changed(lines[2], id="")], "line 3: 'id' must not be empty"),
        (lambda lines: [*lines[:2], changed(lines[2], node="x" * 2_000)], "line 3: 'node' must be a text of at most"),
        (lambda lines: [*lines[:2], changed(lines[2], costt=1)], "line 3: 'costt' is no key of a record"),
        (lambda lines: [*lines[:2], changed(lines[2], grades={"me": {}})], "line 3: 'grades' names the source 'me'"),
        (
            lambda lines: [*lines[:2], changed(lines[2], labels={"small": 1})],
            "line 3: 'labels' must have true or false",
        ),
        (lambda lines: [*lines[:2], changed(lines[2], said={"small": True})], "line 3: 'said' must have a whole"),
        (lambda lines: [*lines[:2], changed(lines[2], vector="AAAA")], "line 3: its vector does not have 16 numbers"),
        (lambda lines: [*lines[:2], changed(lines[2], vector="!" * 88)], "line 3: "),
        (lambda lines: [*lines[:2], changed(lines[2], vector=None)], "line 3: it has no vector"),
    ],
)
def test_a_wrong_line_is_named_and_nothing_is_added(run, exported, tmp_path, spoil, says):
    path, other = tmp_path / "spoilt.jsonl", tmp_path / "other"
    path.write_text("\n".join(spoil(exported.read_text().splitlines())))
    done = run("import", path, other)
    assert done.exit_code == 2, done.output
    assert says in done.stderr
    assert "Traceback" not in done.output
    assert not other.exists()


@pytest.mark.parametrize(
    ("arguments", "fix"),
    [
        (("stats", "nowhere"), "nowhere holds no history"),
        (("show", "nix", "FOLDER"), "no record of the trace id 'nix'"),
        (("prune", "FOLDER"), "give --older-than DAYS or --keep N"),
        (("reset", "nix", "FOLDER", "--yes"), "there are 'chat', 'plan', 'plan/step'"),
        (("export", "FOLDER", "--out", "no/folder/x"), "there is no folder no/folder"),
        (("import", "no-file", "x"), "no-file cannot be read"),
        (("merge", "FOLDER", "--into", "FOLDER"), "is a source too"),
    ],
)
def test_bad_input_is_an_error_with_the_fix(run, folder, tmp_path, monkeypatch, arguments, fix):
    monkeypatch.chdir(tmp_path)
    done = run(*(str(folder) if one == "FOLDER" else one for one in arguments))
    assert done.exit_code == 2
    assert fix in done.stderr
    assert "Traceback" not in done.output
    assert list(tmp_path.iterdir()) == [folder]


def test_what_has_a_principal_is_exported_and_imported(run, tmp_path):
    with ChromaHistory(tmp_path / "whose", embedding=EMBEDDING) as history:
        history.remember(replace(record(1), principal="3f0c"))
    lines, again = tmp_path / "whose.jsonl", tmp_path / "again"
    assert run("export", tmp_path / "whose", "--out", lines).exit_code == 0

    assert run("import", lines, again).exit_code == 0

    assert [kept.principal for kept in read_records(str(again))] == ["3f0c"]


def test_an_import_waits_for_the_writer(run, exported, tmp_path, monkeypatch):
    def no_room(library):
        raise HistoryError("somebody else is writing")

    # The file has more calls than may wait, and nobody makes room for one.
    monkeypatch.setattr(library, "MOST_PENDING", 2)
    monkeypatch.setattr(library.Library, "_make_room", no_room)

    assert run("import", exported, tmp_path / "again").exit_code == 0

    assert len(ids(tmp_path / "again")) > 2

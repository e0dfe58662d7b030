"""A folder that is damaged or removed: whatever is acknowledged is there, and whatever is not raises, with a remedy."""

from __future__ import annotations

import shutil
import sqlite3

import pytest
from past_calls import EMBEDDING, ids, record
from processes import run
from typer.testing import CliRunner

from llm_tiers.cli import app
from llm_tiers.errors import HistoryError
from llm_tiers.history import ChromaHistory

FILL = """
    with ChromaHistory(where, embedding=EMBEDDING) as history:
        for number in range(1200):
            history.remember(record(number, "a/b"))
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder of 1,200 records, of which Chroma has 992 in its index and the rest in its log."""
    folder = tmp_path_factory.mktemp("made") / "tiers"
    run(FILL, folder)
    return folder


@pytest.fixture
def folder(made, tmp_path):
    return shutil.copytree(made, tmp_path / "tiers")


def _repair(folder, *options):
    return CliRunner().invoke(app, ["history", "repair", str(folder), *options])


def _fails(use):
    """Use a history in a way that may fail, as one of our errors only."""
    try:
        return use()
    except HistoryError as error:
        return error


def _try_everything(history):
    found = history.recall("question 7", node="a", k=3)
    history.remember(record(5000))
    return [
        found.error,
        *(
            _fails(use)
            for use in (
                history.flush,
                history.stats,
                lambda: list(history.export(vectors=True)),
                lambda: history.revise("t7", lambda held: {}),
                lambda: history.prune(keep=10_000),
                history.close,
            )
        ),
    ]


@pytest.mark.parametrize("embedded", [False, True])
def test_a_folder_that_is_removed_is_told_and_what_waits_goes_to_a_new_one(tmp_path, embedded):
    where = tmp_path / "tiers"
    with ChromaHistory(where, embedding=EMBEDDING, embedded=embedded) as history:
        history.remember(record(1))
        history.flush()
        shutil.rmtree(where)
        with pytest.raises(HistoryError, match=r"was removed or replaced.*new folder at the next try"):
            history.flush()
        history.remember(record(2))
        history.flush()
        assert ids(history.recall("question 2", node="n", k=5)) == ["t2"]
        history.remember(record(3))
        shutil.rmtree(where)
        with pytest.raises(HistoryError, match="was removed"):
            history.close()
    with ChromaHistory(where, embedding=EMBEDDING, embedded=embedded) as history:
        history.remember(record(4))
        history.flush()
        assert ids(history.recall("question 4", node="n", k=1)) == ["t4"]


def test_a_corrupt_database_is_told_with_the_remedy(folder):
    (folder / "chroma.sqlite3").write_bytes(b"not a database" * 1000)
    history = ChromaHistory(folder, embedding=EMBEDDING)
    assert "llm-tiers history repair" in history.recall("question 7", node="a", k=3).error
    history.remember(record(5000))
    for use in (history.flush, history.close):
        with pytest.raises(HistoryError, match=f"llm-tiers history repair {folder}"):
            use()


@pytest.mark.parametrize("damage", ["cut", "zeros", "gone"])
@pytest.mark.parametrize("file", ["header.bin", "data_level0.bin", "index_metadata.pickle", "link_lists.bin"])
def test_a_damaged_index_raises_no_error_of_chroma(folder, file, damage):
    for path in folder.glob(f"*/{file}"):
        if damage == "gone":
            path.unlink()
        elif damage == "cut":
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        else:
            path.write_bytes(bytes(path.stat().st_size))
    _try_everything(ChromaHistory(folder, embedding=EMBEDDING))


def test_a_folder_whose_index_is_gone_is_repaired_from_what_is_left(folder):
    for path in folder.glob("*/link_lists.bin"):
        path.unlink()
    dry = _repair(folder, "--dry-run")
    assert "1200 records of namespace default" in dry.output
    assert "nothing was changed" in dry.output
    assert not list(folder.parent.glob("*.damaged-*"))
    done = _repair(folder)
    assert done.exit_code == 0, done.output
    (aside,) = folder.parent.glob("tiers.damaged-*")
    assert str(aside) in done.output
    assert (aside / "chroma.sqlite3").exists()
    with ChromaHistory(folder, embedding=EMBEDDING) as history:
        assert history.stats().nodes == {"a": 1200, "a/b": 1200}
        for number in (7, 1100):
            (found,) = history.recall(f"question {number}", node="a", k=1).neighbours
            assert (found.record.id, found.similarity) == (f"t{number}", 1)


def test_a_database_with_damaged_pages_is_read_as_far_as_it_can_be(folder):
    database = folder / "chroma.sqlite3"
    with sqlite3.connect(database) as tables:
        (page,) = tables.execute("SELECT rootpage FROM sqlite_master WHERE name = 'embeddings_queue'").fetchone()
        (size,) = tables.execute("PRAGMA page_size").fetchone()
    tables.close()
    content = bytearray(database.read_bytes())
    content[(page - 1) * size : page * size] = bytes(size)
    database.write_bytes(content)
    done = _repair(folder)
    assert done.exit_code == 0, done.output
    kept, lost = (int(line.split()[0]) for line in done.output.splitlines()[:2])
    # The vectors of the newest were in that table only; they are counted, not passed over.
    assert kept + lost == 1200
    assert kept > 800
    with ChromaHistory(folder, embedding=EMBEDDING) as history:
        assert history.stats().records == kept
        assert ids(history.recall("question 7", node="a", k=1)) == ["t7"]


def test_a_folder_without_a_readable_database_is_set_aside_only_by_its_owner(folder):
    (folder / "chroma.sqlite3").write_bytes(b"not a database" * 1000)
    done = _repair(folder)
    assert done.exit_code == 0, done.output
    assert "no record can be read" in done.output
    with ChromaHistory(folder, embedding=EMBEDDING) as history:
        history.remember(record(1))
        history.flush()
        assert history.stats().records == 1


def test_a_folder_in_use_is_not_repaired(tmp_path):
    with ChromaHistory(tmp_path, embedding=EMBEDDING) as history:
        history.remember(record(1))
        history.flush()
        done = _repair(tmp_path)
    assert done.exit_code == 2
    assert "in use by another process" in done.output


def test_a_folder_without_a_history_is_named(tmp_path):
    done = _repair(tmp_path)
    assert done.exit_code == 2
    assert "holds no history" in done.output

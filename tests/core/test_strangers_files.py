"""Files and records that somebody else wrote: each is read, or refused with an error of ours, whatever is in it."""

import io
import json
import pickle
import zipfile
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_tiers.errors import ConfigError, HistoryError, ReplayFileError
from llm_tiers.history import ChromaHistory
from llm_tiers.history.jsonl import Header, lines_of, read_lines
from llm_tiers.history.record import Record
from llm_tiers.history.store import facts
from llm_tiers.policies.settings import read_settings
from llm_tiers.profile.warm import warm_start
from llm_tiers.replay.table import load_table

many = settings(max_examples=150)

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner), max_leaves=12
)

NAMES = st.sampled_from(["small", "medium", "large", "tier \U0001f9e0", ""])
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
RECORDS = st.builds(
    Record,
    id=st.text(min_size=1, max_size=20),
    node=st.text(max_size=20).map(facts.printable),
    created=FLOATS,
    labels=st.dictionaries(NAMES, st.booleans()),
    start=NAMES,
    final=NAMES,
    answered=st.lists(NAMES).map(tuple),
    agreed=st.lists(NAMES).map(tuple),
    cost_usd=st.none() | FLOATS,
    said=st.dictionaries(NAMES, st.integers(-1, 5)),
    tokens=st.dictionaries(NAMES, st.integers(0, 10**9)),
    costs=st.dictionaries(NAMES, FLOATS),
    share=st.none() | FLOATS,
    confidence=st.none() | FLOATS,
    audited=st.booleans(),
    profiled=st.booleans(),
    grades=st.dictionaries(st.sampled_from(["check", "feedback", "grader"]), st.dictionaries(NAMES, FLOATS)),
    verdicts=st.dictionaries(NAMES, st.booleans()),
    verdict_costs=st.dictionaries(NAMES, FLOATS),
    contradicted=st.dictionaries(NAMES, st.booleans()),
    grading_usd=st.none() | FLOATS,
    rule=st.none() | NAMES,
    principal=st.none() | st.text(min_size=1, max_size=24),
    text=st.none() | st.text(max_size=40).map(facts.printable),
)


class TestRecords:
    @given(RECORDS)
    @many
    def test_a_record_comes_back_as_it_was(self, record):
        assert facts.read(record.id, facts.write(record)) == record
        assert facts.unpack(record.id, facts.pack(record)) == record

    @given(JSON)
    @many
    def test_anything_else_is_refused(self, content):
        with pytest.raises(HistoryError, match="was not written by llm-tiers"):
            facts.read("t1", {"created": 1.0, "record": json.dumps(content)})

    @given(
        RECORDS, st.sampled_from(sorted(Record.__dataclass_fields__.keys() - {"id", "created", "text", "vector"})), JSON
    )
    @many
    def test_a_record_with_a_foreign_field_is_refused_or_of_the_right_kinds(self, record, name, foreign):
        content = json.loads(facts.write(record)["record"]) | {name: foreign}
        with suppress(HistoryError):
            read = facts.read("t1", {"created": 1.0, "record": json.dumps(content)})
            assert all(
                isinstance(getattr(read, kind), dict) for kind in ("labels", "said", "costs", "grades", "verdicts")
            )
            assert all(isinstance(value, bool) for value in read.labels.values())
            assert all(isinstance(value, int) for value in read.said.values())
            assert all(
                isinstance(tier, str) for tier in (*read.answered, *read.agreed, read.start, read.final, read.node)
            )

    @pytest.mark.parametrize("content", ["", "{", "[" * 100_000, "1e999", '{"a":' * 50_000])
    def test_what_is_no_json_is_refused(self, content):
        with pytest.raises(HistoryError, match="was not written by llm-tiers"):
            facts.read("t1", {"created": 1.0, "record": content})

    @pytest.mark.parametrize("metadata", [None, {}, {"record": "{}"}, {"created": "now", "record": None}])
    def test_other_metadata_is_refused(self, metadata):
        with pytest.raises(HistoryError, match="was not written by llm-tiers"):
            facts.read("t1", metadata)


HEADER = Header("by hand", 4)
WITH_VECTORS = st.builds(
    lambda record, vector, numbers: replace(
        record,
        vector=np.array(vector, dtype=np.float32),
        created=numbers[0],
        cost_usd=numbers[1],
        share=numbers[2],
        confidence=None,
        costs={"small": numbers[1]},
        verdict_costs={},
        grades={"grader": {"small": numbers[2]}},
        grading_usd=numbers[1],
    ),
    RECORDS,
    st.lists(st.floats(-1, 1, width=32), min_size=4, max_size=4),
    st.tuples(st.floats(0, 1e10), st.floats(0, 1e3), st.floats(0, 1)),
)


def read_back(content):
    return read_lines("lines.jsonl", io.BytesIO(content))


class TestImports:
    """What `llm-tiers history export` writes, and what `import` reads."""

    @given(st.lists(WITH_VECTORS, max_size=3))
    @many
    def test_what_was_exported_comes_back_as_it_was(self, records):
        header, found = read_back("".join(lines_of(HEADER, records)).encode())
        assert (header, found) == (HEADER, records)
        assert [held.vector.tobytes() for held in found] == [record.vector.tobytes() for record in records]

    @given(JSON)
    @many
    def test_any_other_line_is_refused(self, content):
        for lines in ([content], [json.loads(next(lines_of(HEADER, ()))), content]):
            with pytest.raises(HistoryError, match=r"lines\.jsonl"):
                read_back("\n".join(map(json.dumps, lines)).encode())

    @given(WITH_VECTORS, st.sampled_from(sorted(Record.__dataclass_fields__.keys() - {"trace"})), JSON)
    @many
    def test_a_record_with_a_foreign_field_is_refused_or_one_that_can_be_kept(self, record, name, foreign):
        first, line = lines_of(HEADER, [record])
        with suppress(HistoryError):
            _, (found,) = read_back((first + json.dumps(json.loads(line) | {name: foreign})).encode())
            assert facts.read(found.id, facts.write(found)) == replace(found, vector=None)

    @given(WITH_VECTORS, st.integers(0, 1_000), st.binary(min_size=1, max_size=16))
    @many
    def test_changed_bytes_make_records_or_an_error_of_ours(self, record, place, change):
        content = bytearray("".join(lines_of(HEADER, [record])).encode())
        content[place : place + len(change)] = change
        with suppress(HistoryError):
            read_back(bytes(content))


class TestSettings:
    @given(JSON | st.dictionaries(st.sampled_from(["llm_tiers_settings", "policy", "knob", "tiers", "aim", "n"]), JSON))
    @many
    def test_any_json_is_refused(self, tmp_path_factory, content):
        path = tmp_path_factory.getbasetemp() / "settings.json"
        path.write_text(json.dumps(content), encoding="utf-8")
        with pytest.raises(ConfigError, match="settings: "):
            read_settings(path)

    @given(st.binary(max_size=200))
    @many
    def test_any_bytes_are_refused(self, tmp_path_factory, content):
        path = tmp_path_factory.getbasetemp() / "settings.json"
        path.write_bytes(content)
        with pytest.raises(ConfigError, match="settings: "):
            read_settings(path)

    def test_a_deep_file_is_refused(self, tmp_path):
        path = tmp_path / "settings.json"
        path.write_text('{"a":' * 100_000)
        with pytest.raises(ConfigError, match="settings: "):
            read_settings(path)


def saved(**arrays):
    content = io.BytesIO()
    np.savez(content, **arrays)
    return content.getvalue()


def table(**changes):
    n, k = 3, 2
    of_answers = ("correct", "abstained", "verdict", "judge_tier", "gen_in", "gen_out", "gen_s")
    arrays = {name: np.ones((n, k)) for name in (*of_answers, "judge_in", "judge_out", "judge_s", "answer_exact")}
    arrays |= {"abstained": np.zeros((n, k)), "tiers": np.array(["a", "b"])}
    arrays |= {name: np.ones(k) for name in ("price_in", "price_out", "prior")}
    arrays["embedding"] = np.ones((n, 4), np.float32)
    return saved(**{**arrays, **changes})


class Explosive:
    def __reduce__(self):
        return exec, ("raise SystemError('run')",)


def zipped(name, content, **facts):
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", **facts) as file:
        file.writestr(name, content)
    return held.getvalue()


def header(description):
    text = description.encode().ljust(118) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def encrypted(content):
    """Set the bit that says so in both headers of the first entry."""
    held = bytearray(content)
    held[6] |= 1
    held[held.index(b"PK\x01\x02") + 8] |= 1
    return bytes(held)


NPZ = {
    "a pickle": pickle.dumps(Explosive()),
    "an array of objects": table(tiers=np.array([Explosive(), Explosive()], dtype=object)),
    "a huge array": zipped("tiers.npy", header("{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999,)}")),
    "a negative shape": zipped("tiers.npy", header("{'descr': '<f8', 'fortran_order': False, 'shape': (-5,)}")),
    "no header": zipped("tiers.npy", b"\x93NUMPY\x01\x00"),
    "a header that calls": zipped("tiers.npy", header("__import__('os').system('true')")),
    "an unknown version": zipped("tiers.npy", b"\x93NUMPY\x09\x00" + b" " * 128),
    "an encrypted entry": encrypted(zipped("tiers.npy", b"x" * 64)),
    "a path outside": zipped("../../tiers.npy", b"x"),
    "a short zip": table()[:200],
    "a zip without its end": table()[:-30],
    "text as numbers": table(correct=np.full((3, 2), "x")),
    "a third dimension": table(correct=np.ones((3, 2, 2))),
    "no rows": table(correct=np.ones((0, 2))),
    "other numbers": table(prior=np.full(2, np.nan)),
    "a date": table(gen_s=np.full((3, 2), np.datetime64("2020-01-01"))),
    "records": table(price_in=np.zeros(2, dtype=[("a", "f8"), ("b", "f8")])),
    "nothing": b"",
}


class TestReplayFiles:
    def test_a_sound_one_is_read(self, tmp_path):
        (tmp_path / "sound.npz").write_bytes(table())
        assert len(load_table(tmp_path / "sound.npz")) == 3

    @pytest.mark.parametrize("kind", NPZ)
    def test_a_damaged_or_hostile_one_is_refused(self, tmp_path, kind):
        path = tmp_path / "hostile.npz"
        path.write_bytes(NPZ[kind])
        with pytest.raises(ReplayFileError, match=r"hostile\.npz"):
            load_table(path)

    @given(st.integers(0, len(table()) - 1), st.binary(min_size=1, max_size=16))
    @many
    def test_changed_bytes_make_a_table_or_an_error_of_ours(self, tmp_path_factory, place, change):
        path = tmp_path_factory.getbasetemp() / "changed.npz"
        content = bytearray(table())
        content[place : place + len(change)] = change
        path.write_bytes(content)
        with suppress(ReplayFileError):
            assert len(load_table(path)) == 3

    def test_what_a_warm_start_reads_besides_is_refused_too(self, tmp_path):
        path = tmp_path / "hostile.npz"
        path.write_bytes(table(grades=np.full((3, 2), Explosive(), dtype=object)))
        with (
            ChromaHistory(embedding=lambda text: [1.0, 0.0]) as history,
            pytest.raises(ReplayFileError, match="hostile"),
        ):
            warm_start(history, path)

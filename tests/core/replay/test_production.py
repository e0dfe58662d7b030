"""Chances in the record, and the replay of policies on the calls of a history."""

import json
import statistics
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from llm_tiers import ChromaHistory, Embedding, Engine, Guarantee, Ladder, Tier
from llm_tiers.calibration.production import production_of
from llm_tiers.cli import app
from llm_tiers.history.reading import read_records
from llm_tiers.history.store import facts
from llm_tiers.policies.named import as_policy
from llm_tiers.replay import BUNDLED, load_table, replay
from llm_tiers.replay.performer import RecordedPerformer
from llm_tiers.replay.weighing import weighed_mean

CALLS = 700


@pytest.fixture(scope="module")
def recorded():
    return load_table(BUNDLED[1])


def run(recorded, policy, history, rows):
    tiers = [
        Tier(None, name=name, price=(recorded.price_in[position], recorded.price_out[position]))
        for position, name in enumerate(recorded.tiers)
    ]
    engine = Engine(Ladder(tiers), policy, history)
    for row in rows:
        call = replace(engine.call(str(row)), id=f"call-{row}")
        engine.run(call, RecordedPerformer(recorded, row))
    engine.close()


def opened(recorded, where=None):
    # As a text, because the vectors are looked up by it.
    embedding = Embedding(lambda row: recorded.embedding[int(row)], name="recorded")
    return ChromaHistory(where, embedding=embedding)


@pytest.fixture(scope="module")
def history(recorded, tmp_path_factory):
    """A folder in which the default policy answered recorded calls, and profiled some of them."""
    folder = tmp_path_factory.mktemp("production") / "tiers"
    run(recorded, as_policy("default", learning=0.3), opened(recorded, folder), range(CALLS))
    return folder


@pytest.fixture
def replayed(history):
    def replayed(*arguments, source=history):
        return CliRunner().invoke(app, ["replay", str(source), *map(str, arguments)])

    return replayed


class TestTheRecord:
    def test_every_decision_of_the_default_has_its_chance(self, history):
        records = read_records(str(history))
        assert len(records) == CALLS
        assert all(0 < record.chance <= 1 and 0 <= record.complete_chance <= 1 for record in records)
        by_kind = {
            kind: [record.chance for record in records if (record.profiled, record.audited) == kind]
            for kind in ((True, True), (True, False), (False, False))
        }
        assert all(by_kind.values())
        # Where the top tier's answer is foreseen, profiling without it is three times as likely as with it.
        assert max(by_kind[True, True]) > statistics.mean(by_kind[True, False])

    def test_the_calls_that_all_tiers_answered_stand_for_all(self, history, recorded):
        records = read_records(str(history))
        names = set(recorded.tiers)
        complete = [record for record in records if record.profiled and names <= set(record.answered)]
        chances = np.array([record.complete_chance for record in complete])
        # The variance of the sum where each call is drawn by itself.
        error = np.sqrt(np.sum((1 - chances) / chances**2))
        reachable = sum(record.complete_chance > 0 for record in records)
        assert np.sum(1 / chances) == pytest.approx(reachable, abs=4 * error)
        assert len(complete) < reachable / 2

    def test_an_audit_adds_its_own_chance(self, recorded):
        records = kept_records(recorded, "estimate", 0.25)
        assert {record["complete_chance"] for record in records} == {0.25}
        assert all(record["chance"] <= (0.25 if record["audited"] else 0.75) for record in records)

    def test_a_guarantee_states_the_chance_of_its_audits(self, recorded):
        records = kept_records(recorded, Guarantee(0.1, expected_calls=5_000), None, number=40)
        assert {(record["audited"], record["chance"], record["complete_chance"]) for record in records} == {
            (True, 1.0, 1.0)
        }

    def test_a_record_from_before_has_none(self):
        metadata = {"created": 1.0, "record": json.dumps(OLD)}
        record = facts.read("t1", metadata)
        assert (record.chance, record.complete_chance) == (None, None)


OLD = {
    "node": "",
    "labels": {},
    "start": "a",
    "final": "a",
    "answered": ["a"],
    "agreed": ["a"],
    "cost_usd": None,
}


def kept_records(recorded, policy, audit, number=60):
    kept = opened(recorded)
    tiers = [Tier(None, name=name, price=(1.0 + place, 1.0)) for place, name in enumerate(recorded.tiers)]
    engine = Engine(Ladder(tiers), as_policy(policy, audit=audit), kept)
    for row in range(number):
        engine.run(replace(engine.call(str(row)), id=f"call-{row}"), RecordedPerformer(recorded, row))
    records = list(kept.export())
    engine.close()
    return records


class TestTheEstimator:
    def test_equal_weights_give_the_mean_and_its_standard_error(self):
        values = np.array([0.0, 1.0, 1.0, 1.0, 0.0])
        found = weighed_mean(values, np.full(5, 3.0))
        assert (found.mean, found.worth) == (pytest.approx(0.6), pytest.approx(5))
        assert found.error == pytest.approx(np.std(values, ddof=1) / np.sqrt(5))

    def test_it_is_right_where_the_chance_depends_on_the_value(self):
        random = np.random.default_rng(7)
        values = random.random(4_000) < 0.7
        chances = np.where(values, 0.1, 0.4)
        drawn = random.random((200, 4_000)) < chances
        found = [weighed_mean(values[row], 1 / chances[row]) for row in drawn]
        means = np.array([one.mean for one in found])
        assert means.mean() == pytest.approx(values.mean(), abs=0.005)
        # The stated error is how much the estimates really vary.
        assert statistics.mean(one.error for one in found) == pytest.approx(means.std(), rel=0.2)
        assert values[drawn[0]].mean() < 0.5

    def test_a_single_call_says_nothing_of_its_error(self):
        assert weighed_mean([1.0], [2.0]).error == float("inf")


class TestReplay:
    def test_a_tier_alone_is_estimated_as_it_is_on_all_calls(self, history, recorded):
        (table,) = production_of("tiers", read_records(str(history))).tables
        rows = slice(0, CALLS)
        said = recorded.answer_equal[rows]
        for place, name in enumerate(recorded.tiers[:-1]):
            right, _ = replay(table, f"single:{name}").weighed()
            truth = np.mean((said[:, place] == said[:, -1]) & (said[:, -1] >= 0))
            assert right.mean == pytest.approx(truth, abs=4 * right.error)

    def test_the_command_takes_a_history(self, replayed, tmp_path):
        out = tmp_path / "out.json"
        done = replayed("--policy", "single:o1", "--policy", "agree-two", "--json", out)
        assert done.exit_code == 0, done.output
        assert f"of {CALLS} calls, those that all tiers answered" in done.stderr
        assert "inverse propensity" in done.stderr
        assert "right means same as o1" in done.stderr
        top, rule = json.loads(out.read_text())
        assert top["accuracy"] > 0.99
        assert 0 < rule["accuracy_error"] < 0.1
        assert rule["cost_usd"] < top["cost_usd"]
        assert "±" in done.stdout

    def test_grades_say_what_is_right_where_there_are_enough(self, recorded, tmp_path):
        kept = opened(recorded, tmp_path)
        run(recorded, as_policy("estimate", audit=0.9), kept, range(60))
        kept = opened(recorded, tmp_path)
        for call in list(kept.export()):
            right = dict(zip(recorded.tiers, map(float, recorded.correct[int(call["id"][5:])]), strict=True))
            kept.revise(call["id"], lambda record, right=right: replace(record, grades={"check": right}))
        kept.close()
        found = production_of("tiers", read_records(str(tmp_path)))
        assert "right means graded right by check" in found.note
        rows = len(found.tables[0])
        assert rows >= 30
        assert replay(found.tables[0], "single:o1").accuracy < 1

    def test_what_is_no_history_is_refused(self, replayed, tmp_path):
        done = replayed(source=tmp_path)
        assert (done.exit_code, done.stdout) == (2, "")
        assert "holds no history" in done.stderr
        assert "Traceback" not in done.stderr

    def test_a_file_has_no_nodes(self, replayed):
        done = replayed("--node", "plan", source=BUNDLED[0])
        assert done.exit_code == 2
        assert "--node plan: only histories have nodes" in done.stderr

    def test_too_few_calls_are_refused_with_the_way_to_more(self, recorded, tmp_path, replayed):
        run(recorded, as_policy("estimate"), opened(recorded, tmp_path), range(5))
        done = replayed(source=tmp_path)
        assert done.exit_code == 2
        assert "holds 0 calls that all tiers answered, of 5; it takes 30" in done.stderr
        assert "audit=0.02" in done.stderr

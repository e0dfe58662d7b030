"""`llm-tiers calibrate`: frontiers, recommendations, settings, on recorded outcomes and on audited histories."""

import json
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from llm_tiers import Call, ChromaHistory, ConfigError, Embedding, Engine, Ladder, Tier
from llm_tiers.calibration.audited import FEWEST, audited_tables, graded_calls, sources_of
from llm_tiers.calibration.intervals import intervals
from llm_tiers.cli import app
from llm_tiers.flow.limits import Limits
from llm_tiers.history import Record
from llm_tiers.history.reading import read_records
from llm_tiers.policies.named import as_policy
from llm_tiers.replay import BUNDLED, load_table, replay
from llm_tiers.replay.performer import RecordedPerformer

NAMES = ("small", "medium", "large")
TARGET = 0.7
N = 80


def arrays(n=N, *, verdicts=False, names=NAMES):
    """Make a table in which dearer tiers are right more often, and wrong answers are each tier's own."""
    rng = np.random.default_rng(n)
    k = len(names)
    hard = rng.random(n)
    correct = hard[:, None] < np.array([0.55, 0.8, 0.95])[:k]
    verdict = np.where(verdicts & (np.arange(k) < k - 1), correct, -1)
    return {
        "tiers": np.array(names),
        "price_in": 10.0 ** np.arange(k),
        "price_out": 4 * 10.0 ** np.arange(k),
        "prior": np.full(k, 0.5),
        "embedding": np.stack([np.cos(3 * hard), np.sin(3 * hard)], axis=1).astype(np.float32),
        "correct": correct.astype(np.int8),
        "abstained": np.zeros((n, k), np.int8),
        "verdict": verdict,
        "judge_tier": np.where(verdict >= 0, 1, -1),
        "gen_in": np.full((n, k), 100),
        "gen_out": (20 + 200 * hard[:, None] * np.ones(k)).astype(int),
        "gen_s": np.full((n, k), 2.0, np.float32),
        "judge_in": np.where(verdict >= 0, 200, 0),
        "judge_out": np.where(verdict >= 0, 1, 0),
        "judge_s": np.where(verdict >= 0, 1.0, 0.0),
        "answer_exact": np.where(correct, 0, np.arange(1, k + 1)),
    }


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("tables") / "recorded.npz"
    np.savez(path, **arrays())
    return path


def calibrate(*arguments):
    return CliRunner().invoke(app, ["calibrate", *map(str, arguments)])


def points_of(*arguments):
    """Calibrate with `--json -` and return the exit code and what was printed on standard output."""
    done = calibrate(*arguments, "--json", "-")
    return done.exit_code, json.loads(done.stdout)


@dataclass(frozen=True)
class Calibrated:
    """What one run of the command told and wrote.

    Attributes:
        status: Its exit status.
        output: All that it printed.
        table: What of that went to standard output.
        points: What it wrote for `--json`.
        settings: The file for `--out`, whether it was written or not.
    """

    status: int
    output: str
    table: str
    points: dict
    settings: Path


@pytest.fixture(scope="module")
def calibrated(file, tmp_path_factory):
    """Calibrate on `file`, once for the same arguments: a run replays the table some fifty times."""

    @cache
    def run(*arguments):
        folder = tmp_path_factory.mktemp("calibrated")
        settings = folder / "tiers.json"
        written = ("--out", settings) if arguments else ()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("COLUMNS", "80")
            done = calibrate(file, *arguments, *written, "--json", folder / "points.json")
        points = json.loads((folder / "points.json").read_text())
        return Calibrated(done.exit_code, done.output, done.stdout, points, settings)

    return run


@pytest.fixture(scope="module")
def by_accuracy(calibrated):
    done = calibrated("--accuracy", TARGET)
    return done.status, done.points


class TestPoints:
    def test_a_point_is_the_mean_of_replays_in_shuffled_orders(self, file, by_accuracy):
        _, found = by_accuracy
        table = load_table(file)
        for point in (found["points"][0], found["points"][-1]):
            runs = [replay(table, "default", knob=point["knob"], order="shuffle", seed=seed) for seed in range(6)]
            cost = np.mean([run.cost_usd for run in runs]) / N * 1_000
            assert point["accuracy"]["mean"] == pytest.approx(np.mean([run.accuracy for run in runs]))
            # The last digits of a similarity, which Chroma does not repeat, may turn a decision.
            assert point["usd_per_1000_calls"]["mean"] == pytest.approx(cost, rel=0.02)

    def test_single_tiers_stand_beside_it(self, by_accuracy):
        _, found = by_accuracy
        table = arrays()
        assert [single["policy"] for single in found["singles"]] == [f"single:{name}" for name in NAMES]
        for position, single in enumerate(found["singles"]):
            cost = table["gen_in"] * table["price_in"] + table["gen_out"] * table["price_out"]
            assert single["accuracy"]["mean"] == pytest.approx(table["correct"][:, position].mean())
            assert single["usd_per_1000_calls"]["mean"] == pytest.approx(cost[:, position].mean() / 1_000)
            assert single["seconds_per_call"] == pytest.approx(2.0)

    def test_every_interval_holds_its_mean(self, by_accuracy):
        _, found = by_accuracy
        for point in (*found["points"], *found["singles"]):
            for figure in ("accuracy", "usd_per_1000_calls"):
                assert point[figure]["low"] <= point[figure]["mean"] <= point[figure]["high"]

    def test_no_point_of_the_frontier_is_beaten_by_another_of_its_policy(self, by_accuracy):
        _, found = by_accuracy
        shown = [point for point in found["points"] if point["on_frontier"]]
        assert shown
        for point in shown:
            assert not any(
                other["usd_per_1000_calls"]["mean"] < point["usd_per_1000_calls"]["mean"]
                and other["accuracy"]["mean"] >= point["accuracy"]["mean"]
                for other in found["points"]
            )

    def test_two_files_are_one_sample(self, tmp_path):
        one, other = tmp_path / "one.npz", tmp_path / "other.npz"
        np.savez(one, **arrays(40))
        np.savez(other, **arrays(20))
        status, found = points_of(one, other)
        assert status == 0
        assert found["n"] == 60
        right = np.concatenate([arrays(40)["correct"], arrays(20)["correct"]])
        assert found["singles"][1]["accuracy"]["mean"] == pytest.approx(right[:, 1].mean())

    def test_judging_policies_are_tried_where_verdicts_are_recorded(self, calibrated, tmp_path):
        judged = tmp_path / "judged.npz"
        np.savez(judged, **arrays(40, verdicts=True))
        unjudged, found = calibrated().points, points_of(judged)[1]
        tried = [{point["policy"] for point in points["points"]} for points in (unjudged, found)]
        assert tried == [{"default"}, {"default", "agree", "estimate"}]

    def test_only_the_policies_named_are_tried(self, tmp_path):
        judged = tmp_path / "judged.npz"
        np.savez(judged, **arrays(40, verdicts=True))
        _, found = points_of(judged, "--policy", "agree")
        assert {point["policy"] for point in found["points"]} == {"agree"}

    def test_several_processes_find_what_one_does(self, file):
        from llm_tiers.calibration import Sweep, sample_of
        from llm_tiers.calibration import sweep as module

        sample = sample_of([str(file)])
        settings = [("single:small", None), ("default", 0.0), ("default", 0.3)]
        alone = Sweep(sample).measure(settings)
        # So few questions would be answered in one process otherwise.
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "_WORTH_A_PROCESS", 500)
            together = Sweep(sample, workers=2).measure(settings)
        for one, other in zip(alone, together, strict=True):
            assert (one.policy, one.knob, one.seconds) == (other.policy, other.knob, other.seconds)
            assert one.right.tolist() == other.right.tolist()
            assert one.costs.tolist() == other.costs.tolist()


class TestRecommendation:
    def test_an_accuracy_is_reached_by_the_lower_end_at_the_least_cost(self, by_accuracy):
        status, found = by_accuracy
        assert status == 0
        chosen = found["recommended"]
        assert chosen["accuracy"]["low"] >= TARGET
        weighed = [*found["points"], *found["singles"], *found["rules"]]
        enough = [point for point in weighed if point["accuracy"]["low"] >= TARGET]
        cheapest = min(point["usd_per_1000_calls"]["mean"] for point in enough)
        assert chosen["usd_per_1000_calls"]["mean"] == cheapest
        assert len(enough) < len(weighed)

    def test_a_budget_is_kept_by_the_upper_end_and_spent_on_accuracy(self, calibrated):
        done = calibrated("--cost", "50%")
        found = done.points
        budget = found["singles"][-1]["usd_per_1000_calls"]["mean"] / 2
        assert done.status == 0
        within = [point for point in found["points"] if point["usd_per_1000_calls"]["high"] <= budget]
        assert found["recommended"]["accuracy"]["mean"] == max(point["accuracy"]["mean"] for point in within)
        assert found["recommended"]["usd_per_1000_calls"]["high"] <= budget

    def test_a_budget_in_dollars_is_that_share_of_the_tops_cost(self, tmp_path):
        path = tmp_path / "recorded.npz"
        np.savez(path, **arrays(40))
        _, found = points_of(path, "--cost", "50%")
        budget = found["singles"][-1]["usd_per_1000_calls"]["mean"] / 2
        assert found["recommended"] is not None
        assert points_of(path, "--cost", repr(budget))[1]["recommended"] == found["recommended"]

    def test_as_good_as_a_tier_is_right_as_often_at_the_least_cost(self, calibrated):
        done = calibrated("--as-good-as", "medium")
        assert done.status == 0, done.output
        assert "as good as medium on the same questions" in done.output
        found = done.points
        medium = found["singles"][1]["accuracy"]["mean"]
        weighed = [*found["singles"], *found["rules"], *found["points"]]
        enough = [point for point in weighed if point["accuracy"]["mean"] >= medium]
        assert found["recommended"] in [{k: v for k, v in point.items() if k != "on_frontier"} for point in enough]
        assert found["recommended"]["usd_per_1000_calls"]["mean"] == min(
            point["usd_per_1000_calls"]["mean"] for point in enough
        )

    def test_it_looks_closer_around_what_it_recommends(self, calibrated, by_accuracy):
        without = {point["knob"] for point in calibrated().points["points"]}
        closer = {point["knob"] for point in by_accuracy[1]["points"]} - without
        assert 1 <= len(closer) <= 2
        assert all(min(without) < knob < max(without) for knob in closer)

    def test_a_target_out_of_reach_ends_with_status_1_and_writes_nothing(self, calibrated):
        done = calibrated("--accuracy", 0.999)
        assert done.status == 1
        assert "no setting reaches it; nearest is rule small+medium>large" in done.output
        assert not done.settings.exists()

    def test_a_single_tier_that_is_the_better_buy_is_recommended(self, file, calibrated):
        done = calibrated("--accuracy", 0.4)
        assert done.status == 0
        assert "recommended: always small" in done.output
        policy = as_policy(settings=done.settings)
        engine = Engine(ladder_of(*NAMES), policy, None)
        assert engine.run(Call(id="1", query="0", created=0.0), RecordedPerformer(load_table(file), 0)).trace.final == (
            "small"
        )

    def test_beside_policies_that_are_named_the_better_buy_is_only_noted(self, calibrated):
        done = calibrated("--accuracy", TARGET, "--policy", "default")
        assert done.status == 0
        assert "recommended: policy default" in done.output
        assert "note: always medium is the better buy" in done.output

    def test_a_fixed_rule_is_measured_as_the_flow_runs_it_and_recommended_where_it_is_cheapest(self, tmp_path):
        # Two weak tiers that are right together and wrong apart: where they agree the top is not needed.
        n = 70
        table = arrays(n)
        right = np.random.default_rng(1).random((n, 3)) < np.array([0.7, 0.75, 1.0])
        table |= {"correct": right.astype(np.int8), "answer_exact": np.where(right, 0, np.arange(1, 4))}
        path, out = tmp_path / "recorded.npz", tmp_path / "tiers.json"
        np.savez(path, **table)

        done = calibrate(path, "--accuracy", 0.95, "--out", out)

        assert "recommended: rule small+medium>large" in done.output
        rows = load_table(path)
        engine = Engine(
            Ladder(Tier(None, name=name, price=(10.0**k, 4 * 10.0**k)) for k, name in enumerate(NAMES)),
            as_policy(settings=out),
            None,
        )
        traces = [engine.run(Call(id=str(row), query="q", created=0.0), RecordedPerformer(rows, row)).trace
                  for row in range(n)]  # fmt: skip
        measured = json.loads(out.read_text())
        cost = sum(trace.cost_usd for trace in traces) / n * 1_000
        assert measured["usd_per_1000_calls"]["mean"] == pytest.approx(cost)
        assert measured["knob"] is None

    def test_a_target_below_the_top_can_be_proved_on_ones_own_calls(self, calibrated):
        done = calibrated("--accuracy", TARGET)
        top = arrays()["correct"][:, -1].mean()
        assert f'policy=Guarantee({top - TARGET:.3g}, of="grade")' in done.output

    def test_a_file_that_nobody_graded_says_so_in_every_figure(self, tmp_path):
        path = tmp_path / "recorded.npz"
        np.savez(path, **arrays(40), right_means=np.array("same as large"))
        done = calibrate(path, "--accuracy", TARGET)
        assert "warning: nobody graded these answers" in done.output
        assert "accuracy: same as large" in done.output

    def test_a_top_tier_that_is_no_better_than_a_cheaper_one_is_named(self, calibrated, tmp_path):
        assert "the top tier seems no better" not in calibrated("--accuracy", TARGET).output
        path = tmp_path / "worse.npz"
        worse = arrays(40)
        worse["correct"][:, -1] = False
        np.savez(path, **worse)
        done = calibrate(path, "--accuracy", TARGET)
        assert f"warning: the top tier seems no better than one below it: {NAMES[-1]} is right on .000" in done.output

    def test_files_with_two_meanings_of_right_do_not_go_together(self, file, tmp_path):
        path = tmp_path / "other.npz"
        np.savez(path, **arrays(60), right_means=np.array("same as large"))
        done = calibrate(file, path)
        assert done.exit_code == 2
        assert "calibrate them by themselves" in done.output

    def test_the_recommended_row_is_marked_in_80_columns(self, calibrated):
        table = calibrated("--accuracy", TARGET).table
        marked = [line for line in table.splitlines() if line.strip().startswith("→ ")]
        assert len(marked) == 1
        assert "…" not in table

    def test_without_a_target_the_frontier_is_shown_and_nothing_recommended(self, calibrated):
        done = calibrated()
        assert done.status == 0
        assert "default" in done.table
        assert "→" not in done.table
        assert "recommended" not in done.table

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("--accuracy", 1.5), "--accuracy 1.5 must lie in (0, 1]"),
            (("--accuracy", 0.7, "--cost", "3"), "--accuracy and --cost: give one target"),
            (("--cost", "cheap"), "--cost cheap: give US$ for 1,000 calls"),
            (("--cost", "-2"), "give US$ for 1,000 calls"),
            (("--as-good-as", "gpt-9"), "take one of small, medium, large"),
            (("--as-good-as", "llm-at"), "records no verdicts"),
            (("--policy", "agree"), "records no verdicts"),
            (("--policy", "llm-at"), "policy 'llm-at' cannot be calibrated"),
            (("--node", "plan"), "only histories have nodes"),
            (("--out", "out.json"), "--out needs a target"),
            (("--accuracy", 0.7, "--out", "/no/such/folder/out.json"), "there is no folder"),
            (("--embedding", "nothing"), "the array 'nothing' is missing"),
        ],
    )
    def test_bad_input_is_told_in_a_line(self, file, arguments, message):
        done = calibrate(file, *arguments)
        assert done.exit_code == 2
        assert message in done.output.replace("\n", "")
        assert "Traceback" not in done.output

    def test_other_ladders_and_other_kinds_do_not_go_together(self, file, tmp_path):
        other = tmp_path / "other.npz"
        np.savez(other, **arrays(names=("small", "large")))
        assert "the ladders differ" in calibrate(file, other).output.replace("\n", "")
        assert "cannot be calibrated on together" in calibrate(file, tmp_path).output.replace("\n", "")
        assert "no such file" in calibrate(tmp_path / "nowhere").output
        assert "holds no history" in calibrate(tmp_path).output.replace("\n", "")


class TestIntervals:
    def test_a_sample_that_is_right_throughout_promises_no_more_than_it_shows(self):
        (interval,) = intervals([np.ones(100)], share=True)
        # The beta distribution's lower 5% after 100 right answers of 100.
        assert interval.low == pytest.approx(0.05 ** (1 / 101), abs=0.004)
        assert interval.mean == interval.high == 1

    def test_the_truth_lies_above_the_lower_end_19_times_of_20(self):
        rng = np.random.default_rng(5)
        samples = [rng.random(200) < 0.8 for _ in range(300)]
        found = [intervals([sample], share=True)[0] for sample in samples]
        assert 0.92 <= np.mean([interval.low <= 0.8 for interval in found]) <= 0.98
        assert 0.92 <= np.mean([interval.high >= 0.8 for interval in found]) <= 0.98

    def test_it_narrows_as_the_root_of_the_questions(self):
        rng = np.random.default_rng(6)
        few, many = (intervals([rng.exponential(size=n)])[0] for n in (100, 10_000))
        assert (few.high - few.low) / (many.high - many.low) == pytest.approx(10, rel=0.3)
        assert many.high - many.low == pytest.approx(2 * 1.645 / 100, rel=0.1)


@pytest.fixture(scope="module")
def settings_file(calibrated):
    done = calibrated("--accuracy", TARGET, "--policy", "default")
    assert done.status == 0, done.output
    return done.settings


def ladder_of(*names):
    return Ladder(Tier(None, name=name) for name in names)


class TestSettings:
    def test_the_file_says_what_it_is_and_what_to_expect(self, calibrated, settings_file):
        content = json.loads(settings_file.read_text())
        chosen = calibrated("--accuracy", TARGET, "--policy", "default").points["recommended"]
        assert content["llm_tiers_settings"] == 1
        assert (content["policy"], content["knob"]) == (chosen["policy"], chosen["knob"])
        assert content["aim"] == {"kind": "accuracy", "value": TARGET}
        assert content["tiers"] == list(NAMES)
        assert (content["n"], content["sources"], content["right_means"]) == (N, ["recorded.npz"], "right")
        assert content["accuracy"] == chosen["accuracy"]
        assert content["usd_per_1000_calls"] == chosen["usd_per_1000_calls"]

    def test_a_policy_is_made_of_it(self, settings_file):
        knob = json.loads(settings_file.read_text())["knob"]
        policy = as_policy(settings=settings_file)
        assert policy.name == "default"
        assert policy.starter.quality == knob
        policy.check(ladder_of(*NAMES))

    @pytest.mark.parametrize("name", ["agree", "estimate"])
    def test_the_knob_of_a_judging_policy_is_theta(self, settings_file, tmp_path, name):
        path = tmp_path / "tiers.json"
        path.write_text(json.dumps(json.loads(settings_file.read_text()) | {"policy": name, "knob": 0.9}))
        policy = as_policy(settings=str(path))
        assert policy.name == name
        assert policy.starter.theta == 0.9

    def test_another_ladder_is_refused_with_both_named(self, settings_file):
        policy = as_policy(settings=settings_file)
        for names in (("small", "large"), ("medium", "small", "large"), ("small", "medium", "huge")):
            with pytest.raises(ConfigError, match=r"calibrated on the tiers small, medium, large, but this ladder is"):
                policy.check(ladder_of(*names))

    @pytest.mark.parametrize(
        "beside", [{"policy": "default"}, {"quality": 0.5}, {"judge": lambda question, answer: True}]
    )
    def test_what_it_settles_cannot_be_given_beside_it(self, settings_file, beside):
        (name,) = beside
        with pytest.raises(ConfigError, match=f"leave out {name}, or settings"):
            as_policy(settings=settings_file, **beside)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"llm_tiers_settings": 2}, "was written by another llm-tiers .format 2"),
            ({"knob": 7}, "is damaged .knob: "),
            ({"policy": "magic"}, "policy 'magic' is unknown"),
            ({"knob": None}, "policy 'default' needs a knob"),
            ({"tiers": "small"}, "is damaged .tiers: "),
        ],
    )
    def test_a_file_that_cannot_be_used_says_why(self, settings_file, tmp_path, change, message):
        path = tmp_path / "tiers.json"
        path.write_text(json.dumps(json.loads(settings_file.read_text()) | change))
        with pytest.raises(ConfigError, match=message):
            as_policy(settings=path)

    @pytest.mark.parametrize("content", ["", "[]", '{"policy": "default"}', "\0"])
    def test_a_file_of_another_kind_is_refused(self, tmp_path, content):
        path = tmp_path / "tiers.json"
        path.write_text(content)
        with pytest.raises(ConfigError, match="is not a file that `llm-tiers calibrate --out` wrote"):
            as_policy(settings=path)

    def test_no_file_and_no_path(self, tmp_path):
        with pytest.raises(ConfigError, match=r"there is no file .*nowhere\.json"):
            as_policy(settings=tmp_path / "nowhere.json")
        with pytest.raises(ConfigError, match="cannot be read"):
            as_policy(settings=tmp_path)
        with pytest.raises(ConfigError, match=r"settings must be the path of a file .* not dict"):
            as_policy(settings={"policy": "default"})


@pytest.fixture(scope="module")
def recorded():
    return load_table(BUNDLED[0])


@pytest.fixture(scope="module")
def audited(recorded, tmp_path_factory):
    """A folder in which 300 recorded calls of two nodes were answered by the doubt cascade, many of them audited.

    At this quality some calls climb to the top by themselves; which are drawn depends on their ids, so these are fixed.
    """
    folder = tmp_path_factory.mktemp("history")
    embedding = Embedding(lambda row: recorded.embedding[int(row)], name="recorded")
    tiers = [
        Tier(None, name=name, price=(recorded.price_in[position], recorded.price_out[position]))
        for position, name in enumerate(recorded.tiers)
    ]
    engine = Engine(
        Ladder(tiers),
        as_policy("doubt", audit=0.5, quality=0.6),
        ChromaHistory(folder, embedding=embedding),
        limits=Limits(history_timeout=None),
    )
    traces = {}
    for row in range(300):
        node = "solve" if row % 3 else "solve/check"
        call = replace(engine.call(str(row), node=node), id=f"call-{row}")
        outcome = engine.run(call, RecordedPerformer(recorded, row))
        traces[outcome.trace.trace_id] = row
    engine.close()
    return folder, traces


class TestHistory:
    def test_the_audited_calls_are_the_table_and_no_others(self, recorded, audited):
        folder, rows = audited
        records = read_records(str(folder))
        drawn = [record for record in records if record.audited]
        # A call that ended with an answer that nobody found valid teaches nothing, and is not kept.
        assert 280 < len(records) <= 300
        assert 100 < len(drawn) < 200
        # Calls that climbed to the top have an answer of every tier as well, but were not drawn by lot.
        assert any(len(record.said) == 4 for record in records if not record.audited)
        tables = audited_tables(str(folder), records)
        assert sum(map(len, tables)) == len(drawn)
        assert all(table.tiers == recorded.tiers for table in tables)
        at = [rows[record.id] for record in drawn]
        same = recorded.answer_equal[at] == recorded.answer_equal[at, -1:]
        same &= recorded.answer_equal[at] >= 0
        correct = np.concatenate([table.correct for table in tables])
        assert correct.sum(axis=0).tolist() == same.sum(axis=0).tolist()

    def test_costs_and_lengths_are_those_of_the_calls(self, recorded, audited):
        folder, rows = audited
        records = read_records(str(folder))
        at = [rows[record.id] for record in records if record.audited]
        paid = (recorded.gen_in * recorded.price_in + recorded.gen_out * recorded.price_out)[at].sum(axis=0) / 1e6
        tables = audited_tables(str(folder), records)
        costs = sum((table.gen_in * table.price_in + table.gen_out * table.price_out).sum(axis=0) for table in tables)
        assert costs / 1e6 == pytest.approx(paid, rel=1e-6)
        written = sum(table.gen_out.sum(axis=0) for table in tables)
        assert written.tolist() == recorded.gen_out[at].sum(axis=0).tolist()

    def test_it_is_calibrated_to_what_the_top_says(self, audited, tmp_path):
        folder, _ = audited
        out = tmp_path / "tiers.json"
        done = calibrate(folder, "--cost", "60%", "--out", out)
        assert done.exit_code == 0, done.output
        assert "accuracy: same as o1" in done.output
        assert "audited calls" in done.output
        settings = json.loads(out.read_text())
        assert settings["right_means"] == "same as o1"
        assert settings["tiers"] == ["gpt-4o-mini", "gpt-4o", "o1-mini", "o1"]
        assert "warning: nobody graded these answers. Accuracy here is equality with o1" in done.output
        as_policy(settings=out).check(ladder_of(*settings["tiers"]))

    def test_grades_say_what_is_right_where_there_are_enough(self):
        record = Record(
            "id", "", 1.0, {}, "a", "b", ("a", "b"), ("b",), 3.0,
            said={"a": 0, "b": 1}, costs={"a": 1.0, "b": 2.0}, audited=True, vector=np.ones(2, np.float32),
            grades={"grader": {"a": 1.0, "b": 0.25}},
        )  # fmt: skip
        ungraded = replace(record, grades={})
        half = replace(record, grades={"feedback": {"b": 1.0}})
        records = [record] * FEWEST + [ungraded] * 30 + [half] * 5

        (table,) = audited_tables("x", records, graded=True)

        assert graded_calls(records) == FEWEST
        assert sources_of(records) == {"grader": FEWEST}
        assert table.correct.tolist() == [[True, False]] * FEWEST

    def test_a_history_with_grades_is_calibrated_to_them(self, tmp_path):
        with ChromaHistory(tmp_path, embedding=Embedding(lambda text: [1.0, len(text)], name="length")) as history:
            for place in range(FEWEST + 5):
                history.remember(
                    Record(
                        str(place), "", float(place), {}, "a", "b", ("a", "b"), ("b",), 3.0,
                        said={"a": 0, "b": 1}, costs={"a": 1.0, "b": 2.0}, audited=True, text="x" * (place % 7),
                        grades={"check": {"a": float(place > 0), "b": 1.0}},
                    )
                )  # fmt: skip
        done = calibrate(tmp_path, "--accuracy", 0.9)
        assert f"accuracy: graded right by check ({FEWEST + 5})" in done.output
        assert "recommended: always a" in done.output
        assert "warning" not in done.output

    def test_the_folder_is_free_again_and_unchanged(self, recorded, audited):
        folder, _ = audited
        kept = len(read_records(str(folder)))
        embedding = Embedding(lambda row: recorded.embedding[int(row)], name="recorded")
        with ChromaHistory(folder, embedding=embedding) as history:
            assert history.stats().records == kept

    def test_a_node_takes_those_under_it_along(self, audited):
        records = read_records(str(audited[0]))
        total = sum(record.audited for record in records)
        here = [record for record in records if record.node == "solve/check"]
        below = sum(record.audited for record in here)
        assert sum(map(len, audited_tables("x", records, node="solve"))) == total
        with pytest.raises(
            ConfigError, match=f"x, node 'solve/check', holds {below} audited calls of {len(here)}; it takes"
        ):
            audited_tables("x", records, node="solve/check")

    def test_too_few_audited_calls_are_refused_with_the_way_to_have_more(self, tmp_path):
        with ChromaHistory(tmp_path, embedding=Embedding(lambda text: [1.0, len(text)], name="length")) as history:
            for position in range(3):
                history.remember(Record(f"{position}", "", 1.0, {}, "a", "a", ("a",), ("a",), 1.0, text="x"))
        done = calibrate(tmp_path, "--accuracy", 0.9)
        assert done.exit_code == 2
        told = done.output.replace("\n", "")
        assert f"holds 0 audited calls of 3; it takes {FEWEST} to calibrate" in told
        assert "audit=0.02 has every fiftieth audited" in told

    def test_calls_that_lack_a_tier_a_cost_or_a_comparison_are_left_out_and_counted(self):
        whole = Record(
            "id", "", 1.0, {}, "a", "b", ("a", "b"), ("b",), 3.0,
            said={"a": 0, "b": 1}, tokens={}, costs={"a": 1.0, "b": 2.0}, audited=True, vector=np.ones(2, np.float32),
        )  # fmt: skip
        lacking = [replace(whole, said={"a": 0}), replace(whole, costs={"a": 1.0})]
        with pytest.raises(ConfigError, match="holds 40 audited calls of 42, and 2 more that cannot be used"):
            audited_tables("x", [whole] * 40 + lacking)
        (table,) = audited_tables("x", [whole] * FEWEST + lacking)
        assert len(table) == FEWEST
        assert table.correct.tolist() == [[False, True]] * FEWEST

    def test_equality_with_the_top_is_no_target_where_the_top_is_the_truth(self, audited):
        done = calibrate(audited[0], "--as-good-as", "o1")
        assert done.exit_code == 2
        assert "so only o1 itself is as good" in done.output.replace("\n", "")

"""`llm-tiers profile` over real ChatOpenAI clients, in processes of its own that are interrupted and killed."""

import errno
import json
import os
import signal
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from typer.testing import CliRunner

from langchain_tiers import TieredChatModel
from llm_tiers import ChromaHistory, ReplayFileError
from llm_tiers.cli import app
from llm_tiers.profile import warm_start
from llm_tiers.replay import load_table
from llm_tiers.testing import Hang, HttpError, Reply

COMMAND = (sys.executable, "-c", "from llm_tiers.cli import app; app()", "profile")

LADDER = """
from langchain_openai import ChatOpenAI
from langchain_tiers import TieredChatModel
from llm_tiers import Tier

def client(name, **settings):
    return ChatOpenAI(model=name, base_url={url!r}, api_key={key!r}, max_retries=0, **settings)

tiers = [Tier(client(name), price=price) for name, price in (("small", (1, 2)), ("large", (10, 20)))]
model = TieredChatModel(tiers, history=None)
warmer = TieredChatModel([client("small"), client("large", temperature=0.9)], prices=dict(small=(1, 2), large=(3, 4)))
other = TieredChatModel([client("small"), client("medium")], prices=dict(small=(1, 2), medium=(3, 4)), history=None)
unpriced = TieredChatModel([client("small"), client("large")], prices={{}}, history=None)
number = 7

def broken(question, answer, key):
    raise RuntimeError("no dice")

def check(question, answer, key):
    return None if "3 and" in question else (0.8 if key in answer else False)
"""


def asked(request):
    return request.model, request.ask


def sums(n, **more):
    return [{"question": f"What is {i} and {i}?", "key": str(2 * i)} | more for i in range(n)]


def correct(request):
    return Reply(f"The answer is {2 * int(request.ask.split()[2])}.", input_tokens=100, output_tokens=50)


@pytest.fixture
def place(tmp_path, server, key):
    """A folder with a ladder and a sample of eight questions; the small tier is right on even numbers only."""
    (tmp_path / "app.py").write_text(LADDER.format(url=server.base_url, key=key))
    write(tmp_path, sums(8))
    server.scripts["large"] = correct
    server.scripts["small"] = lambda request: (
        correct(request) if int(request.ask.split()[2]) % 2 == 0 else Reply("The answer is 99.", output_tokens=50)
    )
    return tmp_path


def write(place, lines):
    (place / "data.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))


def arguments(*more, ladder="app.py:model", out="out.npz"):
    return ["data.jsonl", "--ladder", ladder, "--out", out, *map(str, more)]


@pytest.fixture
def profile(place, monkeypatch):
    """Run the command in this process, which is faster; standard output and error together."""
    monkeypatch.chdir(place)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*more, **names):
        given = arguments(*more, **names)
        return CliRunner().invoke(app, ["profile", *given, *([] if "--dry-run" in more else ["--yes"])])

    return run


def flat(done):
    return " ".join(done.output.split())


class TestTheFile:
    def test_every_tier_answers_and_replay_and_calibrate_take_the_file(self, place, server):
        ran = subprocess.run([*COMMAND, *arguments("--yes")], cwd=place, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr
        assert Counter(map(asked, server.requests)) == {
            (tier, line["question"]): 1 for tier in ("small", "large") for line in sums(8)
        }
        table = load_table(place / "out.npz")
        assert table.tiers == ("small", "large")
        assert table.correct.tolist() == [[i % 2 == 0, True] for i in range(8)]
        assert table.right_means == "right"
        assert (table.price_in.tolist(), table.price_out.tolist()) == ([1, 10], [2, 20])
        assert table.gen_out.tolist() == [[50, 50]] * 8
        assert (table.gen_s > 0).all()
        assert table.embedding_name == "embedding_wordllama"
        assert "8 of 8 questions" in ran.stdout
        assert "replay file: out.npz" in ran.stderr
        replayed = CliRunner().invoke(
            app, ["replay", str(place / "out.npz"), "--policy", "single:small", "--json", str(place / "replayed.json")]
        )
        assert replayed.exit_code == 0, replayed.output
        assert json.loads((place / "replayed.json").read_text())[0]["accuracy"] == 0.5
        CliRunner().invoke(app, ["calibrate", str(place / "out.npz"), "--json", str(place / "calibrated.json")])
        assert json.loads((place / "calibrated.json").read_text())["right_means"] == "right"

    def test_no_text_and_no_key_is_in_the_file_unless_text_is_asked_for(self, profile, place, key):
        assert profile().exit_code == 0
        with np.load(place / "out.npz") as file:
            texts = " ".join(str(file[name].tolist()) for name in file.files if file[name].dtype.kind == "U")
        assert "What is" not in texts
        assert "answer" not in texts
        assert key not in (place / "out.npz.progress.jsonl").read_text()
        assert profile("--text").exit_code == 0
        with np.load(place / "out.npz") as file:
            assert file["query"].tolist() == [line["question"] for line in sums(8)]
            assert file["answer_text"][3].tolist() == ["The answer is 99.", "The answer is 6."]

    def test_without_keys_right_means_the_same_as_the_top_and_everybody_says_so(self, profile, place):
        write(place, [{"question": line["question"]} for line in sums(8)])
        done = profile()
        assert done.exit_code == 0, done.output
        assert "right means same as large" in flat(done)
        table = load_table(place / "out.npz")
        assert table.right_means == "same as large"
        assert table.correct.tolist() == [[i % 2 == 0, True] for i in range(8)]

    def test_a_check_grades_and_what_it_cannot_grade_is_left_out_and_counted(self, profile, place):
        done = profile("--check", "app.py:check")
        assert done.exit_code == 1
        assert "1 questions are not in the file" in flat(done)
        assert "the check returned None" in flat(done)
        table = load_table(place / "out.npz")
        assert len(table) == 7
        with np.load(place / "out.npz") as file:
            assert file["grades"].tolist() == [[0.8 if i % 2 == 0 else 0, 0.8] for i in range(8) if i != 3]
        assert table.right_means == "right"

    def test_words_that_are_not_the_keys_count_as_wrong_and_are_told(self, profile, place, server):
        server.scripts |= {"small": "That would be the city on the Seine.", "large": "Paris"}
        write(place, [{"question": "Capital of France?", "key": "Paris"}])
        done = profile()
        assert done.exit_code == 0, done.output
        assert "1 x an answer in words that are not its key's counts as wrong" in flat(done)
        assert load_table(place / "out.npz").correct.tolist() == [[False, True]]

    def test_words_are_checked_by_name(self, profile, place, server):
        server.scripts |= {"small": "Berlin, I think.", "large": "The capital is Paris."}
        write(place, [{"question": f"Capital of France, {i}?", "key": ["Paris", "Lutetia"]} for i in range(3)])
        assert profile("--check", "contains").exit_code == 0
        assert load_table(place / "out.npz").correct.tolist() == [[False, True]] * 3
        assert profile("--check", "exact").exit_code == 0
        assert not load_table(place / "out.npz").correct.any()

    def test_a_check_that_fails_is_named_and_what_was_paid_for_is_kept(self, profile, place, server):
        done = profile("--check", "app.py:broken")
        assert done.exit_code == 1
        assert "16 x the check raised RuntimeError: no dice" in flat(done)
        assert not (place / "out.npz").exists()
        assert profile("--check", "app.py:check").exit_code == 1
        assert len(server.requests) == 16

    def test_words_without_keys_count_as_unlike_unless_they_are_the_same(self, profile, place, server):
        server.scripts |= {
            "small": lambda request: "refund" if "1" in request.ask else "complaint about delivery",
            "large": "refund",
        }
        write(place, [{"question": f"Which kind of ticket is {i}?"} for i in range(3)])
        done = profile()
        assert done.exit_code == 0, done.output
        table = load_table(place / "out.npz")
        assert table.correct.tolist() == [[False, True], [True, True], [False, True]]
        assert (table.answer_equal[:, 0] == table.answer_equal[:, 1]).tolist() == [False, True, False]
        assert "in words that cannot be compared, and count as unlike any other" in flat(done)

    def test_messages_and_nodes_are_asked_as_they_are(self, profile, place, server):
        talk = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "What is 4 and 4?"}]
        write(place, [{"messages": talk, "node": "sums/add", "id": "first", "key": 8}])
        done = profile()
        assert done.exit_code == 0, done.output
        assert [request.messages for request in server.requests] == [talk, talk]
        with np.load(place / "out.npz") as file:
            assert (file["id"].tolist(), file["node"].tolist()) == (["first"], ["sums/add"])

    def test_a_list_of_tiers_is_a_ladder(self, profile, place):
        assert profile(ladder="app.py:tiers").exit_code == 0
        assert load_table(place / "out.npz").tiers == ("small", "large")


class TestInterruptions:
    def killed(self, place, server, sign):
        """Start a profile, stop it while the large tier is being asked question 4, and return how it ended."""
        hang = Hang("The answer is 8.")
        server.scripts["large"] = lambda request: hang if request.ask == "What is 4 and 4?" else correct(request)
        command = [*COMMAND, *arguments("--yes", "--concurrency", 1)]
        with subprocess.Popen(command, cwd=place, stderr=subprocess.PIPE, text=True) as process:
            assert hang.reached.wait(60)
            os.kill(process.pid, sign)
            told = process.communicate(timeout=60)[1]
        hang.release()
        server.scripts["large"] = correct
        return process.returncode, told

    def test_after_kill_9_no_answer_that_was_paid_for_is_asked_for_again(self, place, server, profile):
        assert self.killed(place, server, signal.SIGKILL)[0] == -signal.SIGKILL
        assert not (place / "out.npz").exists()
        before = Counter(map(asked, server.requests))
        assert len(before) == 10
        done = profile()
        assert done.exit_code == 0, done.output
        assert "9 answers are in out.npz.progress.jsonl already" in flat(done)
        # Only what was on its way when the process died is asked for twice.
        again = Counter(map(asked, server.requests)) - before
        assert again[("large", "What is 4 and 4?")] == 1
        assert sorted(again.elements()) == sorted(
            (tier, line["question"])
            for tier in ("small", "large")
            for i, line in enumerate(sums(8))
            if i > 4 or (tier, i) == ("large", 4)
        )
        assert load_table(place / "out.npz").correct.tolist() == [[i % 2 == 0, True] for i in range(8)]

    def test_a_line_that_was_half_written_is_asked_for_again(self, profile, place, server):
        assert profile().exit_code == 0
        kept = place / "out.npz.progress.jsonl"
        kept.write_bytes(kept.read_bytes()[:-20])
        server.forget()
        assert profile().exit_code == 0
        assert len(server.requests) == 1

    def test_ctrl_c_says_what_is_kept_and_how_to_go_on(self, place, server):
        status, told = self.killed(place, server, signal.SIGINT)
        assert status == 130
        assert "interrupted: 9 answers are kept in out.npz.progress.jsonl; the same command goes on" in told
        assert "Traceback" not in told

    def test_other_questions_and_another_ladder_are_refused_before_anything_is_asked(self, profile, place, server):
        assert profile().exit_code == 0
        server.forget()
        changed = profile(ladder="app.py:other")
        assert "the ladder was small, large and is small, medium" in flat(changed)
        warmer = profile(ladder="app.py:warmer")
        assert "the model of tier 'large' has other settings" in flat(warmer)
        write(place, [*sums(7), {"question": "What is 1?", "key": "1"}])
        other = profile()
        assert "the data changed" in flat(other)
        assert changed.exit_code == other.exit_code == 2
        assert not server.requests

    def test_keys_that_are_corrected_cost_nothing(self, profile, place, server):
        assert profile().exit_code == 0
        server.forget()
        write(place, [line | {"key": "99"} for line in sums(8)])
        assert profile().exit_code == 0
        assert not server.requests
        assert load_table(place / "out.npz").correct.tolist() == [[i % 2 == 1, False] for i in range(8)]


class TestFaults:
    def test_429_is_waited_for_and_asked_again(self, profile, place, server):
        refused = []

        def busy(request):
            if request.ask not in refused:
                refused.append(request.ask)
                return HttpError(429, retry_after=0.01)
            return correct(request)

        server.scripts["large"] = busy
        done = profile("--concurrency", 4)
        assert done.exit_code == 0, done.output
        assert len(server.requests_to("large")) == 16
        assert "asking again in 0 s" in flat(done)

    def test_retries_are_bounded_and_what_is_left_can_be_asked_for_later(self, profile, place, server):
        server.scripts["large"] = lambda request: (
            HttpError(429, retry_after=0.01) if request.ask == "What is 2 and 2?" else correct(request)
        )
        done = profile("--retries", 2)
        assert done.exit_code == 1
        assert "1 questions lack the answer of a tier" in flat(done)
        assert Counter(map(asked, server.requests))["large", "What is 2 and 2?"] == 3
        assert len(load_table(place / "out.npz")) == 7
        server.scripts["large"] = correct
        server.forget()
        assert profile().exit_code == 0
        assert list(map(asked, server.requests)) == [("large", "What is 2 and 2?")]

    def test_a_wrong_key_stops_at_once(self, profile, place, server):
        server.scripts["small"] = HttpError(401, "Incorrect API key provided")
        done = profile("--concurrency", 1)
        assert done.exit_code == 1
        assert "stopped: tier 'small' failed" in flat(done)
        assert len(server.requests) == 1
        assert not (place / "out.npz").exists()

    def test_what_a_provider_says_is_shown_as_it_is(self, profile, place, server):
        said = []

        def busy(request):
            if not said:
                said.append(request)
                return HttpError(429, "[/INST] [org-7] slow down", retry_after=0.01)
            return correct(request)

        server.scripts["large"] = busy
        done = profile()
        assert done.exit_code == 0, done.output
        assert "[/INST] [org-7] slow down" in flat(done)

    def test_a_full_disk_ends_the_asking_and_what_was_written_is_kept(self, profile, place, server, monkeypatch):
        synced = []

        def sync(descriptor):
            synced.append(descriptor)
            if len(synced) > 5:
                raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr("os.fsync", sync)
            done = profile("--concurrency", 1)
        assert done.exit_code == 1, done.output
        assert "stopped: out.npz.progress.jsonl: cannot be written: No space left on device" in flat(done)
        assert len(server.requests) == 5
        server.forget()
        assert profile().exit_code == 0
        assert len(server.requests) <= 16 - 4

    def test_once_it_stops_nobody_waits_to_ask_again(self, profile, place, server):
        server.scripts["small"] = lambda request: (
            HttpError(429, retry_after=20) if request.ask == "What is 0 and 0?" else correct(request)
        )
        server.scripts["large"] = HttpError(401, "Incorrect API key provided")
        done = profile("--concurrency", 3)
        assert done.exit_code == 1
        assert "stopped: tier 'large' failed" in flat(done)
        assert "1 x tier 'small' failed" in flat(done)
        assert Counter(map(asked, server.requests))["small", "What is 0 and 0?"] == 1

    def test_requests_are_spaced(self, profile, place, server):
        write(place, sums(3))
        done = profile("--requests-per-minute", 240)
        assert done.exit_code == 0
        with np.load(place / "out.npz") as file:
            # Three requests to a tier take two gaps of a quarter of a second.
            assert np.ptp(file["created"]) >= 0.4


class TestCost:
    COST = (100 * 1 + 50 * 2 + 100 * 10 + 50 * 20) / 1e6
    """Of one question, in US$."""

    def test_the_most_is_not_exceeded_and_a_larger_one_goes_on(self, profile, place, server):
        write(place, sums(40))
        server.scripts["small"] = correct
        most = 20 * self.COST
        done = profile("--max-cost", most)
        assert done.exit_code == 1
        assert "stopped: the next question may cost" in flat(done)
        assert "a larger --max-cost goes on" in flat(done)
        asked_for = len(server.requests)
        assert 0 < asked_for * self.COST / 2 <= most
        assert profile("--max-cost", 1).exit_code == 0
        assert len(server.requests) == 80

    def test_the_estimate_says_what_it_rests_on(self, profile, place, server):
        done = profile("--dry-run")
        assert done.exit_code == 0
        assert not server.requests
        assert "16 calls, about US$" in flat(done)
        assert "small 300 assumed, large 300 assumed" in flat(done)
        write(place, sums(8))
        assert profile("--max-cost", 100).exit_code == 0
        assert "small 50 measured, large 50 measured" in flat(profile("--dry-run"))

    def test_nobody_to_ask_is_told(self, profile, place, server):
        done = CliRunner().invoke(app, ["profile", *arguments()])
        assert done.exit_code == 2
        assert "give --yes, or --max-cost" in flat(done)
        assert not server.requests

    def test_without_a_price_nothing_begins(self, profile, server):
        done = profile(ladder="app.py:unpriced")
        assert done.exit_code == 2
        assert "no price is known for tier 'small'" in flat(done)
        assert not server.requests


class TestBadInput:
    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("{", "not JSON"),
            ("[1]", "must be an object"),
            ('{"question": 1}', "'question' must be a text"),
            ('{"key": "1"}', "give either 'question' or 'messages'"),
            ('{"question": "x", "messages": []}', "give either 'question' or 'messages'"),
            ('{"messages": [{"role": "user"}]}', "must have 'role' and 'content'"),
            ('{"messages": [{"role": "wizard", "content": "x"}], "key": "1"}', "LangChain cannot read them"),
            ('{"question": "x", "answer": "1"}', "unknown field 'answer'"),
            ('{"question": "x", "key": []}', "'key' must be"),
            ('{"question": "x", "node": 3}', "'node' must be a name"),
            ('{"question": "x", "id": "1"}', "id '1' is that of line 1 already"),
            ('{"question": "x"}', "no key, while line 1 has one"),
            (
                '{"question": "x", "key": "It rained for a very long time, and then it stopped."}',
                "the key is free text",
            ),
        ],
    )
    def test_a_bad_line_is_told_by_its_number(self, profile, place, server, line, message):
        (place / "data.jsonl").write_text(f"{json.dumps(sums(1)[0])}\n{line}\n")
        done = profile()
        assert done.exit_code == 2
        assert "data.jsonl, line 2" in flat(done)
        assert message in flat(done)
        assert not server.requests

    @pytest.mark.parametrize(
        ("ladder", "message"),
        [
            ("app.py", "must be module:attribute or file.py:attribute"),
            ("nowhere.py:model", "there is no file nowhere.py"),
            ("no_such_module:model", "No module named 'no_such_module'"),
            ("app.py:nothing", "app.py has no attribute 'nothing'"),
            ("app.py:number", "is a int; it must be a TieredChatModel, a TieredLLM or a list of tiers"),
        ],
    )
    def test_a_wrong_target_is_named(self, profile, ladder, message):
        done = profile(ladder=ladder)
        assert done.exit_code == 2
        assert message in flat(done)

    def test_a_check_that_cannot_be_called_so_is_named(self, profile):
        assert "must be a function of question, answer and key, not a int" in flat(profile("--check", "app.py:number"))
        assert "its signature is (name, **settings)" in flat(profile("--check", "app.py:client"))

    def test_a_check_by_name_that_is_misspelt_is_told_the_names(self, profile):
        assert "--check exat must be exact, contains, module:attribute or file.py:attribute" in flat(
            profile("--check", "exat")
        )

    @pytest.mark.parametrize("name", ["exact", "contains"])
    def test_a_check_by_keys_without_a_key_is_refused_before_anything_is_asked(self, profile, place, server, name):
        write(place, [{"question": line["question"]} for line in sums(3)])
        done = profile("--check", name)
        assert done.exit_code == 2
        assert f"--check {name} compares answers with keys, and no line of data.jsonl has one" in flat(done)
        assert not server.requests

    def test_a_file_that_holds_both_ladder_and_check_is_run_once(self, profile, place):
        with (place / "app.py").open("a") as file:
            file.write("\nwith open('loads', 'a') as loads:\n    loads.write('x')\n")
        assert profile("--check", "app.py:check").exit_code == 1
        assert (place / "loads").read_text() == "x"

    def test_a_file_that_failed_is_run_again(self, profile, place):
        (place / "wrong.py").write_text("raise RuntimeError('not yet')\n")
        assert "importing wrong.py raised RuntimeError: not yet" in flat(profile("--check", "wrong.py:check"))
        (place / "wrong.py").write_text("def check(question, answer, key):\n    return 1\n")
        assert profile("--check", "wrong.py:check").exit_code == 0

    def test_a_file_of_the_same_name_in_another_folder_is_another_file(self, profile, place):
        (place / "other").mkdir()
        (place / "other" / "app.py").write_text("def check(question, answer, key):\n    return 1\n")
        assert profile("--check", "other/app.py:check").exit_code == 0
        assert load_table(place / "out.npz").correct.all()

    @pytest.mark.parametrize("ladder", ["leaves.py:model", "stops.py:model"])
    def test_code_that_ends_the_process_is_named(self, profile, place, ladder):
        (place / "leaves.py").write_text("import sys\nsys.exit()\n")
        (place / "stops.py").write_text("import sys\ndef model():\n    sys.exit(0)\n")
        done = profile(ladder=ladder)
        assert done.exit_code == 2
        assert f"--ladder {ladder}" in flat(done)
        assert "raised SystemExit" in flat(done)


class TestWarmStart:
    @pytest.fixture
    def file(self, place, profile, server):
        write(place, [{"question": f"What is {i} and {i}?", "key": str(2 * i)} for i in range(30)])
        server.scripts["small"] = correct
        assert profile("--text").exit_code == 0
        server.forget()
        return place / "out.npz"

    def test_the_records_are_profiled_calls_with_grades(self, file, chat):
        tiers = [chat("small"), chat("large")]
        with TieredChatModel(tiers, prices={"small": (1, 2), "large": (10, 20)}) as model:
            done = warm_start(model, file, node="sums")
            assert (done.added, done.known, done.right_means) == (30, 0, "right")
            assert warm_start(model, file, node="sums").known == 30
            recalled = model.history.recall("What is 5 and 5?", node="sums", k=1)
        assert recalled.count == 30
        (neighbour,) = recalled.neighbours
        assert neighbour.similarity == pytest.approx(1, abs=1e-5)
        record = neighbour.record
        assert record.audited
        assert record.grades == {"check": {"small": 1.0, "large": 1.0}}
        assert record.said == {"small": 0, "large": 0}
        assert record.tokens == {"small": 50, "large": 50}
        assert record.costs == pytest.approx({"small": 0.0002, "large": 0.002})

    def test_the_first_call_knows_what_the_profile_showed(self, file, chat, server):
        tiers = [chat("small"), chat("large")]
        asked_for = {}
        for knows in (False, True):
            with TieredChatModel(tiers, prices={"small": (1, 2), "large": (10, 20)}, learning=0) as model:
                if knows:
                    warm_start(model, file)
                server.forget()
                for i in range(10):
                    model.invoke(f"What is {i} and {i}?")
            asked_for[knows] = len(server.requests_to("large"))
        assert asked_for == {False: 10, True: 0}

    def test_without_truth_there_are_no_grades_and_equality_is_all_there_is(self, place, profile, chat):
        write(place, [{"question": line["question"]} for line in sums(4)])
        assert profile().exit_code == 0
        with TieredChatModel([chat("small"), chat("large")], prices={"small": (1, 2), "large": (10, 20)}) as model:
            assert warm_start(model, place / "out.npz").right_means == "same as large"
            record = model.history.recall("What is 1 and 1?", node="", k=1).neighbours[0].record
        assert record.grades == {}
        assert record.labels == {"small": False, "large": True}

    @pytest.mark.parametrize(
        ("name", "value", "message"),
        [
            ("grades", np.nan, "the array 'grades' must lie in"),
            ("grades", 2.0, "the array 'grades' must lie in"),
            ("grades", "much", "the array 'grades' holds <U4, not numbers"),
            ("said", 0.5, "the array 'said' holds float64, not whole numbers"),
            ("created", "today", "the array 'created' holds <U5, not numbers"),
            ("created", np.inf, "the array 'created' has an undefined value"),
        ],
    )
    def test_an_array_of_a_strange_file_is_named(self, file, chat, name, value, message):
        with np.load(file) as arrays:
            changed = dict(arrays)
        changed[name] = np.full(changed[name].shape, value)
        np.savez(file, **changed)
        with ChromaHistory() as history, pytest.raises(ReplayFileError) as caught:
            warm_start(history, file)
        assert message in str(caught.value)

    def test_a_model_with_other_tiers_is_refused(self, file, chat):
        with (
            TieredChatModel([chat("small"), chat("medium")], prices={"small": (1, 2), "medium": (3, 4)}) as model,
            pytest.raises(ValueError, match="its tiers are small, large, the model's are small, medium"),
        ):
            warm_start(model, file)

    def test_a_cost_that_is_not_known_stays_unknown(self, file):
        with np.load(file) as arrays:
            changed = dict(arrays)
        changed["cost_usd"][5, 0] = np.nan
        np.savez(file, **changed)
        with ChromaHistory() as history:
            warm_start(history, file, node="sums")
            record = history.recall("What is 5 and 5?", node="sums", k=1).neighbours[0].record
        assert record.cost_usd is None
        assert record.costs == pytest.approx({"large": 0.002})

    def test_the_sample_in_place_of_the_replay_file_is_refused_without_advice_on_pickles(self, place):
        done = CliRunner().invoke(app, ["warm-start", str(place / "data.jsonl"), str(place / "history")])
        assert done.exit_code == 2
        assert "data.jsonl: not a readable .npz file" in flat(done)
        assert "pickle" not in flat(done)

    def test_a_wrong_file_leaves_no_history_behind(self, place):
        done = CliRunner().invoke(app, ["warm-start", str(place / "nothing.npz"), str(place / "history")])
        assert done.exit_code == 2
        assert "there is no such file" in flat(done)
        assert not (place / "history").exists()

    def test_the_command_gives_a_folder_to_the_next_process(self, file, place):
        first, second = (
            CliRunner().invoke(app, ["warm-start", str(file), str(place / "history"), "--node", "sums"])
            for _ in range(2)
        )
        assert first.exit_code == 0, first.output
        assert "30 calls added" in flat(first)
        assert "0 calls added" in flat(second)
        assert "30 known already" in flat(second)

    def test_another_embedding_needs_the_texts(self, file, profile, place):
        hashed = CliRunner().invoke(app, ["warm-start", str(file), str(place / "hashed"), "--embedding", "hashed"])
        assert hashed.exit_code == 0, hashed.output
        assert "30 calls added" in flat(hashed)
        assert profile().exit_code == 0
        again = CliRunner().invoke(app, ["warm-start", str(file), str(place / "other"), "--embedding", "hashed"])
        assert again.exit_code == 2
        assert "profile with --text" in flat(again)

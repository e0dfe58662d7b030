"""`llm-tiers profile` and the warm start, with real clients, as commands of their own process."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter

import numpy as np
import pytest
from langchain_openai import ChatOpenAI

from langchain_tiers import TieredChatModel
from llm_tiers import ChromaHistory, ConfigError, EmbeddingMismatch, Tier
from llm_tiers.history.grades import best_grades
from llm_tiers.history.reading import read_records
from llm_tiers.profile import warm_start
from llm_tiers.replay import load_table, replay
from llm_tiers.testing import Hang, HttpError, Reply

APP = """
from langchain_openai import ChatOpenAI
from langchain_tiers import TieredChatModel
from llm_tiers import Tier

def tier(name, price, **settings):
    client = ChatOpenAI(model=name, base_url={url!r}, api_key={key!r}, max_retries=0, **settings)
    return Tier(client, price=price)

tiers = [tier("small", (1, 2)), tier("large", (10, 20))]
model = TieredChatModel(tiers)
warmer = [tier("small", (1, 2), temperature=0.7), tier("large", (10, 20))]
bounded = [tier("small", (1, 2), max_tokens=10), tier("large", (10, 20), max_tokens=10)]
priceless = TieredChatModel([tier("small", None), tier("large", None)])
number = 3

def check(question, answer, key):
    return {{"42": 1.0, "41": 0.25}}[answer]

def broken(question, answer, key):
    raise RuntimeError("no dice")
"""
START = [sys.executable, "-c", "from llm_tiers.cli import app; app()"]


@pytest.fixture
def folder(server, key, tmp_path):
    server.scripts = {"small": "41", "large": "42"}
    (tmp_path / "app.py").write_text(APP.format(url=server.base_url, key=key))
    return tmp_path


@pytest.fixture
def write(folder):
    def write(*lines):
        (folder / "data.jsonl").write_text("\n".join(one if isinstance(one, str) else json.dumps(one) for one in lines))

    write(*({"question": f"Question {number}?", "key": 42} for number in range(6)))
    return write


@pytest.fixture
def profile(folder, write):
    """Run the command in a process of its own."""

    def run(*more, ladder="app.py:model"):
        command = [*START, "profile", "data.jsonl", "--ladder", ladder, "--out", "out.npz", *map(str, more)]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)

    return run


def asked(server):
    return Counter((request.model, request.ask) for request in server.requests)


def test_a_profile_is_a_replay_file_with_truth_tokens_costs_and_no_text(profile, server, folder, key):
    done = profile("--yes")
    assert done.returncode == 0, done.stderr
    assert "assumed" in done.stderr
    table = load_table(folder / "out.npz")
    assert table.tiers == ("small", "large")
    assert table.price_out.tolist() == [2, 20]
    assert table.correct.tolist() == [[False, True]] * 6
    assert table.answer_equal.tolist() == [[0, 1]] * 6
    assert table.gen_in.tolist() == [[2, 2]] * 6
    assert table.embedding_name == "embedding_wordllama"
    assert replay(table, "single:large").accuracy == 1
    held = np.load(folder / "out.npz")
    assert str(held["right_means"]) == "right"
    assert not {"query", "answer_text"} & set(held.files)
    assert held["cost_usd"][0] == pytest.approx([4e-6, 40e-6])
    assert set(asked(server).values()) == {1}
    assert key not in done.stderr + (folder / "out.npz.progress.jsonl").read_text()


def test_a_list_of_tiers_messages_and_nodes_do_as_well(profile, write, server, folder):
    system = {"role": "system", "content": "Be short."}
    write(
        {"messages": [system, {"role": "user", "content": "Capital?"}], "node": "facts", "key": [42, "forty-two"]},
        {"question": "And this?", "key": "41", "id": "second"},
    )
    assert profile("--yes", "--text", ladder="app.py:tiers").returncode == 0
    held = np.load(folder / "out.npz")
    assert held["node"].tolist() == ["facts", ""]
    assert held["id"].tolist() == ["1", "second"]
    assert held["correct"].tolist() == [[False, True], [True, False]]
    assert held["query"].tolist() == ["Capital?", "And this?"]
    assert server.requests[0].messages[0] == system


def test_without_keys_right_is_what_the_top_tier_says_and_all_of_it_says_so(profile, write, folder):
    write({"question": "One?"}, {"question": "Two?"})
    done = profile("--yes")
    assert done.returncode == 0
    assert "same as large" in done.stdout
    assert "same as large" in done.stderr
    assert str(np.load(folder / "out.npz")["right_means"]) == "same as large"


def test_an_answer_that_cannot_be_compared_with_its_key_counts_as_wrong_and_is_told(profile, write, server, folder):
    write({"question": "Capital?", "key": "Paris"})
    server.scripts |= {"small": "That would be the city on the Seine.", "large": "Paris"}
    done = profile("--yes")
    assert done.returncode == 0
    assert "1 x an answer that could not be compared with its key" in done.stderr
    assert load_table(folder / "out.npz").correct.tolist() == [[False, True]]


def test_without_keys_what_cannot_be_compared_is_left_out_and_told(profile, write, server, folder):
    write({"question": "Essay?"}, {"question": "Number?"})
    server.scripts["small"] = lambda request: "It was a dark night." if request.ask == "Essay?" else "42"
    server.scripts["large"] = lambda request: "The night was stormy." if request.ask == "Essay?" else "42"
    done = profile("--yes")
    assert done.returncode == 1
    assert "1 questions are not in the file" in done.stderr
    assert np.load(folder / "out.npz")["id"].tolist() == ["2"]


def test_a_check_gives_numbers_and_one_that_fails_is_named_and_pays_for_nothing_twice(profile, server, folder):
    failed = profile("--yes", "--check", "app.py:broken")
    assert failed.returncode == 1
    assert "RuntimeError: no dice" in failed.stderr
    assert not (folder / "out.npz").exists()
    before = len(server.requests)
    assert profile("--yes", "--check", "app.py:check").returncode == 0
    assert len(server.requests) == before
    assert np.load(folder / "out.npz")["grades"].tolist() == [[0.25, 1]] * 6


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT])
def test_a_profile_that_is_killed_goes_on_and_pays_for_no_answer_twice(profile, server, folder, sign):
    hang = Hang()
    lock, seen = threading.Lock(), []

    def small(request):
        with lock:
            seen.append(request.ask)
            return hang if len(seen) == 4 else "41"

    server.scripts["small"] = small
    command = [*START, "profile", "data.jsonl", "--ladder", "app.py:model", "--out", "out.npz", "--yes"]
    with subprocess.Popen([*command, "--concurrency", "1"], cwd=folder, stderr=subprocess.PIPE, text=True) as process:
        assert hang.reached.wait(60)
        os.kill(process.pid, sign)
        told = process.stderr.read()
    hang.release()
    assert process.returncode != 0
    assert not (folder / "out.npz").exists()
    if sign == signal.SIGINT:
        assert process.returncode == 130
        assert "6 answers are kept" in told
    unpaid = seen[-1]
    # As if the process had been killed while it was writing.
    with (folder / "out.npz.progress.jsonl").open("a") as file:
        file.write('{"id": "4", "tier": "sma')
    done = profile("--yes")
    assert done.returncode == 0, done.stderr
    assert "6 answers are in out.npz.progress.jsonl already" in done.stderr
    assert len(load_table(folder / "out.npz")) == 6
    counts = asked(server)
    assert counts.pop(("small", unpaid)) == 2
    assert set(counts.values()) == {1}
    assert len(counts) == 11


def test_another_ladder_or_other_questions_are_refused_and_another_key_is_not(profile, write, server, folder):
    assert profile("--yes").returncode == 0
    server.forget()
    changed = profile("--yes", ladder="app.py:warmer")
    assert changed.returncode == 2
    assert "the model of tier 'small' has other settings" in changed.stderr.replace("\n", " ")
    write(*({"question": f"Question {number}?", "key": "41"} for number in range(6)))
    assert profile("--yes").returncode == 0
    assert load_table(folder / "out.npz").correct.tolist() == [[True, False]] * 6
    write({"question": "Another?", "key": "41"})
    other = profile("--yes")
    assert other.returncode == 2
    assert "the data changed" in other.stderr
    assert server.requests == ()


def test_429_is_waited_for_as_the_provider_asks(profile, server, folder):
    lock, refused = threading.Lock(), set()

    def small(request):
        with lock:
            if request.ask not in refused:
                refused.add(request.ask)
                return HttpError(429, retry_after=0.01)
        return "41"

    server.scripts["small"] = small
    done = profile("--yes", "--retries", 1)
    assert done.returncode == 0, done.stderr
    assert {count for (name, _), count in asked(server).items() if name == "small"} == {2}


def test_retries_are_bounded_and_what_failed_is_asked_again_by_the_next_run(profile, server, folder):
    server.scripts["small"] = HttpError(429, retry_after=0)
    done = profile("--yes", "--retries", 1)
    assert done.returncode == 1
    assert "6 questions lack the answer of a tier" in done.stderr
    assert {count for (name, _), count in asked(server).items() if name == "small"} == {2}
    server.scripts["small"] = "41"
    assert profile("--yes").returncode == 0
    assert {count for (name, _), count in asked(server).items() if name == "large"} == {1}


def test_a_wrong_key_stops_at_once_without_showing_it(profile, server, key):
    server.scripts["small"] = HttpError(401, "Incorrect API key provided")
    done = profile("--yes", "--concurrency", 1)
    assert done.returncode == 1
    assert "stopped: tier 'small' failed" in done.stderr
    assert len(server.requests_to("small")) == 1
    assert key not in done.stderr


def test_max_cost_stops_before_it_is_exceeded_and_counts_earlier_runs(profile, server, folder):
    for name in ("small", "large"):
        server.scripts[name] = Reply("42", input_tokens=10, output_tokens=10)
    # A question costs 0.00003 for the small tier and 0.0003 for the large one: three fit into 0.001.
    for _ in range(2):
        done = profile("--max-cost", "0.001", ladder="app.py:bounded")
        assert done.returncode == 1
        assert "--max-cost 0.001 are spent" in done.stderr
        assert len(load_table(folder / "out.npz")) == 3
        assert len(server.requests) == 6
    assert profile("--max-cost", "0.01", ladder="app.py:bounded").returncode == 0
    assert len(server.requests) == 12


def test_nothing_is_asked_without_consent_or_for_an_estimate(profile, server):
    refused = profile()
    assert refused.returncode == 2
    assert "--yes" in refused.stderr
    estimate = profile("--dry-run")
    assert estimate.returncode == 0
    assert "12 calls, about US$" in estimate.stderr
    assert server.requests == ()


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", "not JSON"),
        ('["a"]', "must be an object"),
        ('{"question": "a", "answer": "b"}', "unknown field 'answer'"),
        ('{"question": " "}', "'question' must be a text"),
        ('{"question": "a", "messages": []}', "either 'question' or 'messages'"),
        ('{"messages": [{"content": "a"}]}', "must have 'role' and 'content'"),
        ('{"messages": [{"role": "nobody", "content": "a"}], "key": 42}', "cannot read them"),
        ('{"question": "a", "key": {"b": 1}}', "'key' must be"),
        ('{"question": "a", "node": 3}', "'node' must be"),
        ('{"question": "a", "id": "1"}', "id '1' is that of line 1"),
        ('{"question": "a"}', "no key, while line 1 has one"),
        ('{"question": "a", "key": "Well, it all depends on what one wants to see in it."}', "the key is free text"),
    ],
)
def test_a_bad_line_is_named_by_its_number_before_anything_is_asked(profile, write, server, line, told):
    write({"question": "Fine?", "key": 42}, "", line)
    done = profile("--yes")
    assert done.returncode == 2
    assert "data.jsonl, line 3: " in done.stderr
    assert told in done.stderr
    assert server.requests == ()


@pytest.mark.parametrize(
    ("ladder", "told"),
    [
        ("app.py", "must be module:attribute or file.py:attribute"),
        ("nowhere.py:model", "there is no file nowhere.py"),
        ("no_such_module_here:model", "ModuleNotFoundError"),
        ("app.py:missing", "has no attribute 'missing'"),
        ("app.py:number", "must be a TieredChatModel, a TieredLLM or a list of tiers"),
        ("app.py:priceless", "no price is known for tier 'small'"),
    ],
)
def test_a_wrong_target_and_a_tier_without_a_price_are_refused(profile, server, ladder, told):
    done = profile("--yes", ladder=ladder)
    assert done.returncode == 2
    assert told in done.stderr
    assert server.requests == ()


def test_a_warm_start_teaches_what_the_file_knows_once(profile, folder, key):
    assert profile("--yes").returncode == 0
    # A name of its own for each, as a folder's history is open in this process only.
    model = TieredChatModel(
        [Tier(ChatOpenAI(model=name, api_key=key), price=(1, 2)) for name in ("small", "large")],
        history=folder / "history",
    )
    with model:
        first = warm_start(model, folder / "out.npz", node="facts")
        assert (first.added, first.known, first.right_means) == (6, 0, "right")
        assert model.history.recall("Question 1?", node="facts", k=6).count == 6
        graded = model.history.recall("Question 1?", node="facts", k=1).neighbours[0].record
        model.feedback(graded.id, correct=False)
        assert warm_start(model, folder / "out.npz", node="facts").added == 0
    records = read_records(str(folder / "history"))
    assert len(records) == 6
    record = next(record for record in records if record.id != graded.id)
    assert record.audited
    assert record.node == "facts"
    assert record.said == {"small": 0, "large": 1}
    assert record.tokens == {"small": 1, "large": 1}
    assert record.costs == pytest.approx({"small": 4e-6, "large": 40e-6})
    assert best_grades(record, "large") == ({"small": 0.0, "large": 1.0}, "check")
    assert next(one for one in records if one.id == graded.id).grades["feedback"] == {"large": 0.0}


def test_a_warm_start_without_truth_has_no_grades_and_says_what_right_means(profile, write, folder):
    write({"question": "One?"}, {"question": "Two?"})
    assert profile("--yes").returncode == 0
    with ChromaHistory() as history:
        assert warm_start(history, folder / "out.npz").right_means == "same as large"
        record = history.recall("One?", node="", k=1).neighbours[0].record
    assert record.grades == {}
    assert best_grades(record, "large") == ({"small": 0.0, "large": 1.0}, "equality")


def test_a_warm_start_refuses_another_ladder_and_vectors_of_another_embedding(profile, folder, key):
    assert profile("--yes").returncode == 0
    tiers = [Tier(ChatOpenAI(model=name, api_key=key), price=(1, 2)) for name in ("tiny", "large")]
    with TieredChatModel(tiers) as model, pytest.raises(ConfigError, match="the model's are tiny, large"):
        warm_start(model, folder / "out.npz")
    with ChromaHistory(embedding="hashed") as history, pytest.raises(EmbeddingMismatch, match="--text"):
        warm_start(history, folder / "out.npz")
    assert profile("--yes", "--text").returncode == 0
    with ChromaHistory(embedding="hashed") as history:
        assert warm_start(history, folder / "out.npz").added == 6
        assert history.recall("Question 3?", node="", k=1).neighbours[0].similarity == pytest.approx(1, abs=1e-3)


def test_the_command_warms_a_folder(profile, folder):
    assert profile("--yes").returncode == 0
    command = [*START, "warm-start", "out.npz", "history"]
    told = [
        subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=True).stdout
        for _ in range(2)
    ]
    assert told[0].startswith("6 calls added")
    assert told[1].startswith("0 calls added to history, 6 known already")

"""Processes that share a history learn from each other while they run: each record and each revision once."""

from __future__ import annotations

import dataclasses
import os
import random
import signal
import subprocess
import time
import uuid
from contextlib import contextmanager, suppress
from functools import partial

import httpx
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from past_calls import EMBEDDING, record
from processes import run, server_of, serves, start
from test_kept_studies import MANY, STUDIES, Listing, call, opened
from test_processes import serving

from llm_tiers.errors import HistoryError, UnknownTrace
from llm_tiers.history.store import client, others, shelf
from llm_tiers.history.store.client import open_memory
from llm_tiers.history.store.places import Memory
from llm_tiers.history.store.title import Row, Title


@pytest.fixture(autouse=True, scope="module")
def _looks_after_each_write():
    """No look is left out because there was one just before."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(others, "_REST", 0.0)
        yield


class Together(Memory):
    """One of several processes that use one Chroma, which is in memory here so that many interleavings can be tried.

    Attributes:
        meanwhile: What other processes do before each of the next requests that read.
        loses: Whether the answer to a write is lost.
    """

    shared = True
    loses = False

    def __init__(self, name):
        super().__init__()
        self.prefix = f"together-{name}"
        self.meanwhile = []

    def _open(self):
        return Interrupted(client.open_memory(), self)

    def may_hold(self, namespace):
        return True

    def shelves(self, namespace):
        found = shelf.open_shelves(self.client(), namespace, shared=True, tombstones={})
        return {node: held for node, held in found.items() if held.title.stem.startswith(self.prefix)}

    def find(self, name):
        return shelf.find_shelf(self.client(), name)

    def after_writing(self):
        if self.loses:
            raise HistoryError("the answer is lost")


class Interrupted:
    """Chroma's client or one of its collections, between whose requests other processes come."""

    def __init__(self, held, place):
        self._held, self._place = held, place

    def __getattr__(self, name):
        return getattr(self._held, name)

    def get_collection(self, *args, **arguments):
        return Interrupted(self._held.get_collection(*args, **arguments), self._place)

    def get_or_create_collection(self, *args, **arguments):
        return Interrupted(self._held.get_or_create_collection(*args, **arguments), self._place)

    def list_collections(self):
        return [Interrupted(collection, self._place) for collection in self._held.list_collections()]

    def get(self, **arguments):
        if self._place.meanwhile:
            self._place.meanwhile.pop(0)()
        return self._held.get(**arguments)


@dataclasses.dataclass(frozen=True)
class Vectors(Listing):
    """Lists ids, labels and vectors, and sees to it that a revision begins with what was learned of the record."""

    name: str = "vectors"

    def learn(self, result, record):
        self.given.append(record.id)
        return (*result, (record.id, record.labels["small"], record.vector.tobytes().hex()))

    def unpack(self, packed):
        return tuple(tuple(listed) for listed in packed.items("all"))

    def revise(self, result, before, after):
        assert (before.id, before.labels["small"]) in [listed[:2] for listed in result]
        return tuple((i, after.labels["small"] if i == after.id else label, v) for i, label, v in result)


@dataclasses.dataclass(frozen=True)
class Plain:
    """Lists the records of a node, and learns nothing of what changes."""

    def start(self):
        return ()

    def learn(self, result, record):
        return (*result, (record.id, record.labels["small"]))


class Process:
    """A process of a test: what it does to the history, and what its studies know."""

    def __init__(self, place, capacity=100_000):
        self.place = place
        self.library = place.library("default", EMBEDDING.name, capacity=capacity, max_nodes=256)
        self.library.expect(16)

    def add(self, number, node="a/b"):
        self.library.remember(record(number, node), EMBEDDING.embed(f"question {number}"), text=None)

    def flush(self):
        self.library.flush()

    def flush_in_vain(self):
        """Write what waits, of which the answer is lost."""
        self.place.loses = True
        with suppress(HistoryError):
            self.library.flush()
        self.place.loses = False

    def grade(self, number, label):
        self.library.revise(f"t{number}", lambda held: {"small": label})

    def listed(self, node="a/b", study=None):
        found = self.library.recall(EMBEDDING.embed("question"), node=node, k=0, study=study or Vectors())
        return [(i, label) for i, label, *_ in found.learned]


@pytest.fixture
def together():
    """Makes processes of one history."""
    name = uuid.uuid4().hex
    made = []

    def process(**settings):
        made.append(Process(Together(name), **settings))
        return made[-1]

    yield process
    for one in made:
        one.place.writer.stop()
    # Chroma in memory is one for all tests.
    for held in made[0].place.shelves("default").values():
        held.drop()


@contextmanager
def processes(number):
    name = uuid.uuid4().hex
    made = [Process(Together(name)) for _ in range(number)]
    try:
        yield made
    finally:
        for held in made[0].place.shelves("default").values():
            held.drop()


KINDS = ["add", "add", "flush", "lose", "grade", "ask", "ask another", "ask plain", "ask above"]
STEP = st.tuples(st.sampled_from(KINDS), st.integers(0, 2), st.integers(0, 12), st.booleans())


class Story:
    """What three processes do."""

    def __init__(self, three):
        self.three = three
        self.added = 0

    def goes_on(self, step, meanwhile=()):
        kind, who, number, label = step
        process = self.three[who]
        process.place.meanwhile = [partial(self.goes_on, other) for other in meanwhile if other[1] != who]
        if kind == "add":
            process.add(self.added)
            self.added += 1
        elif kind == "flush":
            process.flush()
        elif kind == "lose":
            process.flush_in_vain()
        elif kind == "grade":
            # Where the record waits in another process it is not found.
            with suppress(UnknownTrace):
                process.grade(number, label)
        else:
            study = {"ask another": Listing("another"), "ask plain": Plain()}.get(kind)
            process.listed("a" if kind == "ask above" else "a/b", study)
        process.place.meanwhile = []


@given(st.lists(st.tuples(STEP, st.lists(STEP, max_size=5)), max_size=30))
# Graded while it waits to be written again, after a write of which the answer was lost.
@example([((kind, who, 1, False), []) for kind, who in [("add", 0), ("add", 1), ("lose", 1), ("grade", 1), ("ask", 0)]])
# Another process stores one just after the last that was looked at, which waits to be written again.
@example(
    [
        *(((kind, 0, 0, False), []) for kind in ("add", "lose", "ask")),
        (("ask another", 0, 0, False), [(kind, 1, 0, False) for kind in ("add", "flush")]),
    ]
)
@settings(max_examples=100)
def test_in_whichever_order_it_happens_each_learns_all_once(steps):
    with processes(3) as three:
        story = Story(three)
        for step, meanwhile in steps:
            story.goes_on(step, meanwhile)
        # Traffic goes on: each stores what waits, and then sees what the others stored.
        for who in (0, 1, 2, 0, 1, 2):
            story.goes_on(("add", who, 0, True))
            story.goes_on(("flush", who, 0, True))
        stored = {shown["id"]: shown["labels"]["small"] for shown in three[0].library.export(vectors=False)}
        assert stored.keys() == {f"t{number}" for number in range(story.added)}
        for place, process in enumerate(three):
            # What was stored before its last look.
            expected = {i: label for i, label in stored.items() if int(i[1:]) <= story.added - 3 + place}
            for node, study in (("a/b", Vectors()), ("a", Vectors()), ("a/b", Listing("another"))):
                listed = process.listed(node, study)
                assert len(listed) == len(dict(listed))
                assert expected.items() <= dict(listed).items() <= stored.items()
            plain = process.listed(study=Plain())
            assert len(plain) == len(dict(plain))
            assert expected.keys() <= dict(plain).keys() <= stored.keys()


@pytest.mark.parametrize("request_number", range(8))
@pytest.mark.parametrize("kind", ["ask another", "grade", "flush"])
def test_what_another_stores_at_any_moment_of_a_look_is_learned_once(kind, request_number):
    with processes(2) as two:
        one, other = two
        for number, process in enumerate([one, other, one, other, other]):
            process.add(number)
            process.flush()
        one.listed()
        for number in (5, 6):
            other.add(number)
        other.flush()
        other.grade(1, label=False)
        other.flush()
        one.add(7)

        def meanwhile():
            other.add(8)
            other.grade(3, label=False)
            other.grade(5, label=False)
            other.flush()

        one.place.meanwhile = [*[lambda: None] * request_number, meanwhile]
        if kind == "flush":
            one.flush()
        elif kind == "grade":
            one.grade(6, label=False)
        else:
            one.listed(study=Listing("another"))
        one.place.meanwhile = []
        if not any(i == "t8" for i, _ in other.listed()):
            meanwhile()
        one.add(9)
        one.flush()
        stored = sorted((shown["id"], shown["labels"]["small"]) for shown in one.library.export(vectors=False))
        assert len(stored) == 10
        assert sorted(one.listed()) == sorted(one.listed(study=Listing("another"))) == stored


def test_those_who_come_late_and_those_who_were_away_for_long_learn_all(together):
    one, other = together(), together()
    one.add(0)
    one.flush()
    one.listed()
    for number in range(1, 700):
        other.add(number)
    other.flush()
    one.add(700)
    one.flush()
    assert {i for i, _ in one.listed()} == {f"t{number}" for number in range(701)}
    assert sorted(one.listed()) == sorted(one.listed(study=Listing("another")))


def test_where_all_that_was_learned_is_removed_what_is_left_is_learned(together):
    one, other = together(), together(capacity=50)
    one.add(0)
    one.flush()
    assert one.listed() == [("t0", True)]
    for number in range(1, 200):
        other.add(number)
    other.flush()
    one.add(200)
    one.flush()
    listed = one.listed()
    assert len(listed) == len(dict(listed))
    assert {f"t{number}" for number in range(160, 201)} <= dict(listed).keys()


def test_what_was_removed_in_between_costs_nothing(together):
    one, other = together(), together()
    for number in range(100):
        one.add(number)
    one.flush()
    one.listed()
    other.library.prune(older_than=None, node=None, keep=20)
    other.add(100)
    other.flush()
    one.add(101)
    one.flush()
    assert sorted(i for i, _ in one.listed()) == sorted(f"t{number}" for number in range(102))


def test_a_look_that_fails_fails_no_write_and_is_made_up_for(together, monkeypatch):
    one, other = together(), together()
    for number, process in enumerate([one, other]):
        process.add(number)
        process.flush()
    one.listed()
    other.add(2)
    other.flush()

    def fails(*_, **__):
        raise httpx.ReadTimeout("the server is busy")

    with monkeypatch.context() as patch:
        patch.setattr(shelf.Shelf, "ids_after", fails)
        one.add(3)
        one.flush()
        one.grade(2, label=False)
        one.flush()
    assert one.library.pending == 0
    assert {i for i, _ in one.listed()} == {"t0", "t1", "t3"}
    one.add(4)
    one.flush()
    assert sorted(one.listed()) == [("t0", True), ("t1", True), ("t2", False), ("t3", True), ("t4", True)]


@pytest.mark.parametrize("name", ["menu", "linucb"])
def test_what_policies_learn_of_others_calls_and_grades_is_what_the_records_say(together, name):
    one, other, late = together(), together(), together()
    study, draw = STUDIES[name], random.Random(0)

    def known(process):
        vector = EMBEDDING.embed("question")
        return process.library.recall(vector, node="n", k=0, study=study).learned

    for number in range(60):
        process = draw.choice([one, other])
        made = call(number, draw)
        given = EMBEDDING.embed(f"question {number}") if made.vector is None else made.vector
        process.library.remember(made, given, text=None, exact=True)
        known(process)
        if draw.random() < 0.5:
            process.flush()
        if draw.random() < 0.3:
            grades = {"feedback": {made.final: float(draw.random() < 0.5)}}
            with suppress(UnknownTrace):
                draw.choice([one, other]).library.revise(
                    f"t{draw.randrange(number + 1)}", lambda held, given=grades: dataclasses.replace(held, grades=given)
                )
    for number, process in enumerate([one, other, one, other, one], 60):
        process.library.remember(call(number, draw), EMBEDDING.embed(f"question {number}"), text=None, exact=True)
        process.flush()
    found, expected = known(one), known(late)
    if name == "menu":
        assert {c.id: c for c in found.profile.calls} == {c.id: c for c in expected.profile.calls}
        assert found.profile.count == expected.profile.count == 65
        assert found.profile.spent == pytest.approx(expected.profile.spent)
    else:
        for arm, ridge in expected.ridges.items():
            np.testing.assert_allclose(found.ridges[arm].weights, ridge.weights, atol=1e-6)
            assert found.ridges[arm].count == ridge.count
        assert found.costs == {arm: pytest.approx(paid) for arm, paid in expected.costs.items()}


def test_one_clock_that_is_ahead_hides_no_later_revision(together, monkeypatch):
    one, other = together(), together()
    for number in range(2):
        one.add(number)
    one.flush()
    one.listed()
    ahead = time.time() + 3600
    with monkeypatch.context() as patch:
        patch.setattr(shelf.time, "time", lambda: ahead)
        other.grade(0, label=False)
        other.flush()
    one.add(2)
    one.flush()
    other.grade(1, label=False)
    other.flush()
    one.add(3)
    one.flush()
    assert one.listed() == [("t0", False), ("t1", False), ("t2", True), ("t3", True)]


def test_who_makes_how_many_calls_is_learned_too(together):
    """Whose calls are left out is decided by the calls at all processes."""
    one, other = together(), together()
    one.add(0)
    one.flush()

    def shown():
        found = one.library.recall(EMBEDDING.embed("q"), node="a/b", k=0, study=Vectors(), principal="reader")
        return [i for i, *_ in found.learned]

    assert shown() == ["t0"]
    for number in range(1, 30):
        by = dataclasses.replace(record(number, "a/b"), principal="loud")
        other.library.remember(by, EMBEDDING.embed(f"question {number}"), text=None)
    other.flush()
    one.add(30)
    one.flush()
    assert shown() == ["t0", "t30"]


class Counting:
    """Counts the requests of a Chroma client."""

    def __init__(self, session):
        self.paths = []
        self._send = session.send
        session.send = self._counted

    def _counted(self, request, **arguments):
        self.paths.append(request.url.path.rpartition("/")[2])
        return self._send(request, **arguments)


@contextmanager
def counted(history):
    """Yield the requests that a history makes to its server."""
    session = history._place.client()._sessions[0]
    counting = Counting(session)
    try:
        yield counting.paths
    finally:
        del session.send


@serves
def test_a_process_that_is_alone_looks_for_nobody(tmp_path):
    asked = []
    for study in (None, Vectors()):
        with opened(tmp_path / str(study is None)) as history:
            for number in range(3):
                history.recall("question", node="n", k=0, study=study)
                history.remember(record(number))
                with counted(history) as paths:
                    history.flush()
            asked.append(paths)
    assert asked[0] == asked[1]


@serves
def test_a_look_at_nothing_new_takes_two_requests_and_not_each_write_is_followed_by_one(server_url, monkeypatch):
    with opened(server_url) as history:
        history.remember(record(0))
        history.flush()
        asked = []
        for number in range(1, 6):
            history.remember(record(number))
            if number == 4:
                # As where a look takes long.
                monkeypatch.setattr(others, "_REST", 1e9)
                monkeypatch.setattr(others, "_LONGEST_REST", 1e9)
            with counted(history) as paths:
                history.flush()
            asked.append(paths)
            if number == 1:
                history.recall("question", node="n", k=0, study=Vectors())
    assert [len(paths) - len(asked[0]) for paths in asked[2:]] == [2, 2, 0]


@pytest.fixture
def server_url(tmp_path):
    with serving(tmp_path) as (url, _):
        yield url


def follows(history, number):
    """Add a record, and return what the study then knows."""
    history.remember(record(number))
    history.flush()
    found = history.recall("question", node="n", k=0, study=Vectors())
    return {i: label for i, label, _ in found.learned}, len(found.learned), found.count


def test_processes_on_one_server_learn_from_each_other(server_url):
    # Other headers, so that this process connects twice.
    with opened(server_url) as one, opened(server_url, headers={"x-other": "1"}) as other:
        assert follows(one, 0) == ({"t0": True}, 1, 1)
        assert follows(other, 1) == ({"t0": True, "t1": True}, 2, 2)
        assert follows(one, 2) == ({"t0": True, "t1": True, "t2": True}, 3, 3)
        # The feedback comes to another process than the call.
        other.revise("t0", lambda held: {"small": False})
        assert follows(other, 3)[0] == {"t0": False, "t1": True, "t2": True, "t3": True}
        assert follows(one, 4) == ({"t0": False, "t1": True, "t2": True, "t3": True, "t4": True}, 5, 5)


OTHER = """
    with ChromaHistory(where, embedding=EMBEDDING) as history:
        say("open")
        for line in sys.stdin:
            word, number = line.split()
            if word == "add":
                history.remember(record(int(number)))
            else:
                history.revise(f"t{number}", lambda held: {"small": False})
            history.flush()
            say("done")
"""


@serves
def test_processes_on_one_folder_learn_from_each_other_and_go_on_with_another_server(tmp_path):
    with opened(tmp_path) as history, start(OTHER, tmp_path, stdin=subprocess.PIPE) as other:

        def tells(line):
            other.stdin.write(line + "\n")
            other.stdin.flush()
            assert other.stdout.readline() == "done\n"

        assert follows(history, 0) == ({"t0": True}, 1, 1)
        assert other.stdout.readline() == "open\n"
        tells("add 1")
        assert follows(history, 2) == ({"t0": True, "t1": True, "t2": True}, 3, 3)
        tells("grade 0")
        os.kill(server_of(tmp_path)["server"], signal.SIGKILL)
        tells("add 3")
        assert follows(history, 4) == ({"t0": False, "t1": True, "t2": True, "t3": True, "t4": True}, 5, 5)
        other.stdin.close()
        other.wait(60)


@serves
def test_what_was_kept_of_a_time_alone_is_gone_on_with_in_company(tmp_path):
    with opened(tmp_path) as history:
        for number in range(MANY):
            history.remember(record(number))
        history.recall("question", node="n", k=0, study=Vectors())
    with opened(tmp_path) as history:
        study = Vectors()
        found = history.recall("question", node="n", k=0, study=study)
        assert (len(found.learned), study.given) == (MANY, [])
        run(
            f"""
            with ChromaHistory(where, embedding=EMBEDDING) as history:
                history.remember(record({MANY}))
            """,
            tmp_path,
        )
        listed, number, count = follows(history, MANY + 1)
        assert (len(listed), number, count) == (MANY + 2, MANY + 2, MANY + 2)
        listed, number, count = follows(history, MANY + 2)
        assert (len(listed), number, count) == (MANY + 3, MANY + 3, MANY + 3)


@pytest.mark.parametrize("place", [9, 3, 39, 400])
def test_what_is_removed_between_two_pages_hides_nothing(monkeypatch, place):
    monkeypatch.setattr(shelf, "_PAGE", 5)
    title = Title(f"pages-{place}", "default", "n", EMBEDDING.name, 16, 0)
    one = shelf.make_shelf(open_memory(), title, shared=True)
    one.put([Row(record(number), EMBEDDING.embed(f"question {number}"), exact=False) for number in range(40)])
    pages = one.ids_after("t9", place)
    found = next(pages)[1]
    for first in (0, 5):
        one.discard([f"t{number}" for number in range(first, first + 5)])
        found += next(pages)[1]
    found += [trace_id for _, ids in pages for trace_id in ids]
    assert found == [f"t{number}" for number in range(10, 40)]


def test_where_the_last_one_is_removed_the_newest_are_looked_at():
    title = Title("pages-gone", "default", "n", EMBEDDING.name, 16, 0)
    one = shelf.make_shelf(open_memory(), title, shared=True)
    one.put([Row(record(number), EMBEDDING.embed(f"question {number}"), exact=False) for number in range(20)])
    one.discard([f"t{number}" for number in range(15)])
    assert [ids for _, ids in one.ids_after("t9", 9)] == [["t15", "t16", "t17", "t18", "t19"]]

"""Processes that share a history learn from each other while they run: each record and each revision once."""

from __future__ import annotations

import dataclasses
import subprocess
import uuid
from contextlib import contextmanager, suppress
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from past_calls import EMBEDDING, record
from processes import serves
from test_kept_studies import Listing, opened
from test_processes import serving

from llm_tiers.errors import HistoryError, UnknownTrace
from llm_tiers.history.store import client, shelf
from llm_tiers.history.store.places import Memory


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
    """Lists ids, labels and vectors, and sees to it that a revision says of a record what was learned of it."""

    name: str = "vectors"

    def learn(self, result, record):
        self.given.append(record.id)
        return (*result, (record.id, record.labels["small"], record.vector.tobytes()))

    def revise(self, result, before, after):
        assert (before.id, before.labels["small"], before.vector.tobytes()) in result
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

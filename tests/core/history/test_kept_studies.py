"""A restart does not read all records again: what studies learned is kept beside them, as long as it fits them."""

import dataclasses
import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from past_calls import EMBEDDING, record
from processes import serves
from test_processes import serving

from llm_tiers import Ladder, Tier
from llm_tiers.history import ChromaHistory
from llm_tiers.history.packed import REFUSALS, Packed
from llm_tiers.history.store.folders import Served
from llm_tiers.history.store.keeping import Keeping
from llm_tiers.history.store.pending import Addition, Pending
from llm_tiers.history.store.snapshots import Snapshots, of_bytes, to_bytes
from llm_tiers.history.store.studies import Studies
from llm_tiers.history.store.title import Row
from llm_tiers.policies.guarantee import Guarantee
from llm_tiers.policies.menu.bandit import LinUCBOfRules
from llm_tiers.policies.menu.menu import MenuStarter
from llm_tiers.policies.starters.linucb import LinUCB

MANY = 210
"""Records of a node from which on its studies are kept."""


@dataclasses.dataclass(frozen=True)
class Listing:
    """Lists the records of a node by id and label, and says how many it was given one by one."""

    name: str = "listing"
    given: list = dataclasses.field(default_factory=list, compare=False, hash=False)

    def start(self):
        return ()

    def learn(self, result, record):
        self.given.append(record.id)
        return (*result, (record.id, record.labels["small"]))

    def revise(self, result, before, after):
        return tuple((i, after.labels["small"] if i == after.id else label) for i, label in result)

    def identity(self):
        return self.name

    def pack(self, result):
        return Packed({"all": result})

    def unpack(self, packed):
        return tuple((i, bool(label)) for i, label in packed.items("all"))


def opened(folder, **settings):
    return ChromaHistory(folder, embedding=EMBEDDING, **settings)


def seen(history, node="n"):
    """What the study knows of the node, and how many records it was given for that."""
    study = Listing()
    learned = history.recall("question 1", node=node, k=0, study=study).learned
    return learned, len(study.given)


def files(folder):
    return sorted(Path(folder).glob("llm-tiers-studies/*/*.study"))


@pytest.fixture
def grown(tmp_path):
    """A folder whose study was kept, and what that knew."""
    folder = tmp_path / "tiers"
    with opened(folder) as history:
        seen(history)
        for number in range(MANY):
            history.remember(record(number))
        known, _ = seen(history)
    assert len(known) == MANY
    return folder, known


class TestRestart:
    def test_no_record_is_learned_again(self, grown):
        folder, known = grown
        with opened(folder) as history:
            assert seen(history) == (known, 0)

    def test_it_goes_on_from_there(self, grown):
        folder, _ = grown
        for number in (MANY, MANY + 1):
            with opened(folder) as history:
                seen(history)
                history.remember(record(number))
        with opened(folder) as history:
            learned, given = seen(history)
        assert [i for i, _ in learned] == [f"t{number}" for number in range(MANY + 2)]
        assert given == 0

    def test_records_that_came_without_the_study_are_learned(self, grown):
        folder, _ = grown
        with opened(folder) as history:
            for number in range(MANY, MANY + 100):
                history.remember(record(number))
        with opened(folder) as history:
            history.remember(record(MANY + 100))
            learned, given = seen(history)
        assert [i for i, _ in learned] == [f"t{number}" for number in range(MANY + 101)]
        assert given == 101

    def test_another_study_begins_with_the_records(self, grown):
        folder, known = grown
        with opened(folder) as history:
            other = Listing("another")
            assert history.recall("question 1", node="n", k=0, study=other).learned == known
            assert len(other.given) == MANY

    def test_a_node_with_few_records_is_not_kept(self, tmp_path):
        with opened(tmp_path) as history:
            seen(history)
            history.remember(record(1))
        assert files(tmp_path) == []

    def test_there_are_not_more_files_than_a_few(self, grown):
        folder, _ = grown
        for number in range(70):
            with opened(folder) as history:
                history.recall("question 1", node="n", k=0, study=Listing(f"study {number}"))
        assert len(files(folder)) == 64

    def test_another_namespace_has_its_own(self, grown):
        folder, known = grown
        with opened(folder, namespace="other") as history:
            assert seen(history) == ((), 0)
            history.remember(record(1, labels={"small": False}))
            history.flush()
            history.revise("t1", lambda held: {"small": True})
        with opened(folder) as history:
            assert seen(history) == (known, 0)


WITHOUT_CHROMA = """
import sys
sys.path[:0] = sys.argv[2:]
from test_kept_studies import opened, seen

with opened(sys.argv[1]) as history:
    learned, given = seen(history)
    count = history.recall("question 1", node="n", k=0, study=Listing()).count
    print(len(learned), given, count, "chromadb" in sys.modules)
"""


class TestAtOnce:
    """What the studies know after a restart takes no look at the records at all."""

    def test_it_does_not_wait_for_chroma(self, grown):
        folder, _ = grown
        script = WITHOUT_CHROMA.replace("import opened", "import Listing, opened")
        command = [sys.executable, "-c", script, str(folder), str(Path(__file__).parent)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
        assert done.stdout.split() == [str(MANY), "0", str(MANY), "False"]

    @serves
    def test_the_first_look_up_does_not_wait_for_a_server_that_takes_long(self, grown, monkeypatch):
        folder, known = grown
        may_open, opens = threading.Event(), Served._open

        def late(self):
            assert may_open.wait(60)
            return opens(self)

        monkeypatch.setattr(Served, "_open", late)
        with opened(folder) as history:
            history.prepare()
            assert seen(history) == (known, 0)
            may_open.set()
            history.prepare()
            assert history.stats().records == MANY

    def test_what_is_asked_later_and_added_later_counts(self, grown):
        folder, known = grown
        with opened(folder) as history:
            assert seen(history) == (known, 0)
            history.remember(record(MANY))
            found = history.recall("question 1", node="n", k=0, study=Listing())
            assert (len(found.learned), found.count) == (MANY + 1, MANY + 1)
            history.flush()
            found = history.recall("question 1", node="n", k=3, study=Listing())
            assert (len(found.learned), found.count, len(found.neighbours)) == (MANY + 1, MANY + 1, 3)

    def test_records_that_were_added_before_it_is_asked_are_learned(self, grown):
        folder, known = grown
        with opened(folder) as history:
            history.remember(record(MANY))
            assert seen(history) == ((*known, (f"t{MANY}", True)), 1)

    def test_whose_calls_crowd_the_node_is_known_too(self, tmp_path):
        with opened(tmp_path) as history:
            history.recall("question 1", node="n", k=0, study=Listing(), principal="a")
            for number in range(MANY):
                by = "a" if number % 2 else f"user {number}"
                history.remember(dataclasses.replace(record(number), principal=by))
            live = history.recall("question 1", node="n", k=0, study=Listing(), principal="b")
        with opened(tmp_path) as history:
            study = Listing()
            kept = history.recall("question 1", node="n", k=0, study=study, principal="b")
            assert (kept.learned, kept.count, study.given) == (live.learned, live.count, [])
        assert len(live.learned) == live.count == MANY // 2

    def test_a_database_that_was_touched_is_looked_at(self, grown):
        folder, known = grown
        os.utime(folder / "chroma.sqlite3", (1, 1))
        with opened(folder) as history:
            assert seen(history) == (known, 0)

    @pytest.mark.parametrize(
        "content",
        [b"", b"[]", b"{}", b"[" * 100_000, b'{"database": [], "whole": {"n": 7}}', b'{"database": 1, "whole": []}'],
    )
    def test_a_damaged_seal_is_as_good_as_none(self, grown, content):
        folder, known = grown
        (folder / "llm-tiers-studies" / "default" / "seal.json").write_bytes(content)
        with opened(folder) as history:
            assert seen(history) == (known, 0)

    def test_a_node_that_was_not_asked_about_stays_kept(self, grown):
        folder, known = grown
        with opened(folder) as history:
            history.remember(record(1000, node="m"))
        with opened(folder) as history:
            assert seen(history) == (known, 0)
            assert len(seen(history, "m")[0]) == 1


OTHER = """
import os
import sys
sys.path[:0] = sys.argv[2:]
from past_calls import record
from test_kept_studies import MANY, opened, seen

with opened(sys.argv[1]) as history:
    {does}
"""

LOOKS = "import sys; from llm_tiers.history.reading import held_in; print(held_in(sys.argv[1]).nodes)"


@serves
class TestShared:
    """Only who has had the folder alone keeps anything; all may use it where it fits."""

    def other(self, folder, does, code=0):
        """Let another process do something with the history, and return what it printed."""
        command = [sys.executable, "-c", OTHER.format(does=does), str(folder), str(Path(__file__).parent)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == code, done.stderr
        return done.stdout.split()

    @pytest.mark.parametrize(
        ("does", "code", "learned"),
        [
            ("history.remember(record(1000))", 0, True),
            ("history.remember(record(1000))", 0, False),
            ("history.remember(record(1000)); history.flush(); os._exit(9)", 9, True),
            ("seen(history); history.revise('t3', lambda held: {'small': False})", 0, True),
            ("history.revise('t3', lambda held: {'small': False})", 0, False),
            ("history.prune(keep=MANY - 1)", 0, True),
            ("history.remember(record(3, labels={'small': False}))", 0, True),
        ],
        ids=["adds", "adds first", "adds and dies", "learns and revises", "revises first", "prunes", "replaces"],
    )
    def test_what_another_process_does_meanwhile_is_known_after_a_restart(self, grown, does, code, learned):
        folder, _ = grown
        with opened(folder) as history:
            if learned:
                seen(history)
                history.remember(record(MANY))
                history.flush()
            self.other(folder, does, code)
            history.remember(record(MANY + 1))
            seen(history)
        with opened(folder) as history:
            known, _ = seen(history)
            stored = {held["id"]: held["labels"]["small"] for held in history.export()}
        assert len(stored) >= MANY
        assert dict(known) == stored
        assert len(known) == len(stored)

    def test_one_that_joins_begins_with_what_was_kept(self, grown):
        folder, _ = grown
        with opened(folder) as history:
            history.remember(record(MANY))
            history.flush()
            said = self.other(folder, "learned, given = seen(history); print(len(learned), given)")
            assert said == [str(MANY + 1), "1"]

    def test_one_that_only_looks_does_not_count(self, grown):
        folder, _ = grown
        with opened(folder) as history:
            history.remember(record(MANY))
            history.flush()
            command = [sys.executable, "-c", LOOKS, str(folder)]
            done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
            assert done.stdout == f"{{'n': {MANY + 1}}}\n"
            seen(history)
            history.remember(record(MANY + 1))
        with opened(folder) as history:
            learned, given = seen(history)
        assert (len(learned), given) == (MANY + 2, 0)

    def test_the_next_one_that_is_alone_keeps_it_again(self, grown):
        folder, _ = grown
        with opened(folder) as history:
            self.other(folder, "history.remember(record(1000))")
            history.remember(record(MANY))
        for _ in range(2):
            with opened(folder) as history:
                learned, given = seen(history)
        assert (len(learned), given) == (MANY + 2, 0)


class TestStale:
    def changed(self, known, number, label):
        return tuple((i, label if i == f"t{number}" else held) for i, held in known)

    def test_feedback_with_the_study(self, grown):
        folder, known = grown
        with opened(folder) as history:
            seen(history)
            history.revise("t3", lambda held: {"small": False})
        with opened(folder) as history:
            assert seen(history) == (self.changed(known, 3, False), 0)

    def test_feedback_without_the_study(self, grown):
        folder, known = grown
        with opened(folder) as history:
            history.revise("t3", lambda held: {"small": False})
        assert files(folder) == []
        with opened(folder) as history:
            assert seen(history) == (self.changed(known, 3, False), MANY)

    def test_feedback_that_waits_when_the_study_begins(self, grown):
        folder, known = grown
        with opened(folder) as history:
            history.revise("t3", lambda held: {"small": False})
            assert seen(history)[0] == self.changed(known, 3, False)

    def test_what_is_removed_is_not_kept(self, grown):
        folder, _ = grown
        with opened(folder) as history:
            seen(history)
            history.prune(keep=MANY - 5)
            assert files(folder) == []
            assert history.recall("question 1", node="n", k=0, study=Listing()).count == MANY - 5
        assert files(folder) == []
        with opened(folder) as history:
            learned, _ = seen(history)
        assert [i for i, _ in learned] == [f"t{number}" for number in range(5, MANY)]

    def test_a_record_that_is_replaced(self, grown):
        folder, known = grown
        with opened(folder) as history:
            seen(history)
            history.remember(record(3, labels={"small": False}))
        with opened(folder) as history:
            assert seen(history) == (self.changed(known, 3, False), MANY)

    def test_what_is_evicted_does_not_hurt(self, tmp_path):
        with opened(tmp_path, capacity=MANY) as history:
            seen(history)
            for number in range(MANY + 50):
                history.remember(record(number))
            known, _ = seen(history)
        with opened(tmp_path, capacity=MANY) as history:
            assert seen(history) == (known, 0)

    def test_records_of_another_folder(self, grown, tmp_path):
        folder, _ = grown
        with opened(tmp_path / "other") as history:
            for number in range(MANY):
                history.remember(dataclasses.replace(record(number), id=f"other {number}"))
        shutil.copytree(folder / "llm-tiers-studies", tmp_path / "other" / "llm-tiers-studies")
        with opened(tmp_path / "other") as history:
            learned, given = seen(history)
        assert given == MANY
        assert learned[0][0] == "other 0"

    @pytest.mark.parametrize("change", ["revise", "prune"])
    def test_what_a_server_changed_meanwhile(self, grown, change):
        folder, known = grown
        with serving(folder) as (url, _), opened(url) as history:
            if change == "revise":
                history.revise("t3", lambda held: {"small": False})
            else:
                history.prune(keep=MANY - 1)
        expected = self.changed(known, 3, False) if change == "revise" else known[1:]
        with opened(folder) as history:
            assert seen(history) == (expected, len(expected))

    def test_an_older_one_learns_what_came_since(self, grown, tmp_path):
        folder, _ = grown
        shutil.copytree(folder / "llm-tiers-studies", tmp_path / "kept")
        with opened(folder) as history:
            for number in range(MANY, MANY + 20):
                history.remember(record(number))
            known, _ = seen(history)
        shutil.rmtree(folder / "llm-tiers-studies")
        shutil.copytree(tmp_path / "kept", folder / "llm-tiers-studies")
        with opened(folder) as history:
            assert seen(history) == (known, 20)


def test_a_record_that_changes_while_it_waits_is_not_kept_as_it_was(tmp_path):
    studies, pending, study = Studies(), Pending(), Listing()
    snapshots = Snapshots(tmp_path, "default", [], alone=lambda: True)
    keeping = Keeping(snapshots, studies, pending)
    shelf = SimpleNamespace(title=SimpleNamespace(node="n"), count=lambda: MANY, mark="")
    first = record(1)
    second = dataclasses.replace(first, labels={"small": False})
    studies.of("n", study, lambda: (study.start(), ()))
    with studies.learning(first, ("n",)):
        keeping.adding(first, ("n",))
        pending.add(Addition(Row(first, np.ones(4)), ("n",)))
    keeping.keep([shelf])
    with studies.revising(lambda _: first, second, ("n",), lambda: None):
        keeping.revising()
        pending.revise(second)

    pending.done(pending.take(1))
    keeping.keep([shelf])

    assert snapshots.load(("n", study, frozenset())).result == (("t1", False),)


ABOUT = {"last": "t209", "mark": "", "records": 210}
DAMAGES = {
    "empty": lambda content: b"",
    "cut short": lambda content: content[:-3],
    "longer": lambda content: content + b"\0",
    "another version": lambda content: content.replace(b"study 1", b"study 2"),
    "a flipped bit": lambda content: content[:60] + bytes([content[60] ^ 1]) + content[61:],
    "zeros": lambda content: bytes(len(content)),
    "no JSON": lambda content: to_bytes({}, Packed({}))[:26] + b"[" * 100_000,
    "other facts": lambda content: to_bytes({**ABOUT, "of": ["n", "listing", []]}, Packed({"all": 7})),
    "of another node": lambda content: to_bytes({**ABOUT, "of": ["m", "listing", []]}, Packed({})),
    "nothing said": lambda content: to_bytes({}, Packed({})),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_as_good_as_none(grown, damage):
    folder, known = grown
    (path,) = files(folder)
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    with opened(folder) as history:
        assert seen(history) == (known, MANY)
    with opened(folder) as history:
        assert seen(history) == (known, 0)


def test_a_huge_file_is_not_read(grown):
    folder, known = grown
    (path,) = files(folder)
    with path.open("r+b") as file:
        file.truncate(65_000_000)
    with opened(folder) as history:
        assert seen(history) == (known, MANY)


KILLED = """
import random, sys
sys.path[:0] = sys.argv[2:]
from past_calls import record
from test_kept_studies import opened, seen

draw = random.Random(sys.argv[3])
with opened(sys.argv[1]) as history:
    seen(history)
    for number in range(100_000):
        history.remember(record(number))
        if draw.random() < 0.02:
            history.revise(f"t{draw.randrange(number + 1)}", lambda held: {"small": not held.labels["small"]})
        if number % 100 == 99:
            history.flush()
            print(number, flush=True)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
@pytest.mark.parametrize("kill_after", [5, 11, 17])
def test_after_a_kill_it_is_what_the_records_say(tmp_path, kill_after):
    folder = tmp_path / "tiers"
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(folder), str(Path(__file__).parent), str(kill_after)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for _ in range(kill_after):
            assert process.stdout.readline()
        process.kill()
    with opened(folder) as history:
        after_kill, _ = seen(history)
    shutil.rmtree(folder / "llm-tiers-studies", ignore_errors=True)
    with opened(folder) as history:
        by_records, given = seen(history)
    assert given == len(by_records) >= 100 * kill_after
    assert after_kill == by_records


LADDER = Ladder(
    Tier(name, name=name, price=price)
    for name, price in {"small": (0.1, 0.4), "medium": (1, 2), "large": (2, 8)}.items()
)
STUDIES = {
    "menu": MenuStarter().study(LADDER),
    "menu beside a judge": MenuStarter(judged=True).study(LADDER),
    "linucb": LinUCB().study(LADDER),
    "linucb-rules": LinUCBOfRules().study(LADDER),
    "metallm": LinUCB.paper().study(LADDER),
    "guarantee": Guarantee(0.1).study(LADDER, "n"),
    "guarantee by grades": Guarantee(0.1, of="grade").study(LADDER, "n"),
}


def call(number, draw):
    """A past call as different as they come."""
    answered = ("small", "medium", "large")[: draw.choice([1, 2, 3, 3])]
    graded = {"grader": {name: float(draw.random() < 0.8) for name in answered}} if draw.random() < 0.3 else {}
    judged = draw.random() < 0.5
    return dataclasses.replace(
        record(number),
        answered=answered,
        said={name: draw.choice([-1, 0, 0, 0, 1]) for name in answered},
        costs={name: draw.random() for name in answered if draw.random() < 0.9},
        verdicts={name: draw.random() < 0.7 for name in answered if judged and draw.random() < 0.9},
        verdict_costs={name: draw.random() for name in answered if judged},
        tokens={},
        final=answered[-1],
        audited=len(answered) == 3,
        profiled=len(answered) == 2,
        grades=graded,
        rule=draw.choice([None, "small", "large"]),
        vector=None if draw.random() < 0.05 else EMBEDDING.embed(f"question {number}"),
    )


def learned(study, result, numbers, draw):
    for number in numbers:
        result = study.learn(result, call(number, draw))
    return result


def bits(study, result):
    """All that a result says, to the last bit."""
    packed = study.pack(result)
    return packed.facts, {name: array.tobytes() for name, array in packed.arrays.items()}


def parts(value):
    """All that is in a result, field by field, but for what is only remembered to save time."""
    if dataclasses.is_dataclass(value):
        fields = [field.name for field in dataclasses.fields(value) if field.compare or field.name == "vector"]
        return type(value), [(name, parts(getattr(value, name))) for name in fields]
    if isinstance(value, np.ndarray):
        # Of a regression's inverse only the upper triangle is valid.
        square = value.ndim == 2 and value.shape[0] == value.shape[1]
        return value.shape, value.dtype, (np.triu(value) if square else value).tobytes()
    if isinstance(value, dict):
        return {key: parts(inner) for key, inner in value.items()}
    return [parts(inner) for inner in value] if isinstance(value, tuple | list) else value


@pytest.mark.parametrize("name", STUDIES)
class TestOfPolicies:
    @pytest.mark.parametrize("number", [0, 1, 300])
    def test_what_is_kept_is_what_was_learned_and_learns_on_alike(self, name, number):
        study = STUDIES[name]
        live = learned(study, study.start(), range(number), random.Random(number))
        _, held = of_bytes(to_bytes({}, study.pack(live)))
        kept = study.unpack(held)
        assert parts(kept) == parts(live)
        after = [learned(study, one, range(number, number + 50), random.Random(1)) for one in (kept, live)]
        assert bits(study, after[0]) == bits(study, after[1])

    @pytest.mark.parametrize("foreign", [None, [[]], [{}], {"small": 1e999}, {"small": [1]}, 10**400, 2**40, "x"])
    def test_a_foreign_value_is_refused_or_read(self, name, foreign):
        study = STUDIES[name]
        packed = study.pack(learned(study, study.start(), range(12), random.Random(2)))
        for fact in packed.facts:
            with suppress(*REFUSALS):
                study.unpack(Packed({**packed.facts, fact: foreign}, packed.arrays))

    @given(st.data())
    @settings(max_examples=60)
    def test_anything_else_is_refused_or_read(self, name, data):
        study = STUDIES[name]
        packed = study.pack(learned(study, study.start(), range(12), random.Random(2)))
        scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
        anything = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4), max_leaves=6)
        changed = dict(packed.facts) | {data.draw(st.sampled_from(sorted(packed.facts))): data.draw(anything)}
        arrays = {one: array for one, array in packed.arrays.items() if data.draw(st.booleans())}
        _, held = of_bytes(to_bytes({}, Packed(changed, arrays)))
        with suppress(*REFUSALS):
            study.unpack(held)


def test_no_two_studies_are_taken_for_each_other():
    others = (Guarantee(0.2).study(LADDER, "n"), Guarantee(0.1).study(LADDER, "m"), LinUCB(ridge=2).study(LADDER))
    names = [study.identity() for study in (*STUDIES.values(), *others)]
    assert len(set(names)) == len(names)


@given(st.binary(max_size=60), st.integers(0, 200))
@settings(max_examples=150)
def test_changed_bytes_are_refused(change, place):
    whole = to_bytes({"last": "t1"}, Packed({"a": 1}, {"b": np.ones((3, 2))}))
    changed = whole[:place] + change + whole[place + len(change) :]
    if changed == whole:
        return
    with pytest.raises(REFUSALS):
        of_bytes(changed)

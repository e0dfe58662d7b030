"""What the models of a process that share a tier know of it: whose failures count for whom."""

import pytest
from pydantic import BaseModel, SecretStr

from llm_tiers import Answer, Tier, TierError
from llm_tiers.errors import Origin
from llm_tiers.ladder import circuits
from llm_tiers.ladder.breaker import Breaker
from llm_tiers.ladder.circuits import Circuits, circuits_of, patience_with

LATE = TierError("small", "no answer within 1 s", origin=Origin(TimeoutError))
DOWN = TierError("small", "x", origin=Origin(OSError, status=500))
ANSWER = Answer("small", "4", "4")


@pytest.fixture
def known(clock):
    return Circuits(Breaker(clock=clock))


@pytest.fixture
def circuit(known):
    return known.seen_by(60)


def times_out(known, patience, times=3):
    return [known.seen_by(patience).record(LATE) for _ in range(times)][-1]


def test_time_outs_of_the_impatient_do_not_count_for_the_patient(known):
    assert times_out(known, 1) == 5.0

    assert known.seen_by(1).seconds_left() == known.seen_by(0.5).seconds_left() == 5.0
    assert known.seen_by(2).admits()
    assert known.seen_by(2).stats()["failures_in_a_row"] == 0
    assert known.seen_by(1).stats()["why"] == "no answer within 1 s"


def test_other_failures_count_for_everybody(known):
    for patience in (1, 60, 5):
        known.seen_by(patience).record(DOWN)

    assert [known.seen_by(patience).admits() for patience in (1, 5, 60)] == [False] * 3


def test_what_answers_the_impatient_answers_the_patient(known):
    times_out(known, 60, 2)
    known.seen_by(1).record(ANSWER)
    assert times_out(known, 60, 2) is None

    times_out(known, 1, 2)
    known.seen_by(60).record(ANSWER)
    assert times_out(known, 1, 1) == 5.0


def test_a_trial_is_made_for_those_who_wait_as_long_or_less(known, clock):
    times_out(known, 1)
    clock.now += 5
    assert [known.seen_by(1).admits() for _ in range(2)] == [True, False]
    assert known.seen_by(2).admits()
    known.seen_by(2).record(ANSWER)
    assert not known.seen_by(1).admits()
    known.seen_by(1).record(ANSWER)
    assert known.seen_by(1).admits()


def test_a_trial_that_fails_in_another_way_is_left_to_the_next_call(known, clock):
    times_out(known, 1)
    clock.now += 5
    assert known.seen_by(1).admits()
    known.seen_by(1).record(DOWN)
    assert known.seen_by(1).admits()


def test_of_many_time_outs_the_longest_are_remembered(known):
    for patience in range(1, 40):
        times_out(known, patience)
    assert len(known._of_timeouts) == 16
    assert not known.seen_by(39).admits()


def test_a_call_waits_as_long_as_the_shortest_of_what_binds_it():
    class Patient(BaseModel):
        model: str = "small"
        timeout: float | None = None

    assert patience_with(Tier(Patient())) == 300
    assert patience_with(Tier(Patient(), timeout=20)) == 20
    assert patience_with(Tier(Patient(timeout=2), timeout=20)) == 2
    assert patience_with(Tier(Patient(), timeout=20), 400, 900) == 400
    assert patience_with(Tier(Patient(), timeout=20), 30, 5) == 5


@pytest.mark.parametrize(
    ("origin", "seconds"),
    [
        (Origin(OSError, blame="tier"), None),
        (Origin(OSError, blame="tier", retry_after=2.0), 2.0),
        (Origin(OSError, blame="setup", status=401), 5.0),
        (Origin(TypeError, blame="setup"), 5.0),
    ],
)
def test_failures_of_the_tier_count(circuit, origin, seconds):
    assert circuit.record(TierError("small", "x", origin=origin)) == seconds
    assert circuit.stats()["failures_in_a_row"] == 1


@pytest.mark.parametrize("blame", ["request", "refused", "caller", "nobody"])
@pytest.mark.parametrize("status", [None, 400])
def test_other_failures_do_not(circuit, blame, status):
    for _ in range(5):
        circuit.record(TierError("small", "x", origin=Origin(ValueError, blame=blame, status=status)))
    assert circuit.admits()
    assert circuit.stats()["failures_in_a_row"] == 0


def test_the_reason_shows_no_text_of_the_provider(circuit):
    error = TierError("small", ValueError("the prompt was: secret"), origin=Origin(ValueError, status=500))
    circuit.record(error)
    circuit.record(error)
    circuit.record(error)
    assert circuit.worst.why == "ValueError (status 500)"


def test_an_answer_counts_as_one(circuit):
    [circuit.record(TierError("small", "x")) for _ in range(2)]
    assert circuit.record(Answer("small", "4", "4")) is None
    assert circuit.stats()["failures_in_a_row"] == 0


class Model(BaseModel):
    model: str = "small"
    base_url: str | None = None
    api_key: SecretStr = SecretStr("sk-one-one-one")


def test_models_share_the_circuit_of_a_tier():
    settings = Breaker()
    one = circuits_of(Tier(Model()), settings)
    assert circuits_of(Tier(Model(), name="another"), settings) is one
    others = [Model(model="large"), Model(base_url="http://here"), Model(api_key=SecretStr("sk-two-two-two"))]
    assert len({id(circuits_of(Tier(other), settings)) for other in others} | {id(one)}) == 4
    assert circuits_of(Tier(Model()), Breaker(failures=5)) is not one


def test_no_key_is_kept():
    circuits_of(Tier(Model(base_url="http://me:sk-one-one-one@here?key=sk-one-one-one")), Breaker())
    assert "sk-one" not in repr(circuits._circuits)


def test_a_process_remembers_a_bounded_number(monkeypatch):
    monkeypatch.setattr(circuits, "_MOST_TIERS", 2)
    settings = Breaker()
    first = circuits_of(Tier(Model(model="a")), settings)
    circuits_of(Tier(Model(model="b")), settings)
    assert circuits_of(Tier(Model(model="a")), settings) is first
    circuits_of(Tier(Model(model="c")), settings)
    assert circuits_of(Tier(Model(model="a")), settings) is first

"""When a tier that fails is not asked, and when it is tried again."""

import threading
from types import SimpleNamespace

import pytest
from pydantic import BaseModel, SecretStr

from llm_tiers import Answer, ConfigError, Tier, TierError
from llm_tiers.errors import Origin
from llm_tiers.ladder import breaker as breakers
from llm_tiers.ladder.breaker import Breaker, Circuit, as_breaker, circuit_of, record


@pytest.fixture
def circuit(clock):
    return Circuit(Breaker(clock=clock))


def opened(circuit, times=3):
    """Fail so often; return what the last failure said."""
    return [circuit.failed("status 500") for _ in range(times)][-1]


def test_it_opens_after_three_failures_in_a_row(circuit):
    assert [circuit.failed("status 500") for _ in range(3)] == [None, None, 5.0]
    assert not circuit.admits()
    assert circuit.seconds_left() == 5.0
    assert circuit.stats() == {
        "state": "open",
        "failures_in_a_row": 3,
        "opened": 1,
        "seconds_left": 5.0,
        "why": "status 500",
    }


def test_an_answer_between_begins_the_row_anew(circuit):
    circuit.failed("x")
    circuit.failed("x")
    circuit.answered()
    assert opened(circuit, 2) is None
    assert circuit.admits()


def test_it_opens_at_a_bad_share(circuit):
    for _ in range(4):
        circuit.failed("x")
        circuit.answered() if circuit.admits() else None
    circuit.answered()
    assert circuit.failed("x") == 5.0  # five of ten


def test_a_share_of_few_outcomes_says_nothing(circuit):
    circuit.failed("x")
    circuit.answered()
    assert circuit.failed("x") is None


def test_what_no_request_would_change_opens_it_at_once(circuit):
    assert circuit.failed("status 401", at_once=True) == 5.0


def test_a_tier_that_says_how_long_is_left_alone_so_long(circuit, clock):
    assert circuit.failed("status 429", retry_after=30.0) == 30.0
    clock.now += 29
    assert not circuit.admits()
    clock.now += 1
    assert circuit.admits()


def test_a_day_is_too_long(circuit):
    assert circuit.failed("status 429", retry_after=86_400.0) == 600.0


def test_after_the_wait_one_call_tries_for_all(circuit, clock):
    opened(circuit)
    clock.now += 5
    assert circuit.seconds_left() is None
    assert [circuit.admits() for _ in range(3)] == [True, False, False]
    assert circuit.stats()["state"] == "half-open"
    assert circuit.answered()
    assert circuit.admits()
    assert circuit.stats()["state"] == "closed"


def test_a_trial_that_fails_doubles_the_wait_up_to_the_longest(circuit, clock):
    opened(circuit)
    waits = []
    for _ in range(8):
        clock.now += circuit.seconds_left()
        assert circuit.admits()
        assert circuit.failed("x") is None
        waits.append(circuit.seconds_left())
    assert waits == [10, 20, 40, 80, 160, 300, 300, 300]
    assert circuit.stats()["opened"] == 1


def test_after_an_answer_the_wait_is_short_again(circuit, clock):
    opened(circuit)
    clock.now += 5
    circuit.admits()
    circuit.failed("x")
    clock.now += 10
    circuit.admits()
    circuit.answered()
    assert opened(circuit) == 5.0


def test_calls_that_were_under_way_when_it_opened_do_not_double_the_wait(circuit):
    opened(circuit, 10)
    assert circuit.seconds_left() == 5.0


def test_a_trial_that_is_cancelled_leaves_the_next_call_to_try(circuit, clock):
    opened(circuit)
    clock.now += 5
    assert circuit.admits()
    circuit.cancelled()
    assert circuit.admits()


def test_a_trial_that_never_ends_is_followed_by_another(circuit, clock):
    opened(circuit)
    clock.now += 5
    assert circuit.admits()
    clock.now += 5
    assert circuit.admits()


def test_of_many_threads_one_tries(circuit, clock):
    opened(circuit)
    clock.now += 5
    admitted, barrier = [], threading.Barrier(8)

    def ask():
        barrier.wait()
        admitted.append(circuit.admits())

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert admitted.count(True) == 1


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
    assert record(circuit, TierError("small", "x", origin=origin)) == seconds
    assert circuit.stats()["failures_in_a_row"] == 1


@pytest.mark.parametrize("blame", ["request", "refused", "caller", "nobody"])
@pytest.mark.parametrize("status", [None, 400])
def test_other_failures_do_not(circuit, blame, status):
    for _ in range(5):
        record(circuit, TierError("small", "x", origin=Origin(ValueError, blame=blame, status=status)))
    assert circuit.admits()
    assert circuit.stats()["failures_in_a_row"] == 0


def test_the_reason_shows_no_text_of_the_provider(circuit):
    error = TierError("small", ValueError("the prompt was: secret"), origin=Origin(ValueError, status=500))
    record(circuit, error)
    record(circuit, error)
    record(circuit, error)
    assert circuit.why == "ValueError (status 500)"


def test_an_answer_counts_as_one(circuit):
    opened(circuit, 2)
    assert record(circuit, Answer("small", "4", "4")) is None
    assert circuit.stats()["failures_in_a_row"] == 0


class Model(BaseModel):
    model: str = "small"
    base_url: str | None = None
    api_key: SecretStr = SecretStr("sk-one-one-one")


def test_models_share_the_circuit_of_a_tier():
    settings = Breaker()
    one = circuit_of(Tier(Model()), settings)
    assert circuit_of(Tier(Model(), name="another"), settings) is one
    others = [Model(model="large"), Model(base_url="http://here"), Model(api_key=SecretStr("sk-two-two-two"))]
    assert len({id(circuit_of(Tier(other), settings)) for other in others} | {id(one)}) == 4
    assert circuit_of(Tier(Model()), Breaker(failures=5)) is not one


def test_no_key_is_kept():
    circuit_of(Tier(Model(base_url="http://me:sk-one-one-one@here?key=sk-one-one-one")), Breaker())
    assert "sk-one" not in repr(breakers._circuits)


def test_a_process_remembers_a_bounded_number(monkeypatch):
    monkeypatch.setattr(breakers, "_MOST_CIRCUITS", 2)
    settings = Breaker()
    first = circuit_of(Tier(Model(model="a")), settings)
    circuit_of(Tier(Model(model="b")), settings)
    assert circuit_of(Tier(Model(model="a")), settings) is first
    circuit_of(Tier(Model(model="c")), settings)
    assert circuit_of(Tier(Model(model="a")), settings) is first


@pytest.mark.parametrize(
    "wrong",
    [
        {"failures": 0},
        {"failures": "3"},
        {"share": 0},
        {"share": 1.5},
        {"of": 5},
        {"seconds": 0},
        {"seconds": float("inf")},
        {"longest": 1},
    ],
    ids=str,
)
def test_a_wrong_setting_is_refused(wrong):
    (name,) = wrong
    with pytest.raises(ConfigError, match=rf"breaker: {name}"):
        Breaker(**wrong)


def test_what_is_no_breaker_is_refused():
    assert as_breaker(None) is None
    with pytest.raises(ConfigError, match="breaker must be a Breaker"):
        as_breaker(SimpleNamespace())

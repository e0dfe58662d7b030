"""When a tier that fails is not asked, and when it is tried again."""

import threading
from types import SimpleNamespace

import pytest

from llm_tiers import ConfigError
from llm_tiers.ladder.breaker import Breaker, Circuit, as_breaker


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

"""How fast tiers are asked, and which failures are worth another try."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from llm_tiers.errors import AllTiersFailed, TierError
from llm_tiers.profile.pace import Fault, Pace


def answered(status, **headers):
    """What a client raises for a reply with an error status."""
    request = httpx.Request("POST", "http://127.0.0.1/v1")
    return httpx.HTTPStatusError("refused", request=request, response=httpx.Response(status, headers=headers))


def fault_of(cause):
    return Fault.of(AllTiersFailed("none answered", [TierError("small", cause)]))


def test_turns_are_spaced_and_a_pause_holds_for_everybody():
    now = [0.0]
    pace = Pace(per_minute=30, clock=lambda: now[0])
    assert pace.take() == 0
    assert pace.take() == 2
    now[0] = 2.0
    assert pace.take() == 0
    pace.pause(10)
    assert pace.take() == 10
    now[0] = 12.0
    assert pace.take() == 0


def test_without_a_limit_there_is_no_wait():
    pace = Pace()
    assert [pace.take() for _ in range(5)] == [0] * 5


@pytest.mark.parametrize("status", [408, 409, 429, 500, 503, 529])
def test_what_may_pass_is_asked_again_ever_later_up_to_a_minute(status):
    fault = fault_of(answered(status))
    assert [fault.wait(retry) for retry in (0, 1, 2, 9)] == [1, 2, 4, 60]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_what_will_not_pass_is_not(status):
    fault = fault_of(answered(status))
    assert fault.wait(0) is None
    assert fault.is_final == (status in (401, 403, 404))


def test_a_lost_connection_is_asked_again():
    assert fault_of(httpx.ConnectError("gone")).wait(0) == 1
    assert fault_of(ValueError("odd")).wait(0) is None


def test_the_provider_says_how_long_to_wait_in_seconds_or_as_a_date():
    assert fault_of(answered(429, **{"Retry-After": "7"})).wait(5) == 7
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert 20 < fault_of(answered(429, **{"Retry-After": later})).wait(0) <= 30
    assert fault_of(answered(429, **{"Retry-After": "soon"})).wait(0) == 1


@pytest.mark.parametrize("after", ["0", "-3", "Wed, 21 Oct 2015 07:28:00 GMT"])
def test_a_wait_that_is_over_already_does_not_use_up_all_retries_at_once(after):
    fault = fault_of(answered(429, **{"Retry-After": after}))
    assert [fault.wait(retry) for retry in (0, 1, 2)] == [1, 2, 4]


def test_a_provider_that_has_closed_for_the_day_is_not_waited_for():
    assert fault_of(answered(429, **{"Retry-After": "86400"})).wait(0) is None

"""A tier that fails is not asked for a while, by any model of the process."""

import logging
import threading
from functools import reduce
from operator import add

import openai
import pytest

from llm_tiers import AllTiersFailed, Breaker, ConfigError, FixedStarter, Grader, Tier
from llm_tiers.testing import Hang, HttpError

ASK = "What is the capital of France?"


@pytest.fixture
def ask(take):
    return lambda model: reduce(add, take(model, ASK))


def warnings_of(answer):
    return answer.response_metadata["tiers"]["warnings"]


def asked(server, name):
    return len([request for request in server.requests_to(name) if not request.judges])


def test_a_tier_that_fails_three_times_is_asked_no_more(server, tiered, ask, caplog):
    server.scripts["small"] = HttpError(500)
    model = tiered()

    answers = [ask(model) for _ in range(8)]

    assert {answer.content for answer in answers} == {"Paris"}
    assert asked(server, "small") == 3
    assert warnings_of(answers[2]) == []
    assert all(warnings_of(answer)[0].startswith("breaker: small skipped, its breaker") for answer in answers[3:])
    assert answers[3].response_metadata["tiers"]["start"] == "medium"
    (line,) = [record.getMessage() for record in caplog.records if "small" in record.getMessage()]
    assert line.startswith("tier small fails: ")
    assert line.endswith("Error (status 500); it is not asked for 5 s, and then tried (its breaker is open)")


@pytest.mark.parametrize("status", [401, 403, 404])
def test_what_no_request_would_change_is_asked_once(server, tiered, ask, status):
    server.scripts["small"] = HttpError(status)
    model = tiered()
    for _ in range(10):
        ask(model)
    assert asked(server, "small") == 1
    assert model.stats()["tiers"]["small"]["state"] == "open"
    assert model.stats()["tiers"]["medium"]["state"] == "closed"


def test_a_key_is_in_no_log_and_no_state(server, tiered, key, caplog):
    caplog.set_level(logging.DEBUG, "llm_tiers")
    server.scripts["small"] = HttpError(401, f"Incorrect API key provided: {key}.")
    model = tiered()
    answer = [model.invoke(ASK) for _ in range(2)][-1]
    assert key not in caplog.text + str(model.stats()) + str(warnings_of(answer))
    assert caplog.text


def test_a_tier_that_says_when_to_come_back_is_left_alone_so_long(server, tiered, ask, clock):
    server.scripts["small"] = HttpError(429, retry_after=30)
    model = tiered(breaker=Breaker(clock=clock))
    ask(model)
    clock.now += 29.9
    ask(model)
    assert asked(server, "small") == 1
    clock.now += 0.2
    ask(model)
    assert asked(server, "small") == 2


def test_a_tier_that_works_again_is_found_out(server, tiered, ask, clock, caplog):
    server.scripts["small"] = HttpError(401)
    model = tiered(breaker=Breaker(clock=clock), judge=lambda question, answer: True)
    ask(model)
    for wait in (5, 10, 20):
        assert model.stats()["tiers"]["small"]["seconds_left"] == wait
        clock.now += wait
        ask(model)
    assert asked(server, "small") == 4
    server.scripts["small"] = "Paris"
    clock.now += 40
    assert ask(model).response_metadata["tiers"]["final"] == "small"
    assert model.stats()["tiers"]["small"]["state"] == "closed"
    assert len([record for record in caplog.records if "tier small fails" in record.getMessage()]) == 1


def test_all_models_on_a_tier_share_what_is_known(server, tiered, chat, ask):
    server.scripts["small"] = HttpError(401)
    ask(tiered())
    other = tiered(tiers=[chat("small", temperature=0.5), chat("large")])
    assert warnings_of(ask(other))[0].startswith("breaker: small skipped")
    assert asked(server, "small") == 1


def test_another_key_is_another_tier(server, tiered, chat, ask):
    server.scripts["small"] = HttpError(401)
    ask(tiered())
    other = tiered(tiers=[chat("small"), chat("large")], api_key="sk-quite-another-key")
    ask(other)
    assert asked(server, "small") == 2


def test_without_breakers_each_call_asks(server, tiered, ask):
    server.scripts["small"] = HttpError(401)
    model = tiered(breaker=None)
    for _ in range(4):
        assert warnings_of(ask(model)) == []
    assert asked(server, "small") == 4
    assert model.stats() == {"tiers": {}}
    copy = model.model_copy(update={"node": "x"})
    ask(copy)
    assert asked(server, "small") == 5


def test_where_all_are_open_the_top_is_asked(server, tiered, ask):
    server.scripts |= dict.fromkeys(("small", "medium", "large"), HttpError(401))
    model = tiered()
    for _ in range(3):
        with pytest.raises(openai.AuthenticationError):
            ask(model)
    assert [asked(server, name) for name in ("small", "medium")] == [1, 1]
    assert asked(server, "large") == 3
    server.scripts["large"] = "Paris"
    assert ask(model).content == "Paris"
    assert model.stats()["tiers"]["large"]["state"] == "closed"


def test_a_top_that_is_down_costs_nothing_and_the_answer_below_is_judged(server, tiered, ask):
    server.scripts["large"] = HttpError(401)
    model = tiered(starter=FixedStarter("large"), judge=lambda question, answer: answer == "Paris")
    ask(model)
    answer = ask(model)
    assert asked(server, "large") == 1
    assert answer.response_metadata["tiers"]["final"] == "medium"
    assert answer.response_metadata["tiers"]["attempts"][0]["verdict"] == "valid"


def test_a_call_that_is_the_callers_mistake_opens_nothing(server, tiered, ask):
    server.scripts |= dict.fromkeys(("small", "medium", "large"), HttpError(400, "Invalid name", code="invalid_value"))
    model = tiered()
    for _ in range(5):
        with pytest.raises(AllTiersFailed):
            ask(model)
        with pytest.raises(TypeError):
            ask(model.bind(typo=1))
    assert {state["state"] for state in model.stats()["tiers"].values()} == {"closed"}


def test_a_tier_that_hangs_costs_its_time_out_three_times(server, chat, tiered, ask):
    server.scripts["small"] = hang = Hang()
    model = tiered(tiers=[Tier(chat("small"), timeout=0.05), chat("large")])
    for _ in range(8):
        assert ask(model).content == "Paris"
    assert model.stats()["tiers"]["small"]["why"] == "no answer within 0.05 s"
    assert asked(server, "small") == 3
    hang.release()


def test_an_impatient_model_does_not_keep_a_patient_one_from_a_tier(server, chat, tiered, ask):
    """Both ask the same tier; one waits a quarter of a second for it, by whatever setting."""
    server.scripts["small"] = hang = Hang()
    impatient = [
        tiered(tiers=[Tier(chat("small"), timeout=0.25), chat("large")]),
        tiered(tiers=[chat("small", timeout=0.25), chat("large")]),
        tiered(tiers=[chat("small"), chat("large")]).bind(timeout=0.25),
    ]
    for model in impatient:
        for _ in range(2):
            ask(model)
    assert "breaker: small skipped" in warnings_of(ask(impatient[0]))[0]
    hang.release()
    server.scripts["small"] = "Paris"

    patient = tiered(tiers=[chat("small"), chat("large")], judge=lambda question, answer: answer == "Paris")

    assert ask(patient).response_metadata["tiers"]["final"] == "small"
    assert patient.stats()["tiers"]["small"] == {
        "state": "closed",
        "failures_in_a_row": 0,
        "opened": 0,
        "seconds_left": 0.0,
        "why": None,
    }


def test_where_all_are_open_the_trace_says_who_was_asked_all_the_same(server, tiered, ask):
    server.scripts |= dict.fromkeys(("small", "medium", "large"), HttpError(401))
    model = tiered()
    with pytest.raises(openai.AuthenticationError):
        ask(model)
    with pytest.raises(openai.AuthenticationError) as caught:
        ask(model)
    warnings = caught.value.trace.warnings
    assert [warning.partition(",")[0] for warning in warnings] == [
        "breaker: small skipped",
        "breaker: medium skipped",
        "breaker: large asked",
    ]
    assert warnings[2].startswith("breaker: large asked, since all are down, its breaker is open for")


def test_a_tier_that_is_asked_as_a_last_resort_is_named(server, tiered, ask):
    server.scripts["large"] = HttpError(401)
    model = tiered(starter=FixedStarter("large"))
    ask(model)
    server.scripts |= {"small": HttpError(500), "medium": HttpError(500), "large": "Paris"}
    answer = ask(model)
    assert answer.content == "Paris"
    assert "breaker: large asked after all, since no other tier gave an answer" in warnings_of(answer)


def test_a_grader_that_fails_is_not_asked_for_a_while(server, chat, tiered):
    seen = []
    server.scripts["grader"] = HttpError(401)
    model = tiered(grade=Grader(chat("grader")), audit=1.0, policy="estimate", on_trace=seen.append)
    for _ in range(3):
        model.invoke(ASK)
        assert model.flush_grades()
    assert len(server.requests_to("grader")) == 1
    assert "not asked: its breaker is open" in str(seen[-1].grading.outcomes)


def test_a_tier_that_fails_as_a_grader_is_not_asked_to_answer(server, tiered):
    server.scripts["large"] = lambda request: HttpError(401) if "grade answers" in request.text else "Paris"
    model = tiered(grade="large", audit=1.0, policy="estimate")
    model.invoke(ASK)
    assert model.flush_grades()
    assert model.stats()["tiers"]["large"]["state"] == "open"


def test_the_menu_does_not_profile_a_tier_that_is_down(server, tiered, ask):
    server.scripts["large"] = HttpError(401)
    model = tiered(policy=None, learning=1.0)
    for _ in range(4):
        ask(model)
    assert asked(server, "large") == 1


def test_of_many_calls_one_tries(server, tiered, clock):
    server.scripts["small"] = HttpError(500)
    model = tiered(breaker=Breaker(clock=clock))
    for _ in range(3):
        model.invoke(ASK)
    clock.now += 5
    barrier = threading.Barrier(8)

    def call():
        barrier.wait()
        model.invoke(ASK)

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert asked(server, "small") == 4


def test_what_is_no_breaker_is_refused(tiered):
    with pytest.raises(ConfigError, match="breaker must be a Breaker"):
        tiered(breaker=3)


def test_while_the_planned_tier_is_down_another_answers_marked_as_degraded(server, tiered, ask):
    server.scripts["large"] = HttpError(401)
    model = tiered(policy="menu", quality=1.0)
    traces = [ask(model).response_metadata["tiers"] for _ in range(4)]
    assert asked(server, "large") == 1
    assert [trace["degraded"] for trace in traces] == [True] * 4


def test_who_wants_no_other_tier_gets_the_error_of_the_planned_one_without_a_wait(server, tiered):
    server.scripts["large"] = HttpError(401)
    model = tiered(policy="menu", quality=1.0, learning=0.0, on_exhausted="raise")
    for _ in range(4):
        with pytest.raises(openai.AuthenticationError) as caught:
            model.invoke(ASK)
        assert isinstance(caught.value, AllTiersFailed)
    assert asked(server, "large") == 1
    assert asked(server, "medium") == 0

"""The trace: its size, its sums, and the saving that it claims."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_tiers import AllTiersFailed, Attempt, PromptJudge, Tier, Trace, Usage
from llm_tiers.flow.cascade import cascade
from llm_tiers.flow.drive import drive
from llm_tiers.policies.policy import Policy
from llm_tiers.trace import Certificate, Grading

LIMIT = 2_000


def size(trace):
    return len(json.dumps(trace.to_dict()).encode())


@pytest.fixture
def run(scripted):
    """Run one call with a judge and return its trace."""

    def run(performer, start="small", witnesses=(), tiers=None, judge=None, **facts):
        bench = scripted.Bench(scripted.Planned(start, witnesses), judge or PromptJudge(), tiers)
        try:
            return bench.ask(performer, **facts).trace
        except AllTiersFailed as error:
            return error.trace

    return run


def test_a_short_trace_is_written_out_whole(scripted, run):
    trace = run(scripted.ScriptedPerformer({"small": "5", "medium": "4"}, {"small": "no"}))
    data = trace.to_dict()
    assert json.loads(json.dumps(data)) == data
    assert set(data) == set(Trace.model_fields)
    assert [attempt["tier"] for attempt in data["attempts"]] == [attempt.tier for attempt in trace.attempts]


def test_numbers_are_rounded_to_what_means_something():
    attempt = Attempt(tier="small", role="generate", seconds=1 / 3, cost_usd=2 / 3 * 1e-7)
    data = Trace(trace_id="a", policy="p", estimates={"small": 2 / 3}, attempts=(attempt,)).to_dict()
    assert data["estimates"]["small"] == 0.666667
    assert data["attempts"][0]["seconds"] == 0.333333
    assert data["attempts"][0]["cost_usd"] == pytest.approx(6.66667e-8)


def test_five_tiers_failing_at_length_stay_under_two_kilobytes(scripted, run):
    tiers = scripted.ladder(*scripted.NAMES)
    down = {name: scripted.Down(f"{name} said: " + "no capacity left " * 40) for name in scripted.NAMES}
    trace = run(scripted.ScriptedPerformer(down), tiers=tiers)
    assert len(trace.attempts) == 5
    assert size(trace) <= LIMIT
    errors = [attempt["error"] for attempt in trace.to_dict()["attempts"]]
    assert all(name in error for name, error in zip(scripted.NAMES, errors, strict=True))


def test_errors_in_another_script_stay_under_two_kilobytes_too(scripted, run):
    tiers = scripted.ladder(*scripted.NAMES)
    down = {name: scripted.Down("模型已过载" * 100) for name in scripted.NAMES}
    trace = run(scripted.ScriptedPerformer(down), tiers=tiers)
    assert size(trace) <= LIMIT
    errors = [attempt["error"] for attempt in trace.to_dict()["attempts"]]
    assert len(errors) == 5
    assert all(error.startswith("Down: 模") for error in errors)


def test_five_tiers_each_judged_stay_under_two_kilobytes(scripted):
    names = [f"gpt-5-mini-2025-08-0{day}" for day in range(1, 6)]
    tiers = scripted.ladder(*names)
    estimates = dict.fromkeys(names, 0.123456789)
    usage = Usage(12_345, 2_345)
    performer = scripted.ScriptedPerformer(dict.fromkeys(names, "4"), dict.fromkeys(names, "no"), usage=usage)
    starter = scripted.Planned(names[0], estimates=estimates)
    trace = scripted.Bench(starter, PromptJudge(), tiers).ask(performer, node="research/plan").trace
    assert size(trace) <= LIMIT
    assert len(trace.to_dict()["attempts"]) == len(trace.attempts) == 9


def test_judges_that_fail_at_length_stay_under_two_kilobytes(scripted, run):
    tiers = scripted.ladder(*scripted.NAMES)
    down = scripted.Down("the connection was reset by the peer " * 20)
    performer = scripted.ScriptedPerformer(dict.fromkeys(scripted.NAMES, "4"), dict.fromkeys(scripted.NAMES, down))
    trace = run(performer, tiers=tiers)
    assert size(trace) <= LIMIT
    assert len(trace.to_dict()["attempts"]) == len(trace.attempts) == 9


def test_even_a_ladder_of_a_hundred_tiers_stays_under_two_kilobytes(scripted):
    names = [f"provider/model-{n}" for n in range(100)]
    performer = scripted.ScriptedPerformer(dict.fromkeys(names, "4"), dict.fromkeys(names, "no"))
    tiers = scripted.ladder(*names, **{name: {"price": (1, 2)} for name in names})
    starter = scripted.Planned(names[0], estimates=dict.fromkeys(names, 0.5))
    trace = scripted.Bench(starter, PromptJudge(), tiers).ask(performer, node="research/plan").trace
    data = trace.to_dict()
    assert len(json.dumps(data).encode()) <= LIMIT
    assert (data["trace_id"], data["node"], data["final"]) == ("call-1", "research/plan", names[-1])
    assert data["cost_usd"] == pytest.approx(trace.cost_usd, rel=1e-2)
    assert data["attempts"][-1]["tier"] == names[-1]


texts = st.text(st.sampled_from('ax \n"é模🙂'), max_size=400)
attempts = st.builds(
    Attempt, tier=st.sampled_from(["small", "large"]), role=st.just("generate"), error=st.none() | texts
)


tiers = st.text(st.sampled_from("abc-4"), min_size=1, max_size=30)
gradings = st.builds(
    Grading,
    state=st.sampled_from(["pending", "done", "skipped"]),
    grades=st.dictionaries(tiers, st.floats(0, 1), max_size=40),
    outcomes=st.dictionaries(tiers, texts, max_size=40),
    contradicted=st.dictionaries(tiers, st.booleans(), max_size=40),
    why=st.none() | texts,
)


certificates = st.builds(
    Certificate,
    delta=st.floats(0.01, 0.5),
    confidence=st.just(0.95),
    rules=st.dictionaries(st.text(st.sampled_from("abc-4+>"), min_size=1, max_size=300), st.floats(0, 1), max_size=2),
    calls=st.integers(0, 10**9),
    of=st.just("equality"),
    sources=st.dictionaries(st.sampled_from(["check", "equality"]), st.integers(0, 10**9)),
    since=st.floats(0, 2e9),
)


@given(
    st.lists(attempts, max_size=30),
    st.lists(texts, max_size=8),
    texts,
    st.none() | gradings,
    st.none() | certificates,
)
def test_no_trace_is_longer_than_two_kilobytes(attempts, warnings, reason, grading, certificate):
    trace = Trace(
        trace_id="f" * 32,
        policy="p",
        attempts=tuple(attempts),
        warnings=tuple(warnings),
        reason=reason,
        grading=grading,
        certificate=certificate,
    )
    assert size(trace) <= LIMIT
    assert len(json.dumps(trace.to_dict(480)).encode()) <= 480
    assert {"trace_id", "final", "attempts", "cost_usd", "warnings", "reason"} <= set(trace.to_dict(480))
    Trace.model_validate(trace.to_dict(480))
    assert [attempt["tier"] for attempt in trace.to_dict()["attempts"]] == [
        attempt.tier for attempt in attempts[len(attempts) - len(trace.to_dict()["attempts"]) :]
    ]


def test_a_long_reason_and_many_warnings_stay_under_two_kilobytes():
    warnings = tuple(f"{n}: " + "w" * 300 for n in range(20))
    trace = Trace(trace_id="a", policy="p", reason="r" * 1_000, warnings=warnings)
    assert size(trace) <= LIMIT
    assert trace.to_dict()["warnings"][0].startswith("0: w")
    assert trace.to_dict()["reason"].startswith("r")


def test_a_trace_read_back_says_the_same(scripted, run):
    trace = run(scripted.ScriptedPerformer({"small": "5", "medium": "4"}, {"small": "no"}, seconds=0.5))
    read = Trace.model_validate(json.loads(json.dumps(trace.to_dict())))
    assert [(a.tier, a.role, a.verdict) for a in read.attempts] == [(a.tier, a.role, a.verdict) for a in trace.attempts]
    assert read.cost_usd == pytest.approx(trace.cost_usd, rel=1e-5)


def test_no_query_answer_or_prompt_is_in_the_trace(scripted, run):
    trace = run(scripted.ScriptedPerformer({"small": "ANSWER"}), ask="ASK", context="CONTEXT")
    assert not any(secret in trace.model_dump_json() for secret in ("ANSWER", "ASK", "CONTEXT", "what?"))


def test_the_cost_counts_answers_witnesses_and_judges(scripted, run):
    usage = Usage(100_000, 10_000)
    performer = scripted.ScriptedPerformer({"small": "5", "medium": "4"}, usage=usage)
    trace = run(performer, "medium", ("small",))
    cost = {(attempt.role, attempt.tier): attempt.cost_usd for attempt in trace.attempts}
    one = 100_000 * 1e-6 + 10_000 * 2e-6
    assert cost == pytest.approx(
        {("witness", "small"): one, ("generate", "medium"): 10 * one, ("judge", "medium"): 10 * one}
    )
    assert trace.cost_usd == pytest.approx(21 * one)


def test_the_saving_is_against_the_top_tier_and_net_of_judge_and_witness(scripted, run):
    million = Usage(1_000_000, 0)
    trace = run(scripted.ScriptedPerformer({"small": "5", "medium": "4"}, usage=million), "medium", ("small",))
    assert trace.cost_usd == pytest.approx(1 + 10 + 10)
    assert trace.saved_usd == pytest.approx(100 - 21)
    assert trace.saved_is_estimate


def test_where_the_top_tier_answered_the_saving_is_what_was_paid_for_nothing(scripted, run):
    usage = {"small": Usage(1_000_000, 0), "large": Usage(3_000_000, 0)}
    performer = scripted.ScriptedPerformer({"small": "5", "large": "4"}, {"small": "no"}, usage=usage)
    tiers = scripted.ladder("small", "large", large={"price": (100, 0)})
    trace = run(performer, tiers=tiers)
    judge = next(attempt for attempt in trace.attempts if attempt.role == "judge")
    assert trace.saved_usd == pytest.approx(-(1 + judge.cost_usd))
    assert not trace.saved_is_estimate


def test_a_judge_in_the_top_tiers_model_is_no_answer_of_the_top_tier(scripted, run):
    million = Usage(1_000_000, 0)
    trace = run(scripted.ScriptedPerformer({"small": "4"}, usage=million), judge=PromptJudge(floor="large"))
    assert trace.cost_usd == pytest.approx(101)
    assert trace.saved_usd == pytest.approx(100 - 101)
    assert trace.saved_is_estimate


def test_a_top_tier_that_failed_leaves_the_saving_an_estimate(scripted, run):
    million = Usage(1_000_000, 0)
    answers = {"small": "4", "medium": scripted.Down(), "large": scripted.Down()}
    trace = run(scripted.ScriptedPerformer(answers, {"small": "perhaps"}, usage=million))
    assert trace.final == "small"
    assert trace.saved_usd == pytest.approx(100 - 1 - 10)
    assert trace.saved_is_estimate


def test_one_unknown_cost_makes_the_sum_unknown(scripted, run):
    usage = {"small": Usage(100, 10), "medium": None, "large": Usage(100, 10)}
    trace = run(scripted.ScriptedPerformer({"small": "4"}, usage=usage))
    assert [attempt.cost_usd is None for attempt in trace.attempts] == [False, True]
    assert trace.cost_usd is None
    assert trace.saved_usd is None


def test_an_unknown_price_is_unknown_not_nothing(scripted, run):
    tiers = scripted.ladder(small={"price": None})
    trace = run(scripted.ScriptedPerformer({"small": "4"}), tiers=tiers)
    assert trace.attempts[0].cost_usd is None
    assert trace.attempts[0].input_tokens == 100
    assert trace.cost_usd is None


def test_where_only_the_top_tiers_price_is_unknown_the_cost_is_known_and_the_saving_is_not(scripted, run):
    tiers = scripted.ladder(large={"price": None})
    trace = run(scripted.ScriptedPerformer({"small": "4"}), tiers=tiers)
    assert trace.cost_usd > 0
    assert trace.saved_usd is None


def test_a_failed_call_costs_nothing_and_hides_no_sum(scripted, run):
    trace = run(scripted.ScriptedPerformer({"small": scripted.Down(), "medium": "4"}))
    assert trace.attempts[0].error == "Down: overloaded"
    assert trace.attempts[0].cost_usd is None
    assert trace.cost_usd == pytest.approx(sum(attempt.cost_usd for attempt in trace.attempts[1:]))


def test_tokens_are_the_providers_count(scripted, run):
    trace = run(scripted.ScriptedPerformer({"small": "4"}, usage=Usage(123, 45)))
    assert [(a.input_tokens, a.output_tokens) for a in trace.attempts] == [(123, 45)] * 2


def test_a_verdict_stands_on_the_answer_it_is_about(scripted, run):
    trace = run(scripted.ScriptedPerformer({"small": "5", "medium": "4"}, {"small": "no"}))
    assert [(a.role, a.tier, a.verdict, a.by) for a in trace.attempts] == [
        ("generate", "small", "invalid", "prompt"),
        ("judge", "medium", None, None),
        ("generate", "medium", "valid", "prompt"),
        ("judge", "medium", None, None),
    ]


def test_side_by_side_the_longest_call_counts(scripted, run):
    seconds = {"small": 5.0, "medium": 2.0, "large": 1.0}
    trace = run(scripted.ScriptedPerformer({"small": "5", "medium": "4"}, seconds=seconds), "medium", ("small",))
    assert sorted(attempt.seconds for attempt in trace.attempts) == [2.0, 2.0, 5.0]
    assert trace.seconds == 5.0 + 2.0


def test_one_after_the_other_every_call_counts(scripted, run):
    performer = scripted.ScriptedPerformer({"small": "5", "large": "4"}, {"small": "no"}, seconds=2.0)
    assert run(performer, tiers=scripted.ladder("small", "large")).seconds == 2.0 * 3


def test_a_call_that_says_no_time_is_timed(scripted, run):
    trace = run(scripted.ScriptedPerformer({"small": "4"}))
    assert all(0 < attempt.seconds < 10 for attempt in trace.attempts)
    assert trace.seconds == pytest.approx(sum(attempt.seconds for attempt in trace.attempts))


def test_a_call_that_failed_is_timed_too(scripted, run):
    trace = run(scripted.ScriptedPerformer({"small": scripted.Down(), "medium": "4"}))
    assert 0 < trace.attempts[0].seconds < 10


def test_what_is_known_while_the_call_runs(scripted):
    policy = Policy("mine", scripted.Planned("small"), PromptJudge())
    ledger = scripted.ledger_of(policy, node="a/b")
    before = ledger.trace()
    assert (before.trace_id, before.node, before.policy) == ("call-1", "a/b", "mine")
    assert (before.start, before.final, before.attempts) == (None, None, ())
    drive(cascade(policy, ledger), scripted.ScriptedPerformer({"small": "4"}), None, ledger)
    after = ledger.trace()
    assert (after.start, after.final, after.reason) == ("small", "small", "planned")


@pytest.mark.parametrize("name", ["referee", "small"])
def test_a_judge_outside_the_ladder_is_charged_by_its_own_price(scripted, run, name):
    """Also where it has the name of one of the ladder's tiers."""
    judge = PromptJudge(model=Tier(scripted.model(name), price=(7, 0)))
    trace = run(scripted.ScriptedPerformer({"small": "4"}, usage=Usage(1_000_000, 0)), judge=judge)
    assert trace.cost_usd == pytest.approx(1 + 7)


def test_a_node_of_any_length_stays_under_two_kilobytes():
    assert len(json.dumps(Trace(trace_id="a", policy="p", node="x" * 5_000).to_dict()).encode()) <= LIMIT


def test_the_usage_is_the_sum_over_all_calls(scripted, run):
    usage = {
        "small": Usage(10, 2, cached_tokens=3, reasoning_tokens=1),
        "medium": Usage(100, 20, cached_tokens=30, cache_write_tokens=4, reasoning_tokens=10),
    }
    trace = run(scripted.ScriptedPerformer({"small": "4"}, usage=usage))
    assert [attempt.tier for attempt in trace.attempts] == ["small", "medium"]
    assert trace.usage.model_dump() == {
        "input_tokens": 110,
        "output_tokens": 22,
        "cached_tokens": 33,
        "cache_write_tokens": 4,
        "reasoning_tokens": 11,
    }

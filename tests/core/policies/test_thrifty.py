"""A judge that costs as much as the next tier's answer is not asked."""

import pytest

from llm_tiers import ConfigError, FixedStarter, PromptJudge, Usage
from llm_tiers.policies.judges import Agreement, Thrifty


@pytest.fixture
def ask(scripted):
    def ask(prices, usage, verdicts=None):
        names = ("small", "medium", "large")
        ladder = scripted.ladder(*names, **{name: {"price": price} for name, price in zip(names, prices, strict=True)})
        bench = scripted.Bench(FixedStarter("medium"), Thrifty(PromptJudge()), ladder)
        performer = scripted.ScriptedPerformer(dict.fromkeys(names, "4"), verdicts, usage=usage)
        return bench.ask(performer, way="run").trace, performer.roles

    return ask


def test_where_a_verdict_is_cheaper_it_is_asked_for(ask):
    trace, roles = ask([(1, 1), (2, 2), (100, 100)], Usage(100, 100))
    assert ("judge", "medium") in roles
    assert trace.final == "medium"


def test_where_the_next_answer_is_as_cheap_it_is_asked_for_instead_and_the_trace_says_so(ask):
    trace, roles = ask([(1, 1), (2, 2), (2, 2)], Usage(100, 100))

    assert roles == [("generate", "medium"), ("generate", "large")]
    assert (trace.attempts[0].by, trace.attempts[0].why) == ("economy", "large's answer is as cheap as a verdict")


def test_a_judge_that_thinks_is_dear(ask):
    prices = [(1, 1), (2, 2), (3, 3)]
    assert ("judge", "medium") in ask(prices, Usage(100, 600))[1]
    assert ("judge", "medium") not in ask(prices, Usage(100, 600, reasoning_tokens=590))[1]


def test_where_a_price_is_not_known_the_judge_is_asked(ask):
    assert ("judge", "medium") in ask([None, None, None], Usage(100, 100))[1]


def test_it_is_for_judges_and_functions():
    assert repr(Agreement() | Thrifty(PromptJudge())).endswith("Thrifty(" + repr(PromptJudge()) + "))")
    with pytest.raises(ConfigError, match="judge must be one"):
        Thrifty("PromptJudge")

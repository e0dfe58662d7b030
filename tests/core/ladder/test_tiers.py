"""Tiers and the ladder: names, facts, and what is refused."""

import dataclasses
from types import SimpleNamespace

import pytest

from llm_tiers import ConfigError, Ladder, Price, Tier


@pytest.mark.parametrize("attribute", ["model_name", "model", "model_id", "deployment_name"])
def test_a_tier_is_known_by_its_models_own_name(attribute):
    tier = Tier(SimpleNamespace(**{attribute: "gpt-5-mini"}))
    assert (tier.name, tier.model_name) == ("gpt-5-mini", "gpt-5-mini")


def test_attributes_that_hold_no_name_are_passed_over():
    tier = Tier(SimpleNamespace(model_name="", model=object(), model_id="claude"))
    assert tier.name == "claude"


def test_a_name_that_is_given_wins_and_prices_still_go_by_the_model():
    tier = Tier(SimpleNamespace(model_name="o3"), name="o3-high")
    assert (tier.name, tier.model_name) == ("o3-high", "o3")


def test_a_model_without_a_name_is_refused_with_the_fix():
    with pytest.raises(ConfigError, match=r"tiers: SimpleNamespace .*Tier\(model, name='small'\)"):
        Tier(SimpleNamespace())


def test_a_nameless_model_with_a_given_name_has_no_model_name():
    assert Tier(object(), name="mine").model_name is None


@pytest.mark.parametrize("prior", [-0.01, 1.01, float("nan")])
def test_a_prior_outside_the_unit_interval_is_refused(prior):
    with pytest.raises(ConfigError, match=r"'small': prior=.*\[0, 1\]"):
        Tier(object(), name="small", prior=prior)


@pytest.mark.parametrize("prior", [0, 1, 0.5])
def test_a_prior_in_the_unit_interval_is_taken(prior):
    assert Tier(object(), name="small", prior=prior).prior == prior


@pytest.mark.parametrize(
    "price", [(-1, 2), (1, -2), Price(1, 2, -3), (1,), "cheap", "12", ("a", "b"), (1, float("nan"))]
)
def test_a_price_that_is_none_is_refused(price):
    with pytest.raises(ConfigError, match=r"'small': price=.*\(input, output\) in US\$ per million tokens"):
        Tier(object(), name="small", price=price)


def test_a_pair_is_a_price():
    assert Tier(object(), name="small", price=(1, 2)).price == Price(1.0, 2.0)


def test_a_context_window_of_nothing_is_refused():
    with pytest.raises(ConfigError, match=r"'small': context_window=0 must be at least 1"):
        Tier(object(), name="small", context_window=0)


def test_a_tier_does_not_change_and_shows_no_model():
    tier = Tier(SimpleNamespace(model_name="small", api_key="sk-secret"))
    with pytest.raises(dataclasses.FrozenInstanceError):
        tier.name = "large"
    assert "sk-secret" not in repr(tier)


@pytest.mark.parametrize(
    ("facts", "tokens", "needs", "why"),
    [
        ({}, 10**9, {"tools", "images"}, None),
        ({"context_window": 100}, 100, set(), None),
        ({"context_window": 100}, 101, set(), "context window 100 < 101 tokens"),
        ({"context_window": 100}, None, set(), None),
        ({"capabilities": {"tools"}}, None, {"tools"}, None),
        ({"capabilities": {"tools"}}, None, {"tools", "images"}, "no images"),
        ({"capabilities": set()}, None, {"tools", "images"}, "no images, tools"),
        ({"capabilities": set()}, None, set(), None),
    ],
)
def test_what_a_tier_lacks_for_a_call(scripted, facts, tokens, needs, why):
    tier = Tier(object(), name="small", **facts)
    assert tier.shortfall(frozenset(needs), tokens) == why


def test_an_empty_ladder_is_refused():
    with pytest.raises(ConfigError, match=r"tiers: .*empty; give two or more models"):
        Ladder([])


def test_a_ladder_of_one_is_refused():
    with pytest.raises(ConfigError, match=r"tiers: .*only 'small'; give two or more models"):
        Ladder([Tier(object(), name="small")])


def test_names_that_stand_twice_are_refused_with_the_fix(scripted):
    with pytest.raises(ConfigError, match=r"tiers: 'o3' .*Tier\(model, name='o3-low'\)") as caught:
        Ladder([Tier(scripted.model(name)) for name in ("mini", "o3", "o3")])
    assert "'mini'" not in str(caught.value)


def test_what_a_ladder_knows_of_its_tiers(scripted):
    ladder = scripted.ladder("small", "medium", "large")
    assert ladder.names == ("small", "medium", "large")
    assert [tier.name for tier in ladder] == ["small", "medium", "large"]
    assert len(ladder) == 3
    assert ladder.top.name == "large"
    assert ladder["medium"].name == "medium"
    assert ladder.index("large") == 2
    assert ladder.below("medium").name == "small"
    assert ladder.below("small") is None
    assert "medium" in ladder
    assert "tiny" not in ladder
    assert repr(ladder) == "Ladder(small, medium, large)"


@pytest.mark.parametrize("ask", ["__getitem__", "index", "below"])
def test_a_tier_that_the_ladder_lacks_is_named_with_those_it_has(scripted, ask):
    with pytest.raises(ConfigError, match="no tier is called 'tiny'; the ladder has 'small', 'medium', 'large'"):
        getattr(scripted.ladder(), ask)("tiny")


def test_a_ladder_takes_any_iterable(scripted):
    assert Ladder(iter([Tier(scripted.model("a")), Tier(scripted.model("b"))])).names == ("a", "b")

"""What a call costs: whose price counts, which tokens, and what is said where nothing is known."""

import pytest
from genai_prices import Usage as ListedUsage
from genai_prices import calc_price
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_tiers import ConfigError, Price, Tier, Usage
from llm_tiers.ladder.prices import PriceBook

tokens = st.integers(0, 10**7)
dollars = st.floats(0, 1_000)


# Arithmetic on a few numbers: on a busy machine one example can still wait longer than any deadline.
in_any_time = settings(deadline=None)


@in_any_time
@given(tokens, tokens, tokens, dollars, dollars, dollars)
def test_a_price_counts_input_cached_input_and_output(fresh, cached, output, p_in, p_out, p_cached):
    usage = Usage(fresh + cached, output, cached_tokens=cached)
    due = (fresh * p_in + cached * p_cached + output * p_out) / 1e6
    assert Price(p_in, p_out, p_cached).cost(usage) == pytest.approx(due)


@in_any_time
@given(tokens, tokens, tokens)
def test_without_a_price_of_their_own_cached_tokens_cost_as_the_others(fresh, cached, output):
    usage = Usage(fresh + cached, output, cached_tokens=cached)
    assert Price(3, 7).cost(usage) == pytest.approx(((fresh + cached) * 3 + output * 7) / 1e6)


def test_a_free_cache_is_not_taken_for_one_without_a_price():
    assert Price(3, 7, 0).cost(Usage(1_000_000, 0, cached_tokens=1_000_000)) == 0


def test_more_cached_than_sent_is_counted_as_sent():
    assert Price(2, 0, 1).cost(Usage(1_000_000, 0, cached_tokens=5_000_000)) == 1


def test_reasoning_is_output_and_not_counted_twice():
    assert Price(1, 4).cost(Usage(0, 500_000, reasoning_tokens=400_000)) == 2


@pytest.fixture
def gpt5(scripted):
    return Tier(scripted.model("gpt-5"))


def test_the_public_list_is_asked_by_model_name(gpt5):
    listed = calc_price(ListedUsage(input_tokens=1000, output_tokens=100), model_ref="gpt-5").total_price
    assert listed > 0
    assert PriceBook().cost(gpt5, Usage(1000, 100)) == pytest.approx(float(listed))


def test_the_public_list_goes_by_the_model_not_by_the_tiers_name(scripted, gpt5):
    renamed = Tier(scripted.model("gpt-5"), name="thinks-long")
    assert PriceBook().cost(renamed, Usage(1000, 100)) == PriceBook().cost(gpt5, Usage(1000, 100))


def test_the_public_list_counts_cached_tokens_at_their_price(gpt5):
    usage = Usage(1000, 100, cached_tokens=800)
    listed = calc_price(ListedUsage(input_tokens=1000, cache_read_tokens=800, output_tokens=100), model_ref="gpt-5")
    cost = PriceBook().cost(gpt5, usage)
    assert cost == pytest.approx(float(listed.total_price))
    assert cost < PriceBook().cost(gpt5, Usage(1000, 100))


def test_the_public_list_counts_tokens_written_to_the_cache(scripted):
    tier = Tier(scripted.model("claude-sonnet-4-5"))
    listed = calc_price(ListedUsage(input_tokens=1000, cache_write_tokens=500, output_tokens=1), model_ref=tier.name)
    cost = PriceBook().cost(tier, Usage(1000, 1, cache_write_tokens=500))
    assert cost == pytest.approx(float(listed.total_price))
    assert cost > PriceBook().cost(tier, Usage(1000, 1))


def test_the_public_list_counts_reasoning_as_output_once(gpt5):
    silent = PriceBook().cost(gpt5, Usage(10, 100))
    assert PriceBook().cost(gpt5, Usage(10, 100, reasoning_tokens=90)) == pytest.approx(silent)


@pytest.mark.parametrize(
    "odd",
    [
        Usage(10, 10, cached_tokens=50),
        Usage(10, 10, cached_tokens=8, cache_write_tokens=8),
        Usage(10, 10, reasoning_tokens=50),
    ],
)
def test_counts_that_do_not_add_up_still_have_a_cost(gpt5, odd):
    assert PriceBook().cost(gpt5, odd) > 0


def test_the_users_prices_win_over_the_public_list_by_tier_or_model_name(scripted):
    tier = Tier(scripted.model("gpt-5"), name="big")
    million = Usage(1_000_000, 0)
    assert PriceBook({"big": (7, 0)}).cost(tier, million) == 7
    assert PriceBook({"gpt-5": Price(8, 0)}).cost(tier, million) == 8
    assert PriceBook({"big": (7, 0), "gpt-5": (8, 0)}).cost(tier, million) == 7
    assert PriceBook({"other": (9, 0)}).cost(tier, million) == PriceBook().cost(tier, million)


def test_a_tiers_own_price_wins_over_all(scripted):
    tier = Tier(scripted.model("gpt-5"), price=(5, 0))
    assert PriceBook({"gpt-5": (8, 0)}).cost(tier, Usage(1_000_000, 0)) == 5


def test_a_model_that_is_free_costs_nothing(scripted):
    tier = Tier(scripted.model("gpt-5"), price=(0, 0))
    assert PriceBook({"gpt-5": (8, 8)}).cost(tier, Usage(1_000_000, 1)) == 0


def test_an_unknown_price_is_none_and_said_once_a_tier(scripted, caplog):
    book = PriceBook()
    mine, yours = Tier(scripted.model("my-own-llama")), Tier(scripted.model("your-own-llama"))
    assert [book.cost(tier, Usage(10, 10)) for tier in (mine, mine, yours, mine)] == [None] * 4
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 2
    assert "'my-own-llama'" in messages[0]
    assert "Tier(model, price=(input, output))" in messages[0]
    assert "'your-own-llama'" in messages[1]


def test_a_tier_without_any_model_name_has_no_public_price(caplog):
    assert PriceBook().cost(Tier(object(), name="gpt-5"), Usage(10, 10)) is None
    assert "gpt-5" in caplog.text


def test_no_usage_is_no_cost_however_well_the_price_is_known(scripted, caplog):
    book = PriceBook()
    tier = Tier(scripted.model("small"), price=(1, 2))
    assert [book.cost(tier, None), book.cost(tier, None)] == [None, None]
    (record,) = caplog.records
    assert "'small' reports no token usage" in record.getMessage()


def test_a_known_price_says_nothing(scripted, caplog):
    PriceBook().cost(Tier(scripted.model("small"), price=(1, 2)), Usage(1, 1))
    assert caplog.records == []


@pytest.mark.parametrize(
    "price", [(-1, 1), (1, -1), Price(1, 1, -1), (1,), 3, "x", "12", (float("nan"), 1), {"input": 1}]
)
def test_prices_that_are_none_are_refused_by_name(price):
    with pytest.raises(ConfigError, match=r"prices\['small'\]=.*\(input, output\)"):
        PriceBook({"small": price})


def test_a_price_left_open_falls_to_the_public_list(gpt5):
    assert PriceBook({"gpt-5": None}).cost(gpt5, Usage(10, 10)) == PriceBook().cost(gpt5, Usage(10, 10))


def test_a_price_list_that_fails_costs_nobody_the_answer(gpt5, monkeypatch, caplog):
    def broken(*arguments, **settings):
        raise ValueError("malformed")

    monkeypatch.setattr("genai_prices.calc_price", broken)
    book = PriceBook()
    assert [book.cost(gpt5, Usage(1, 1)), book.cost(gpt5, Usage(1, 1))] == [None, None]
    assert [record.getMessage() for record in caplog.records if "price list failed" in record.getMessage()] == [
        "the public price list failed: ValueError: malformed"
    ]


@pytest.mark.parametrize("prices", [[(1, 2)], "gpt-5", 3])
def test_prices_without_names_are_refused(prices):
    with pytest.raises(ConfigError, match="prices must map tier or model names"):
        PriceBook(prices)

"""The parts of a guarantee: bounds by betting, mixtures, and SMART's published profiler."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from scipy.stats import binomtest

from llm_tiers.policies.guarantee.bets import LOSSES, log_wealth, tally, upper_bound
from llm_tiers.policies.guarantee.clopper import Counted, Smart, interval, model_mix
from llm_tiers.policies.guarantee.drift import CALM, RARELY, after_audit, share_beside_top, share_of_audits, suspicion
from llm_tiers.policies.guarantee.forecast import forecast
from llm_tiers.policies.guarantee.mix import cheapest_mixture
from llm_tiers.policies.guarantee.standing import Promise
from llm_tiers.policies.guarantee.worth import look

RIGHT_OR_NOT = np.array([0.0, 1.0])


def counts_of(losses, n):
    return np.array([n - losses, losses], dtype=float)


def test_a_bound_is_hardly_ever_too_low_however_often_one_looks():
    rng = np.random.default_rng(0)
    for mean in (0.02, 0.1, 0.4):
        losses = np.cumsum(rng.random((1_000, 600)) < mean, axis=1)
        n = np.arange(1, 601)
        counts = np.stack([n - losses, losses], axis=-1).astype(float)
        # Looked at after every single call.
        wealth = log_wealth(counts, np.full(losses.shape, mean), RIGHT_OR_NOT)
        ever = (wealth >= -np.log(0.1)).any(axis=1).mean()
        # Three standard errors of a share of .1 in 1,000 runs.
        assert ever <= 0.1 + 3 * np.sqrt(0.09 / 1_000)


def test_a_bound_on_losses_of_any_size_is_hardly_ever_too_low():
    rng = np.random.default_rng(1)
    losses = rng.choice([-1.0, 0.0, 0.5, 1.0], p=[0.1, 0.6, 0.2, 0.1], size=(1_000, 300))
    wealth = np.array([log_wealth(tally(one[:, None]), np.array([0.1]))[0] for one in losses])
    assert (wealth >= -np.log(0.1)).mean() <= 0.1


@given(st.integers(1, 2_000), st.floats(0, 1), st.floats(0.001, 0.2))
@settings(max_examples=100)
def test_more_losses_never_lower_a_bound_and_it_is_proved(n, share, alpha):
    losses = int(share * n)
    bound = upper_bound(counts_of(losses, n)[None], alpha, RIGHT_OR_NOT)
    more = upper_bound(counts_of(min(losses + 1, n), n)[None], alpha, RIGHT_OR_NOT)
    assert bound <= more
    assert bound >= losses / n - 1e-3
    if bound < 1:
        assert log_wealth(counts_of(losses, n)[None], bound, RIGHT_OR_NOT) >= -np.log(alpha)


def test_a_loss_between_two_that_are_counted_counts_as_the_greater():
    assert LOSSES[tally(np.array([0.31])).argmax()] == 0.4
    assert LOSSES[tally(np.array([-0.99])).argmax()] == -0.9
    assert LOSSES[tally(np.array([0.3])).argmax()] == pytest.approx(0.3)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=8), st.floats(0.01, 0.5))
@settings(max_examples=100)
def test_the_cheapest_mixture_is_the_linear_programmes(rules, delta):
    costs = np.array([cost for cost, _ in rules] + [1.0])
    bounds = np.array([bound for _, bound in rules] + [0.0])
    found = cheapest_mixture(costs, bounds, delta)
    best = linprog(costs, A_ub=[bounds], b_ub=[delta], A_eq=[np.ones(len(costs))], b_eq=[1], bounds=(0, 1))
    assert found.cost == pytest.approx(best.fun, abs=1e-6)
    assert bounds[found.one] * (1 - found.share) + bounds[found.other] * found.share <= delta + 1e-9


def test_what_cannot_pay_is_not_profiled_further():
    counts = np.zeros((1, 2, 2))
    counts[0, 0], counts[0, 1] = counts_of(60, 100), counts_of(0, 100)
    costs, asking = np.array([[0.1, 1.0]]), np.array([1.1])
    few = look(counts, costs, asking, np.array([20.0]), delta=0.1, alpha=0.05, losses=RIGHT_OR_NOT)
    many = look(counts, costs, asking, np.array([1e6]), delta=0.1, alpha=0.05, losses=RIGHT_OR_NOT)
    assert (few.more[0], many.more[0] > 0) == (0, True)


def test_a_broken_promise_is_suspected_and_a_kept_one_is_not():
    rng = np.random.default_rng(2)
    for mean, found in ((0.05, False), (0.5, True)):
        wealth = CALM
        for loss in (rng.random(300) < mean).astype(float):
            wealth = after_audit(wealth, loss, 0.1)
            if suspicion(wealth) > RARELY:
                break
        assert (suspicion(wealth) > RARELY) is np.bool_(found)
    assert share_of_audits(CALM) < share_of_audits(after_audit(CALM, np.array(1.0), 0.1)) <= 0.5


@pytest.mark.parametrize("losses", [(0.05, 0.0), (0.3, 0.25), (0.5, 0.45)])
def test_false_alarms_are_far_apart_while_the_promise_is_just_kept(losses):
    worse, better = losses
    rng = np.random.default_rng(3)
    wealth, alarmed = np.tile(CALM, (200, 1)), np.full(200, 5_000.0)
    for audits in range(5_000):
        lots = rng.random(200)
        loss = (lots < worse).astype(float) - (lots > 1 - better)
        wealth = after_audit(wealth, loss, 0.05, -1.0 if better else 0.0)
        assert (wealth >= 0).all()
        alarmed = np.where((suspicion(wealth) > RARELY) & (alarmed == 5_000), audits, alarmed)
    assert alarmed.mean() > RARELY


def test_calls_that_the_top_tier_answers_anyway_are_audited_more_often_where_that_is_cheap():
    dear, cheap = (share_beside_top(CALM, np.array(asking), np.array(1.0)) for asking in (1.5, 1.02))
    assert share_of_audits(CALM) <= dear < cheap <= 0.25
    free = share_beside_top(CALM, np.array(0.0), np.array(0.0))
    assert share_of_audits(CALM) <= free <= 0.25


@given(st.integers(1, 400), st.floats(0, 1), st.floats(0.01, 0.2))
@settings(max_examples=50)
def test_smarts_interval_is_clopper_and_pearsons(n, share, alpha):
    k = int(share * n)
    exact = binomtest(k, n).proportion_ci(1 - alpha, method="exact")
    assert interval(k, n, alpha) == pytest.approx((exact.low, exact.high), abs=1e-9)


def test_smart_certifies_rules_out_and_stops():
    profiler = Smart(0.1, 0.05, (0.1, 0.5, 1.0), 10_000)
    good, bad, open_one = profiler.after_look([Counted(200, 200), Counted(100, 200), Counted(90, 100)])
    assert (good.status, bad.status, open_one.status) == ("certified", "out", "open")
    assert profiler.stops([good, bad], 200)
    assert profiler.stops([bad, bad], 200)
    # The cheapest that is not ruled out is certified; that the dearer one is open does not matter.
    assert profiler.stops([good, open_one], 200)
    assert not profiler.stops([open_one, good], 90)


def test_smart_stops_early_where_certifying_is_hopeless():
    profiler = Smart(0.1, 0.05, (0.1, 1.0), 10_000)
    near = Counted(88, 100)
    assert not Smart(0.1, 0.05, (0.1, 1.0), 1_000_000).stops([Counted(93, 100)], 100)
    assert Smart(0.1, 0.05, (0.95, 1.0), 400).stops([near], 100)
    # Not before a hundred items, whatever the prospects.
    assert not profiler.stops([Counted(76, 90)], 90)


def test_smarts_mix_uses_the_slack_of_the_profiled_items():
    profiler = Smart(0.1, 0.05, (0.1, 1.0), 1_000)
    few = profiler.mix([Counted(80, 100)], 100)
    assert sum(few) == pytest.approx(1)
    low = interval(80, 100, 0.05)[0]
    accuracy = (1 - 0.1 - 100 / 1_000) * 1_000 / 900
    assert few[0] == pytest.approx((1 - accuracy) / (1 - low))
    assert model_mix((0.1, 1.0), (0.95, 1.0), 0.9) == pytest.approx((1.0, 0.0))


def test_a_forecast_says_what_a_promise_costs_and_when_it_cannot_be_earned():
    much = forecast((0.01, 0.1, 1.0), 3, Promise(0.05, 0.05, 100_000))
    little = forecast((0.01, 0.1, 1.0), 3, Promise(0.05, 0.05, 20))
    assert much.pays
    assert much.cost < 0.2
    assert much.earning == pytest.approx(much.profiled * 0.11)
    assert "too few" in little.why
    assert not little.pays
    worse = forecast((0.01, 0.1, 1.0), 3, Promise(0.05, 0.05, 100_000), differing=0.2)
    assert worse.share < much.share == 1.0


def test_a_forecast_says_so_where_no_further_call_is_expected():
    over = forecast((0.01, 0.1, 1.0), 3, Promise(0.05, 0.05, 100), seen=100)
    assert not over.pays
    assert over.cost == 1
    assert over.why == "no further calls are expected: expected_calls=100, and this node has had 100"


def test_where_the_top_tier_costs_nothing_there_is_nothing_to_save():
    free = forecast((0.0, 0.0, 0.0), 3, Promise(0.05, 0.05, 100_000))
    assert not free.pays
    assert free.why == "the top tier costs nothing, so there is nothing to save"
    assert sum(model_mix((0.0, 0.0), (0.9, 1.0), 0.95)) == pytest.approx(1)

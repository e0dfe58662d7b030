"""The bandit's regression: the inverse that follows the observations is the one that a direct inversion gives."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_tiers.policies.starters.ridge import Ridge

some = settings(max_examples=60)
seeds = st.integers(0, 2**32 - 1)
ridges = st.floats(0.1, 100)


def stream(seed, n, width):
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(n, width))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), rng.normal(size=n)


def learned(vectors, targets, penalty, forgetting=1.0):
    ridge = Ridge.start(vectors.shape[1], penalty)
    for x, target in zip(vectors, targets, strict=True):
        ridge = ridge.after(x, target, forgetting=forgetting)
    return ridge


def full(ridge):
    """The inverse with both triangles."""
    return np.triu(ridge.inverse) + np.triu(ridge.inverse, 1).T


def directly(vectors, targets, penalty, forgetting=1.0):
    """A^-1 and A^-1 b, by the definition: what is old loses weight, and the ridge is kept one coordinate a time."""
    width = vectors.shape[1]
    matrix, sums = penalty * np.eye(width), np.zeros(width)
    for place, (x, target) in enumerate(zip(vectors, targets, strict=True)):
        matrix = forgetting * matrix + np.outer(x, x)
        sums = forgetting * sums + target * x
        matrix[place % width, place % width] += (1 - forgetting) * penalty * width
    inverse = np.linalg.inv(matrix)
    return inverse, inverse @ sums


@some
@given(seeds, st.integers(1, 60), st.integers(1, 12), ridges)
def test_the_updated_inverse_is_the_direct_one(seed, n, width, penalty):
    vectors, targets = stream(seed, n, width)
    ridge = learned(vectors, targets, penalty)
    inverse, weights = directly(vectors, targets, penalty)
    np.testing.assert_allclose(full(ridge), inverse, rtol=1e-7, atol=1e-10)
    np.testing.assert_allclose(ridge.weights, weights, rtol=1e-6, atol=1e-9)


@some
@given(seeds, st.integers(1, 60), st.integers(1, 12), ridges, st.floats(0.8, 0.999))
def test_forgetting_weighs_observations_by_age(seed, n, width, penalty, forgetting):
    vectors, targets = stream(seed, n, width)
    ridge = learned(vectors, targets, penalty, forgetting)
    inverse, weights = directly(vectors, targets, penalty, forgetting)
    np.testing.assert_allclose(full(ridge), inverse, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(ridge.weights, weights, rtol=1e-5, atol=1e-8)


@some
@given(seeds, st.integers(2, 30), st.integers(1, 8), ridges)
def test_the_order_of_observations_changes_rounding_only(seed, n, width, penalty):
    vectors, targets = stream(seed, n, width)
    turned = np.random.default_rng(seed).permutation(n)
    one, other = learned(vectors, targets, penalty), learned(vectors[turned], targets[turned], penalty)
    np.testing.assert_allclose(one.weights, other.weights, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(full(one), full(other), rtol=1e-7, atol=1e-10)


@some
@given(seeds, st.integers(1, 30), st.integers(1, 8), ridges, st.floats(0.8, 1), st.data())
def test_a_target_that_changes_late_counts_as_if_it_had_been_known(seed, n, width, penalty, forgetting, data):
    vectors, targets = stream(seed, n, width)
    place = data.draw(st.integers(0, n - 1))
    late = learned(vectors, targets, penalty, forgetting)
    late = late.revised(vectors[place], 2.0, weight=forgetting ** (n - 1 - place))
    targets[place] += 2.0
    known = learned(vectors, targets, penalty, forgetting)
    np.testing.assert_allclose(late.weights, known.weights, rtol=1e-5, atol=1e-8)


@some
@given(seeds, st.integers(1, 30), st.integers(1, 8), ridges)
def test_what_is_taken_out_leaves_nothing(seed, n, width, penalty):
    vectors, targets = stream(seed, n, width)
    without = learned(vectors[:-1], targets[:-1], penalty)
    taken = learned(vectors, targets, penalty).amended(vectors[-1], targets[-1], weight=-1.0)
    np.testing.assert_allclose(full(taken), full(without), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(taken.weights, without.weights, rtol=1e-5, atol=1e-8)


def test_a_regression_that_a_reader_holds_is_never_changed():
    vectors, targets = stream(0, 5, 4)
    held = learned(vectors, targets, 1.0)
    inverse, weights = held.inverse.copy(), held.weights.copy()
    held.after(vectors[0], 1.0)
    held.after(vectors[0], 1.0, forgetting=0.9)
    held.revised(vectors[0], 1.0)
    held.amended(vectors[0], 1.0, weight=1.0)
    assert (held.inverse == inverse).all()
    assert (held.weights == weights).all()


@pytest.mark.parametrize("forgetting", [1.0, 0.9])
def test_ten_thousand_observations_of_one_query_stay_finite(forgetting):
    x = np.zeros(6)
    x[0] = 1.0
    ridge = Ridge.start(6, 1.0)
    for _ in range(10_000):
        ridge = ridge.after(x, 1.0, forgetting=forgetting)
    # The other directions are as uncertain as they were, neither certain nor boundlessly uncertain.
    assert 0.2 < ridge.spread(np.eye(6)[1]) < 5
    assert ridge.predict(x) == pytest.approx(1.0, abs=0.15)

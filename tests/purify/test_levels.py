import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.purify import (
    Constant,
    Frozen,
    Rounded,
    SsniLinear,
    SsniMonotone,
    SsniSigmoid,
    SsniStep,
    StraightThrough,
)
from ssni_jax.purify.isotonic import isotonic

LINEAR, SIGMOID = SsniLinear(10.0, 30.0, 0.1, 0.005), SsniSigmoid(20.0, 5.0, 0.1, 0.005)
STEP = SsniStep(20.0, 5.0, 0.1, 0.005)
LEARNED = SsniMonotone((10.0, 20.0, 30.0), (0.0, 0.8, 1.0), 0.1, 0.005)
XI = jnp.asarray([-1e6, 0.0, 10.0, 15.0, 20.0, 25.0, 30.0, 50.0, 1e6])


def slope(level, xi):
    return jax.vmap(jax.grad(lambda v: level(v[None])[0]))(xi)


def test_a_constant_level_ignores_the_deviation():
    t = Constant(0.3)(XI)
    np.testing.assert_array_equal(t, np.float32(0.3))
    assert t.dtype == jnp.float32 and jnp.all(slope(Constant(), XI) == 0)


def test_ssni_l_goes_from_bias_at_the_low_norm_to_t_star_and_bias_at_the_high_one():
    """0.1 (xi - 10) / 20 + 0.005 by hand, clipped to the range outside."""
    np.testing.assert_allclose(LINEAR(XI), [0.005, 0.005, 0.005, 0.03, 0.055, 0.08, 0.105, 0.105, 0.105], rtol=1e-6)


def test_ssni_n_is_half_of_t_star_and_bias_at_the_mean():
    """0.105 / (1 + exp(-(xi - 20) / 5)) by hand."""
    half, up = 0.0525, 0.105 * 0.7310585786
    at_15_20_25 = SIGMOID(XI)[3:6]
    np.testing.assert_allclose(at_15_20_25, [0.105 - up, half, up], rtol=1e-5)
    np.testing.assert_allclose(SIGMOID(XI)[jnp.asarray([0, -1])], [0, 0.105], atol=1e-7)


@pytest.mark.parametrize("level", [LINEAR, SIGMOID, STEP, LEARNED], ids=repr)
def test_ssni_gives_more_noise_to_a_larger_norm_and_stays_in_its_range(level):
    t = level(jnp.linspace(5.0, 35.0, 50))
    assert jnp.all(jnp.diff(t) >= 0) and jnp.all((t >= 0) & (t <= 0.105 + 1e-7))


def test_the_gradients_are_those_of_the_formulas():
    np.testing.assert_allclose(slope(LINEAR, XI)[jnp.asarray([1, 3, 4, 7])], [0, 0.005, 0.005, 0], atol=1e-8)
    weight = np.asarray(SIGMOID(XI), np.float64) / 0.105
    np.testing.assert_allclose(slope(SIGMOID, XI), 0.105 * weight * (1 - weight) / 5, atol=1e-7)


def test_rounding_goes_to_whole_steps_and_has_no_gradient():
    rounded = Rounded(SIGMOID)
    np.testing.assert_allclose(1000 * rounded(XI)[3:6], [28, 52, 77], rtol=1e-6)
    np.testing.assert_allclose(Rounded(SIGMOID, n=10)(XI)[3:6], [0.0, 0.1, 0.1], rtol=1e-6)
    assert jnp.all(slope(rounded, XI) == 0)


def test_a_frozen_level_keeps_its_value_and_loses_its_gradient():
    np.testing.assert_array_equal(Frozen(SIGMOID)(XI), SIGMOID(XI))
    assert jnp.all(slope(Frozen(SIGMOID), XI) == 0) and jnp.any(slope(SIGMOID, XI) != 0)


@pytest.mark.parametrize(
    "level", [LINEAR, SIGMOID, STEP, LEARNED, Rounded(SIGMOID), Rounded(LINEAR), Frozen(SIGMOID)], ids=repr
)
def test_a_nan_norm_is_a_nan_level_in_its_own_row(level):
    np.testing.assert_array_equal(jnp.isnan(level(jnp.asarray([20.0, jnp.nan, 25.0]))), [False, True, False])


def test_straight_through_has_the_value_of_rounding_and_the_slope_before_it():
    np.testing.assert_array_equal(StraightThrough(SIGMOID)(XI), Rounded(SIGMOID)(XI))
    np.testing.assert_array_equal(slope(StraightThrough(SIGMOID), XI), slope(SIGMOID, XI))


def test_a_step_is_the_limit_of_the_sigmoid_and_attacks_differentiate_the_sigmoid():
    np.testing.assert_allclose(STEP(XI), SsniSigmoid(20.0 + 1e-3, 1e-6, 0.1, 0.005)(XI), atol=1e-7)
    assert jnp.all(slope(STEP, XI) == 0)
    for level in (STEP, Rounded(STEP)):
        np.testing.assert_array_equal(level.soft()(XI), SIGMOID(XI))
        np.testing.assert_allclose(level.straight_through()(XI), STEP(XI), atol=1e-8)
        np.testing.assert_array_equal(slope(level.straight_through(), XI), slope(SIGMOID, XI))


def test_a_learned_level_of_two_knots_is_ssni_l_and_others_go_through_their_knots():
    two = SsniMonotone((10.0, 30.0), (0.0, 1.0), 0.1, 0.005)
    np.testing.assert_allclose(two(XI), LINEAR(XI), rtol=1e-6)
    np.testing.assert_allclose(LEARNED(XI)[2:7], [0.005, 0.045, 0.085, 0.095, 0.105], rtol=1e-6)


@pytest.mark.parametrize(
    ("knots", "weights", "said"),
    [((1.0,), (0.0, 1.0), "1 knots and 2 weights"), ((1.0, 1.0), (0.0, 1.0), "must increase"),
     ((1.0, 2.0), (1.0, 0.0), "must not decrease")],
)  # fmt: skip
def test_knots_that_make_no_monotone_level_are_refused(knots, weights, said):
    with pytest.raises(ValueError, match=said):
        SsniMonotone(knots, weights)


def test_isotonic_regression_pools_what_decreases():
    """Of targets 1, 0 the mean is what both get; equal places are one; weights count."""
    x, y = np.asarray([3.0, 1.0, 2.0, 4.0, 4.0]), np.asarray([0.0, 0.0, 1.0, 0.0, 1.0])
    knots, values = isotonic(x, y, np.ones(5))
    np.testing.assert_allclose(knots, [1.0, 3.25])
    np.testing.assert_allclose(values, [0.0, 0.5])
    np.testing.assert_allclose(isotonic(x, y, np.asarray([1.0, 1.0, 3.0, 1.0, 1.0]))[1], [0.0, 4 / 6])


def test_isotonic_regression_is_the_best_monotone_fit():
    """Its values are the largest of the smallest means over windows around each point (Barlow et al. 1972)."""
    random = np.random.default_rng(3)
    n, y = 20, (random.random(20) < np.arange(20) / 20).astype(float)
    best = [max(min(y[a : b + 1].mean() for b in range(i, n)) for a in range(i + 1)) for i in range(n)]
    knots, values = isotonic(np.arange(20.0), y, np.ones(n))
    np.testing.assert_allclose(values, np.unique(np.round(best, 12)))
    assert len(values) > 3 and np.all(np.diff(knots) > 0)

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.core.rng import fold, normal_like
from ssni_jax.purify import Held, NoDeviation, ScoreNorm, SingleScoreNorm, quick_score_norm
from ssni_jax.purify.deviation import score
from ssni_jax.schedules import VE, VP
from tests.kit import Gaussian, called, images, keys, two_modes

B, STD, N_LEVELS = 4, 0.5, 20
X = 2 * images(B) - 1
EPS = ScoreNorm(Gaussian(STD), VP(), N_LEVELS)


def vp(t):
    """Mean and standard deviation of the scaled state at t, float64 (Song et al. 2021, eq. 33)."""
    log_mean = -0.25 * t**2 * (20 - 0.1) - 0.5 * t * 0.1
    return np.exp(log_mean), np.sqrt(-np.expm1(2 * log_mean))


def norm_by_hand(x, noises):
    """The released computation in float64: the norm of the mean over i of -eps_theta(x_i) / std_i."""
    total = 0.0
    for i, noise in enumerate(noises, start=1):
        mean, std = vp(i / 1000)
        state = mean * np.asarray(x, np.float64) + std * np.asarray(noise, np.float64)
        x0 = STD**2 / (STD**2 + (std / mean) ** 2) * state / mean
        total += -((state - mean * x0) / std) / std
    return np.linalg.norm((total / len(noises)).reshape(len(x), -1), axis=1)


def test_the_score_norm_is_that_of_the_released_formula_for_the_same_noise():
    noises = [normal_like(fold(keys(B), i), X) for i in range(1, N_LEVELS + 1)]
    np.testing.assert_allclose(jax.jit(EPS)(keys(B), X), norm_by_hand(X, noises), rtol=1e-4)


def test_the_mean_square_score_norm_of_a_gaussian_is_its_closed_form():
    """s_i = -(m_i x + std_i z_i) / v_i with v_i = m_i^2 std^2 + std_i^2: mean square |x|^2 a^2 + d sum b_i^2 / n^2."""
    n, x = 2000, X[:1]
    found = jax.jit(EPS)(keys(n), jnp.tile(x, (n, 1, 1, 1)))
    mean, std = vp(np.arange(1, N_LEVELS + 1) / 1000)
    total = mean**2 * STD**2 + std**2
    expected = np.sum(x**2) * np.mean(mean / total) ** 2 + x.size * np.sum((std / total) ** 2) / N_LEVELS**2
    np.testing.assert_allclose(jnp.mean(found**2), expected, rtol=0.02)


def test_the_single_score_norm_takes_the_image_as_the_scaled_state_without_noise():
    mean, std = vp(0.02)
    expected = np.linalg.norm(np.asarray(X).reshape(B, -1), axis=1) / (mean**2 * STD**2 + std**2)
    np.testing.assert_allclose(called(SingleScoreNorm(Gaussian(STD), VP()), keys(B), X), expected, rtol=1e-4)


def test_the_score_is_the_gradient_of_the_scaled_states_log_density():
    sigma = jnp.linspace(0.1, 2.0, B)
    scale = VP().scale(VP().inverse(sigma))[:, None, None, None]
    state = scale * X
    density = lambda v: -0.5 * jnp.sum(v**2 / (scale**2 * (STD**2 + sigma[:, None, None, None] ** 2)))  # noqa: E731
    scored = jax.jit(lambda x, sigma: score(Gaussian(STD), VP(), x, sigma))(X, sigma)
    np.testing.assert_allclose(scored, jax.jit(jax.grad(density))(state), rtol=1e-4)


def test_in_unscaled_noise_the_score_is_tweedies():
    sigma = jnp.linspace(0.1, 2.0, B)
    expected = -X / (STD**2 + sigma**2)[:, None, None, None]
    scored = jax.jit(lambda x, sigma: score(Gaussian(STD), VE(), x, sigma))(X, sigma)
    np.testing.assert_allclose(scored, expected, rtol=1e-5)


def test_another_draw_gives_another_norm_and_the_same_draw_the_same():
    deviation = jax.jit(EPS)
    np.testing.assert_array_equal(deviation(keys(B), X), deviation(keys(B), X))
    assert jnp.all(deviation(keys(B), X) != deviation(keys(B, seed=1), X))


@pytest.mark.slow
def test_the_gradient_through_the_score_norm_is_its_slope():
    deviation = ScoreNorm(two_modes(), VP(), 5)
    value = jax.jit(lambda x: jnp.sum(deviation(keys(B), x)))
    direction, h = normal_like(keys(B, seed=3), X), 1e-2
    slope = (value(X + h * direction) - value(X - h * direction)) / (2 * h)
    np.testing.assert_allclose(slope, jnp.sum(jax.grad(value)(X) * direction), rtol=2e-2)


@pytest.mark.parametrize("n_together", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_levels_evaluated_together_give_the_same_norm_and_gradient(n_together):
    one = ScoreNorm(two_modes(), VP(), N_LEVELS)
    together = dataclasses.replace(one, n_together=n_together)
    both = jax.jit(lambda deviation: jax.value_and_grad(lambda x: jnp.sum(deviation(keys(B), x)))(X))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-4), both(together), both(one))


@pytest.mark.parametrize("n_together", [1, 4])
def test_the_loop_over_levels_is_shorter_by_those_evaluated_together(n_together):
    deviation = ScoreNorm(two_modes(), VP(), N_LEVELS, n_together=n_together)
    traced = jax.make_jaxpr(lambda x: deviation(keys(B), x))(X)
    lengths = [equation.params["length"] for equation in traced.eqns if equation.primitive.name == "scan"]
    assert lengths == [N_LEVELS // n_together]


def test_a_norm_of_levels_evaluated_together_does_not_depend_on_the_other_rows():
    deviation = jax.jit(ScoreNorm(two_modes(), VP(), N_LEVELS, n_together=5))
    some = np.asarray([2, 0])
    np.testing.assert_allclose(deviation(keys(B)[some], X[some]), deviation(keys(B), X)[some], rtol=1e-5)


def test_fewer_levels_over_the_same_range_are_evenly_spread_and_end_at_the_same_time():
    told = []

    def denoise(x, sigma):
        jax.debug.callback(lambda sigma: told.append(float(sigma[0])), sigma)
        return x

    jax.block_until_ready(jax.jit(ScoreNorm(denoise, VP(), 5, spacing=0.004).__call__)(keys(B), X))
    jax.effects_barrier()
    np.testing.assert_allclose(sorted(told), VP().sigma(jnp.asarray([0.004, 0.008, 0.012, 0.016, 0.02])), rtol=1e-5)


def test_the_quick_score_norm_is_one_unperturbed_level():
    one = ScoreNorm(Gaussian(STD), VP(), 1, spacing=0.005, perturbed=False)
    quick = called(quick_score_norm(Gaussian(STD), VP()), keys(B), X)
    np.testing.assert_allclose(called(one, keys(B), X), quick, rtol=1e-6)


@pytest.mark.parametrize(
    "deviation",
    [
        EPS,
        dataclasses.replace(EPS, n_together=5),
        SingleScoreNorm(two_modes(), VP()),
        NoDeviation(),
        Held(jnp.zeros(B)),
    ],
)
def test_a_deviation_makes_as_many_network_calls_as_it_says(deviation):
    calls = []

    def denoise(x, sigma):
        jax.debug.callback(lambda _: calls.append(1), sigma)
        return x

    if hasattr(deviation, "denoise"):
        deviation = dataclasses.replace(deviation, denoise=denoise)
    jax.block_until_ready(jax.jit(lambda x: deviation(keys(B), x))(X))
    jax.effects_barrier()
    assert len(calls) == deviation.n_calls


def test_a_given_level_has_no_deviation_and_a_held_one_ignores_the_image():
    assert jnp.all(NoDeviation()(keys(B), X) == 0)
    held = Held(jnp.arange(4.0))
    np.testing.assert_array_equal(held(keys(B), X), held(keys(B, seed=1), -X))


def test_an_average_over_no_levels_is_refused():
    with pytest.raises(ValueError, match="at least one level, not n_levels=0"):
        ScoreNorm(Gaussian(), VP(), 0)


@pytest.mark.parametrize("n_together", [0, 3, 40])
def test_levels_that_do_not_divide_into_calls_are_refused(n_together):
    with pytest.raises(ValueError, match=f"n_together={n_together} at a time: choose a divisor of 20"):
        ScoreNorm(Gaussian(), VP(), 20, n_together=n_together)
